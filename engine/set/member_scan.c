/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/set/member_private.h"

/* What the records of one file say of its column. */
struct scan {
	struct member_column *column;
	bool fenced, voted;
	struct column_vote vote;
};

/* Enters a record of a data column that lies at `place` of the log. */
static enum err take_record(struct scan *scan, const struct record *record, uint64_t place)
{
	struct member_column *column = scan->column;
	struct set_position *position = &column->machine.columns[record->column];
	const struct column_entry entry = {.id = record->id,
					   .piece = record->piece,
					   .column = record->column,
					   .type = record->type,
					   .offset = record->offset,
					   .payload_size = record->payload_size};
	enum err err;

	/* Behind explicit corruption: a hole, which only an evacuation mends. */
	if (record->offset != position->end)
		column->damaged = true;
	err = records_reserve(&column->records, record->id, record->piece);
	if (err != ERR_OK)
		return err;
	records_add(&column->records, &entry, place);
	position->end = record->offset + record_size(record->payload_size);
	position->running = record->running;
	return ERR_OK;
}

static enum err take_mirrored(struct scan *scan, const struct log_visit *visit)
{
	struct record inner;

	if (visit->payload.size < RECORD_HEADER_SIZE ||
	    record_decode(visit->payload.data, &inner) != ERR_OK ||
	    inner.column >= scan->column->header.profile.k ||
	    record_size(inner.payload_size) != visit->payload.size) {
		scan->column->damaged = true;
		return ERR_OK;
	}
	return take_record(scan, &inner, visit->offset);
}

static enum err visit_record(struct scan *scan, const struct log_visit *visit)
{
	bool data = scan->column->header.kind == COLUMN_DATA;

	switch ((enum record_type)visit->record->type) {
	case RECORD_BLOB:
	case RECORD_LOST:
		if (data)
			return take_record(scan, visit->record, visit->offset);
		break;
	case RECORD_MIRROR:
		if (!data)
			return take_mirrored(scan, visit);
		break;
	case RECORD_FENCE:
		scan->fenced = true;
		return ERR_OK;
	case RECORD_VOTE:
		scan->voted = column_vote_decode(visit->payload, &scan->vote) == ERR_OK;
		scan->column->damaged |= !scan->voted;
		return ERR_OK;
	case RECORD_ENTRY:
	case RECORD_MANIFEST:
	case RECORD_PAGE:
	case RECORD_PROMISE:
	case RECORD_MARK:
		break;
	}
	/* A record that has no business in this file. */
	scan->column->damaged = true;
	return ERR_OK;
}

/* Its place and its name are known, so that one can ask for it, and say what is lost. */
static enum err visit_damaged(struct scan *scan, const struct log_visit *visit)
{
	bool data = scan->column->header.kind == COLUMN_DATA;
	unsigned type = visit->record != NULL ? visit->record->type : 0;

	if (data && (type == RECORD_BLOB || type == RECORD_LOST))
		return take_record(scan, visit->record, visit->offset);
	return !data && type == RECORD_MIRROR ? take_mirrored(scan, visit) : ERR_OK;
}

static enum err visit_log(void *context, const struct log_visit *visit)
{
	struct scan *scan = context;

	switch (visit->event) {
	case LOG_RECORD:
		return visit_record(scan, visit);
	case LOG_CORRUPT:
		scan->column->damaged = true;
		return visit_damaged(scan, visit);
	case LOG_TAIL:
		scan->column->torn = true;
		break;
	}
	return ERR_OK;
}

static WAITS enum err scan_unsealed(struct member *member, struct member_column *column)
{
	struct scan scan = {.column = column};
	enum err err;

	err = log_scan(column->log, 0, 0, true, visit_log, &scan, NULL);
	if (err != ERR_OK)
		return err;
	set_member_recover(&column->machine, scan.fenced, scan.voted ? &scan.vote : NULL);
	if (scan.voted && column->torn) {
		err = log_truncate(column->log, log_end(column->log));
		column->torn = err != ERR_OK;
	}
	if (column->damaged)
		env_log(sched_env(member->sched), "event=column-damaged set=%016llx column=%u",
			(unsigned long long)column->header.set, column->header.column);
	return err;
}

/* ---- files ---- */

static void path_of(struct member *member, const char *name, struct buf *out)
{
	buf_clear(out);
	buf_printf(out, "%s/%s", volume_directory(member->volume), name);
	buf_put_u8(out, 0);
}

/* ERR_NOTFOUND: no intact trailer at the end of this file. */
static WAITS enum err read_trailer(struct env_file *file, const struct column_header *header,
				   struct column_trailer *out)
{
	uint8_t bytes[COLUMN_TRAILER_SIZE];
	struct env_stat stat;
	enum err err = io_stat_file(file, &stat);

	if (err != ERR_OK)
		return err;
	if (stat.size < LOG_HEADER_SIZE + COLUMN_TRAILER_SIZE)
		return ERR_NOTFOUND;
	err = io_read_exact(file, stat.size - COLUMN_TRAILER_SIZE, bytes, sizeof(bytes));
	if (err != ERR_OK)
		return err;
	if (column_trailer_decode(bytes, out) != ERR_OK || out->set != header->set ||
	    out->column != header->column || !id128_equal(out->uuid, header->uuid) ||
	    out->kind == COLUMN_MIRROR)
		return ERR_NOTFOUND;
	return ERR_OK;
}

/* *header: as the file's name has it. */
static WAITS enum err read_header(struct member *member, const char *name,
				  struct column_header *header, struct column_trailer *trailer,
				  bool *sealed)
{
	struct buf path = {0}, bytes = {0};
	struct env_file *file = NULL;
	uint8_t *at = buf_extend(&bytes, LOG_HEADER_SIZE);
	enum err err;

	path_of(member, name, &path);
	err = at == NULL || path.err != ERR_OK ? ERR_NOMEM
					       : io_open((const char *)path.data, 0, &file);
	if (err == ERR_OK)
		err = log_read_header(file, at);
	if (err == ERR_OK)
		err = column_header_find(bytes_of_buf(&bytes), header->set, header->column,
					 header->kind, header);
	if (err == ERR_OK) {
		err = read_trailer(file, header, trailer);
		*sealed = err == ERR_OK;
		err = err == ERR_NOTFOUND ? ERR_OK : err;
	}
	io_close(&file);
	buf_finish(&path);
	buf_finish(&bytes);
	return err;
}

void member_take_trailer(struct member_column *column, const struct column_trailer *trailer)
{
	const struct set_certificate *certificate = &trailer->certificate;
	struct column_vote vote = {.seal = certificate->seal,
				   .file_hash = certificate->file_hash[trailer->column],
				   .descriptor = certificate->descriptor};

	column->trailer = *trailer;
	for (uint8_t i = 0; i < certificate->descriptor.profile.k; i++)
		if (set_member_holds(&column->machine, i))
			column->machine.columns[i] = (struct set_position){
				certificate->descriptor.length[i], certificate->descriptor.hash[i]};
	set_member_recover(&column->machine, false, &vote);
	column->machine.voting = SET_VOTE_SEALED;
	column->machine.has_mirror = false;
}

/*
 * A process that was killed, or whose sync failed, leaves a trailer that can be read here and yet
 * is not on the disk. After a failed sync only writing it again brings it there.
 */
static WAITS enum err remove_mirror(struct member *member, const struct member_column *column)
{
	const struct column_header *header = &column->header;
	uint8_t bytes[COLUMN_TRAILER_SIZE];
	char name[COLUMN_NAME_SIZE];
	struct env_file *parity = NULL;
	enum err err;

	column_trailer_encode(&column->trailer, bytes);
	column_name(header->set, header->column, COLUMN_PARITY, name);
	err = volume_open_file(member->volume, name, &parity);
	if (err == ERR_OK)
		err = io_write_sync(parity, column_trailer_offset(&column->trailer),
				    bytes_make(bytes, sizeof(bytes)));
	io_close(&parity);
	if (err == ERR_IO)
		volume_fail(member->volume, err);
	if (err != ERR_OK)
		return err;
	column_name(header->set, header->column, COLUMN_MIRROR, name);
	return volume_remove_file(member->volume, name);
}

/* A mirror whose parity is sealed is a leftover; a parity file without trailer is unfinished. */
static WAITS enum err merge_parity(struct member *member, struct member_column *column,
				   enum column_kind kind, bool sealed)
{
	if (sealed || (kind == COLUMN_MIRROR && member_column_sealed(column)))
		return remove_mirror(member, column);
	return ERR_OK;
}

static WAITS enum err open_column(struct member *member, const char *name, uint64_t set,
				  uint8_t index, enum column_kind kind)
{
	struct column_header header = {.set = set, .column = index, .kind = kind};
	struct column_trailer trailer;
	struct member_column *column;
	struct buf ignored = {0};
	bool sealed = false;
	enum err err = read_header(member, name, &header, &trailer, &sealed);

	if (err != ERR_OK)
		return err;
	column = map_get(&member->columns, &header.set);
	if (column != NULL && header.column == column->header.column && sealed) {
		/* The mirror was met first. */
		log_close(&column->log);
		records_finish(&column->records);
		member_take_trailer(column, &trailer);
	}
	if (column != NULL)
		return merge_parity(member, column, kind, sealed);
	/* Parity alone, without its certificate: its mirror's vote would say what it is. */
	if (kind == COLUMN_PARITY && !sealed)
		return ERR_OK;
	column = member_column_create(&header);
	if (column == NULL)
		return ERR_NOMEM;
	if (sealed) {
		member_take_trailer(column, &trailer);
	} else {
		err = member_open_log(member, column, &ignored);
		if (err == ERR_OK)
			err = scan_unsealed(member, column);
		buf_finish(&ignored);
	}
	if (err == ERR_OK)
		err = map_put(&member->columns, &header.set, column);
	if (err != ERR_OK)
		member_column_destroy(column);
	return err;
}

/* A rebuild that was cut short: nothing refers to it. */
static bool is_unfinished(const char *name)
{
	size_t size = strlen(name);

	return size > 4 && size + sizeof("columns/") <= COLUMN_NAME_SIZE &&
	       strcmp(name + size - 4, ".new") == 0;
}

static WAITS enum err remove_unfinished(struct member *member, const char *name)
{
	char path[COLUMN_NAME_SIZE];

	(void)snprintf(path, sizeof(path), "columns/%s", name);
	return volume_remove_file(member->volume, path);
}

/* As many, and it is the disk that cannot be read, not some sectors. */
#define UNREADABLE_IN_A_ROW 8u

enum err member_scan(struct member *member)
{
	struct buf names = {0};
	unsigned in_a_row = 0;
	enum err err = volume_list(member->volume, "columns", &names);

	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;
		char path[COLUMN_NAME_SIZE];
		enum column_kind kind;
		uint64_t set;
		uint8_t index;

		at += strlen(name) + 1;
		if (is_unfinished(name)) {
			err = remove_unfinished(member, name);
			continue;
		}
		if (column_parse_name(name, &set, &index, &kind) != ERR_OK)
			continue;
		column_name(set, index, kind, path);
		err = open_column(member, path, set, index, kind);
		/* Once more: not every error comes from damage. */
		if (err == ERR_IO && volume_state(member->volume) != VOLUME_FAILED)
			err = open_column(member, path, set, index, kind);
		in_a_row = err == ERR_IO ? in_a_row + 1 : 0;
		/* One unreadable file is its own set's trouble, which the other members mend. */
		if (err == ERR_CORRUPT || err == ERR_NEWER || err == ERR_TORN ||
		    (err == ERR_IO && in_a_row < UNREADABLE_IN_A_ROW &&
		     volume_state(member->volume) != VOLUME_FAILED)) {
			env_log(sched_env(member->sched),
				"event=column-unreadable set=%016llx column=%u err=%s",
				(unsigned long long)set, index, err_name(err));
			buf_put(&member->unreadable, &(struct member_unreadable){set, index, kind},
				sizeof(struct member_unreadable));
			err = member->unreadable.err;
		}
	}
	buf_finish(&names);
	return err;
}
