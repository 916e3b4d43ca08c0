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
#include "engine/set/member_private.h"
#include "engine/set/pace.h"
#include "engine/set/stripe.h"

/* Of each column at a time. */
#define WINDOW_SIZE (16u * COLUMN_PARITY_BLOCK)

struct rebuild {
	struct member *member;
	struct set_rebuild_call *call;
	struct env_file *file;
	char name[COLUMN_NAME_SIZE];
	uint64_t size;	   /* of the body */
	uint32_t unusable; /* bit i: column i gives nothing */
	struct pace pace;
	struct column_trailer trailer;
	/* of the window under way */
	struct set_range_call ranges[PROFILE_MEMBER_MAX];
	uint8_t from[PROFILE_MEMBER_MAX];
	size_t from_count;
	struct shared *out;
	enum err combined;
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

/* ---- what the siblings give ---- */

static bool is_known_bad(const struct shared *faults, uint64_t offset, uint64_t size)
{
	uint64_t from = LOG_HEADER_SIZE + offset;

	for (size_t at = 0; faults != NULL && at < faults->size; at += sizeof(struct set_fault)) {
		struct set_fault fault;

		memcpy(&fault, faults->data + at, sizeof(fault));
		if (fault.offset < from + size && from < fault.offset + fault.size)
			return true;
	}
	return false;
}

static bool may_ask(const struct rebuild *rebuild, uint8_t column, uint32_t asked, uint64_t offset,
		    size_t size)
{
	const struct set_rebuild_call *call = rebuild->call;

	return column != call->header.column && ((rebuild->unusable | asked) >> column & 1) == 0 &&
	       !id128_is_zero(call->volumes[column]) &&
	       (PLANTED(repair_from_rotten) || !is_known_bad(call->faults[column], offset, size));
}

static void answered(struct wire_call *call)
{
	group_leave(call->context);
}

/* Asks as many of those not yet asked as are missing. False: there are no more. */
static WAITS bool ask_more(struct rebuild *rebuild, uint64_t offset, size_t size, uint32_t *asked)
{
	struct set_rebuild_call *call = rebuild->call;
	size_t missing = call->header.profile.k - rebuild->from_count;
	struct group group = {0};
	uint32_t now = 0;

	for (uint8_t i = 0; i < profile_members(call->header.profile) && missing > 0; i++) {
		struct set_range_call *range = &rebuild->ranges[i];

		if (!may_ask(rebuild, i, *asked, offset, size))
			continue;
		*range = (struct set_range_call){.wire = {.operation = SET_RANGE,
							  .volume = call->volumes[i],
							  .done = answered,
							  .context = &group},
						 .set = call->set,
						 .seal = call->certificate.seal,
						 .offset = offset,
						 .size = (uint32_t)size};
		group_enter(&group);
		wire_post(rebuild->member->wire, &range->wire);
		now |= 1u << i;
		missing--;
	}
	group_wait(&group);
	*asked |= now;
	for (uint8_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		enum err err = rebuild->ranges[i].wire.err;

		if ((now >> i & 1) == 0)
			continue;
		if (err == ERR_OK)
			rebuild->from[rebuild->from_count++] = i;
		else if (err != ERR_IO && err != ERR_CORRUPT)
			rebuild->unusable |= 1u << i;
	}
	return now != 0;
}

static void release_ranges(struct rebuild *rebuild)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		shared_release(&rebuild->ranges[i].bytes);
	rebuild->from_count = 0;
}

static void combine(void *argument)
{
	struct rebuild *rebuild = argument;
	const uint8_t *source[PROFILE_MEMBER_MAX];

	for (size_t i = 0; i < rebuild->from_count; i++)
		source[i] = rebuild->ranges[rebuild->from[i]].bytes->data;
	rebuild->combined =
		stripe_decode(rebuild->call->header.profile, rebuild->call->header.column,
			      rebuild->from, source, rebuild->out->size, rebuild->out->data);
}

static WAITS enum err make_window(struct rebuild *rebuild, uint64_t offset, size_t size)
{
	uint32_t asked = 0;
	enum err err = ERR_OK;

	while (rebuild->from_count < rebuild->call->header.profile.k && err == ERR_OK)
		if (!ask_more(rebuild, offset, size, &asked))
			err = task_canceled() ? ERR_CANCELED : ERR_UNAVAILABLE;
	if (err == ERR_OK) {
		rebuild->out = shared_create(size);
		err = rebuild->out != NULL ? task_offload(combine, rebuild) : ERR_NOMEM;
	}
	if (err == ERR_OK)
		err = rebuild->combined;
	release_ranges(rebuild);
	if (err != ERR_OK)
		shared_release(&rebuild->out);
	return err;
}

/* ---- writing ---- */

struct write_wait {
	struct group ended;
	enum err err;
};

static void write_ended(struct volume_write *write, enum err err)
{
	struct write_wait *wait = write->context;

	wait->err = err;
	group_leave(&wait->ended);
}

/* Takes the reference. */
static WAITS enum err write_at(struct rebuild *rebuild, uint64_t offset, struct shared *bytes)
{
	struct write_wait wait = {{0}, ERR_OK};
	struct volume_write write = {.file = rebuild->file,
				     .offset = offset,
				     .shared = {bytes, NULL},
				     .done = write_ended,
				     .context = &wait};

	rebuild->call->bytes_done += bytes->size;
	group_enter(&wait.ended);
	volume_submit(rebuild->member->volume, &write);
	group_wait(&wait.ended);
	return wait.err;
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

		err = keep_pace(rebuild, size);
		if (err == ERR_OK)
			err = make_window(rebuild, at, size);
		if (err == ERR_OK)
			err = write_at(rebuild, LOG_HEADER_SIZE + at, rebuild->out);
		rebuild->out = NULL;
	}
	return err;
}

/* From the first sibling of which the index is what its own trailer says. */
static WAITS enum err fetch_index(struct rebuild *rebuild, struct shared **index, uint32_t *entries)
{
	const struct set_rebuild_call *call = rebuild->call;
	enum err err = ERR_UNAVAILABLE;

	for (uint8_t i = 0; i < profile_members(call->header.profile); i++) {
		struct set_index_call *ask;

		if (i == call->header.column || id128_is_zero(call->volumes[i]))
			continue;
		ask = memory_allocate(sizeof(*ask));
		if (ask == NULL)
			return ERR_NOMEM;
		ask->wire.operation = SET_INDEX;
		ask->wire.volume = call->volumes[i];
		ask->set = call->set;
		err = wire_wait(rebuild->member->wire, &ask->wire);
		if (err == ERR_OK && hash128_equal(ask->certificate.seal, call->certificate.seal)) {
			*index = ask->index;
			*entries = ask->entries;
			memory_free(ask);
			return ERR_OK;
		}
		if (err == ERR_OK)
			shared_release(&ask->index);
		memory_free(ask);
	}
	return err == ERR_CANCELED ? err : ERR_UNAVAILABLE;
}

static WAITS enum err write_footer(struct rebuild *rebuild)
{
	const struct set_rebuild_call *call = rebuild->call;
	struct shared *index = NULL, *trailer = NULL;
	uint32_t entries = 0;
	enum err err = fetch_index(rebuild, &index, &entries);

	if (err != ERR_OK)
		return err;
	rebuild->trailer = (struct column_trailer){.kind = call->header.kind,
						   .column = call->header.column,
						   .set = call->set,
						   .uuid = call->header.uuid,
						   .body_size = rebuild->size,
						   .index_offset = LOG_HEADER_SIZE + rebuild->size,
						   .index_pages = column_index_pages(entries),
						   .index_entries = entries,
						   .certificate = call->certificate};
	rebuild->trailer.index_hash = hash_128(index->data, index->size);
	trailer = shared_create(COLUMN_TRAILER_SIZE);
	if (trailer == NULL)
		err = ERR_NOMEM;
	else
		column_trailer_encode(&rebuild->trailer, trailer->data);
	if (err == ERR_OK && index->size > 0)
		err = write_at(rebuild, rebuild->trailer.index_offset, shared_reference(index));
	if (err == ERR_OK) {
		err = write_at(rebuild, rebuild->trailer.index_offset + index->size, trailer);
		trailer = NULL;
	}
	shared_release(&trailer);
	shared_release(&index);
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
	enum err err = column_check(rebuild->file, &options, &check);

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
	const struct column_header *header = &rebuild->call->header;
	const struct set_descriptor *descriptor = &rebuild->call->certificate.descriptor;
	enum err err;

	rebuild->size = header->kind == COLUMN_DATA ? descriptor->length[header->column]
						    : set_descriptor_longest(descriptor);
	err = create_file(rebuild);
	if (err != ERR_OK)
		return err;
	err = write_body(rebuild);
	if (err == ERR_OK)
		err = write_footer(rebuild);
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
