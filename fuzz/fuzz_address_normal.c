/* SPDX-License-Identifier: MPL-2.0 */
/* Addresses of accounts: the normal form is its own normal form. */
#include "engine/account/account.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf normal = {0}, again = {0};

	if (address_normalise(bytes_make(data, size), &normal) == ERR_OK) {
		ASSERT(normal.size != 0 && normal.size <= ADDRESS_MAX);
		for (size_t i = 0; i < normal.size; i++)
			ASSERT(normal.data[i] >= 0x20 && normal.data[i] != 0x7f);
		ASSERT(address_normalise(bytes_of_buf(&normal), &again) == ERR_OK);
		fuzz_assert_equal(bytes_of_buf(&again), bytes_of_buf(&normal));
	} else {
		ASSERT(normal.size == 0);
	}
	buf_finish(&normal);
	buf_finish(&again);
	return 0;
}
