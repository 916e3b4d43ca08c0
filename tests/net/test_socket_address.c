/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/socket_address.h"

static struct socket_address parse(const char *text)
{
	struct socket_address address;

	assert_int_equal(socket_address_parse(text, &address), ERR_OK);
	return address;
}

static void test_forms(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
		bool local;
	} rows[] = {
		{"127.0.0.1:1143", "127.0.0.1", 1143, true},
		{"127.9.9.9:0", "127.9.9.9", 0, true},
		{"192.0.2.1:65535", "192.0.2.1", 65535, false},
		{"[::1]:1993", "::1", 1993, true},
		{"[2001:db8::7]:993", "2001:db8::7", 993, false},
		{"[::ffff:127.0.0.1]:993", "127.0.0.1", 993, true},
		{"[::ffff:192.0.2.1]:993", "192.0.2.1", 993, false},
		{"unix:/run/x", "unix", 0, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct socket_address address = parse(rows[i].text);
		char text[SOCKET_ADDRESS_TEXT_SIZE];

		socket_address_text(&address, text);
		assert_string_equal(text, rows[i].host);
		assert_int_equal(socket_address_port(&address), rows[i].port);
		assert_int_equal(socket_address_is_local(&address), rows[i].local);
		assert_int_equal(socket_address_is_unix(&address), strcmp(text, "unix") == 0);
	}
}

static void test_what_is_no_address(void **state)
{
	static const char *const texts[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1: 1",
		"localhost:1",
		"::1:993",
		"[::1]993",
		"[::1:993",
		"[127.0.0.1]:1",
		"unix:",
		"127.0.0.1:1x",
		"256.0.0.1:1",
	};
	char long_path[300] = "unix:/", long_host[300];
	struct socket_address address;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(socket_address_parse(texts[i], &address), ERR_INVALID);
	memset(long_path + 6, 'x', sizeof(long_path) - 7);
	assert_int_equal(socket_address_parse(long_path, &address), ERR_INVALID);
	memset(long_host, '1', sizeof(long_host));
	memcpy(long_host + sizeof(long_host) - 3, ":1", 3);
	assert_int_equal(socket_address_parse(long_host, &address), ERR_INVALID);
}

static bool same_peer(const char *a, const char *b)
{
	struct socket_address first = parse(a), second = parse(b);

	return id128_equal(socket_address_peer_key(&first), socket_address_peer_key(&second));
}

static void test_peers(void **state)
{
	(void)state;
	assert_true(same_peer("192.0.2.1:1", "192.0.2.1:2"));
	assert_true(same_peer("192.0.2.1:1", "[::ffff:192.0.2.1]:2"));
	assert_false(same_peer("192.0.2.1:1", "192.0.2.2:1"));
	assert_true(same_peer("[2001:db8::1]:1", "[2001:db8::ffff]:1"));
	assert_false(same_peer("[2001:db8:0:1::1]:1", "[2001:db8::1]:1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_what_is_no_address),
		cmocka_unit_test(test_peers),
	};

	return cmocka_run_group_tests_name("net/socket_address", tests, NULL, NULL);
}
