/* SPDX-License-Identifier: MPL-2.0 */
/*
 * pattern - the wildcards of LIST and LSUB (RFC 3501, 6.3.8): "*" is anything,
 * "%" anything but the separator '/'.
 *
 * A pattern is followed in all its places at once, 64 of them a step, and left
 * as soon as none is reached: a name takes at most its length times a 64th of
 * the pattern's, whatever both are. A pattern with more letters than any name
 * has matches nothing. "INBOX", alone or as the first level of a name, matches
 * in any case of letters.
 */
#ifndef AEROSTORE_IMAP_PATTERN_H
#define AEROSTORE_IMAP_PATTERN_H

#include "engine/base/arena.h"

/* Octets that a name has at most, with what tells twins apart (engine/mailbox/operation.h). */
#define PATTERN_NAME_MAX 1040u

/* Place p is before sign p of the text, runs of wildcards being joined to one; sets of places are bits. */
struct pattern {
	size_t size;	      /* signs: the place where a match ends */
	size_t literal_count; /* octets that a name has to have at least */
	size_t word_count;    /* of a set */
	bool has_percent;
	uint64_t *stars, *percents;
	uint64_t *literals; /* a set for each octet */
	uint64_t *reached;  /* scratch */
};

/* Into the arena. ERR_NOMEM. */
MUST_USE enum err pattern_init(struct pattern *pattern, struct bytes text, struct arena *arena);
bool pattern_matches(const struct pattern *pattern, struct bytes name);
/* The size of the longest parent of the name that matches; 0: none does. */
size_t pattern_parent(const struct pattern *pattern, struct bytes name);

#endif
