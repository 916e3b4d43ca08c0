/* SPDX-License-Identifier: MPL-2.0 */
/*
 * record - the one framing of everything appended to a volume: pieces of blobs
 * in columns, mirrored records, journal entries, fences and votes.
 *
 * 160 bytes of header, the payload, zeros up to a multiple of 64. Little-endian.
 *
 *   offset size field
 *        0    4 magic 0x4f524541 ("AERO")
 *        4    1 version, 1
 *        5    1 type, enum record_type
 *        6    1 flags: bit 0 last piece of its blob; the others zero
 *        7    1 suite of the payload, 0 when it is clear
 *        8    4 payload size
 *       12    4 piece index within the blob, from 0
 *       16   16 id: blob; stream of a journal entry
 *       32   16 tag: the account's pseudonym
 *       48    8 birth set: where the blob was first written; never changes
 *       56   16 incarnation of the writer that made it (of its first writing)
 *       72    8 number: upload number of a blob; seq of a journal entry
 *       80   16 payload hash, XXH3-128
 *       96    8 set that this copy lies in; number of a journal segment
 *      104    8 offset of this record in its file, counted from the end of the file's header
 *      112    8 durable: up to there the file was known to be synced when this was written
 *      120    1 column index, RECORD_NO_COLUMN in mirrors and journals
 *      121    7 zero
 *      128   16 running hash of the file up to and with this record
 *      144    8 zero
 *      152    8 header hash, XXH3-64 of bytes 0..151
 *
 * Bytes 0..95 are the immutable part; it and the payload make two copies equal.
 * Bytes 96..151 are the place part, which says where this copy belongs: own
 * offset and set identify a misdirected write.
 *
 * Running hash: XXH3-128 over the previous record's running hash (16 bytes as
 * stored; zeros before the first) and bytes 0..127 of this header. The payload
 * is in it through its hash. The record after a RECORD_LOST need not continue
 * its running hash: what was lost cannot be hashed, and the chain starts anew.
 *
 * Pure: no I/O. What a bad record means (torn or corrupt) is engine/volume/log.h's.
 */
#ifndef AEROSTORE_ENGINE_FORMAT_RECORD_H
#define AEROSTORE_ENGINE_FORMAT_RECORD_H

#include "engine/base/hash.h"

#define RECORD_MAGIC 0x4f524541u
#define RECORD_VERSION 1u
#define RECORD_HEADER_SIZE 160u
#define RECORD_ALIGN 64u
#define RECORD_PAYLOAD_MAX (4u * 1024 * 1024)
#define RECORD_NO_COLUMN 0xffu

enum record_type {
	RECORD_BLOB = 1,   /* a piece of a blob */
	RECORD_MIRROR = 2, /* payload: a record of a data column, verbatim */
	RECORD_LOST = 3,  /* stands where records were lost for good; payload: zeros that fill it */
	RECORD_FENCE = 4, /* the member accepts no more appends */
	RECORD_VOTE = 5,  /* the member's vote for a seal */
	RECORD_ENTRY = 6, /* a journal entry */
	RECORD_MANIFEST = 7,
	RECORD_PAGE = 8,
	RECORD_PROMISE = 9, /* a replica's promise to an epoch */
	RECORD_MARK = 10    /* a batch's note of the other volumes' synced positions */
};

enum record_flags { RECORD_LAST_PIECE = 1 };

struct record {
	uint8_t type, flags, suite;
	uint32_t payload_size;
	uint32_t piece;
	struct id128 id, tag;
	uint64_t birth_set;
	struct id128 incarnation;
	uint64_t number;
	struct hash128 payload_hash;
	uint64_t set;
	uint64_t offset;
	uint64_t durable;
	uint8_t column;
	struct hash128 running;
};

/* Bytes on disk of a record with this payload, padding and header with it. */
uint64_t record_size(uint32_t payload_size);
/*
 * Fills in record->running from `previous` and writes the header. payload_size and payload_hash
 * must be set (record_hash_payload).
 */
void record_encode(struct record *record, struct hash128 previous,
		   uint8_t header[RECORD_HEADER_SIZE]);
void record_hash_payload(struct record *record, struct bytes payload);
/*
 * ERR_CORRUPT: magic, hash, reserved bytes or limits wrong; ERR_NEWER: intact, but a later version
 * or unknown type. Does not look at the payload nor at the running hash.
 */
MUST_USE enum err record_decode(const uint8_t header[RECORD_HEADER_SIZE], struct record *out);
/* The payload against its hash, ERR_CORRUPT. */
MUST_USE enum err record_check_payload(const struct record *record, struct bytes payload);
/* What record->running must be after `previous`. */
struct hash128 record_running(const uint8_t header[RECORD_HEADER_SIZE], struct hash128 previous);
/* Same immutable part (which contains the payload's hash). */
bool record_same(const struct record *a, const struct record *b);

#endif
