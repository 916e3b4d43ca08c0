/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Rebuilding: window by window the same range of k siblings, combined to this
 * column's, written to a file without a name that anybody opens. Index and
 * trailer follow. Then the file is read back and checked as any column is; only
 * one without a fault gets its name, and only then does the old file lose it.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/column_check.h"
#include "engine/set/gather.h"
#include "engine/set/member_private.h"
#include "engine/set/pace.h"

/* Of each column at a time. */
#define WINDOW_SIZE (16u * COLUMN_PARITY_BLOCK)
/* While one window is written the next is gathered. */
#define WRITES_MAX 2u
/* How much may wait for a sync, at most. */
#define SYNC_SIZE (16u * 1024 * 1024)

struct posted_write {
	struct volume_write write;
	struct group ended;
	enum err err;
};

struct rebuild {
	struct member *member;
	struct set_rebuild_call *call;
	struct env_file *file;
	char name[COLUMN_NAME_SIZE];
	uint64_t size; /* of the body */
	struct gather gather;
	struct pace pace;
	struct posted_write writes[WRITES_MAX];
	size_t write_count;
	uint64_t unsynced_size;
	struct column_trailer trailer;
	struct rebuild *next; /* of the member */
};

void member_rebuild_name(uint64_t set, uint8_t column, char out[COLUMN_NAME_SIZE])
{
	(void)snprintf(out, COLUMN_NAME_SIZE, "columns/%016llx-%02x.new", (unsigned long long)set,
		       column);
}

void member_rebuild_release(struct set_rebuild_call *call)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		shared_release(&call->faults[i]);
}

/* ---- writing ---- */

static void write_ended(struct volume_write *write, enum err err)
{
	struct posted_write *posted = write->context;

	posted->err = err;
	group_leave(&posted->ended);
}

static WAITS enum err end_write(struct posted_write *posted)
{
	group_wait(&posted->ended);
	return posted->err;
}

static WAITS enum err end_writes(struct rebuild *rebuild)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < WRITES_MAX; i++) {
		enum err ended = end_write(&rebuild->writes[i]);

		err = err == ERR_OK ? ended : err;
	}
	return err;
}

/*
 * Takes the reference. The one before may still be under way; what is unsynced is covered by a
 * later write of the file.
 */
static WAITS enum err write_at(struct rebuild *rebuild, uint64_t offset, struct shared *bytes,
			       bool last)
{
	struct posted_write *posted = &rebuild->writes[rebuild->write_count++ % WRITES_MAX];
	enum err err = end_write(posted);

	if (err != ERR_OK) {
		shared_release(&bytes);
		return err;
	}
	rebuild->call->bytes_done += bytes->size;
	rebuild->unsynced_size += bytes->size;
	posted->write =
		(struct volume_write){.file = rebuild->file,
				      .offset = offset,
				      .shared = {bytes, NULL},
				      .bulk = true,
				      .unsynced = !last && rebuild->unsynced_size < SYNC_SIZE,
				      .done = write_ended,
				      .context = posted};
	if (!posted->write.unsynced)
		rebuild->unsynced_size = 0;
	group_enter(&posted->ended);
	volume_submit(rebuild->member->volume, &posted->write);
	return ERR_OK;
}

static WAITS enum err keep_pace(void *context, uint64_t size)
{
	struct rebuild *rebuild = context;

	return rebuild->member->closing ? ERR_CANCELED : pace_wait(&rebuild->pace, size);
}

static WAITS enum err write_body(struct rebuild *rebuild)
{
	enum err err = ERR_OK;

	for (uint64_t at = 0; err == ERR_OK && at < rebuild->size; at += WINDOW_SIZE) {
		uint64_t left = rebuild->size - at;
		size_t size = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;
		struct shared *window = NULL;

		err = keep_pace(rebuild, size);
		if (err == ERR_OK)
			err = gather_range(&rebuild->gather, at, size, &window);
		if (err == ERR_OK)
			err = write_at(rebuild, LOG_HEADER_SIZE + at, window, false);
	}
	return err;
}

static WAITS enum err write_footer(struct rebuild *rebuild)
{
	const struct set_rebuild_call *call = rebuild->call;
	struct shared *index = NULL, *trailer = shared_create(COLUMN_TRAILER_SIZE);
	uint32_t entries = 0;
	size_t index_size;
	enum err err =
		trailer != NULL ? gather_index(&rebuild->gather, &index, &entries) : ERR_NOMEM;

	if (err != ERR_OK) {
		shared_release(&trailer);
		return err;
	}
	index_size = index->size;
	column_trailer_make(&rebuild->trailer, &call->header, &call->certificate,
			    LOG_HEADER_SIZE + rebuild->size, shared_bytes(index), entries);
	column_trailer_encode(&rebuild->trailer, trailer->data);
	if (index_size > 0)
		err = write_at(rebuild, rebuild->trailer.index_offset, index, false);
	else
		shared_release(&index);
	if (err == ERR_OK)
		err = write_at(rebuild, rebuild->trailer.index_offset + index_size, trailer, true);
	else
		shared_release(&trailer);
	return err;
}

/* ---- the judge ---- */

static void note_fault(void *context, const struct column_fault_report *report)
{
	struct rebuild *rebuild = context;

	env_log(sched_env(rebuild->member->sched),
		"event=rebuilt-column-bad set=%016llx column=%u fault=%s offset=%llu",
		(unsigned long long)rebuild->call->set, rebuild->call->header.column,
		column_fault_name(report->fault), (unsigned long long)report->offset);
}

static WAITS enum err read_back(struct rebuild *rebuild)
{
	const struct set_rebuild_call *call = rebuild->call;
	const struct column_check_options options = {.set = call->set,
						     .column = call->header.column,
						     .kind = call->header.kind,
						     .certificate = &call->certificate,
						     .fault = note_fault,
						     .pace = keep_pace,
						     .context = rebuild};
	struct column_check check;
	/* What the page cache has says nothing of the disk. */
	enum err err = io_forget(rebuild->file, 0, LOG_HEADER_SIZE + rebuild->size);

	if (err == ERR_OK)
		err = column_check(rebuild->file, &options, &check);
	if (err == ERR_OK && check.faults != 0 && !PLANTED(repair_from_rotten))
		err = ERR_CORRUPT;
	return err;
}

/* ---- taking its place ---- */

static WAITS enum err remove_mirror(struct rebuild *rebuild)
{
	const struct column_header *header = &rebuild->call->header;
	char name[COLUMN_NAME_SIZE];
	enum err err;

	if (header->kind != COLUMN_PARITY)
		return ERR_OK;
	column_name(header->set, header->column, COLUMN_MIRROR, name);
	err = volume_remove_file(rebuild->member->volume, name);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static WAITS enum err install(struct rebuild *rebuild)
{
	struct member *member = rebuild->member;
	const struct column_header *header = &rebuild->call->header;
	struct member_column *column = member_column_create(header), *old;
	char name[COLUMN_NAME_SIZE];
	enum err err;

	if (column == NULL)
		return ERR_NOMEM;
	member_take_trailer(column, &rebuild->trailer);
	column_name(header->set, header->column, header->kind, name);
	err = volume_rename_file(member->volume, rebuild->name, name);
	if (err == ERR_OK)
		err = remove_mirror(rebuild);
	old = map_get(&member->columns, &header->set);
	if (err == ERR_OK)
		err = map_put(&member->columns, &header->set, column);
	if (err != ERR_OK) {
		member_column_destroy(column);
		return err;
	}
	if (old != NULL) {
		member_column_enter(old);
		old->removed = old->broken = true;
		cond_broadcast(&old->changed);
		member_column_leave(member, old);
	}
	return ERR_OK;
}

/* ---- the whole ---- */

static WAITS enum err create_file(struct rebuild *rebuild)
{
	struct member *member = rebuild->member;
	struct buf header = {0};
	enum err err;

	if (!volume_has_room(member->volume, rebuild->size))
		return ERR_NOSPACE;
	column_header_put(&rebuild->call->header, &header);
	err = header.err != ERR_OK ? header.err : volume_remove_file(member->volume, rebuild->name);
	if (err == ERR_NOTFOUND)
		err = ERR_OK;
	if (err == ERR_OK)
		err = volume_create_file(member->volume, rebuild->name, bytes_of_buf(&header),
					 LOG_HEADER_SIZE + rebuild->size, &rebuild->file);
	buf_finish(&header);
	return err;
}

/* May this volume hold that column? */
static enum err admit(const struct member *member, const struct set_rebuild_call *call)
{
	const struct column_header *header = &call->header;
	const struct set_descriptor *descriptor = &call->certificate.descriptor;
	const struct member_column *held = map_get(&member->columns, &call->set);

	if (!profile_valid(header->profile) || header->set != call->set ||
	    header->column >= profile_members(header->profile) ||
	    header->kind != (header->column < header->profile.k ? COLUMN_DATA : COLUMN_PARITY) ||
	    descriptor->profile.k != header->profile.k ||
	    descriptor->profile.m != header->profile.m ||
	    !hash128_equal(call->certificate.seal,
			   set_seal_id(call->set, header->uuid, descriptor)))
		return ERR_INVALID;
	if (held != NULL && (held->header.column != header->column || !call->replace))
		return ERR_EXISTS;
	for (const struct rebuild *other = member->rebuilds; other != NULL; other = other->next)
		if (other->call->set == call->set)
			return ERR_EXISTS;
	return ERR_OK;
}

static WAITS enum err perform(struct rebuild *rebuild)
{
	enum err err = create_file(rebuild), ended;

	if (err != ERR_OK)
		return err;
	err = write_body(rebuild);
	if (err == ERR_OK)
		err = write_footer(rebuild);
	ended = end_writes(rebuild);
	if (err == ERR_OK)
		err = ended;
	if (err == ERR_OK)
		err = read_back(rebuild);
	io_close(&rebuild->file);
	if (err == ERR_OK)
		return install(rebuild);
	/* Best effort: the next start removes what is left. */
	(void)!volume_remove_file(rebuild->member->volume, rebuild->name);
	return err;
}

static void unlink_rebuild(struct rebuild *rebuild)
{
	struct rebuild **link = &rebuild->member->rebuilds;

	while (*link != rebuild)
		link = &(*link)->next;
	*link = rebuild->next;
}

enum err member_rebuild(struct member *member, struct set_rebuild_call *call)
{
	enum err err = admit(member, call);
	struct rebuild *rebuild = err == ERR_OK ? memory_allocate(sizeof(*rebuild)) : NULL;

	if (err == ERR_OK && rebuild == NULL)
		err = ERR_NOMEM;
	if (err == ERR_OK) {
		rebuild->member = member;
		rebuild->call = call;
		rebuild->size =
			column_body_size(&call->certificate.descriptor, call->header.column);
		rebuild->gather = (struct gather){.wire = member->wire,
						  .sched = member->sched,
						  .set = call->set,
						  .column = call->header.column,
						  .certificate = &call->certificate,
						  .volumes = call->volumes,
						  .faults = call->faults,
						  .patience_ms = call->patience_ms};
		rebuild->pace = (struct pace){.volume = member->volume, .rate = call->rate};
		rebuild->next = member->rebuilds;
		member->rebuilds = rebuild;
		member_rebuild_name(call->set, call->header.column, rebuild->name);
		err = perform(rebuild);
		unlink_rebuild(rebuild);
		memory_free(rebuild);
	}
	member_rebuild_release(call);
	return err;
}
