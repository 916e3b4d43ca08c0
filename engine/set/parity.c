/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/parity.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

enum err parity_init(struct parity *parity, struct profile profile, uint8_t column, uint64_t size)
{
	*parity = (struct parity){.size = size};
	stripe_row_init(&parity->row, profile, column);
	parity->chunk_count = (size_t)((size + PARITY_CHUNK_SIZE - 1) / PARITY_CHUNK_SIZE);
	parity->chunks = memory_array(parity->chunk_count, sizeof(struct shared *));
	return parity->chunks != NULL ? ERR_OK : ERR_NOMEM;
}

void parity_finish(struct parity *parity)
{
	for (size_t i = 0; parity->chunks != NULL && i < parity->chunk_count; i++)
		shared_release(&parity->chunks[i]);
	while (parity->spare_count > 0)
		shared_release(&parity->spares[--parity->spare_count]);
	memory_free(parity->chunks);
	parity->chunks = NULL;
}

/* The last chunk ends with the column. */
static size_t size_of(const struct parity *parity, size_t number)
{
	uint64_t left = parity->size - (uint64_t)number * PARITY_CHUNK_SIZE;

	return left < PARITY_CHUNK_SIZE ? (size_t)left : PARITY_CHUNK_SIZE;
}

static enum err begin(struct parity *parity, size_t number)
{
	size_t size = size_of(parity, number);
	struct shared *chunk;

	if (parity->chunks[number] != NULL)
		return ERR_OK;
	if (size == PARITY_CHUNK_SIZE && parity->spare_count > 0)
		chunk = parity->spares[--parity->spare_count];
	else
		chunk = shared_create(size);
	if (chunk == NULL)
		return ERR_NOMEM;
	memset(chunk->data, 0, size);
	parity->chunks[number] = chunk;
	return ERR_OK;
}

enum err parity_add(struct parity *parity, uint8_t data_column, uint64_t offset, struct bytes bytes)
{
	ASSERT(offset >= (uint64_t)parity->settled * PARITY_CHUNK_SIZE);
	ASSERT(offset <= parity->size && bytes.size <= parity->size - offset);
	while (bytes.size > 0) {
		size_t number = (size_t)(offset / PARITY_CHUNK_SIZE);
		size_t start = (size_t)(offset % PARITY_CHUNK_SIZE);
		size_t room = PARITY_CHUNK_SIZE - start;
		struct bytes part = bytes_slice(bytes, 0, room);
		enum err err = begin(parity, number);

		if (err != ERR_OK)
			return err;
		stripe_row_add(&parity->row, data_column, part,
			       parity->chunks[number]->data + start);
		bytes = bytes_slice(bytes, part.size, SIZE_MAX);
		offset += part.size;
	}
	return ERR_OK;
}

enum err parity_settle(struct parity *parity, uint64_t below)
{
	while (parity->settled < parity->chunk_count) {
		size_t number = parity->settled;
		enum err err;

		if ((uint64_t)number * PARITY_CHUNK_SIZE + size_of(parity, number) > below)
			break;
		/* Zeros, where all columns have none. */
		err = begin(parity, number);
		if (err != ERR_OK)
			return err;
		parity->hash = parity_chain(parity->hash, shared_bytes(parity->chunks[number]));
		parity->settled++;
	}
	return ERR_OK;
}

struct shared *parity_take(struct parity *parity, uint64_t *offset)
{
	struct shared *chunk;

	if (parity->taken == parity->settled)
		return NULL;
	*offset = (uint64_t)parity->taken * PARITY_CHUNK_SIZE;
	chunk = parity->chunks[parity->taken];
	parity->chunks[parity->taken++] = NULL;
	return chunk;
}

void parity_give_back(struct parity *parity, struct shared **chunk)
{
	if (*chunk != NULL && (*chunk)->size == PARITY_CHUNK_SIZE &&
	    parity->spare_count < PARITY_SPARES) {
		ASSERT((*chunk)->references == 1);
		parity->spares[parity->spare_count++] = *chunk;
		*chunk = NULL;
	}
	shared_release(chunk);
}

struct hash128 parity_chain(struct hash128 hash, struct bytes bytes)
{
	for (size_t at = 0; at < bytes.size; at += COLUMN_PARITY_BLOCK)
		hash = column_parity_hash(hash, bytes_slice(bytes, at, COLUMN_PARITY_BLOCK));
	return hash;
}
