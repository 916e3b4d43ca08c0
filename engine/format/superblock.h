/* SPDX-License-Identifier: MPL-2.0 */
/*
 * superblock - who a volume is: DIR/superblock, written once when the volume
 * is made, in two copies of 4096 bytes, at 0 and at 4096. Little-endian.
 *
 *   offset size field
 *        0    8 magic "AEROVOL\0"
 *        8    4 version, 1
 *       12    4 copy: 0 or 1, which of the two this is
 *       16    8 generation, from 1; the higher of two intact copies counts
 *       24    8 features compat: unknown bits are ignored
 *       32    8 features ro-compat: unknown bits allow reading only
 *       40    8 features incompat: unknown bits forbid everything
 *       48   16 cluster
 *       64   16 node
 *       80   16 volume
 *       96    8 created, milliseconds since 1970 UTC
 *      104   32 zone label, at most 31 bytes, zeros behind it
 *      136 3944 zero
 *     4080   16 XXH3-128 of bytes 0..4079
 *
 * A writer of a new generation writes and syncs copy 0, then copy 1, so that
 * one of them is intact at every instant. Bits of features: none yet.
 *
 * Pure: no I/O.
 */
#ifndef AEROSTORE_ENGINE_FORMAT_SUPERBLOCK_H
#define AEROSTORE_ENGINE_FORMAT_SUPERBLOCK_H

#include "engine/base/bytes.h"

#define SUPERBLOCK_COPY_SIZE 4096u
#define SUPERBLOCK_COPY_COUNT 2u
#define SUPERBLOCK_SIZE (SUPERBLOCK_COPY_COUNT * SUPERBLOCK_COPY_SIZE)
#define SUPERBLOCK_VERSION 1u

/* What a superblock says of its volume. */
struct volume_identity {
	struct id128 cluster, node, volume;
	uint64_t created_ms;
	char zone[32]; /* label, may be empty */
};

struct superblock {
	struct volume_identity identity;
	uint64_t generation;
	bool read_only; /* decoded: has ro-compat features that this program lacks */
};

/* Writes both copies. The zone label is NUL-terminated. */
void superblock_encode(const struct superblock *superblock, uint8_t out[SUPERBLOCK_SIZE]);
/* One copy. ERR_CORRUPT; ERR_NEWER: intact, but a later version or unknown incompat features. */
MUST_USE enum err superblock_decode(const uint8_t copy[SUPERBLOCK_COPY_SIZE], unsigned copy_index,
				    struct superblock *out);
/*
 * Both copies. The intact one of the highest generation; *stale (may be NULL) gets a bit for each
 * copy that is damaged or older. ERR_NEWER when either copy is newer: an upgrade was under way.
 */
MUST_USE enum err superblock_choose(const uint8_t both[SUPERBLOCK_SIZE], struct superblock *out,
				    unsigned *stale);

#endif
