/* SPDX-License-Identifier: MPL-2.0 */
/*
 * column - what stands around the records of a column file: the header in
 * front, the index and the trailer behind them.
 *
 *   columns/SSSSSSSSSSSSSSSS-CC.col  data column: header, records, [vote], [index, trailer]
 *   columns/SSSSSSSSSSSSSSSS-CC.mir  a parity member's mirror of all data columns, until sealed
 *   columns/SSSSSSSSSSSSSSSS-CC.par  parity: header, parity bytes, index, trailer
 *
 * (S: set in hex; C: column, 00 to k-1 data, k to k+m-1 parity.) All integers
 * little-endian; reserved bytes are zero and rejected otherwise. The header
 * occupies LOG_HEADER_SIZE bytes: two copies, at 0 and at 4096. Everything that
 * the set directory knows can be rebuilt from headers and trailers.
 *
 * Header, 1024 bytes, then zeros up to 4096:
 *
 *   offset size field
 *        0    8 magic "AEROCOLU"
 *        8    2 version, 1
 *       10    1 kind, enum column_kind
 *       11    1 flags: bit 0 born sealed (written by evacuation or compaction, complete or void)
 *       12    4 features, compatible: ignored when unknown
 *       16    4 features, read-only compatible: unknown ones forbid writing
 *       20    4 features, incompatible: unknown ones forbid opening
 *       24    8 set
 *       32   16 uuid of the set's creation
 *       48   16 cluster
 *       64   16 node of the writer
 *       80   16 incarnation of the writer
 *       96   16 tag of this placement
 *      112    8 created, ms since 1970 UTC
 *      120    8 capacity of a data column in bytes
 *      128    1 column
 *      129    1 k
 *      130    1 m
 *      131    1 generator matrix, enum column_matrix
 *      132    4 number of predecessors
 *      136   64 predecessors: sets whose records this one took over whole
 *      200  256 volumes of the k+m members, in column order, then zeros
 *      456  560 zero
 *     1016    8 XXH3-64 of bytes 0..1015
 *
 * Index: entries sorted by (blob id, piece), of the records of all k columns,
 * so that every member can say where a blob lies. Pages of 4096 bytes: up to
 * 102 entries of 40 bytes, zeros up to 4080, u16 entry count, 6 zeros, XXH3-64
 * of bytes 0..4087. Entry:
 *
 *        0   16 blob id
 *       16    4 piece
 *       20    1 column
 *       21    1 record type
 *       22    2 zero
 *       24    8 offset in the column, as in the record
 *       32    4 payload size
 *       36    4 zero
 *
 * Trailer, the last 1024 bytes of the file; it is written after everything in
 * front of it has been synced, so one that is intact vouches for the index:
 *
 *        0    8 magic "AEROSEAL"
 *        8    2 version, 1
 *       10    1 kind
 *       11    1 column
 *       12    1 k
 *       13    1 m
 *       14    1 matrix
 *       15    1 zero
 *       16    8 set
 *       24   16 uuid
 *       40   16 seal id
 *       56    8 size of what parity covers: bytes of this file from the end of the header
 *       64    8 offset of the index in the file
 *       72    4 index pages
 *       76    4 index entries
 *       80   16 XXH3-128 of the index
 *       96  384 descriptor: for each data column u64 length, 16 bytes running hash; then zeros
 *      480  256 votes: 16 bytes file hash of each of the k+m members; then zeros
 *      736  280 zero
 *     1016    8 XXH3-64 of bytes 0..1015
 *
 * Seal id: XXH3-128 of set, uuid, k, m, matrix, then each column's length and
 * hash. File hash: of a data column its running hash; of parity the chain over
 * blocks of COLUMN_PARITY_BLOCK bytes, h = XXH3-128(h, XXH3-128(block)), from
 * zeros. The descriptor and the votes of all k+m members are the certificate.
 *
 * A vote (RECORD_VOTE) has the payload: seal id 16, file hash 16, k, m, matrix,
 * 5 zeros, then k times length and hash. A fence (RECORD_FENCE) has none.
 *
 * Pure: no I/O.
 */
#ifndef AEROSTORE_ENGINE_FORMAT_COLUMN_H
#define AEROSTORE_ENGINE_FORMAT_COLUMN_H

#include "engine/base/hash.h"
#include "engine/layout/layout.h"

#define COLUMN_HEADER_SIZE 1024u
#define COLUMN_HEADER_COPY 4096u
#define COLUMN_TRAILER_SIZE 1024u
#define COLUMN_INDEX_PAGE 4096u
#define COLUMN_INDEX_ENTRY 40u
#define COLUMN_INDEX_PER_PAGE 102u
#define COLUMN_PREDECESSOR_MAX 8u
#define COLUMN_PARITY_BLOCK 65536u
#define COLUMN_VERSION 1u
#define COLUMN_NAME_SIZE 40u

enum column_kind { COLUMN_DATA = 1, COLUMN_MIRROR = 2, COLUMN_PARITY = 3 };
enum column_matrix { COLUMN_MATRIX_CAUCHY1 = 1 }; /* gf_gen_cauchy1_matrix of ISA-L */

struct column_header {
	enum column_kind kind;
	bool born_sealed;
	uint64_t set;
	struct id128 uuid, cluster, node, incarnation, tag;
	uint64_t created_ms, capacity;
	uint8_t column;
	struct profile profile;
	uint32_t predecessor_count;
	uint64_t predecessors[COLUMN_PREDECESSOR_MAX];
	struct id128 members[PROFILE_MEMBER_MAX];
};

/* (length, running hash) of every data column. */
struct set_descriptor {
	struct profile profile;
	uint64_t length[PROFILE_MEMBER_MAX];
	struct hash128 hash[PROFILE_MEMBER_MAX];
};

struct set_certificate {
	struct set_descriptor descriptor;
	struct hash128 seal;
	struct hash128 file_hash[PROFILE_MEMBER_MAX];
};

struct column_trailer {
	enum column_kind kind;
	uint8_t column;
	uint64_t set;
	struct id128 uuid;
	uint64_t body_size;
	uint64_t index_offset;
	uint32_t index_pages, index_entries;
	struct hash128 index_hash;
	struct set_certificate certificate;
};

/* Where a piece of a blob lies. */
struct column_entry {
	struct id128 id;
	uint32_t piece;
	uint8_t column, type;
	uint64_t offset;
	uint32_t payload_size;
};

struct column_vote {
	struct hash128 seal, file_hash;
	struct set_descriptor descriptor;
};

/* k >= 1, m >= 1, k + m <= PROFILE_MEMBER_MAX. */
bool profile_valid(struct profile profile);
unsigned profile_members(struct profile profile);

/* "columns/....col", NUL-terminated. */
void column_name(uint64_t set, uint8_t column, enum column_kind kind, char out[COLUMN_NAME_SIZE]);
/* Takes a name without the folder. ERR_INVALID: not one of ours. */
MUST_USE enum err column_parse_name(const char *name, uint64_t *set, uint8_t *column,
				    enum column_kind *kind);

void column_header_encode(const struct column_header *header, uint8_t out[COLUMN_HEADER_SIZE]);
/* ERR_CORRUPT; ERR_NEWER: intact, but with features or a version that this program lacks. */
MUST_USE enum err column_header_decode(const uint8_t in[COLUMN_HEADER_SIZE],
				       struct column_header *out);
/* Both copies, LOG_HEADER_SIZE bytes, appended. */
void column_header_put(const struct column_header *header, struct buf *out);
/* From LOG_HEADER_SIZE bytes: the first copy that is intact and of this column. */
MUST_USE enum err column_header_find(struct bytes both, uint64_t set, uint8_t column,
				     enum column_kind kind, struct column_header *out);

/* The name of what the votes agree on. */
struct hash128 set_seal_id(uint64_t set, struct id128 uuid,
			   const struct set_descriptor *descriptor);
/* Length of the longest column: what parity covers. */
uint64_t set_descriptor_longest(const struct set_descriptor *descriptor);

void column_vote_encode(const struct column_vote *vote, struct buf *out);
MUST_USE enum err column_vote_decode(struct bytes in, struct column_vote *out);

/* What a column's records, or its parity, occupy behind the header. */
uint64_t column_body_size(const struct set_descriptor *descriptor, uint8_t column);
/* `header` is the file's own, `index_offset` where its index is to stand in it. */
void column_trailer_make(struct column_trailer *out, const struct column_header *header,
			 const struct set_certificate *certificate, uint64_t index_offset,
			 struct bytes index, uint32_t index_entries);
/* In the file: behind the index. */
uint64_t column_trailer_offset(const struct column_trailer *trailer);
void column_trailer_encode(const struct column_trailer *trailer, uint8_t out[COLUMN_TRAILER_SIZE]);
/* Checks also that the seal id is the descriptor's. ERR_CORRUPT, ERR_NEWER. */
MUST_USE enum err column_trailer_decode(const uint8_t in[COLUMN_TRAILER_SIZE],
					struct column_trailer *out);

void column_entry_put(const struct column_entry *entry, struct buf *out);
void column_entry_get(struct cursor *cursor, struct column_entry *out);
/* (id, piece) order. */
int column_entry_compare(struct id128 id, uint32_t piece, const struct column_entry *entry);
/* Sorts in place and appends the pages. */
void column_index_build(struct column_entry *entries, size_t count, struct buf *out);
uint32_t column_index_pages(size_t entry_count);
/* Checks one page and appends nothing: *count entries go to `out` (COLUMN_INDEX_PER_PAGE). */
MUST_USE enum err column_index_page_decode(const uint8_t page[COLUMN_INDEX_PAGE],
					   struct column_entry *out, size_t *count);

/* One step of a parity file's hash. */
struct hash128 column_parity_hash(struct hash128 previous, struct bytes block);

#endif
