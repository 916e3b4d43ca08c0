/* SPDX-License-Identifier: MPL-2.0 */
/* Addresses of listeners, as the configuration has them: what is accepted, says so again. */
#include <stdio.h>
#include <sys/un.h>

#include "fuzz/fuzz.h"
#include "net/socket_address.h"

static void check(const char *text, const struct socket_address *address)
{
	char host[SOCKET_ADDRESS_TEXT_SIZE], again[SOCKET_ADDRESS_TEXT_SIZE + 16];
	struct socket_address second = {0};
	unsigned port = socket_address_port(address);

	ASSERT(address->size <= sizeof(address->socket) && port <= 65535);
	socket_address_text(address, host);
	if (socket_address_is_unix(address)) {
		ASSERT(socket_address_is_local(address) && port == 0);
		ASSERT(strlen(text) - strlen("unix:") <
		       sizeof(((struct sockaddr_un *)0)->sun_path));
		return;
	}
	snprintf(again, sizeof(again), strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
	ASSERT(socket_address_parse(again, &second) == ERR_OK);
	/* An IPv4 address within an IPv6 one is that IPv4 address from then on. */
	ASSERT(socket_address_port(&second) == port);
	ASSERT(socket_address_is_local(&second) == socket_address_is_local(address));
	ASSERT(id128_equal(socket_address_peer_key(&second), socket_address_peer_key(address)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct socket_address address = {0};
	char text[256];

	if (size >= sizeof(text))
		return 0;
	if (size != 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (socket_address_parse(text, &address) == ERR_OK)
		check(text, &address);
	return 0;
}
