/* SPDX-License-Identifier: MPL-2.0 */
/*
 * utf7 - modified UTF-7 of IMAP4rev1 mailbox names (RFC 3501 section 5.1.3).
 *
 * One UTF-8 name has one encoding, and only that one is accepted, so that two
 * names on the wire never mean one mailbox.
 */
#ifndef AEROSTORE_MAIL_UTF7_H
#define AEROSTORE_MAIL_UTF7_H

#include "engine/base/bytes.h"

/* Appends. ERR_INVALID: not valid UTF-8; nothing is appended. ERR_NOMEM. */
MUST_USE enum err utf7_encode(struct bytes utf8, struct buf *out);
/* Appends. ERR_INVALID: not the encoding of any name; nothing is appended. ERR_NOMEM. */
MUST_USE enum err utf7_decode(struct bytes utf7, struct buf *out);

#endif
