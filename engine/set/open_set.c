/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

/* One record on its way to 1+m members. Lives until the slowest has answered. */
struct transfer {
	struct open_set *set;
	unsigned pending;
	uint64_t posted_us;
	uint64_t end;
	uint8_t column;
	struct set_append_call calls[];
};

/* ---- choosing ---- */

uint8_t open_set_preferred_column(struct id128 id, uint32_t piece, uint8_t k)
{
	/* Ids are random: any of their octets spreads. Pieces of one blob go round. */
	return (uint8_t)((load_u32(id.octets) % k + piece) % k);
}

static bool fits(const struct open_set *set, uint8_t column, uint64_t size)
{
	uint64_t end = set->machine.columns[column].end;

	/* An empty column takes anything, or the longest record would fit nowhere. */
	return end == 0 || end + size <= set->header.capacity;
}

static uint8_t shortest_column(const struct open_set *set)
{
	uint8_t shortest = 0;

	for (uint8_t i = 1; i < set->header.profile.k; i++)
		if (set->machine.columns[i].end < set->machine.columns[shortest].end)
			shortest = i;
	return shortest;
}

bool open_set_takes(const struct open_set *set, const struct put *put)
{
	return set->machine.state == SET_WRITER_OPEN &&
	       fits(set, shortest_column(set), put->bytes->size);
}

/*
 * The one where a reader looks first, unless it runs ahead of the others: what is longer in one
 * column than in another is parity over nothing.
 */
uint8_t open_set_column(const struct open_set *set, const struct put *put)
{
	uint8_t shortest = shortest_column(set);
	uint8_t column =
		open_set_preferred_column(put->record.id, put->record.piece, set->header.profile.k);
	uint64_t ahead = set->machine.columns[column].end - set->machine.columns[shortest].end;

	if (!fits(set, column, put->bytes->size) || ahead > set->header.capacity / 16)
		return shortest;
	return column;
}

/* ---- appending ---- */

static void give_back(struct put *put, enum err err)
{
	put->set = NULL;
	put->next = NULL;
	put->done(put, err);
}

/* Ends everything not acknowledged, in order. */
static void give_back_all(struct open_set *set, enum err err)
{
	for (size_t i = 0; i < set->header.profile.k; i++)
		while (set->first[i] != NULL) {
			struct put *put = set->first[i];

			set->first[i] = put->next;
			if (set->first[i] == NULL)
				set->last[i] = NULL;
			give_back(put, err);
		}
}

static void acknowledge(struct open_set *set, uint8_t column)
{
	uint64_t acknowledged = set_writer_acknowledged(&set->machine, column);

	while (set->first[column] != NULL && set->first[column]->end <= acknowledged) {
		struct put *put = set->first[column];

		set->first[column] = put->next;
		if (set->first[column] == NULL)
			set->last[column] = NULL;
		give_back(put, ERR_OK);
	}
}

static void lose_member(struct open_set *set, unsigned member, enum err err)
{
	struct id128 volume = set->header.members[member];
	bool first = set->machine.lost == 0;

	if (set->machine.state == SET_WRITER_OPEN)
		set->left_ms = env_now_ms(set->blobs->env);
	set_writer_lose(&set->machine, (uint8_t)member);
	if (err != ERR_CANCELED && first)
		env_log(set->blobs->env, "event=set-lost-member set=%016llx member=%u err=%s",
			(unsigned long long)set->header.set, member, err_name(err));
	if (err != ERR_CANCELED)
		health_suspect(&set->blobs->health, volume);
	give_back_all(set, err == ERR_CANCELED ? ERR_CANCELED : ERR_STALE);
	if (first)
		writer_set_broken(set->blobs, set);
}

/* Member numbers of a transfer: its data column, then the parity members. */
static unsigned member_of(const struct transfer *transfer, size_t copy)
{
	return copy == 0 ? transfer->column : transfer->set->header.profile.k + (unsigned)copy - 1;
}

static void release_transfer(struct transfer *transfer)
{
	if (--transfer->pending == 0)
		memory_free(transfer);
}

/* The store was closed before this disk answered. */
static void answered_nobody(struct transfer *transfer)
{
	struct open_set *set = transfer->set;

	release_transfer(transfer);
	if (set->in_flight == 0)
		memory_free(set);
}

static void take_answer(struct transfer *transfer, unsigned member, enum err err)
{
	struct open_set *set = transfer->set;
	struct blobs *blobs = set->blobs;

	if (err == ERR_OK) {
		health_took(&blobs->health, set->header.members[member], HEALTH_APPEND,
			    env_now_us(blobs->env) - transfer->posted_us);
		set_writer_synced(&set->machine, (uint8_t)member, transfer->column, transfer->end);
		acknowledge(set, transfer->column);
	} else {
		lose_member(set, member, err);
	}
}

static void answered(struct wire_call *wire)
{
	struct transfer *transfer = wire->context;
	struct set_append_call *call = (struct set_append_call *)wire;
	struct open_set *set = transfer->set;

	set->in_flight--;
	if (set->blobs == NULL) {
		answered_nobody(transfer);
		return;
	}
	take_answer(transfer, member_of(transfer, (size_t)(call - transfer->calls)), wire->err);
	release_transfer(transfer);
	set_writer_check(&set->machine);
	cond_broadcast(&set->changed);
	if (set->in_flight > 0 || set->machine.state == SET_WRITER_OPEN)
		return;
	if (set->abandoned)
		open_set_destroy(&set);
	else if (set->machine.state == SET_WRITER_PAUSED)
		writer_set_drained(set->blobs);
	else
		recovery_kick(set->blobs);
}

static struct transfer *make_transfer(struct open_set *set, uint8_t column, uint64_t end)
{
	size_t copies = 1u + set->header.profile.m;
	struct transfer *transfer =
		memory_allocate(sizeof(*transfer) + copies * sizeof(transfer->calls[0]));

	if (transfer == NULL)
		return NULL;
	transfer->set = set;
	transfer->column = column;
	transfer->end = end;
	transfer->pending = (unsigned)copies;
	transfer->posted_us = env_now_us(set->blobs->env);
	return transfer;
}

static void post_copies(struct transfer *transfer, struct shared *bytes)
{
	struct open_set *set = transfer->set;
	size_t copies = transfer->pending;

	for (size_t i = 0; i < copies; i++) {
		struct set_append_call *call = &transfer->calls[i];

		call->wire.operation = SET_APPEND;
		call->wire.volume = set->header.members[member_of(transfer, i)];
		call->wire.done = answered;
		call->wire.context = transfer;
		call->set = set->header.set;
		call->record = shared_reference(bytes);
		set->in_flight++;
		wire_post(set->blobs->wire, &call->wire);
	}
}

/* Somebody else may still read these bytes: another set's slow member. */
static enum err own_bytes(struct put *put)
{
	struct shared *copy;

	if (put->bytes->references == 1)
		return ERR_OK;
	copy = shared_create(put->bytes->size);
	if (copy == NULL)
		return ERR_NOMEM;
	memcpy(copy->data, put->bytes->data, copy->size);
	shared_release(&put->bytes);
	put->bytes = copy;
	return ERR_OK;
}

enum err open_set_put(struct open_set *set, uint8_t column, struct put *put)
{
	struct set_position *position = &set->machine.columns[column];
	uint64_t size = put->bytes->size, end = position->end + size;
	struct transfer *transfer;
	enum err err;

	ASSERT(size == record_size(put->record.payload_size));
	err = own_bytes(put);
	if (err != ERR_OK)
		return err;
	transfer = make_transfer(set, column, end);
	if (transfer == NULL)
		return ERR_NOMEM;
	if (put->record.birth_set == 0)
		put->record.birth_set = set->header.set;
	put->record.set = set->header.set;
	put->record.column = column;
	put->record.offset = position->end;
	put->record.durable = set_writer_durable(&set->machine, column);
	record_encode(&put->record, position->running, put->bytes->data);
	set_writer_appended(&set->machine, column, size, put->record.running);
	put->set = set;
	put->end = end;
	put->posted_ms = env_now_ms(set->blobs->env);
	put->next = NULL;
	if (set->first[column] == NULL)
		set->first[column] = put;
	else
		set->last[column]->next = put;
	set->last[column] = put;
	post_copies(transfer, put->bytes);
	return ERR_OK;
}

void open_set_pause(struct open_set *set, uint32_t slow)
{
	set_writer_pause(&set->machine);
	set->slow = slow;
	set->left_ms = env_now_ms(set->blobs->env);
	give_back_all(set, ERR_STALE);
}

void open_set_resume(struct open_set *set)
{
	ASSERT(set->in_flight == 0);
	set_writer_resume(&set->machine);
	set_writer_check(&set->machine);
	set->slow = 0;
}

void open_set_close(struct open_set *set)
{
	if (set->machine.state == SET_WRITER_OPEN)
		set->left_ms = env_now_ms(set->blobs->env);
	set_writer_close(&set->machine);
}

void open_set_give_back(struct open_set *set)
{
	give_back_all(set, ERR_STALE);
}

bool open_set_is_stuck(const struct open_set *set)
{
	return set->in_flight > 0 && set->machine.state != SET_WRITER_OPEN &&
	       env_now_ms(set->blobs->env) - set->left_ms >= ask_patience_ms(set->blobs);
}

uint64_t open_set_oldest_ms(const struct open_set *set)
{
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < set->header.profile.k; i++)
		if (set->first[i] != NULL && set->first[i]->posted_ms < oldest)
			oldest = set->first[i]->posted_ms;
	return oldest;
}

bool open_set_is_empty(const struct open_set *set)
{
	for (size_t i = 0; i < set->header.profile.k; i++)
		if (set->machine.columns[i].end != 0)
			return false;
	return true;
}

/* ---- opening ---- */

/* A copy, because the pure functions of the layout are asked as if those had failed. */
enum err open_set_usable_layout(const struct blobs *blobs, bool without_suspects,
				struct layout *out)
{
	const struct layout *layout = blobs->options.layout;
	enum err err = ERR_OK;

	*out = (struct layout){0};
	for (size_t i = 0; err == ERR_OK && i < layout->volume_count; i++) {
		struct layout_volume volume = layout->volumes[i];

		if (volume.full || ask_is_hanging(blobs, volume.volume) ||
		    (without_suspects && health_is_suspect(&blobs->health, volume.volume)))
			volume.failed = true;
		err = layout_put(out, &volume);
	}
	return err;
}

static struct profile profile_in(const struct blobs *blobs, const struct layout *usable)
{
	size_t taking = 0;

	for (size_t i = 0; i < usable->volume_count; i++)
		taking += !usable->volumes[i].failed && !usable->volumes[i].full;
	if (blobs->options.profile.k != 0 && profile_members(blobs->options.profile) <= taking)
		return blobs->options.profile;
	return layout_profile(usable);
}

/* A slow volume lives: to do without it may cost a set its width, never what it survives. */
struct profile open_set_profile(const struct blobs *blobs, const struct layout *usable)
{
	struct profile profile = profile_in(blobs, usable), best = {0, 0};
	struct layout live;

	if (open_set_usable_layout(blobs, false, &live) == ERR_OK)
		best = profile_in(blobs, &live);
	layout_finish(&live);
	return profile.m < best.m ? layout_profile_like(usable, best) : profile;
}

/* Those that are only full, and may be used up to the last byte. */
static void admit_full(const struct blobs *blobs, struct layout *usable)
{
	for (size_t i = 0; i < usable->volume_count; i++) {
		struct layout_volume *volume = &usable->volumes[i];
		const struct layout_volume *known =
			layout_find(blobs->options.layout, volume->volume);

		if (!volume->full || known->failed)
			continue;
		volume->full = false;
		volume->failed = ask_is_hanging(blobs, volume->volume);
	}
}

struct profile open_set_best_profile(const struct blobs *blobs, bool urgent)
{
	struct profile profile = writer_profile(blobs);
	struct layout usable;

	if (profile.k != 0 || !urgent)
		return profile;
	if (open_set_usable_layout(blobs, false, &usable) == ERR_OK) {
		admit_full(blobs, &usable);
		profile = open_set_profile(blobs, &usable);
	}
	layout_finish(&usable);
	return profile;
}

static enum err pick_members(struct blobs *blobs, struct column_header *header,
			     bool without_suspects, bool urgent)
{
	uint8_t key[8];
	struct layout usable;
	size_t count;
	enum err err = open_set_usable_layout(blobs, without_suspects, &usable);

	if (err == ERR_OK && urgent)
		admit_full(blobs, &usable);

	store_u64(key, header->set);
	if (err == ERR_OK) {
		header->profile = open_set_profile(blobs, &usable);
		count = profile_members(header->profile);
		if (header->profile.k == 0 ||
		    layout_pick(&usable, bytes_make(key, sizeof(key)), count, header->profile.m,
				true, header->members) < count)
			err = ERR_UNAVAILABLE;
	}
	if (err != ERR_OK)
		header->profile = (struct profile){0, 0};
	layout_finish(&usable);
	return err;
}

/* What is suspect is used when there is no way without: it may be slow, not dead. */
static enum err choose_members(struct blobs *blobs, struct column_header *header, bool urgent)
{
	enum err err = pick_members(blobs, header, true, false);

	if (err == ERR_UNAVAILABLE)
		err = pick_members(blobs, header, false, false);
	if (err == ERR_UNAVAILABLE && urgent)
		err = pick_members(blobs, header, false, true);
	return err == ERR_UNAVAILABLE ? writer_shortage(blobs) : err;
}

static struct column_header header_of(const struct open_set *set, const struct id128 *tags,
				      uint8_t column)
{
	struct column_header header = set->header;

	header.column = column;
	header.kind = column < header.profile.k ? COLUMN_DATA : COLUMN_MIRROR;
	header.tag = tags[column];
	return header;
}

/* What a member will have to hold of it; columns that differ in length take a little more. */
static uint64_t share_of(const struct column_header *header, uint64_t content)
{
	return header->kind == COLUMN_MIRROR ? content + content / header->profile.k
					     : content / header->profile.k;
}

/* ERR_NOMEM: not all; `calls` holds those that are. */
static enum err make_creations(const struct open_set *set, const struct id128 *tags,
			       const struct open_set_order *order, void **calls)
{
	for (uint8_t i = 0; i < profile_members(set->header.profile); i++) {
		struct set_create_call *call =
			ask_create(sizeof(*call), SET_CREATE, set->header.members[i], NULL);

		if (call == NULL)
			return ERR_NOMEM;
		call->header = header_of(set, tags, i);
		call->content = share_of(&call->header, order->content);
		call->urgent = order->urgent;
		calls[i] = call;
	}
	return ERR_OK;
}

static WAITS enum err create_columns(struct open_set *set, const struct id128 *tags,
				     const struct open_set_order *order)
{
	unsigned count = profile_members(set->header.profile);
	void *calls[PROFILE_MEMBER_MAX] = {NULL};
	enum err err = make_creations(set, tags, order, calls);

	/* A few accesses: whoever waits with a message can have another set for the asking. */
	if (err == ERR_OK)
		ask_all(set->blobs, calls, count, set->blobs->options.hedge_ms);
	for (unsigned i = 0; err != ERR_NOMEM && i < count; i++) {
		enum err created = ask_err(calls[i]);

		if (created == ERR_OK)
			continue;
		/* No room for so much is nothing against it: a message may still fit. */
		if (created != ERR_CANCELED && (created != ERR_NOSPACE || order->content == 0))
			health_suspect(&set->blobs->health, set->header.members[i]);
		if (err == ERR_OK || err == ERR_UNAVAILABLE)
			err = created;
	}
	for (unsigned i = 0; i < count; i++)
		ask_release(calls[i]);
	return err;
}

static WAITS enum err publish_birth(struct open_set *set, const struct id128 *tags)
{
	struct directory_record record = {.set = set->header.set};
	enum err err = ERR_OK;

	for (uint8_t i = 0; err == ERR_OK && i < profile_members(set->header.profile); i++) {
		struct column_header header = header_of(set, tags, i);

		err = directory_record_learn(&record, &header, (struct hash128){0, 0});
	}
	if (err == ERR_OK)
		err = directory_store_publish(set->blobs->directory, &record);
	directory_record_finish(&record);
	return err;
}

static void discard_answered(struct wire_call *call)
{
	memory_free(call);
}

/* Best effort, not waited for: what stays has no birth, and the next start removes it. */
static void discard_columns(struct open_set *set)
{
	for (unsigned i = 0; i < profile_members(set->header.profile); i++) {
		struct set_simple_call *call = memory_allocate(sizeof(*call));

		if (call == NULL)
			return;
		call->wire.operation = SET_REMOVE;
		call->wire.volume = set->header.members[i];
		call->wire.done = discard_answered;
		call->set = set->header.set;
		call->uuid = set->header.uuid;
		wire_post(set->blobs->wire, &call->wire);
	}
}

static void fill_header(struct blobs *blobs, struct column_header *header)
{
	env_random(blobs->env, &header->set, sizeof(header->set));
	header->uuid = env_random_id(blobs->env);
	header->cluster = blobs->options.cluster;
	header->node = blobs->options.node;
	header->incarnation = blobs->incarnation;
	header->created_ms = env_wall_ms(blobs->env);
}

static void end_birth(struct blobs *blobs, struct set_birth *birth)
{
	struct set_birth **link;

	for (link = &blobs->births; *link != birth; link = &(*link)->next)
		;
	*link = birth->next;
}

enum err open_set_create(struct blobs *blobs, const struct open_set_order *order,
			 struct open_set **out)
{
	struct open_set *set = memory_allocate(sizeof(*set));
	struct id128 tags[PROFILE_MEMBER_MAX];
	struct set_birth birth;
	enum err err;

	if (set == NULL)
		return ERR_NOMEM;
	set->blobs = blobs;
	set->opened_ms = env_now_ms(blobs->env);
	fill_header(blobs, &set->header);
	birth = (struct set_birth){set->header.set, blobs->births};
	blobs->births = &birth;
	set->header.capacity = order->capacity;
	set->header.born_sealed = order->predecessor_count != 0;
	set->header.predecessor_count = order->predecessor_count;
	for (uint32_t i = 0; i < order->predecessor_count; i++)
		set->header.predecessors[i] = order->predecessors[i];
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		tags[i] = env_random_id(blobs->env);
	err = choose_members(blobs, &set->header, order->urgent);
	if (err == ERR_OK)
		err = create_columns(set, tags, order);
	if (err == ERR_OK) {
		set_writer_init(&set->machine, set->header.profile);
		err = publish_birth(set, tags);
	}
	if (err != ERR_OK) {
		if (set->header.profile.k != 0)
			discard_columns(set);
		end_birth(blobs, &birth);
		memory_free(set);
		return err;
	}
	set_writer_born(&set->machine);
	set->next = blobs->open_sets;
	blobs->open_sets = set;
	end_birth(blobs, &birth);
	*out = set;
	return ERR_OK;
}

void open_set_destroy(struct open_set **set)
{
	struct open_set **link;

	if (*set == NULL)
		return;
	ASSERT((*set)->in_flight == 0);
	for (link = &(*set)->blobs->open_sets; *link != *set; link = &(*link)->next)
		;
	*link = (*set)->next;
	memory_free(*set);
	*set = NULL;
}

void open_set_abandon(struct open_set **set)
{
	if (*set != NULL && (*set)->in_flight > 0) {
		(*set)->abandoned = true;
		*set = NULL;
	}
	open_set_destroy(set);
}

void open_set_leave(struct open_set *set)
{
	unsigned in_flight = set->in_flight;

	set->blobs->open_sets = set->next;
	set->blobs = NULL;
	if (in_flight == 0)
		memory_free(set);
}
