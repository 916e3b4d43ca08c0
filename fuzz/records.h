/* SPDX-License-Identifier: MPL-2.0 */
/*
 * records - a file of records as an input describes it: intact ones, each
 * continuing the one before, and between them whatever a disk can make of them.
 *
 * A script is octets: an operation (enum records_op), then its arguments, until
 * one that is none. Hashes are made right where the operation does not say
 * otherwise, so that the fuzzer gets behind them.
 */
#ifndef AEROSTORE_FUZZ_RECORDS_H
#define AEROSTORE_FUZZ_RECORDS_H

#include "engine/format/column.h"
#include "engine/format/record.h"
#include "engine/volume/log.h"
#include "fuzz/fuzz.h"

#define RECORDS_MAX 64u

enum records_op {
	RECORDS_GOOD,	   /* type, payload size, durable, then the payload */
	RECORDS_UNCHAINED, /* the same, with a running hash that nothing led to */
	RECORDS_ELSEWHERE, /* the same, by its header of another place */
	RECORDS_MIRRORED,  /* column, payload size, then the payload: a mirror's record */
	RECORDS_ZEROS,	   /* how many times 64 */
	RECORDS_RAW,	   /* size, then octets; filled up with zeros to 64 */
	RECORDS_OP_COUNT
};

struct records {
	uint64_t set;
	uint8_t column;	 /* RECORD_NO_COLUMN: a mirror, a segment */
	struct buf body; /* what follows the file's header */
	struct hash128 running;
	uint64_t inner_end[PROFILE_MEMBER_MAX]; /* of the columns in a mirror */
	struct hash128 inner_running[PROFILE_MEMBER_MAX];
	struct column_entry entries[RECORDS_MAX]; /* of the blobs' pieces */
	size_t entry_count, count;
	uint64_t offsets[RECORDS_MAX]; /* of all records, intact or not */
	bool clean;		       /* nothing but RECORDS_GOOD and RECORDS_MIRRORED so far */
};

static inline void records_put(struct records *records, struct record *record, struct bytes payload,
			       struct hash128 previous)
{
	uint8_t header[RECORD_HEADER_SIZE];
	uint64_t size = record_size((uint32_t)payload.size);

	record_hash_payload(record, payload);
	record_encode(record, previous, header);
	records->running = record->running;
	records->offsets[records->count++] = records->body.size;
	buf_put(&records->body, header, sizeof(header));
	buf_put_bytes(&records->body, payload);
	buf_put_zeros(&records->body, (size_t)size - RECORD_HEADER_SIZE - payload.size);
}

static inline void records_note(struct records *records, const struct record *record,
				uint8_t column)
{
	records->entries[records->entry_count++] =
		(struct column_entry){.id = record->id,
				      .piece = record->piece,
				      .column = column,
				      .type = record->type,
				      .offset = record->offset,
				      .payload_size = record->payload_size};
}

/* The durable mark is a share of what is there, in 255ths; over it a lie. */
static inline struct record records_next(struct records *records, struct cursor *script,
					 uint8_t type, uint8_t *payload, size_t *payload_size)
{
	struct record record = {.type = (uint8_t)(1 + type % RECORD_MARK),
				.set = records->set,
				.column = records->column,
				.offset = records->body.size};

	*payload_size = cursor_u8(script);
	record.durable = record.offset * cursor_u8(script) / 255;
	record.durable -= record.durable % RECORD_ALIGN;
	record.id.octets[0] = (uint8_t)records->count;
	fuzz_fill(script, payload, *payload_size);
	return record;
}

/* The last record, as a later version may write one: of a type that there is not. */
static inline void records_rename(struct records *records, uint8_t type)
{
	uint8_t *header = records->body.data + records->offsets[records->count - 1];

	header[5] = type;
	store_u64(header + 152, hash_64(header, 152));
	records->clean = false;
}

static inline void records_plain(struct records *records, struct cursor *script, enum records_op op)
{
	uint8_t payload[256], type = cursor_u8(script);
	size_t size;
	struct record record = records_next(records, script, type, payload, &size);
	struct hash128 previous = records->running;

	if (op == RECORDS_UNCHAINED)
		previous.low++;
	if (op == RECORDS_ELSEWHERE) {
		uint8_t how = cursor_u8(script);

		record.set += how & 1;
		record.column ^= how >> 1 & 1;
		record.offset += (uint64_t)RECORD_ALIGN * (how >> 2);
	}
	records_put(records, &record, bytes_make(payload, size), previous);
	records->clean &= op == RECORDS_GOOD;
	if (type > 250)
		records_rename(records, type);
	if (record.type == RECORD_BLOB && records->column != RECORD_NO_COLUMN)
		records_note(records, &record, records->column);
}

static inline void records_mirrored(struct records *records, struct cursor *script)
{
	uint8_t column = cursor_u8(script) % PROFILE_MEMBER_MAX, payload[256],
		header[RECORD_HEADER_SIZE];
	size_t size = cursor_u8(script);
	struct record outer = {.type = RECORD_MIRROR,
			       .set = records->set,
			       .column = records->column,
			       .offset = records->body.size};
	struct record inner = {.type = RECORD_BLOB,
			       .set = records->set,
			       .column = column,
			       .offset = records->inner_end[column]};
	struct buf wrapped = {0};

	inner.id.octets[0] = outer.id.octets[0] = (uint8_t)records->count;
	fuzz_fill(script, payload, size);
	record_hash_payload(&inner, bytes_make(payload, size));
	record_encode(&inner, records->inner_running[column], header);
	buf_put(&wrapped, header, sizeof(header));
	buf_put(&wrapped, payload, size);
	buf_put_zeros(&wrapped, (size_t)record_size((uint32_t)size) - wrapped.size);
	records_put(records, &outer, bytes_of_buf(&wrapped), records->running);
	records->inner_end[column] += wrapped.size;
	records->inner_running[column] = inner.running;
	records_note(records, &inner, column);
	buf_finish(&wrapped);
}

static inline void records_raw(struct records *records, struct cursor *script)
{
	uint8_t raw[256] = {0};
	size_t size = cursor_u8(script);

	fuzz_fill(script, raw, size);
	buf_put(&records->body, raw, (size + RECORD_ALIGN) & ~(size_t)(RECORD_ALIGN - 1));
	records->clean = false;
}

/* Until the script says that it is over. */
static inline void records_run(struct records *records, struct cursor *script)
{
	records->clean = true;
	while (cursor_left(script) != 0 && records->count < RECORDS_MAX) {
		uint8_t op = cursor_u8(script);

		if (op >= RECORDS_OP_COUNT)
			break;
		if (op == RECORDS_MIRRORED) {
			records_mirrored(records, script);
		} else if (op == RECORDS_ZEROS) {
			buf_put_zeros(&records->body, cursor_u8(script) * (size_t)RECORD_ALIGN);
			records->clean = false;
		} else if (op == RECORDS_RAW) {
			records_raw(records, script);
		} else {
			records_plain(records, script, (enum records_op)op);
		}
	}
	ASSERT(records->body.err == ERR_OK);
}

/* The rest of the script: u16 where, u8 what is xored there. True: something is different. */
static inline bool records_poke(struct cursor *script, struct buf *file)
{
	struct buf before = {0};
	bool changed;

	buf_put_bytes(&before, bytes_of_buf(file));
	while (cursor_left(script) >= 3 && file->size != 0) {
		size_t at = cursor_u16(script) % file->size;

		file->data[at] ^= cursor_u8(script);
	}
	ASSERT(before.err == ERR_OK);
	changed = !bytes_equal(bytes_of_buf(&before), bytes_of_buf(file));
	buf_finish(&before);
	return changed;
}

#endif
