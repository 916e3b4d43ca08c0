/* SPDX-License-Identifier: MPL-2.0 */
/* Any bytes as an encoded summary. Input: u8 size of a section and the section, the summary. */
#include "fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	struct bytes section = cursor_take(&input, cursor_u8(&input));
	struct summary summary;

	if (summary_decode(fuzz_rest(&input), &summary) != ERR_OK)
		return 0;
	parts_check(&summary);
	parts_check_section(&summary, section);
	summary_finish(&summary);
	return 0;
}
