/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/column_check.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/volume/log.h"

#define WINDOW_SIZE (1u << 20)
#define DISK_PAGE 4096u

struct extent {
	uint64_t offset, size;
};

/* Where one data column of a mirror has got to. */
struct chain {
	uint64_t end;
	struct hash128 running;
	bool known;
};

struct check {
	struct env_file *file;
	const struct column_check_options *options;
	struct column_check *out;
	/* the window: [start, start + size) of the file */
	uint8_t *data;
	uint64_t start;
	size_t size, capacity;
	struct buf unreadable; /* struct extent, whole disk pages */
	/* what is to be found */
	const struct set_certificate *certificate; /* NULL: unsealed */
	uint64_t body_end;			   /* of the records or the parity, in the file */
	uint64_t certain;    /* below this offset of the records nothing is just unfinished */
	struct buf deferred; /* struct column_fault_report */
	/* the walk along the records */
	struct hash128 running;
	struct chain inner[PROFILE_MEMBER_MAX]; /* a mirror's, by column */
	bool chained;				/* `running` is that of the record before */
	bool ends_badly;			/* what was looked at last was no good */
};

const char *column_fault_name(enum column_fault fault)
{
	static const char *const names[] = {
		[COLUMN_FAULT_HEADER_COPY] = "header-copy",
		[COLUMN_FAULT_HEADER] = "header",
		[COLUMN_FAULT_ROTTEN] = "rotten",
		[COLUMN_FAULT_MISDIRECTED] = "misdirected",
		[COLUMN_FAULT_LOST_WRITE] = "lost-write",
		[COLUMN_FAULT_PADDING] = "padding",
		[COLUMN_FAULT_UNREADABLE] = "unreadable",
		[COLUMN_FAULT_TAIL] = "tail",
		[COLUMN_FAULT_STRANGE] = "strange",
		[COLUMN_FAULT_PARITY] = "parity",
		[COLUMN_FAULT_CERTIFICATE] = "certificate",
		[COLUMN_FAULT_INDEX_PAGE] = "index-page",
		[COLUMN_FAULT_INDEX] = "index",
		[COLUMN_FAULT_TRAILER] = "trailer",
		[COLUMN_FAULT_LENGTH] = "length",
		[COLUMN_FAULT_BEYOND] = "beyond",
	};

	return fault < COLUMN_FAULT_COUNT ? names[fault] : "unknown";
}

/* ---- reporting ---- */

static void report(struct check *check, const struct column_fault_report *fault)
{
	check->out->faults++;
	check->options->fault(check->options->context, fault);
}

static void report_plain(struct check *check, enum column_fault fault, uint64_t offset,
			 uint64_t size)
{
	const struct column_fault_report plain = {.fault = fault, .offset = offset, .size = size};

	report(check, &plain);
}

/* Of an unsealed file only what follows tells whether a write was ever finished. */
static enum err report_record(struct check *check, const struct column_fault_report *fault)
{
	if (fault->offset - LOG_HEADER_SIZE < check->certain) {
		report(check, fault);
		return ERR_OK;
	}
	buf_put(&check->deferred, fault, sizeof(*fault));
	return check->deferred.err;
}

static void report_deferred(struct check *check)
{
	bool tail = false;

	for (size_t at = 0; at < check->deferred.size; at += sizeof(struct column_fault_report)) {
		struct column_fault_report fault;

		memcpy(&fault, check->deferred.data + at, sizeof(fault));
		if (fault.offset - LOG_HEADER_SIZE < check->certain)
			report(check, &fault);
		else if (!tail)
			report_plain(check, COLUMN_FAULT_TAIL, fault.offset,
				     check->body_end - fault.offset);
		tail |= fault.offset - LOG_HEADER_SIZE >= check->certain;
	}
}

/* ---- reading ---- */

static bool is_unreadable(const struct check *check, uint64_t offset, uint64_t size)
{
	for (size_t at = 0; at < check->unreadable.size; at += sizeof(struct extent)) {
		struct extent extent;

		memcpy(&extent, check->unreadable.data + at, sizeof(extent));
		if (offset < extent.offset + extent.size && extent.offset < offset + size)
			return true;
	}
	return false;
}

/* Once more, page by page: what cannot be read counts as zeros, and is remembered. */
static WAITS enum err load_pages(struct check *check, size_t size)
{
	size_t done = 0;

	while (done < size) {
		uint64_t offset = check->start + done;
		size_t page = DISK_PAGE - (size_t)(offset % DISK_PAGE), got;
		struct extent extent = {offset, page};
		enum err err;

		page = size - done < page ? size - done : page;
		err = io_read_exact(check->file, offset, check->data + done, page);
		if (err == ERR_IO) {
			memset(check->data + done, 0, page);
			if (!is_unreadable(check, offset, page))
				buf_put(&check->unreadable, &extent, sizeof(extent));
			err = check->unreadable.err;
		}
		if (err != ERR_OK)
			return err;
		got = page;
		done += got;
	}
	check->size = size;
	return ERR_OK;
}

static WAITS enum err load(struct check *check, uint64_t offset, size_t size)
{
	uint64_t left = check->out->file_size - offset;
	enum err err = ERR_OK;

	if (size > check->capacity) {
		uint8_t *larger = memory_resize(check->data, size);

		if (larger == NULL)
			return ERR_NOMEM;
		check->data = larger;
		check->capacity = size;
	}
	size = left < check->capacity ? (size_t)left : check->capacity;
	check->start = offset;
	check->size = 0;
	if (check->options->pace != NULL)
		err = check->options->pace(check->options->context, size);
	if (err == ERR_OK)
		err = io_read(check->file, offset, check->data, size, &check->size);
	if (err == ERR_IO)
		err = load_pages(check, size);
	check->out->bytes_read += check->size;
	return err;
}

/* Bytes of the file, borrowed until the next view; fewer at its end. */
static WAITS enum err view(struct check *check, uint64_t offset, uint64_t size, struct bytes *out)
{
	uint64_t file_size = check->out->file_size;

	*out = bytes_make(NULL, 0);
	if (offset >= file_size)
		return ERR_OK;
	size = size < file_size - offset ? size : file_size - offset;
	if (offset < check->start || offset + size > check->start + check->size) {
		enum err err = load(check, offset, (size_t)size);

		if (err != ERR_OK)
			return err;
	}
	*out = bytes_slice(bytes_make(check->data, check->size), (size_t)(offset - check->start),
			   (size_t)size);
	return ERR_OK;
}

static bool is_zero(struct bytes bytes)
{
	return bytes.size == 0 ||
	       (bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0);
}

/* ---- header ---- */

static void check_header_copy(struct check *check, struct bytes both, unsigned copy, bool *good)
{
	struct bytes bytes =
		bytes_slice(both, copy * (size_t)COLUMN_HEADER_COPY, COLUMN_HEADER_COPY);
	struct column_header *header = &check->out->header, other;

	*good = bytes.size == COLUMN_HEADER_COPY &&
		column_header_decode(bytes.data, &other) == ERR_OK;
	if (!*good)
		return;
	if (!is_zero(bytes_slice(bytes, COLUMN_HEADER_SIZE, SIZE_MAX)))
		report_plain(check, COLUMN_FAULT_PADDING,
			     copy * (uint64_t)COLUMN_HEADER_COPY + COLUMN_HEADER_SIZE,
			     COLUMN_HEADER_COPY - COLUMN_HEADER_SIZE);
	if (other.set != check->options->set || other.column != check->options->column ||
	    other.kind != check->options->kind) {
		const struct column_fault_report fault = {.fault = COLUMN_FAULT_MISDIRECTED,
							  .offset = copy *
								    (uint64_t)COLUMN_HEADER_COPY,
							  .size = COLUMN_HEADER_COPY,
							  .foreign_set = other.set,
							  .foreign_column = other.column};

		report(check, &fault);
		*good = false;
		return;
	}
	if (!check->out->has_header)
		*header = other;
	check->out->has_header = true;
}

static WAITS enum err check_header(struct check *check)
{
	struct bytes both;
	bool good[2];
	enum err err = view(check, 0, LOG_HEADER_SIZE, &both);

	if (err != ERR_OK)
		return err;
	for (unsigned i = 0; i < 2; i++)
		check_header_copy(check, both, i, &good[i]);
	if (!good[0] && !good[1])
		report_plain(check, COLUMN_FAULT_HEADER, 0, LOG_HEADER_SIZE);
	else if (!good[0] || !good[1])
		report_plain(check, COLUMN_FAULT_HEADER_COPY, good[0] ? COLUMN_HEADER_COPY : 0,
			     COLUMN_HEADER_COPY);
	else if (memcmp(both.data, both.data + COLUMN_HEADER_COPY, COLUMN_HEADER_SIZE) != 0)
		report_plain(check, COLUMN_FAULT_HEADER_COPY, COLUMN_HEADER_COPY,
			     COLUMN_HEADER_COPY);
	return ERR_OK;
}

/* ---- one record ---- */

static bool is_here(const struct check *check, const struct record *record, uint64_t offset)
{
	uint8_t column =
		check->options->kind == COLUMN_DATA ? check->options->column : RECORD_NO_COLUMN;

	return record->set == check->options->set && record->column == column &&
	       record->offset == offset;
}

/*
 * From a bad record to the next header that is intact and in its own place, or the end; and what
 * the bytes between look like.
 */
static WAITS enum err look_over(struct check *check, uint64_t offset, uint64_t size_known,
				struct column_fault_report *fault)
{
	uint64_t at = offset, end = check->body_end - LOG_HEADER_SIZE;
	bool zeros = true, zero_page = false, foreign = false, found = false;

	if (size_known != 0 && offset + size_known < end)
		end = offset + size_known;
	while (at < end && !found) {
		struct bytes step;
		struct record record;
		enum err err = view(check, LOG_HEADER_SIZE + at, DISK_PAGE, &step);

		if (err != ERR_OK)
			return err;
		if ((LOG_HEADER_SIZE + at) % DISK_PAGE == 0 && end - at >= DISK_PAGE)
			zero_page |= is_zero(step);
		zeros &= is_zero(bytes_slice(step, 0, RECORD_ALIGN));
		if (step.size >= RECORD_HEADER_SIZE &&
		    record_decode(step.data, &record) == ERR_OK) {
			found = size_known == 0 && is_here(check, &record, at);
			/* The record within a mirror's stands in its own place, too. */
			if (!found && !foreign && !is_here(check, &record, at) &&
			    (check->options->kind == COLUMN_DATA ||
			     record.set != check->options->set ||
			     record.column == RECORD_NO_COLUMN)) {
				foreign = true;
				fault->foreign_set = record.set;
				fault->foreign_column = record.column;
				fault->foreign_offset = record.offset;
			}
		}
		if (!found)
			at += RECORD_ALIGN;
	}
	at = at < end ? at : end;
	fault->size = at - offset;
	if (is_unreadable(check, LOG_HEADER_SIZE + offset, fault->size))
		fault->fault = COLUMN_FAULT_UNREADABLE;
	else if (foreign)
		fault->fault = COLUMN_FAULT_MISDIRECTED;
	else
		fault->fault = zeros || zero_page ? COLUMN_FAULT_LOST_WRITE : COLUMN_FAULT_ROTTEN;
	return ERR_OK;
}

static void name_record(const struct check *check, const struct record *record, struct bytes whole,
			struct column_fault_report *fault)
{
	struct record inner;

	fault->named = true;
	fault->id = record->id;
	fault->piece = record->piece;
	fault->data_column = record->column;
	if (check->options->kind == COLUMN_MIRROR && record->type == RECORD_MIRROR &&
	    whole.size >= 2 * RECORD_HEADER_SIZE &&
	    record_decode(whole.data + RECORD_HEADER_SIZE, &inner) == ERR_OK)
		fault->data_column = inner.column;
}

/* The chain of one column, as its records go by. False: this one does not go on from the last. */
static bool follow(struct check *check, uint8_t column, const struct record *record,
		   const uint8_t *header)
{
	bool goes_on = !check->inner[column].known ||
		       (record->offset == check->inner[column].end &&
			hash128_equal(record->running,
				      record_running(header, check->inner[column].running)));

	check->inner[column].known = record->type != RECORD_LOST;
	check->inner[column].end = record->offset + record_size(record->payload_size);
	check->inner[column].running = record->running;
	return goes_on;
}

/* What is bad in a mirror may have been of any column. */
static void forget_inner(struct check *check)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		check->inner[i].known = false;
}

/* What a mirror's record wraps. */
static enum err check_inner(struct check *check, uint64_t offset, struct bytes wrapped,
			    struct column_fault_report *fault)
{
	struct record inner;
	struct bytes payload;

	if (wrapped.size < RECORD_HEADER_SIZE || record_decode(wrapped.data, &inner) != ERR_OK ||
	    inner.set != check->options->set || inner.column >= check->out->header.profile.k ||
	    record_size(inner.payload_size) != wrapped.size ||
	    (inner.type != RECORD_BLOB && inner.type != RECORD_LOST)) {
		fault->fault = COLUMN_FAULT_STRANGE;
		return report_record(check, fault);
	}
	payload = bytes_slice(wrapped, RECORD_HEADER_SIZE, inner.payload_size);
	if (record_check_payload(&inner, payload) != ERR_OK) {
		fault->fault = COLUMN_FAULT_ROTTEN;
		return report_record(check, fault);
	}
	if (!follow(check, inner.column, &inner, wrapped.data)) {
		fault->fault = COLUMN_FAULT_LOST_WRITE;
		return report_record(check, fault);
	}
	if (check->options->record == NULL)
		return ERR_OK;
	return check->options->record(check->options->context, &inner,
				      LOG_HEADER_SIZE + offset + RECORD_HEADER_SIZE, wrapped);
}

static enum err take_mark(struct check *check, const struct record *record, struct bytes payload)
{
	if (record->type == RECORD_FENCE) {
		check->out->fenced = true;
	} else {
		check->out->voted = column_vote_decode(payload, &check->out->vote) == ERR_OK;
		if (!check->out->voted)
			report_plain(check, COLUMN_FAULT_STRANGE, LOG_HEADER_SIZE + record->offset,
				     record_size(record->payload_size));
	}
	return ERR_OK;
}

/* A record that is whole and in its place, by its type. */
static enum err take_record(struct check *check, const struct record *record, struct bytes whole,
			    struct column_fault_report *fault)
{
	bool data = check->options->kind == COLUMN_DATA;
	struct bytes payload = bytes_slice(whole, RECORD_HEADER_SIZE, record->payload_size);
	bool within =
		check->certificate == NULL || !data ||
		record->offset < check->certificate->descriptor.length[check->options->column];

	if (record->type == RECORD_FENCE || record->type == RECORD_VOTE)
		return take_mark(check, record, payload);
	if (!within || (data ? record->type != RECORD_BLOB && record->type != RECORD_LOST
			     : record->type != RECORD_MIRROR)) {
		fault->fault = COLUMN_FAULT_STRANGE;
		return report_record(check, fault);
	}
	check->out->records++;
	check->out->end = record->offset + whole.size;
	check->out->hash = record->running;
	if (!data)
		return check_inner(check, record->offset, payload, fault);
	if (check->options->record == NULL)
		return ERR_OK;
	return check->options->record(check->options->context, record,
				      LOG_HEADER_SIZE + record->offset, whole);
}

/* The record at `offset`, of which the header is intact and belongs here. */
static WAITS enum err check_record(struct check *check, uint64_t offset,
				   const struct record *record, uint64_t *size)
{
	struct column_fault_report fault = {.offset = LOG_HEADER_SIZE + offset};
	uint64_t whole_size = record_size(record->payload_size);
	struct bytes whole;
	bool goes_on;
	enum err err;

	if (record->durable > check->certain)
		check->certain = record->durable;
	err = view(check, LOG_HEADER_SIZE + offset, whole_size, &whole);
	if (err != ERR_OK)
		return err;
	name_record(check, record, whole, &fault);
	*size = fault.size = whole_size;
	check->ends_badly = true;
	if (LOG_HEADER_SIZE + offset + whole_size > check->body_end) {
		fault.fault = COLUMN_FAULT_LENGTH;
		*size = check->body_end - LOG_HEADER_SIZE - offset;
		return report_record(check, &fault);
	}
	goes_on = !check->chained ||
		  hash128_equal(record->running, record_running(whole.data, check->running));
	check->running = record->running;
	check->chained = record->type != RECORD_LOST;
	if (record_check_payload(record, bytes_slice(whole, RECORD_HEADER_SIZE,
						     record->payload_size)) != ERR_OK) {
		forget_inner(check);
		err = look_over(check, offset, whole_size, &fault);
		fault.size = whole_size;
		return err != ERR_OK ? err : report_record(check, &fault);
	}
	if (!goes_on) {
		fault.fault = COLUMN_FAULT_LOST_WRITE;
		return report_record(check, &fault);
	}
	check->ends_badly = false;
	if (!is_zero(bytes_slice(whole, RECORD_HEADER_SIZE + (size_t)record->payload_size,
				 SIZE_MAX))) {
		fault.fault = COLUMN_FAULT_PADDING;
		err = report_record(check, &fault);
	}
	return err != ERR_OK ? err : take_record(check, record, whole, &fault);
}

/* No record that belongs here, or none that is intact. */
static WAITS enum err check_bad(struct check *check, uint64_t offset, uint64_t *size)
{
	struct column_fault_report fault = {.offset = LOG_HEADER_SIZE + offset};
	enum err err = look_over(check, offset, 0, &fault);

	if (err != ERR_OK)
		return err;
	*size = fault.size;
	check->chained = false;
	forget_inner(check);
	/* Preallocated: an end, unless something says that there was more. */
	if (fault.fault == COLUMN_FAULT_LOST_WRITE && check->certificate == NULL &&
	    LOG_HEADER_SIZE + offset + *size == check->body_end && offset >= check->certain) {
		struct bytes rest;

		for (uint64_t at = 0; at < *size; at += rest.size) {
			err = view(check, LOG_HEADER_SIZE + offset + at,
				   *size - at < DISK_PAGE ? *size - at : DISK_PAGE, &rest);
			if (err != ERR_OK)
				return err;
			if (!is_zero(rest))
				return report_record(check, &fault);
		}
		return ERR_OK;
	}
	check->ends_badly = true;
	return report_record(check, &fault);
}

static WAITS enum err check_records(struct check *check)
{
	uint64_t offset = 0;
	enum err err = ERR_OK;

	check->chained = true;
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		check->inner[i].known = true;
	while (err == ERR_OK && LOG_HEADER_SIZE + offset < check->body_end) {
		struct record record;
		struct bytes header;
		uint64_t size = 0;

		err = view(check, LOG_HEADER_SIZE + offset, RECORD_HEADER_SIZE, &header);
		if (err != ERR_OK)
			break;
		if (header.size == RECORD_HEADER_SIZE &&
		    record_decode(header.data, &record) == ERR_OK &&
		    is_here(check, &record, offset))
			err = check_record(check, offset, &record, &size);
		else
			err = check_bad(check, offset, &size);
		offset += size;
	}
	report_deferred(check);
	return err;
}

/* What the certificate says of a data column, when no record has explained it already. */
static void check_certified_data(struct check *check)
{
	const struct set_descriptor *descriptor = &check->certificate->descriptor;
	uint64_t length = descriptor->length[check->options->column];
	struct column_check *out = check->out;

	if (check->ends_badly && out->end < length)
		return;
	if (out->file_size < LOG_HEADER_SIZE + length)
		report_plain(check, COLUMN_FAULT_LENGTH, out->file_size,
			     LOG_HEADER_SIZE + length - out->file_size);
	else if (out->end != length ||
		 !hash128_equal(out->hash, descriptor->hash[check->options->column]))
		report_plain(check, COLUMN_FAULT_CERTIFICATE, LOG_HEADER_SIZE, length);
}

/* ---- parity ---- */

static void report_unreadable(struct check *check, uint64_t from, uint64_t end)
{
	for (size_t at = 0; at < check->unreadable.size; at += sizeof(struct extent)) {
		struct extent extent;

		memcpy(&extent, check->unreadable.data + at, sizeof(extent));
		if (extent.offset < end && from < extent.offset + extent.size)
			report_plain(check, COLUMN_FAULT_UNREADABLE, extent.offset, extent.size);
	}
}

static WAITS enum err check_parity(struct check *check)
{
	uint64_t size = set_descriptor_longest(&check->certificate->descriptor);
	struct column_check *out = check->out;
	struct bytes block = {0};

	if (out->file_size < LOG_HEADER_SIZE + size) {
		report_plain(check, COLUMN_FAULT_LENGTH, out->file_size,
			     LOG_HEADER_SIZE + size - out->file_size);
		size = out->file_size > LOG_HEADER_SIZE ? out->file_size - LOG_HEADER_SIZE : 0;
	}
	for (uint64_t at = 0; at < size; at += COLUMN_PARITY_BLOCK) {
		uint64_t part = size - at < COLUMN_PARITY_BLOCK ? size - at : COLUMN_PARITY_BLOCK;
		enum err err = view(check, LOG_HEADER_SIZE + at, part, &block);

		if (err != ERR_OK)
			return err;
		out->hash = column_parity_hash(out->hash, block);
	}
	out->end = size;
	report_unreadable(check, LOG_HEADER_SIZE, LOG_HEADER_SIZE + size);
	if (!hash128_equal(out->hash, check->certificate->file_hash[check->options->column]) &&
	    !is_unreadable(check, LOG_HEADER_SIZE, size))
		report_plain(check, COLUMN_FAULT_PARITY, LOG_HEADER_SIZE, size);
	return ERR_OK;
}

/* ---- index and trailer ---- */

static bool is_own_trailer(const struct check *check, struct bytes bytes,
			   struct column_trailer *out)
{
	const struct column_check_options *options = check->options;

	return bytes.size >= COLUMN_TRAILER_SIZE &&
	       column_trailer_decode(bytes.data, out) == ERR_OK && out->set == options->set &&
	       out->column == options->column && out->kind == options->kind &&
	       id128_equal(out->uuid, check->out->header.uuid) &&
	       (options->certificate == NULL ||
		hash128_equal(options->certificate->seal, out->certificate.seal));
}

/* Where bytes follow it, the trailer is not at the end: it is looked for from the front. */
static WAITS enum err find_trailer(struct check *check, uint64_t *offset)
{
	struct column_check *out = check->out;
	struct bytes bytes;
	enum err err;

	if (out->file_size < LOG_HEADER_SIZE + COLUMN_TRAILER_SIZE)
		return ERR_NOTFOUND;
	*offset = out->file_size - COLUMN_TRAILER_SIZE;
	err = view(check, *offset, COLUMN_TRAILER_SIZE, &bytes);
	if (err != ERR_OK || is_own_trailer(check, bytes, &out->trailer))
		return err;
	if (check->options->kind != COLUMN_PARITY && check->options->certificate == NULL)
		return ERR_NOTFOUND;
	for (*offset = LOG_HEADER_SIZE; *offset + COLUMN_TRAILER_SIZE < out->file_size;
	     *offset += RECORD_ALIGN) {
		err = view(check, *offset, COLUMN_TRAILER_SIZE, &bytes);
		if (err != ERR_OK)
			return err;
		if (memcmp(bytes.data, "AEROSEAL", 8) == 0 &&
		    is_own_trailer(check, bytes, &out->trailer))
			return ERR_OK;
	}
	return ERR_NOTFOUND;
}

static WAITS enum err check_trailer(struct check *check)
{
	const struct column_check_options *options = check->options;
	struct column_check *out = check->out;
	uint64_t offset = 0;
	enum err err = find_trailer(check, &offset);

	if (err == ERR_NOTFOUND) {
		check->certificate = options->certificate;
		if (check->certificate != NULL || options->kind == COLUMN_PARITY)
			report_plain(check, COLUMN_FAULT_TRAILER,
				     out->file_size < COLUMN_TRAILER_SIZE
					     ? 0
					     : out->file_size - COLUMN_TRAILER_SIZE,
				     COLUMN_TRAILER_SIZE);
		return ERR_OK;
	}
	if (err != ERR_OK)
		return err;
	out->sealed = true;
	check->certificate = &out->trailer.certificate;
	if (offset + COLUMN_TRAILER_SIZE < out->file_size)
		report_plain(check, COLUMN_FAULT_BEYOND, offset + COLUMN_TRAILER_SIZE,
			     out->file_size - offset - COLUMN_TRAILER_SIZE);
	if (out->trailer.index_offset < LOG_HEADER_SIZE || out->trailer.index_offset > offset ||
	    offset - out->trailer.index_offset !=
		    (uint64_t)out->trailer.index_pages * COLUMN_INDEX_PAGE) {
		report_plain(check, COLUMN_FAULT_TRAILER, offset, COLUMN_TRAILER_SIZE);
		out->trailer.index_offset = offset;
		out->trailer.index_pages = 0;
	}
	return ERR_OK;
}

/* Pages in order, each whole; entries ascending throughout. */
static WAITS enum err check_index_pages(struct check *check, struct bytes index, bool *good)
{
	struct column_entry *entries = memory_array(COLUMN_INDEX_PER_PAGE, sizeof(*entries));
	const struct column_trailer *trailer = &check->out->trailer;
	struct column_entry last = {0};
	bool any = false;

	if (entries == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < trailer->index_pages; i++) {
		uint64_t at = (uint64_t)i * COLUMN_INDEX_PAGE;
		uint64_t offset = trailer->index_offset + at;
		size_t count = 0;
		bool fine = column_index_page_decode(index.data + at, entries, &count) == ERR_OK;

		for (size_t j = 0; fine && j < count; j++) {
			fine = !any || column_entry_compare(last.id, last.piece, &entries[j]) < 0;
			last = entries[j];
			any = true;
		}
		*good &= fine;
		if (!fine)
			report_plain(check,
				     is_unreadable(check, offset, COLUMN_INDEX_PAGE)
					     ? COLUMN_FAULT_UNREADABLE
					     : COLUMN_FAULT_INDEX_PAGE,
				     offset, COLUMN_INDEX_PAGE);
	}
	memory_free(entries);
	return ERR_OK;
}

static WAITS enum err check_index(struct check *check)
{
	const struct column_trailer *trailer = &check->out->trailer;
	uint64_t size = (uint64_t)trailer->index_pages * COLUMN_INDEX_PAGE;
	struct bytes index;
	bool good = true;
	enum err err = view(check, trailer->index_offset, size, &index);

	if (err == ERR_OK)
		err = check_index_pages(check, index, &good);
	if (err == ERR_OK && good &&
	    !hash128_equal(hash_128(index.data, index.size), trailer->index_hash))
		report_plain(check, COLUMN_FAULT_INDEX, trailer->index_offset, size);
	return err;
}

/* ---- the whole ---- */

static void bound_body(struct check *check)
{
	const struct column_check_options *options = check->options;
	struct column_check *out = check->out;
	uint64_t length = 0;

	if (check->certificate != NULL && options->kind == COLUMN_DATA)
		length = check->certificate->descriptor.length[options->column];
	check->certain = length > options->limit ? length : options->limit;
	check->body_end = out->file_size;
	if (out->sealed)
		check->body_end = out->trailer.index_offset;
	else if (check->certificate != NULL && LOG_HEADER_SIZE + length < out->file_size)
		check->body_end = LOG_HEADER_SIZE + length;
	else if (options->limit != 0 && LOG_HEADER_SIZE + options->limit < out->file_size)
		check->body_end = LOG_HEADER_SIZE + options->limit;
}

static WAITS enum err check_body(struct check *check)
{
	enum err err;

	bound_body(check);
	if (check->options->kind == COLUMN_PARITY)
		return check->certificate != NULL ? check_parity(check) : ERR_OK;
	err = check_records(check);
	if (err == ERR_OK && check->certificate != NULL && check->options->kind == COLUMN_DATA)
		check_certified_data(check);
	return err;
}

enum err column_check(struct env_file *file, const struct column_check_options *options,
		      struct column_check *out)
{
	struct check *check = memory_allocate(sizeof(*check));
	struct env_stat stat;
	enum err err = check != NULL ? io_stat_file(file, &stat) : ERR_NOMEM;

	if (err != ERR_OK) {
		memory_free(check);
		return err;
	}
	*out = (struct column_check){.file_size = stat.size};
	check->file = file;
	check->options = options;
	check->out = out;
	check->capacity = WINDOW_SIZE;
	check->data = memory_allocate(WINDOW_SIZE);
	err = check->data != NULL ? check_header(check) : ERR_NOMEM;
	if (err == ERR_OK && out->has_header) {
		err = check_trailer(check);
		if (err == ERR_OK)
			err = check_body(check);
		if (err == ERR_OK && out->sealed)
			err = check_index(check);
	}
	buf_finish(&check->unreadable);
	buf_finish(&check->deferred);
	memory_free(check->data);
	memory_free(check);
	return err;
}
