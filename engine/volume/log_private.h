/* SPDX-License-Identifier: MPL-2.0 */
/*
 * log_private - what log.c and log_scan.c share.
 *
 *   0 <= durable <= end            [0, durable) is synced and good; [durable, end) is under way
 *   refusal == ERR_OK              appends are accepted
 *   broken != ERR_OK               an append failed; refusal is that for ever
 */
#ifndef AEROSTORE_ENGINE_VOLUME_LOG_PRIVATE_H
#define AEROSTORE_ENGINE_VOLUME_LOG_PRIVATE_H

#include "engine/volume/log.h"

struct log {
	struct volume *volume;
	struct env_file *file;
	uint64_t set;
	uint8_t column;
	uint64_t allocate_size;
	uint64_t end, durable;
	struct hash128 running;		/* at end */
	struct hash128 durable_running; /* at durable */
	bool running_known;		/* false behind damage: there is nothing to continue */
	enum err refusal, broken;
	struct group appends; /* under way */
};

/* The caller's own cancellation or lack of memory says nothing about the disk. */
static inline enum err log_judge_write(struct log *log, enum err err)
{
	if (err != ERR_OK && err != ERR_CANCELED && err != ERR_NOMEM && err != ERR_NOSPACE)
		volume_fail(log->volume, err);
	return err;
}

/* The header of a record that belongs at `offset` of this log: intact, with its set and column. */
static inline MUST_USE enum err log_decode(const struct log *log, uint64_t offset,
					   const uint8_t *header, struct record *out)
{
	struct record record;
	enum err err = record_decode(header, &record);

	if (err != ERR_OK)
		return err;
	if (record.offset != offset || record.set != log->set || record.column != log->column)
		return ERR_FOREIGN;
	*out = record;
	return ERR_OK;
}

/* What follows an intact header: payload against its hash, padding against zero. */
static inline MUST_USE enum err log_check_body(const struct record *record, struct bytes whole)
{
	struct cursor padding = cursor_make(
		bytes_slice(whole, RECORD_HEADER_SIZE + (size_t)record->payload_size, SIZE_MAX));
	enum err err;

	if (whole.size != record_size(record->payload_size))
		return ERR_CORRUPT;
	err = record_check_payload(record,
				   bytes_slice(whole, RECORD_HEADER_SIZE, record->payload_size));
	if (err != ERR_OK)
		return err;
	cursor_zeros(&padding, padding.size);
	return cursor_end(&padding);
}

#endif
