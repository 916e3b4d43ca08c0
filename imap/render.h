/* SPDX-License-Identifier: MPL-2.0 */
/*
 * render - the data of IMAP responses (RFC 3501, section 9) as text, without a
 * session: numbers, strings, ENVELOPE, BODYSTRUCTURE.
 *
 * Everything is appended to a buf, whose error is sticky. A string is quoted
 * when it can be, else a literal: 8-bit text always is one. NUL, which IMAP
 * cannot carry, is shown as 0x80.
 */
#ifndef AEROSTORE_IMAP_RENDER_H
#define AEROSTORE_IMAP_RENDER_H

#include "mail/summary.h"

/* Decimal; the hot path of FETCH, so without printf. */
void render_number(struct buf *out, uint64_t number);
void render_string(struct buf *out, struct bytes string);
/* NIL when data is NULL. */
void render_nstring(struct buf *out, struct bytes string);
/* As an atom when it is one, else as a string: field names in a section. */
void render_astring(struct buf *out, struct bytes string);
/* Shows each NUL of the last `size` octets as 0x80. */
void render_mask_nul(struct buf *out, size_t size);
/* "dd-Mon-yyyy hh:mm:ss +zzzz" in quotes. */
void render_date_time(struct buf *out, uint64_t ms, int16_t zone_minutes);

/* Sender and reply-to that are absent or empty are shown as from. */
void render_envelope(struct buf *out, const struct summary_envelope *envelope);
/*
 * BODYSTRUCTURE, or BODY when not `extended`. message/global is shown as a basic part: to a client
 * of RFC 3501 only message/rfc822 has an envelope.
 */
void render_structure(struct buf *out, const struct part *part, bool extended);

#endif
