/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/scrub.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/set/column_check.h"
#include "engine/set/repair.h"

#define SAVE_INTERVAL_MS 60000u
#define DAY_MS (24u * 60 * 60 * 1000ull)
/* Rests are cut in pieces, so that an order is heard. */
#define REST_MAX_MS 60000u
#define STATE_MAGIC 0x42524353u
#define STATE_SIZE_MAX 1024u

_Static_assert(COLUMN_FAULT_COUNT <= SCRUB_FAULT_KINDS, "a kind of fault without a counter");

struct scrub {
	struct blobs *blobs;
	struct cond changed;
	bool stopping, restart, under_way, in_task;
	bool hurried; /* the round was asked for: no rests */
	/* The column looked at last: volumes by id, sets ascending within each. */
	struct id128 volume;
	uint64_t set;
	bool has_set;
	uint64_t saved_ms;
	struct scrub_status status;
};

const char *scrub_fault_name(unsigned kind)
{
	return column_fault_name((enum column_fault)kind);
}

/* ---- what is kept ---- */

static void encode(const struct scrub *scrub, struct buf *out)
{
	const struct scrub_status *status = &scrub->status;

	buf_put_u32(out, STATE_MAGIC);
	buf_put_u8(out, (uint8_t)(status->paused | scrub->under_way << 1 | scrub->has_set << 2));
	buf_put_id(out, scrub->volume);
	buf_put_u64(out, scrub->set);
	buf_put_u64(out, status->columns_checked);
	buf_put_u64(out, status->bytes_checked);
	buf_put_u64(out, status->rounds);
	buf_put_u64(out, status->round_started_ms);
	buf_put_u64(out, status->last_finished_ms);
	for (size_t i = 0; i < SCRUB_FAULT_KINDS; i++)
		buf_put_u64(out, status->faults[i]);
	buf_put_u64(out, hash_64(out->data, out->size));
}

static void decode(struct scrub *scrub, struct bytes bytes)
{
	struct cursor cursor;
	struct scrub_status status = {0};
	uint8_t flags;

	if (bytes.size < 16 ||
	    load_u64(bytes.data + bytes.size - 8) != hash_64(bytes.data, bytes.size - 8))
		return;
	cursor = cursor_make(bytes_slice(bytes, 0, bytes.size - 8));
	if (cursor_u32(&cursor) != STATE_MAGIC)
		return;
	flags = cursor_u8(&cursor);
	scrub->volume = cursor_id(&cursor);
	scrub->set = cursor_u64(&cursor);
	status.columns_checked = cursor_u64(&cursor);
	status.bytes_checked = cursor_u64(&cursor);
	status.rounds = cursor_u64(&cursor);
	status.round_started_ms = cursor_u64(&cursor);
	status.last_finished_ms = cursor_u64(&cursor);
	for (size_t i = 0; i < SCRUB_FAULT_KINDS; i++)
		status.faults[i] = cursor_u64(&cursor);
	if (cursor_end(&cursor) != ERR_OK)
		return;
	status.paused = (flags & 1) != 0;
	scrub->under_way = (flags & 2) != 0;
	scrub->has_set = (flags & 4) != 0;
	scrub->status = status;
}

static WAITS void load_state(struct scrub *scrub)
{
	struct buf bytes = {0};

	if (scrub->blobs->options.scrub_state != NULL &&
	    io_read_file(scrub->blobs->options.scrub_state, STATE_SIZE_MAX, &bytes) == ERR_OK)
		decode(scrub, bytes_of_buf(&bytes));
	buf_finish(&bytes);
}

static WAITS void save_state(struct scrub *scrub)
{
	struct buf bytes = {0};

	scrub->saved_ms = env_now_ms(scrub->blobs->env);
	if (scrub->blobs->options.scrub_state == NULL)
		return;
	encode(scrub, &bytes);
	/* What is not kept costs a repetition only. */
	if (bytes.err == ERR_OK)
		(void)!io_replace_file(scrub->blobs->options.scrub_state, bytes_of_buf(&bytes));
	buf_finish(&bytes);
}

/* ---- one column ---- */

static void drop_check(struct wire_call *call)
{
	shared_release(&((struct set_check_call *)call)->faults);
}

static void count_faults(struct scrub *scrub, const struct set_check_call *call,
			 const struct column_header *header)
{
	for (uint32_t i = 0; i < call->count; i++) {
		struct set_fault fault;

		memcpy(&fault, call->faults->data + i * sizeof(fault), sizeof(fault));
		scrub->status.faults[fault.fault]++;
		env_log(scrub->blobs->env,
			"event=scrub-fault set=%016llx column=%u fault=%s offset=%llu size=%llu",
			(unsigned long long)header->set, header->column,
			column_fault_name((enum column_fault)fault.fault),
			(unsigned long long)fault.offset, (unsigned long long)fault.size);
	}
	if (call->count != 0)
		repair_damaged(scrub->blobs->repair, header->set, header->column);
}

/* ERR_CANCELED: told to end, or to begin anew. */
static WAITS enum err check_one(struct scrub *scrub, const struct column_header *header,
				uint64_t *size)
{
	struct set_check_call *check =
		ask_create(sizeof(*check), SET_CHECK, scrub->volume, drop_check);
	uint64_t patience_ms, deadline_ms;
	enum err err = ERR_OK;

	if (check == NULL)
		return ERR_NOMEM;
	check->set = header->set;
	check->rate = scrub->blobs->options.scrub_rate;
	patience_ms = ask_patience_paced_ms(scrub->blobs, header->set, check->rate);
	deadline_ms = env_now_ms(scrub->blobs->env) + patience_ms;
	ask_post(scrub->blobs, check, patience_ms, &scrub->changed);
	while (err == ERR_OK && !ask_is_answered(check))
		err = scrub->stopping ? ERR_CANCELED : cond_wait(&scrub->changed, deadline_ms);
	/* A disk that hangs is passed over: nothing more is asked of it until it answers. */
	if (ask_is_answered(check) || err == ERR_TIMEOUT)
		err = ask_err(check);
	if (err == ERR_OK) {
		*size = check->bytes_read;
		scrub->status.bytes_checked += *size;
		scrub->status.columns_checked++;
		count_faults(scrub, check, header);
	}
	ask_release(check);
	return err == ERR_NOMEM || err == ERR_CANCELED ? err : ERR_OK;
}

/* ---- in which order ---- */

static void drop_items(struct wire_call *call)
{
	shared_release(&((struct set_enumerate_call *)call)->items);
}

/* The next column of `volume` behind the set. ERR_NOTFOUND: none, or the volume is gone. */
static WAITS enum err next_of(struct scrub *scrub, struct column_header *out)
{
	struct set_enumerate_call *call =
		ask_create(sizeof(*call), SET_ENUMERATE, scrub->volume, drop_items);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->resume = scrub->has_set;
	call->after = scrub->set;
	err = ask(scrub->blobs, call, ask_patience_ms(scrub->blobs));
	if (err == ERR_OK)
		err = call->count > 0 ? column_header_decode(call->items->data, out) : ERR_NOTFOUND;
	ask_release(call);
	return err == ERR_IO || err == ERR_UNAVAILABLE ? ERR_NOTFOUND : err;
}

/* False: there is none behind it. */
static bool next_volume(struct scrub *scrub)
{
	const struct layout *layout = scrub->blobs->options.layout;

	for (size_t i = 0; i < layout->volume_count; i++)
		if (!layout->volumes[i].failed &&
		    id128_compare(layout->volumes[i].volume, scrub->volume) > 0) {
			scrub->volume = layout->volumes[i].volume;
			scrub->has_set = false;
			return true;
		}
	return false;
}

static WAITS enum err next_column(struct scrub *scrub, struct column_header *out)
{
	enum err err;

	if (id128_is_zero(scrub->volume) && !next_volume(scrub))
		return ERR_NOTFOUND;
	do {
		err = next_of(scrub, out);
	} while (err == ERR_NOTFOUND && next_volume(scrub));
	if (err == ERR_OK) {
		scrub->set = out->set;
		scrub->has_set = true;
	}
	return err;
}

/* Of all that is placed; what is open or on its way does not matter for an estimate. */
static uint64_t count_columns(const struct blobs *blobs)
{
	const struct directory_record *record;
	size_t position = 0;
	uint64_t count = 0;

	while ((record = directory_store_next(blobs->directory, &position)) != NULL)
		count += record->placements.count;
	return count;
}

static void begin_round(struct scrub *scrub)
{
	scrub->volume = ID128_ZERO;
	scrub->set = 0;
	scrub->hurried = scrub->restart;
	scrub->has_set = scrub->restart = false;
	scrub->under_way = true;
	scrub->status.columns_checked = scrub->status.bytes_checked = 0;
	scrub->status.round_started_ms = env_wall_ms(scrub->blobs->env);
}

static WAITS void end_round(struct scrub *scrub)
{
	scrub->under_way = scrub->hurried = false;
	scrub->status.rounds++;
	scrub->status.last_finished_ms = env_wall_ms(scrub->blobs->env);
	env_log(scrub->blobs->env, "event=scrub-finished columns=%llu bytes=%llu",
		(unsigned long long)scrub->status.columns_checked,
		(unsigned long long)scrub->status.bytes_checked);
	save_state(scrub);
}

/* ERR_NOTFOUND: that was the last one. */
static WAITS enum err step(struct scrub *scrub)
{
	struct column_header header;
	uint64_t size = 0;
	enum err err = next_column(scrub, &header);

	if (err == ERR_OK)
		err = check_one(scrub, &header, &size);
	if (err == ERR_OK && env_now_ms(scrub->blobs->env) - scrub->saved_ms >= SAVE_INTERVAL_MS)
		save_state(scrub);
	return err;
}

enum err scrub_run(struct scrub *scrub)
{
	enum err err = ERR_OK;

	begin_round(scrub);
	while (err == ERR_OK)
		err = step(scrub);
	if (err != ERR_NOTFOUND)
		return err;
	end_round(scrub);
	return ERR_OK;
}

/* ---- the task ---- */

/* Until that time, or an order. */
static WAITS void rest(struct scrub *scrub, uint64_t duration_ms)
{
	uint64_t until_ms = env_now_ms(scrub->blobs->env) + duration_ms;

	while (!scrub->stopping && !scrub->restart && !scrub->status.paused) {
		uint64_t now_ms = env_now_ms(scrub->blobs->env), left;

		if (now_ms >= until_ms)
			return;
		left = until_ms - now_ms < REST_MAX_MS ? until_ms - now_ms : REST_MAX_MS;
		if (cond_wait(&scrub->changed, now_ms + left) == ERR_CANCELED)
			return;
	}
}

/* Each column's share of the days that a round has, less what the reading took. */
static uint64_t share_ms(const struct scrub *scrub)
{
	uint64_t total = count_columns(scrub->blobs);

	return scrub->blobs->options.scrub_days * DAY_MS / (total != 0 ? total : 1);
}

/* By the wall clock, which may jump: a round too early or too late harms nobody. */
static uint64_t until_next_round(const struct scrub *scrub)
{
	uint64_t now_ms = env_wall_ms(scrub->blobs->env);
	uint64_t next_ms =
		scrub->status.round_started_ms + scrub->blobs->options.scrub_days * DAY_MS;

	return next_ms > now_ms ? next_ms - now_ms : 0;
}

static WAITS void go_on(struct scrub *scrub)
{
	uint64_t started_ms = env_now_ms(scrub->blobs->env), took_ms, share;
	enum err err;

	if (!scrub->under_way) {
		rest(scrub, until_next_round(scrub));
		if (!scrub->stopping && !scrub->status.paused)
			begin_round(scrub);
		return;
	}
	err = step(scrub);
	if (err == ERR_NOTFOUND) {
		end_round(scrub);
		return;
	}
	took_ms = env_now_ms(scrub->blobs->env) - started_ms;
	share = scrub->hurried ? 0 : share_ms(scrub);
	rest(scrub, share > took_ms ? share - took_ms : 0);
}

static void run_task(void *argument)
{
	struct scrub *scrub = argument;

	scrub->in_task = true;
	load_state(scrub);
	while (!scrub->stopping && !task_canceled()) {
		if (scrub->status.paused) {
			save_state(scrub);
			(void)!cond_wait(&scrub->changed, TASK_FOREVER);
			continue;
		}
		if (scrub->restart)
			begin_round(scrub);
		go_on(scrub);
	}
	save_state(scrub);
	scrub->in_task = false;
	group_leave(&scrub->blobs->tasks);
}

/* ---- life ---- */

enum err scrub_create(struct blobs *blobs, struct scrub **out)
{
	struct scrub *scrub = memory_allocate(sizeof(*scrub));

	if (scrub == NULL)
		return ERR_NOMEM;
	scrub->blobs = blobs;
	/* The first round begins a whole period after the first start: new bytes are good. */
	scrub->status.round_started_ms = env_wall_ms(blobs->env);
	*out = scrub;
	return ERR_OK;
}

enum err scrub_start(struct scrub *scrub)
{
	enum err err;

	group_enter(&scrub->blobs->tasks);
	err = task_spawn(scrub->blobs->sched, "set-scrub", run_task, scrub, NULL);
	if (err != ERR_OK)
		group_leave(&scrub->blobs->tasks);
	return err;
}

void scrub_stop(struct scrub *scrub)
{
	scrub->stopping = true;
	cond_broadcast(&scrub->changed);
}

void scrub_destroy(struct scrub **scrub)
{
	memory_free(*scrub);
	*scrub = NULL;
}

void scrub_order(struct scrub *scrub, enum scrub_order order)
{
	scrub->status.paused = order == SCRUB_PAUSE;
	scrub->restart |= order == SCRUB_START;
	cond_broadcast(&scrub->changed);
}

void scrub_get_status(const struct scrub *scrub, struct scrub_status *out)
{
	*out = scrub->status;
	out->running = scrub->in_task && scrub->under_way && !scrub->status.paused;
	out->columns_total = count_columns(scrub->blobs);
}
