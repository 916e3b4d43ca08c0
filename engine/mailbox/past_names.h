/* SPDX-License-Identifier: MPL-2.0 */
/*
 * past_names - the highest UIDVALIDITY that each name ever showed, and whose.
 *
 * A client knows a mailbox by its name. When another folder takes a name, its
 * UIDVALIDITY must be greater than any the name ever had (RFC 3501, 2.3.1.1), or
 * the client takes its messages for those it knew. A folder that comes back to a
 * name that was its own last keeps its UIDVALIDITY: its UIDs still hold.
 *
 * Names are kept as hashes, without end: they outlive folders. So there are at
 * most PAST_NAMES_MAX; of more those with the lowest UIDVALIDITYs are forgotten,
 * and `floor` says how high these were: any name may have had that much.
 *
 * A join: the same is there in whatever order, and how often, it was put in.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_PAST_NAMES_H
#define AEROSTORE_ENGINE_MAILBOX_PAST_NAMES_H

#include "engine/base/bytes.h"

/* Above the number of folders, so that names in use are seldom among the forgotten. */
#define PAST_NAMES_MAX 16384u

struct past_name {
	struct id128 name;   /* the first half of BLAKE2b-256 of the name */
	struct id128 folder; /* zero: several showed it with this UIDVALIDITY */
	uint32_t uidvalidity;
};

struct past_names {
	struct past_name *items; /* by name */
	size_t count, capacity;
	uint32_t floor;
};

void past_names_finish(struct past_names *names);
/* The folder has this name with this UIDVALIDITY. ERR_NOMEM. */
MUST_USE enum err past_names_put(struct past_names *names, struct bytes name, struct id128 folder,
				 uint32_t uidvalidity);
MUST_USE enum err past_names_join(struct past_names *names, const struct past_name *item);
/* What is as low is not known any more, or never was. */
void past_names_raise_floor(struct past_names *names, uint32_t floor);
/* Whether the folder may take the name with this UIDVALIDITY. */
bool past_names_allow(const struct past_names *names, struct bytes name, struct id128 folder,
		      uint32_t uidvalidity);

#endif
