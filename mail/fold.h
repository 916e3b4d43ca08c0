/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fold - comparing Unicode text without regard to case: SEARCH, SORT, THREAD.
 *
 * The folded form of UTF-8 text is its full case folding in normalisation form
 * KD, which is what i;unicode-casemap (RFC 5051) compares, up to characters
 * whose titlecase and case folding differ. Substrings are compared byte by byte
 * in that form, so "e" is found in "é", but "é" not in "e".
 *
 * A matcher looks for one needle in a stream, in memory that depends only on
 * the needle. Chunks may end anywhere, also within a character.
 */
#ifndef AEROSTORE_MAIL_FOLD_H
#define AEROSTORE_MAIL_FOLD_H

#include "engine/base/bytes.h"

struct fold_matcher;

/* Longer needles are refused. */
#define FOLD_NEEDLE_MAX 4096

/* Appends the folded form of valid UTF-8. ERR_NOMEM; ERR_INVALID when it is not UTF-8. */
MUST_USE enum err fold_text(struct bytes utf8, struct buf *out);

/* The empty needle is found in any text. ERR_LIMIT, ERR_INVALID (not UTF-8), ERR_NOMEM. */
MUST_USE enum err fold_matcher_create(struct bytes needle, struct fold_matcher **out);
void fold_matcher_destroy(struct fold_matcher **matcher);
/* Looks at more text; what is not UTF-8 in it matches nothing. ERR_NOMEM. */
MUST_USE enum err fold_matcher_feed(struct fold_matcher *matcher, struct bytes utf8);
/* The end of one text: a match never spans two texts. ERR_NOMEM. */
MUST_USE enum err fold_matcher_end(struct fold_matcher *matcher);
/* Whether the needle was found since the start or the last reset. */
bool fold_matcher_found(const struct fold_matcher *matcher);
/* Forgets everything but the needle. */
void fold_matcher_reset(struct fold_matcher *matcher);

#endif
