/* SPDX-License-Identifier: MPL-2.0 */
/*
 * segment - the header of a journal segment, journal/<number, 16 hex>.seg.
 *
 * LOG_HEADER_SIZE bytes: two equal copies of 4096 bytes, little-endian.
 *
 *   offset size field
 *        0    8 magic "AEROSEGM"
 *        8    4 version, 1
 *       12    4 features compat: unknown bits are ignored
 *       16    4 features ro-compat: unknown bits forbid writing
 *       20    4 features incompat: unknown bits forbid opening
 *       24    8 segment number, from 1, never used again on this volume
 *       32   16 cluster
 *       48   16 volume
 *       64    8 created, milliseconds since 1970 UTC
 *       72 4016 zero
 *     4088    8 XXH3-64 of bytes 0..4087
 *
 * Records follow (engine/format/record.h) with the segment number as their set
 * and RECORD_NO_COLUMN. Pure: no I/O.
 */
#ifndef AEROSTORE_ENGINE_FORMAT_SEGMENT_H
#define AEROSTORE_ENGINE_FORMAT_SEGMENT_H

#include "engine/base/bytes.h"

#define SEGMENT_COPY_SIZE 4096u
#define SEGMENT_HEADER_SIZE (2 * SEGMENT_COPY_SIZE)

struct segment_header {
	uint64_t number;
	struct id128 cluster, volume;
	uint64_t created_ms;
	bool read_only; /* decoded: has ro-compat features that this program lacks */
};

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_SIZE]);
/* Either copy. ERR_CORRUPT: neither is intact; ERR_NEWER: intact, but not for this program. */
MUST_USE enum err segment_header_decode(const uint8_t both[SEGMENT_HEADER_SIZE],
					struct segment_header *out);

#endif
