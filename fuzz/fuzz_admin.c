/* SPDX-License-Identifier: MPL-2.0 */
/* A line on the admin socket, as both ends read it; hexadecimal. */
#include "fuzz/fuzz.h"
#include "tools/common/admin_protocol.h"
#include "tools/common/hex.h"
#include "tools/common/json.h"

/* Octets have one text in lower case, and come back from it. */
static void check_hex(struct bytes text)
{
	struct buf octets = {0}, again = {0}, back = {0};

	if (hex_parse(text, &octets) == ERR_OK) {
		ASSERT(octets.size * 2 == text.size);
		hex_put(&again, bytes_of_buf(&octets));
		ASSERT(bytes_equal_nocase(bytes_of_buf(&again), text));
		ASSERT(hex_parse(bytes_of_buf(&again), &back) == ERR_OK);
		fuzz_assert_equal(bytes_of_buf(&back), bytes_of_buf(&octets));
	}
	buf_finish(&octets);
	buf_finish(&again);
	buf_finish(&back);
}

static void check_values(const json_t *request)
{
	static const char *const names[] = {"address", "after", "current", "next", "command"};
	const char *kind = json_text(request, "kind"), *status = json_text(request, "status");
	enum slot_kind slot_kind;
	enum account_status account_status;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = json_text(request, names[i]);

		if (text != NULL)
			check_hex(bytes_string(text));
	}
	ASSERT(json_number(request, "slot") <= INT64_MAX);
	if (admin_slot_kind_parse(kind, &slot_kind) == ERR_OK)
		ASSERT(strcmp(admin_slot_kind_name(slot_kind), kind) == 0);
	if (admin_status_parse(status, &account_status) == ERR_OK)
		ASSERT(strcmp(admin_status_name(account_status), status) == 0);
	(void)admin_err_parse(json_text(request, "error"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct buf line = {0};
	json_t *request, *again;

	if (!ready)
		json_setup();
	ready = true;
	check_hex(bytes_make(data, size));
	request = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (request == NULL)
		return 0;
	check_values(request);
	ASSERT(json_line(request, &line) == ERR_OK);
	ASSERT(line.data[line.size - 1] == '\n' && memchr(line.data, '\n', line.size - 1) == NULL);
	again = json_loadb((const char *)line.data, line.size, 0, NULL);
	ASSERT(json_equal(request, again));
	json_decref(again);
	json_decref(request);
	buf_finish(&line);
	return 0;
}
