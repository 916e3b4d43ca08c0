/* SPDX-License-Identifier: MPL-2.0 */
/*
 * parity - one parity column, out of records in the order in which a mirror
 * holds them.
 *
 * Each record is multiplied into the place where it belongs while it is still in
 * the processor's cache: the mirror is read once, front to back, and no data
 * column is put together first. What every data column has passed is final, is
 * hashed, and is taken away in chunks, in order.
 *
 * Memory: the chunks from the shortest column's end to the longest's. A writer
 * keeps its columns within a sixteenth of their capacity.
 *
 * One thread at a time; any of them, but taking and giving back: the loop's.
 */
#ifndef AEROSTORE_ENGINE_SET_PARITY_H
#define AEROSTORE_ENGINE_SET_PARITY_H

#include "engine/base/shared.h"
#include "engine/format/column.h"
#include "engine/set/stripe.h"

#define PARITY_CHUNK_SIZE (16u * COLUMN_PARITY_BLOCK)
#define PARITY_SPARES 8u

struct parity {
	struct stripe_row row;
	uint64_t size; /* of the column */
	size_t chunk_count;
	struct shared **chunks; /* NULL: nothing was added to it yet, or it was taken */
	size_t settled, taken;	/* chunks; taken <= settled */
	struct hash128 hash;	/* over what is settled, column_parity_hash() */
	struct shared *spares[PARITY_SPARES];
	size_t spare_count;
};

MUST_USE enum err parity_init(struct parity *parity, struct profile profile, uint8_t column,
			      uint64_t size);
void parity_finish(struct parity *parity);
/*
 * [offset, offset + bytes.size) of a data column, once; not below what is settled, within the size.
 * Both multiples of RECORD_ALIGN.
 */
MUST_USE enum err parity_add(struct parity *parity, uint8_t data_column, uint64_t offset,
			     struct bytes bytes);
/* Nothing more will be added below; the size, or more: nothing at all. */
MUST_USE enum err parity_settle(struct parity *parity, uint64_t below);
/* The next settled chunk, the caller's from now on; NULL: none is. */
struct shared *parity_take(struct parity *parity, uint64_t *offset);
/* To be used again. Nobody else may hold it any more. */
void parity_give_back(struct parity *parity, struct shared **chunk);
/* Goes on with the hash over bytes that begin at a multiple of COLUMN_PARITY_BLOCK. */
struct hash128 parity_chain(struct hash128 hash, struct bytes bytes);

#endif
