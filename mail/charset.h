/* SPDX-License-Identifier: MPL-2.0 */
/*
 * charset - text in any charset as valid UTF-8.
 *
 * UTF-8, US-ASCII, ISO-8859-1 and windows-1252 are converted here, all others by
 * iconv(3). Input never fails: what is not of the charset becomes U+FFFD. The
 * result does not depend on how the input was cut into chunks.
 * In US-ASCII and UTF-8, and where no charset is declared, valid UTF-8 is kept.
 */
#ifndef AEROSTORE_MAIL_CHARSET_H
#define AEROSTORE_MAIL_CHARSET_H

#include "engine/base/bytes.h"

struct charset_decoder;

/* Whether text in this charset can be decoded; for SEARCH CHARSET. */
bool charset_known(struct bytes name);
/* An empty name is US-ASCII. ERR_NOTFOUND: unknown charset. ERR_NOMEM. */
MUST_USE enum err charset_decoder_create(struct bytes name, struct charset_decoder **out);
/* Appends; at most 4 bytes for each of the input, and 8. Failures stick to `out`. */
void charset_decoder_feed(struct charset_decoder *decoder, struct bytes chunk, struct buf *out);
/* The end of the input: an unfinished character becomes U+FFFD. The decoder can start anew. */
void charset_decoder_end(struct charset_decoder *decoder, struct buf *out);
/* NULL is allowed; sets it to NULL. */
void charset_decoder_destroy(struct charset_decoder **decoder);

/* All of it at once. ERR_NOTFOUND: unknown charset, nothing appended. ERR_NOMEM. */
MUST_USE enum err charset_to_utf8(struct bytes name, struct bytes text, struct buf *out);

/* Well-formed UTF-8 without surrogates. */
bool charset_utf8_valid(struct bytes text);
/* The size of the longest prefix with at most `character_count` characters; for valid UTF-8. */
size_t charset_utf8_prefix(struct bytes text, size_t character_count);

#endif
