/* SPDX-License-Identifier: MPL-2.0 */
#include "net/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static enum err parse_unix(const char *path, struct socket_address *out)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	size_t size = strlen(path);

	if (size == 0 || size >= sizeof(local.sun_path))
		return ERR_INVALID;
	memcpy(local.sun_path, path, size + 1);
	memcpy(&out->socket, &local, sizeof(local));
	out->size = sizeof(local);
	return ERR_OK;
}

static enum err parse_port(const char *text, in_port_t *out)
{
	unsigned port = 0;

	if (*text == '\0')
		return ERR_INVALID;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return ERR_INVALID;
		port = port * 10 + (unsigned)(*text - '0');
		if (port > 65535)
			return ERR_INVALID;
	}
	*out = htons((in_port_t)port);
	return ERR_OK;
}

static enum err parse_network(struct bytes host, int family, const char *port,
			      struct socket_address *out)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char text[SOCKET_ADDRESS_TEXT_SIZE];
	bool is_v4 = family == AF_INET;

	if (host.size >= sizeof(text))
		return ERR_INVALID;
	memcpy(text, host.data, host.size);
	text[host.size] = '\0';
	if (inet_pton(family, text, is_v4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr) != 1)
		return ERR_INVALID;
	if (parse_port(port, is_v4 ? &v4.sin_port : &v6.sin6_port) != ERR_OK)
		return ERR_INVALID;
	if (is_v4)
		memcpy(&out->socket, &v4, sizeof(v4));
	else
		memcpy(&out->socket, &v6, sizeof(v6));
	out->size = is_v4 ? sizeof(v4) : sizeof(v6);
	return ERR_OK;
}

enum err socket_address_parse(const char *text, struct socket_address *out)
{
	static const char unix_prefix[] = "unix:";
	const char *end;

	*out = (struct socket_address){0};
	if (strncmp(text, unix_prefix, strlen(unix_prefix)) == 0)
		return parse_unix(text + strlen(unix_prefix), out);
	if (text[0] == '[') {
		end = strstr(text, "]:");
		return end == NULL ? ERR_INVALID
				   : parse_network(bytes_make(text + 1, (size_t)(end - text - 1)),
						   AF_INET6, end + 2, out);
	}
	end = strchr(text, ':');
	return end == NULL ? ERR_INVALID
			   : parse_network(bytes_make(text, (size_t)(end - text)), AF_INET, end + 1,
					   out);
}

bool socket_address_is_unix(const struct socket_address *address)
{
	return address->socket.ss_family == AF_UNIX;
}

/* The 16 octets of an IPv6 address; IPv4 as ::ffff:a.b.c.d, so that there is one form of each. */
static struct id128 octets_of(const struct socket_address *address)
{
	struct id128 octets = {{0}};

	if (address->socket.ss_family == AF_INET6) {
		struct sockaddr_in6 v6;

		memcpy(&v6, &address->socket, sizeof(v6));
		memcpy(octets.octets, &v6.sin6_addr, 16);
	} else if (address->socket.ss_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, &address->socket, sizeof(v4));
		octets.octets[10] = octets.octets[11] = 0xff;
		memcpy(octets.octets + 12, &v4.sin_addr, 4);
	}
	return octets;
}

static bool is_v4(struct id128 octets)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(octets.octets, mapped, sizeof(mapped)) == 0;
}

bool socket_address_is_local(const struct socket_address *address)
{
	static const struct id128 loopback = {{[15] = 1}};
	struct id128 octets = octets_of(address);

	if (socket_address_is_unix(address))
		return true;
	return is_v4(octets) ? octets.octets[12] == 127 : id128_equal(octets, loopback);
}

void socket_address_text(const struct socket_address *address, char text[SOCKET_ADDRESS_TEXT_SIZE])
{
	struct id128 octets = octets_of(address);
	const char *done;

	if (is_v4(octets))
		done = inet_ntop(AF_INET, octets.octets + 12, text, SOCKET_ADDRESS_TEXT_SIZE);
	else
		done = inet_ntop(AF_INET6, octets.octets, text, SOCKET_ADDRESS_TEXT_SIZE);
	if (socket_address_is_unix(address) || done == NULL)
		snprintf(text, SOCKET_ADDRESS_TEXT_SIZE, "unix");
}

unsigned socket_address_port(const struct socket_address *address)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	switch (address->socket.ss_family) {
	case AF_INET:
		memcpy(&v4, &address->socket, sizeof(v4));
		return ntohs(v4.sin_port);
	case AF_INET6:
		memcpy(&v6, &address->socket, sizeof(v6));
		return ntohs(v6.sin6_port);
	default:
		return 0;
	}
}

struct id128 socket_address_peer_key(const struct socket_address *address)
{
	struct id128 key = octets_of(address);

	if (!is_v4(key))
		memset(key.octets + 8, 0, 8);
	return key;
}
