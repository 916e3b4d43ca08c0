/* SPDX-License-Identifier: MPL-2.0 */
/*
 * pattern - the wildcards of LIST and LSUB (RFC 3501, 6.3.8): "*" is anything,
 * "%" anything but the separator '/'.
 *
 * A pattern is followed in all its places at once, so the time for one name is
 * at most about twice the square of the name's length, whatever the pattern.
 * "INBOX", alone or as the first level of a name, matches in any case of letters.
 */
#ifndef AEROSTORE_IMAP_PATTERN_H
#define AEROSTORE_IMAP_PATTERN_H

#include "engine/base/arena.h"

struct pattern {
	struct bytes text;    /* runs of wildcards joined to one */
	size_t literal_count; /* octets that a name has to have at least */
	uint8_t *reached;     /* by place in the text; scratch */
};

/* Into the arena. ERR_NOMEM. */
MUST_USE enum err pattern_init(struct pattern *pattern, struct bytes text, struct arena *arena);
bool pattern_matches(const struct pattern *pattern, struct bytes name);
/* Whether "%" is in it, which hides what lies below. */
bool pattern_has_percent(const struct pattern *pattern);

#endif
