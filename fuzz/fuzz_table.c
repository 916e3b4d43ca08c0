/* SPDX-License-Identifier: MPL-2.0 */
/* Snapshots of tables. The first byte chooses: 0, 1: a page; else a root of so many pages less two.
 */
#include "engine/journal/table_page.h"
#include "fuzz/fuzz.h"

static enum err add_again(void *context, struct bytes record)
{
	ASSERT(record.size != 0);
	table_page_add(context, record);
	return ERR_OK;
}

static void check_page(struct bytes encoded)
{
	struct buf again = {0};

	table_page_begin(&again);
	if (table_page_decode(encoded, add_again, &again) == ERR_OK)
		fuzz_assert_equal(bytes_of_buf(&again), encoded);
	else
		/* Nothing was visited. */
		ASSERT(again.size == 8);
	buf_finish(&again);
}

static void check_root(struct bytes encoded, size_t page_count)
{
	static const uint8_t public_key[PUBLIC_SIZE] = {1};
	const struct table_root_place place = {bytes_string("authority"), {{2}}, {{3}}};
	struct table_root root;
	size_t size;

	if (table_root_decode(encoded, page_count, &root) != ERR_OK)
		return;
	size = root.signed_part.size + (root.signature != NULL ? SIGNATURE_SIZE : 0);
	ASSERT(size == encoded.size);
	ASSERT(root.signed_part.size == 24 + page_count * DIGEST_SIZE);
	ASSERT((root.signature == NULL) == id128_is_zero(root.voucher));
	ASSERT(table_root_verify(&root, &place, public_key) == ERR_AUTH);
	for (size_t i = 0; i < page_count; i++)
		ASSERT(!table_root_names(&root, i, encoded));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] < 2)
		check_page(bytes_make(data + 1, size - 1));
	else
		check_root(bytes_make(data + 1, size - 1), data[0] - 2u);
	return 0;
}
