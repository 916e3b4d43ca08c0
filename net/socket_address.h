/* SPDX-License-Identifier: MPL-2.0 */
/*
 * socket_address - socket addresses as written in the configuration: "127.0.0.1:1143",
 * "[::1]:1993", "unix:/path". Numbers only; no name is ever looked up.
 */
#ifndef AEROSTORE_NET_SOCKET_ADDRESS_H
#define AEROSTORE_NET_SOCKET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "engine/base/bytes.h"

/* "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" and its NUL. */
enum { SOCKET_ADDRESS_TEXT_SIZE = 46 };

struct socket_address {
	struct sockaddr_storage socket;
	socklen_t size;
};

/* ERR_INVALID: none of the three forms. */
MUST_USE enum err socket_address_parse(const char *text, struct socket_address *out);
bool socket_address_is_unix(const struct socket_address *address);
/* A loopback address or a unix socket. */
bool socket_address_is_local(const struct socket_address *address);
/* The host alone, or "unix". */
void socket_address_text(const struct socket_address *address, char text[SOCKET_ADDRESS_TEXT_SIZE]);
/* 0 for a unix socket. */
unsigned socket_address_port(const struct socket_address *address);
/* What limits per peer count by: an IPv4 address, the /64 of an IPv6 one, zero for unix. */
struct id128 socket_address_peer_key(const struct socket_address *address);

#endif
