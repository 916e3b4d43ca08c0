/* SPDX-License-Identifier: MPL-2.0 */
/*
 * address - address lists (RFC 5322 section 3.4, obsolete syntax 4.4) as the
 * structures of an IMAP ENVELOPE (RFC 9051 section 7.5.2).
 *
 * No input is an error: what cannot be an address becomes one whose mailbox
 * holds the text. Encoded words stay encoded (ENVELOPE sends them so); quotes
 * and backslashes are taken off, comments dropped, except that a comment names
 * an address that has no other name: `joe@example.org (Joe)`.
 * A field that is absent (NIL) has data NULL; an empty one has not.
 *
 *   address       mailbox and host both present. An address without "@" has an
 *                 empty host: NIL there would make it a group.
 *   group start   mailbox is the group's name, host is absent
 *   group end     both absent
 */
#ifndef AEROSTORE_MAIL_ADDRESS_H
#define AEROSTORE_MAIL_ADDRESS_H

#include "engine/base/bytes.h"

/* Entries (group marks included) beyond this number are dropped, except ends of groups. */
#define ADDRESS_COUNT_MAX 4096

struct address {
	/* route: "@a,@b" of an obsolete route address (IMAP calls it adl). */
	struct bytes name, route, mailbox, host;
};

struct address_list {
	struct address *items;
	size_t count;
	/* What the items point into. */
	struct buf text;
};

/* `value` is a field's raw value, folded or not. ERR_NOMEM. *out is initialised. */
MUST_USE enum err address_parse(struct bytes value, struct address_list *out);
/* Frees and empties. */
void address_list_finish(struct address_list *list);

#endif
