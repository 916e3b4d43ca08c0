/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/member.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/member_private.h"

/* Of the reserve, one of so many parts is for journals alone. */
#define RESERVE_PART 4u

/* ---- columns ---- */

bool member_column_sealed(const struct member_column *column)
{
	return column->machine.voting == SET_VOTE_SEALED;
}

struct member_column *member_column_create(const struct column_header *header)
{
	struct member_column *column = memory_allocate(sizeof(*column));

	if (column == NULL)
		return NULL;
	column->header = *header;
	records_init(&column->records);
	set_member_init(&column->machine, header->profile, header->column);
	return column;
}

void member_column_destroy(struct member_column *column)
{
	if (column->log != NULL)
		log_close(&column->log);
	io_close(&column->file);
	records_finish(&column->records);
	memory_free(column);
}

void member_column_enter(struct member_column *column)
{
	column->users++;
}

void member_column_leave(struct member *member, struct member_column *column)
{
	ASSERT(column->users > 0);
	if (--column->users > 0 || !column->removed)
		return;
	member->open_files -= column->file != NULL;
	member_column_destroy(column);
}

static struct member_column *find(struct member *member, uint64_t set)
{
	return map_get(&member->columns, &set);
}

enum err member_open_log(struct member *member, struct member_column *column, struct buf *header)
{
	bool data = column->header.kind == COLUMN_DATA;
	char name[COLUMN_NAME_SIZE];
	struct log_options options = {.name = name,
				      .set = column->header.set,
				      .column = data ? column->header.column : RECORD_NO_COLUMN};

	column_name(column->header.set, column->header.column, column->header.kind, name);
	return log_open(member->volume, &options, header, &column->log);
}

void member_answer(const struct member_column *column, struct set_answer *out)
{
	*out = (struct set_answer){.answered = !column->broken,
				   .readable = column->broken && column->log != NULL,
				   .sealed = member_column_sealed(column),
				   .fenced = column->machine.fence != SET_FENCE_NONE,
				   .voted = column->machine.voting >= SET_VOTE_WRITING,
				   .damaged = column->damaged,
				   .torn = column->torn};
	memcpy(out->columns, column->machine.columns, sizeof(out->columns));
	/* What a failed write has left behind that is anybody's guess until the next start. */
	for (size_t i = 0; column->broken && i < column->header.profile.k; i++)
		out->columns[i].end = column->machine.synced[i];
	if (out->voted)
		out->vote = column->machine.vote;
	if (out->sealed)
		out->certificate = column->trailer.certificate;
}

/* ---- creating ---- */

static WAITS enum err create_log(struct member *member, struct member_column *column)
{
	bool data = column->header.kind == COLUMN_DATA;
	char name[COLUMN_NAME_SIZE];
	struct buf header = {0};
	struct log_options options = {.name = name,
				      .set = column->header.set,
				      .column = data ? column->header.column : RECORD_NO_COLUMN,
				      .allocate_size = column->header.capacity};
	enum err err;

	/* A mirror grows to the sum of the data columns; what it needs it takes as it comes. */
	column_name(column->header.set, column->header.column, column->header.kind, name);
	column_header_put(&column->header, &header);
	err = header.err != ERR_OK
		      ? header.err
		      : log_create(member->volume, &options, bytes_of_buf(&header), &column->log);
	buf_finish(&header);
	return err;
}

static bool has_room(const struct member *member, const struct set_create_call *call)
{
	uint64_t total, left, kept;

	if (!call->urgent)
		return volume_state(member->volume) != VOLUME_FULL &&
		       volume_has_room(member->volume, call->content);
	volume_space(member->volume, &total, &left);
	/* A part of the reserve is the journal's: without it nothing can be deleted any more. */
	kept = volume_reserve(member->volume) / RESERVE_PART;
	return call->content + call->content / 8 + kept <= left;
}

/*
 * What frees space goes on faster than the file system is looked at: sources that went are room
 * for the next successor.
 */
static WAITS bool finds_room(struct member *member, const struct set_create_call *call)
{
	if (has_room(member, call))
		return true;
	return call->urgent && volume_look(member->volume) == ERR_OK && has_room(member, call);
}

static WAITS enum err create(struct member *member, struct set_create_call *call)
{
	const struct column_header *header = &call->header;
	struct member_column *column;
	enum err err;

	if (!profile_valid(header->profile) || header->column >= profile_members(header->profile) ||
	    header->kind != (header->column < header->profile.k ? COLUMN_DATA : COLUMN_MIRROR))
		return ERR_INVALID;
	if (!finds_room(member, call))
		return ERR_NOSPACE;
	if (find(member, header->set) != NULL)
		return ERR_EXISTS;
	column = member_column_create(header);
	if (column == NULL)
		return ERR_NOMEM;
	/* In the table first: a second one of that name must not start meanwhile. */
	member_column_enter(column);
	column->broken = true;
	column->urgent = call->urgent;
	err = map_put(&member->columns, &header->set, column);
	if (err != ERR_OK) {
		member_column_destroy(column);
		return err;
	}
	err = create_log(member, column);
	column->broken = false;
	if (err != ERR_OK) {
		map_remove(&member->columns, &header->set);
		column->removed = true;
	}
	member_column_leave(member, column);
	return err;
}

/* ---- appending ---- */

static void append_ended(struct set_append_call *call, enum err err)
{
	struct member *member = call->member;
	struct member_column *column = call->column;

	member->appends--;
	column->appends--;
	column->users--;
	cond_broadcast(&column->changed);
	wire_reply(&call->wire, err);
}

static void appended(struct log_append *append, enum err err)
{
	struct set_append_call *call = append->context;
	struct member_column *column = call->column;

	/* Whose column goes is told so, though the bytes were synced: they go, too. */
	if (err == ERR_OK && column->removed)
		err = ERR_NOTFOUND;
	if (err == ERR_OK)
		set_member_synced(&column->machine, call->data_column, call->end);
	else
		column->broken = true;
	append_ended(call, err);
}

static enum err accept_record(struct member_column *column, const struct set_append_call *call,
			      const struct record *record)
{
	uint64_t size = record_size(record->payload_size);
	struct hash128 expected;
	enum err err;

	if (size != call->record->size || size > MEMBER_RECORD_MAX || record->set != call->set ||
	    (record->type != RECORD_BLOB && record->type != RECORD_LOST) ||
	    !set_member_holds(&column->machine, record->column))
		return ERR_INVALID;
	err = records_reserve(&column->records, record->id, record->piece);
	if (err != ERR_OK)
		return err;
	expected =
		record_running(call->record->data, column->machine.columns[record->column].running);
	return set_member_append(&column->machine, record->column, record->offset, size, expected,
				 record->running);
}

/* Hands an accepted record to the log and enters it in the index. */
static void write_record(struct member_column *column, struct set_append_call *call,
			 const struct record *record)
{
	const struct column_entry entry = {.id = record->id,
					   .piece = record->piece,
					   .column = record->column,
					   .type = record->type,
					   .offset = record->offset,
					   .payload_size = record->payload_size};
	struct shared *bytes = call->record;

	call->record = NULL;
	call->append.done = appended;
	call->append.context = call;
	call->append.write.urgent = column->urgent;
	if (column->header.kind == COLUMN_DATA) {
		log_append_verbatim(column->log, &call->append, bytes);
	} else {
		call->append.record = *record;
		call->append.record.type = RECORD_MIRROR;
		call->append.record.flags = 0;
		call->append.record.payload_size = (uint32_t)bytes->size;
		record_hash_payload(&call->append.record, shared_bytes(bytes));
		log_append(column->log, &call->append, bytes);
	}
	records_add(&column->records, &entry, call->append.record.offset);
}

static void serve_append(struct member *member, struct set_append_call *call)
{
	struct member_column *column = find(member, call->set);
	struct record record;
	enum err err = ERR_NOTFOUND;

	if (column != NULL)
		err = column->broken || column->torn ? ERR_UNAVAILABLE : ERR_OK;
	if (err == ERR_OK && call->record->size < RECORD_HEADER_SIZE)
		err = ERR_CORRUPT;
	if (err == ERR_OK)
		err = record_decode(call->record->data, &record);
	if (err == ERR_OK)
		err = accept_record(column, call, &record);
	if (err != ERR_OK) {
		shared_release(&call->record);
		/* Told so before: then it is so, unless that write is still under way. */
		if (err == ERR_EXISTS)
			err = set_member_settled(&column->machine) ? ERR_OK : ERR_UNAVAILABLE;
		wire_reply(&call->wire, err);
		return;
	}
	call->member = member;
	call->column = column;
	call->end = record.offset + record_size(record.payload_size);
	call->data_column = record.column;
	member->appends++;
	column->appends++;
	column->users++;
	write_record(column, call, &record);
}

/* ---- fencing, removing ---- */

static WAITS enum err write_fence(struct member_column *column)
{
	struct record record = {.type = RECORD_FENCE, .birth_set = column->header.set};
	/* Urgent: without the fence nothing can take the place of what fills the disk. */
	enum err err = log_append_wait(column->log, &record, bytes_make(NULL, 0), true);

	if (err == ERR_OK)
		set_member_fenced(&column->machine);
	else
		column->broken = true;
	cond_broadcast(&column->changed);
	return err;
}

/* Answered when it and everything accepted before it are synced (INV 3 of the protocol). */
static WAITS enum err fence(struct member_column *column)
{
	if (member_column_sealed(column))
		return ERR_OK;
	if (column->log == NULL || column->broken)
		return ERR_IO;
	/* A fence behind a torn tail would be lost with it: the tail is refusal enough. */
	if (column->torn)
		return ERR_OK;
	if (set_member_fence(&column->machine)) {
		enum err err = write_fence(column);

		if (err != ERR_OK)
			return err;
	}
	while (!column->broken && !set_member_is_fenced(&column->machine)) {
		enum err err = cond_wait(&column->changed, TASK_FOREVER);

		if (err != ERR_OK)
			return err;
	}
	return column->broken ? ERR_IO : ERR_OK;
}

static WAITS enum err ask(struct member_column *column, struct set_ask_call *call)
{
	enum err err;

	if (!id128_equal(column->header.uuid, call->uuid))
		return ERR_CONFLICT;
	if (call->wire.operation == SET_FENCE && !column->broken) {
		err = fence(column);
		if (err != ERR_OK)
			return err;
	}
	member_answer(column, &call->answer);
	call->header = column->header;
	return ERR_OK;
}

static WAITS enum err truncate_tail(struct member_column *column, struct set_simple_call *call)
{
	enum err err;

	if (!id128_equal(column->header.uuid, call->uuid))
		return ERR_CONFLICT;
	if (!column->torn)
		return ERR_OK;
	err = log_truncate(column->log, log_end(column->log));
	if (err == ERR_OK)
		column->torn = false;
	return err;
}

static WAITS enum err remove_file(struct member *member, const struct column_header *header,
				  enum column_kind kind)
{
	char name[COLUMN_NAME_SIZE];
	enum err err;

	column_name(header->set, header->column, kind, name);
	if (PLANTED(removed_column_stays))
		return ERR_OK;
	err = volume_remove_file(member->volume, name);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static WAITS enum err remove_column(struct member *member, struct member_column *column,
				    struct set_simple_call *call)
{
	const struct column_header *header = &column->header;
	enum err err;

	if (!id128_equal(header->uuid, call->uuid))
		return ERR_CONFLICT;
	if (column->removed || (!id128_is_zero(call->tag) && !id128_equal(header->tag, call->tag)))
		return ERR_OK;
	column->removed = column->broken = true;
	map_remove(&member->columns, &header->set);
	/*
	 * Syncing a file without a name fails the volume, so what is under way ends first. Also when
	 * the env has stopped: then appends complete, too, and the last user takes the column along.
	 */
	while (column->appends > 0) {
		err = cond_wait(&column->changed, TASK_FOREVER);
		if (err != ERR_OK)
			task_yield();
	}
	if (header->column < header->profile.k)
		return remove_file(member, header, COLUMN_DATA);
	err = remove_file(member, header, COLUMN_MIRROR);
	return err == ERR_OK ? remove_file(member, header, COLUMN_PARITY) : err;
}

/* Those of a set of which nothing can be read here, and of which nothing is to stay. */
static WAITS enum err remove_unreadable(struct member *member, const struct set_simple_call *call)
{
	const size_t step = sizeof(struct member_unreadable);
	enum err err = ERR_OK;

	for (size_t at = 0; id128_is_zero(call->tag) && at < member->unreadable.size; at += step) {
		struct member_unreadable item;
		struct column_header header;

		memcpy(&item, member->unreadable.data + at, step);
		header = (struct column_header){.set = item.set, .column = item.column};
		if (item.set == call->set && err == ERR_OK)
			err = remove_file(member, &header, item.kind);
	}
	return err;
}

/* ---- enumerating ---- */

#define ENUMERATE_BATCH 64u

static size_t next_batch(struct member *member, const struct set_enumerate_call *call,
			 struct member_column *batch[ENUMERATE_BATCH + 1])
{
	struct member_column *column;
	size_t position = 0, count = 0;

	/* The lowest ids above `after`, by insertion: the table has no order of its own. */
	while ((column = map_next(&member->columns, &position, NULL)) != NULL) {
		size_t at;

		if (call->resume && column->header.set <= call->after)
			continue;
		for (at = count; at > 0 && batch[at - 1]->header.set > column->header.set; at--)
			if (at <= ENUMERATE_BATCH)
				batch[at] = batch[at - 1];
		if (at <= ENUMERATE_BATCH)
			batch[at] = column;
		if (count <= ENUMERATE_BATCH)
			count++;
	}
	return count;
}

static enum err enumerate_unreadable(struct member *member, struct set_enumerate_call *call)
{
	const size_t step = sizeof(struct member_unreadable);
	const size_t count = member->unreadable.size / step;

	call->items = shared_create(count * sizeof(uint64_t));
	if (call->items == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		struct member_unreadable item;

		memcpy(&item, member->unreadable.data + i * step, step);
		/* One that was made anew is a column as any other. */
		if (map_get(&member->columns, &item.set) == NULL)
			store_u64(call->items->data + call->count++ * sizeof(uint64_t), item.set);
	}
	return ERR_OK;
}

static enum err enumerate(struct member *member, struct set_enumerate_call *call)
{
	struct member_column *batch[ENUMERATE_BATCH + 1];
	size_t count = next_batch(member, call, batch);

	call->more = count > ENUMERATE_BATCH;
	call->count = (uint32_t)(call->more ? ENUMERATE_BATCH : count);
	call->items = shared_create(call->count * (size_t)SET_ENUMERATE_ITEM);
	if (call->items == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < call->count; i++) {
		uint8_t *item = call->items->data + i * SET_ENUMERATE_ITEM;
		struct hash128 seal = batch[i]->trailer.certificate.seal;

		column_header_encode(&batch[i]->header, item);
		store_u64(item + COLUMN_HEADER_SIZE, seal.low);
		store_u64(item + COLUMN_HEADER_SIZE + 8, seal.high);
		item[COLUMN_HEADER_SIZE + 16] =
			batch[i]->damaged || batch[i]->broken ? SET_ENUMERATE_DAMAGED : 0;
	}
	return ERR_OK;
}

uint64_t member_stored(const struct member *member)
{
	const struct member_column *column;
	size_t position = 0;
	uint64_t size = 0;

	while ((column = map_next(&member->columns, &position, NULL)) != NULL)
		if (column->header.kind == COLUMN_DATA)
			size += column->machine.columns[column->header.column].end;
	return size;
}

/* ---- serving ---- */

/* What a call is about; the set follows the wire part in all but two. */
static uint64_t set_of(const struct wire_call *call)
{
	switch ((enum set_operation)call->operation) {
	case SET_ASK:
	case SET_FENCE:
		return ((const struct set_ask_call *)call)->set;
	case SET_VOTE:
		return ((const struct set_vote_call *)call)->set;
	case SET_INDEX:
		return ((const struct set_index_call *)call)->set;
	case SET_CERTIFY:
		return ((const struct set_certify_call *)call)->set;
	case SET_READ:
		return ((const struct set_read_call *)call)->set;
	case SET_RANGE:
		return ((const struct set_range_call *)call)->set;
	case SET_LIST:
		return ((const struct set_list_call *)call)->set;
	case SET_TRUNCATE:
	case SET_REMOVE:
		return ((const struct set_simple_call *)call)->set;
	case SET_CHECK:
		return ((const struct set_check_call *)call)->set;
	case SET_CREATE:
	case SET_APPEND:
	case SET_ENUMERATE:
	case SET_REBUILD:
		break;
	}
	return 0;
}

static WAITS enum err perform(struct member *member, struct member_column *column,
			      struct wire_call *call)
{
	switch ((enum set_operation)call->operation) {
	case SET_ASK:
	case SET_FENCE:
		return ask(column, (struct set_ask_call *)call);
	case SET_VOTE:
		return member_vote(member, column, (struct set_vote_call *)call);
	case SET_INDEX:
		return member_index(member, column, (struct set_index_call *)call);
	case SET_CERTIFY:
		return member_certify(member, column, (struct set_certify_call *)call);
	case SET_READ:
		return member_read(member, column, (struct set_read_call *)call);
	case SET_RANGE:
		return member_range(member, column, (struct set_range_call *)call);
	case SET_LIST:
		return member_list(column, (struct set_list_call *)call);
	case SET_TRUNCATE:
		return truncate_tail(column, (struct set_simple_call *)call);
	case SET_REMOVE:
		return remove_column(member, column, (struct set_simple_call *)call);
	case SET_CHECK:
		return member_check(member, column, (struct set_check_call *)call);
	case SET_CREATE:
	case SET_APPEND:
	case SET_ENUMERATE:
	case SET_REBUILD:
		break;
	}
	return ERR_INVALID;
}

struct request {
	struct member *member;
	struct wire_call *call;
};

static WAITS enum err dispatch(struct member *member, struct wire_call *call)
{
	uint64_t set = set_of(call);
	struct member_column *column;
	enum err err;

	if (call->operation == SET_CREATE)
		return create(member, (struct set_create_call *)call);
	if (call->operation == SET_REBUILD)
		return member_rebuild(member, (struct set_rebuild_call *)call);
	column = find(member, set);
	if (column == NULL)
		return call->operation == SET_REMOVE
			       ? remove_unreadable(member, (struct set_simple_call *)call)
			       : ERR_NOTFOUND;
	member_column_enter(column);
	err = perform(member, column, call);
	member_column_leave(member, column);
	return err;
}

static void run_request(void *argument)
{
	struct request *request = argument;
	struct member *member = request->member;
	struct wire_call *call = request->call;
	enum err err;

	memory_free(request);
	err = dispatch(member, call);
	group_leave(&member->tasks);
	wire_reply(call, err);
}

/* References given with a call are the server's, also when it refuses. */
static void refuse(struct wire_call *call, enum err err)
{
	if (call->operation == SET_CERTIFY)
		shared_release(&((struct set_certify_call *)call)->index);
	if (call->operation == SET_APPEND)
		shared_release(&((struct set_append_call *)call)->record);
	if (call->operation == SET_REBUILD)
		member_rebuild_release((struct set_rebuild_call *)call);
	wire_reply(call, err);
}

static void serve(void *context, struct wire_call *call)
{
	struct member *member = context;
	struct request *request;
	enum err err;

	if (volume_state(member->volume) == VOLUME_FAILED) {
		refuse(call, ERR_IO);
		return;
	}
	if (call->operation == SET_APPEND) {
		serve_append(member, (struct set_append_call *)call);
		return;
	}
	if (call->operation == SET_ENUMERATE) {
		struct set_enumerate_call *which = (struct set_enumerate_call *)call;

		wire_reply(call, which->unreadable ? enumerate_unreadable(member, which)
						   : enumerate(member, which));
		return;
	}
	request = memory_allocate(sizeof(*request));
	if (request == NULL) {
		refuse(call, ERR_NOMEM);
		return;
	}
	*request = (struct request){member, call};
	group_enter(&member->tasks);
	err = task_spawn(member->sched, "set-member", run_request, request, NULL);
	if (err != ERR_OK) {
		memory_free(request);
		group_leave(&member->tasks);
		refuse(call, err);
	}
}

/* ---- life ---- */

static WAITS void destroy(struct member *member)
{
	struct member_column *column;
	size_t position = 0;

	while ((column = map_next(&member->columns, &position, NULL)) != NULL)
		member_column_destroy(column);
	map_finish(&member->columns);
	memory_free(member->pages);
	buf_finish(&member->unreadable);
	memory_free(member);
}

enum err member_open(struct volume *volume, struct wire *wire, struct member **out)
{
	struct member *member = memory_allocate(sizeof(*member));
	enum err err;

	if (member == NULL)
		return ERR_NOMEM;
	member->volume = volume;
	member->wire = wire;
	member->sched = volume_sched(volume);
	map_init(&member->columns, sizeof(uint64_t));
	member->pages = memory_array(MEMBER_CACHED_PAGES, sizeof(*member->pages));
	err = member->pages != NULL ? member_scan(member) : ERR_NOMEM;
	if (err == ERR_OK)
		err = wire_serve(wire, volume_id(volume), WIRE_SET, serve, member);
	if (err != ERR_OK) {
		destroy(member);
		return err;
	}
	*out = member;
	return ERR_OK;
}

struct id128 member_volume(const struct member *member)
{
	return volume_id(member->volume);
}

void member_close(struct member **member)
{
	struct member *closing = *member;

	if (closing == NULL)
		return;
	*member = NULL;
	closing->closing = true;
	wire_unserve(closing->wire, volume_id(closing->volume), WIRE_SET);
	group_wait(&closing->tasks);
	/* Appends complete even when the env has stopped, so this wait may not be cut short. */
	while (closing->appends > 0)
		task_yield();
	destroy(closing);
}
