/* SPDX-License-Identifier: MPL-2.0 */
/*
 * directory - what is known of a set: a record that merges with any other copy
 * of itself, in any order, any number of times, in any grouping, to one state.
 *
 *   birth        written once: uuid, shape, writer. Two births that differ are an
 *                alarm (conflict); the lower in octets is shown by all.
 *   seals        grow-only set of seal ids; more than one is an alarm
 *   placements   OR-set by tag: (tag, column, volume, seal id); a seal id goes
 *                from zero to the seal's, never back
 *   removed      tags of placements that are gone for good
 *   successors   grow-only set of sets, any of which may hold what this one held
 *
 * Encoded: u8 version 1, u64 set, u8 flags (bit 0 born, bit 1 conflict), when
 * born: uuid 16, node 16, incarnation 16, created u64, capacity u64, k, m; then
 * four lists, each a varint count and its items in ascending octet order:
 * seals of 16; placements of 49 (tag 16, column 1, volume 16, seal 16); removed
 * tags of 16; successors of 8. A hash is low half first, as everywhere.
 *
 * Pure: no I/O. A journal entry of TABLE_DIRECTORY carries one such record,
 * which may be partial.
 */
#ifndef AEROSTORE_ENGINE_DIRECTORY_DIRECTORY_H
#define AEROSTORE_ENGINE_DIRECTORY_DIRECTORY_H

#include "engine/format/column.h"

#define DIRECTORY_LIST_MAX 4096u

/* Fixed-size items in ascending order of their first key_size octets, which are unique. */
struct directory_list {
	uint8_t *items;
	uint32_t count;
};

struct directory_birth {
	struct id128 uuid, node, incarnation;
	uint64_t created_ms, capacity;
	struct profile profile;
};

struct directory_record {
	uint64_t set;
	bool born, conflict;
	struct directory_birth birth;
	struct directory_list seals, placements, removed, successors;
};

struct directory_placement {
	struct id128 tag, volume;
	uint8_t column;
	struct hash128 seal; /* zeros: unsealed */
};

/* A record starts as {.set = n}. */
void directory_record_finish(struct directory_record *record);
/* ERR_NOMEM leaves `into` a valid record between the two states: merge again. */
MUST_USE enum err directory_record_merge(struct directory_record *into,
					 const struct directory_record *from);
void directory_record_encode(const struct directory_record *record, struct buf *out);
MUST_USE enum err directory_record_decode(struct bytes in, struct directory_record *out);
/* What a column file's header and, when sealed, its seal say. Merges into `record`. */
MUST_USE enum err directory_record_learn(struct directory_record *record,
					 const struct column_header *header, struct hash128 seal);

void directory_set_birth(struct directory_record *record, const struct directory_birth *birth);
MUST_USE enum err directory_add_seal(struct directory_record *record, struct hash128 seal);
/* One with a tag that is removed stays out. */
MUST_USE enum err directory_add_placement(struct directory_record *record,
					  const struct directory_placement *placement);
MUST_USE enum err directory_remove_tag(struct directory_record *record, struct id128 tag);
MUST_USE enum err directory_add_successor(struct directory_record *record, uint64_t set);

void directory_get_placement(const struct directory_record *record, uint32_t index,
			     struct directory_placement *out);
uint64_t directory_get_successor(const struct directory_record *record, uint32_t index);
bool directory_is_removed(const struct directory_record *record, struct id128 tag);
/* More than one seal, or two births: evacuate, and say so. */
bool directory_is_alarming(const struct directory_record *record);

#endif
