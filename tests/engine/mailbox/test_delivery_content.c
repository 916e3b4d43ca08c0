/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/mailbox/delivery.h"

static const struct delivery_content content = {
	.blob = {.id = {{7}}, .size = 5000, .extents = {{9, 1, 1}}, .extent_count = 1},
	.arrival_ms = 1700000000000u,
	.plain_size = 1234,
	.folder = {(const uint8_t *)"Lists", 5},
	.summary = {(const uint8_t *)"summary", 7},
};

static void test_round_trip(void **state)
{
	struct buf encoded = {0}, again = {0};
	struct delivery_content decoded;

	(void)state;
	delivery_content_encode(&content, &encoded);
	assert_ok(delivery_content_decode(bytes_of_buf(&encoded), &decoded));
	assert_true(decoded.blob.size == 5000 && decoded.plain_size == 1234);
	assert_true(bytes_equal(decoded.folder, content.folder));
	delivery_content_encode(&decoded, &again);
	assert_true(bytes_equal(bytes_of_buf(&encoded), bytes_of_buf(&again)));
	buf_finish(&encoded);
	buf_finish(&again);
}

static void test_versions_and_damage(void **state)
{
	struct buf encoded = {0};
	struct delivery_content decoded;

	(void)state;
	delivery_content_encode(&content, &encoded);
	encoded.data[0] = 2;
	assert_int_equal(delivery_content_decode(bytes_of_buf(&encoded), &decoded), ERR_NEWER);
	encoded.data[0] = 0;
	assert_int_equal(delivery_content_decode(bytes_of_buf(&encoded), &decoded), ERR_CORRUPT);
	encoded.data[0] = 1;
	for (size_t size = 0; size < encoded.size; size++)
		assert_int_equal(delivery_content_decode(bytes_make(encoded.data, size), &decoded),
				 ERR_CORRUPT);
	buf_put_u8(&encoded, 0);
	assert_int_equal(delivery_content_decode(bytes_of_buf(&encoded), &decoded), ERR_CORRUPT);
	buf_finish(&encoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_versions_and_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
