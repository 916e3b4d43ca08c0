/* SPDX-License-Identifier: MPL-2.0 */
/* Address lists, and the ENVELOPE that is made of one. */
#include "fuzz/response.h"
#include "imap/render.h"
#include "mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes value = bytes_make(data, size);
	struct summary_envelope envelope = {.from = value, .to = value, .subject = value};
	struct address_list list;
	struct buf out = {0};
	size_t open = 0, others = 0;

	ASSERT(address_parse(value, &list) == ERR_OK);
	for (size_t i = 0; i < list.count; i++) {
		const struct address *address = &list.items[i];

		if (address->host.data != NULL) {
			ASSERT(address->mailbox.data != NULL);
			others++;
		} else if (address->mailbox.data != NULL) {
			ASSERT(open == 0); /* groups do not nest (RFC 5322, 3.4) */
			open++;
			others++;
		} else {
			ASSERT(open == 1);
			open--;
		}
	}
	ASSERT(open == 0 && others <= ADDRESS_COUNT_MAX);
	address_list_finish(&list);
	render_envelope(&out, &envelope);
	response_check(&out);
	buf_finish(&out);
	return 0;
}
