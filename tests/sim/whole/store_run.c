/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/store_run.h"

#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"
#include "tests/sim/lives.h"
#include "tests/sim/whole/parts.h"

#define STORE_STREAM 702
#define CONTENT_STREAM 703
#define STREAM_COUNT 4u
#define BUSY_MS 20000u
#define STEP_MS 25u
#define QUIET_MS 5000u
#define PAYLOAD_PADDING 600u
/* Tries, a second apart, of what the faults of the regimen may spoil once. */
#define TRIES 20u
#define EXAM_PUTS 5u

enum item_state { ITEM_SENT, ITEM_NAMED, ITEM_ACKNOWLEDGED };

/* A blob and the entry that names it. */
struct item {
	enum item_state state;
	uint32_t stream, size;
	struct blob_ref ref;   /* from ITEM_NAMED on */
	uint64_t acknowledged; /* when, on the run's own clock */
	uint64_t found;	       /* the last reading that found it */
};

/* One account's: manifests of it are written by one at a time. */
struct stream {
	struct id128 id;
	struct gate gate;
	uint64_t epoch;		/* promised in this life; 0: not yet */
	uint64_t highest_epoch; /* ever promised */
};

struct run {
	struct world world;
	struct parts parts;
	struct lives lives;
	struct report *report;
	struct sim_random random;
	struct journal_writer *writer; /* of this life */
	struct stream streams[STREAM_COUNT];
	struct item *items;
	size_t item_count, item_capacity;
	uint64_t clock, reading;
	bool exam; /* faults have ended: everything must succeed */
	bool done;
};

static uint32_t below(struct run *run, uint64_t bound)
{
	return (uint32_t)sim_random_below(&run->random, bound);
}

/* ---- content ---- */

static void fill(size_t number, struct buf *out, uint32_t size)
{
	struct sim_random random;
	uint8_t *at = buf_extend(out, size);

	ASSERT(at != NULL);
	sim_random_init(&random, number, CONTENT_STREAM);
	sim_random_fill(&random, at, size);
}

/* Mostly small, at times larger than a column, rarely of several pieces. */
static uint32_t pick_size(struct run *run)
{
	switch (below(run, 20)) {
	case 0:
		return 1 + below(run, 400 * 1024);
	case 1:
		return below(run, 64) == 0 ? PIECE_SIZE + below(run, PIECE_SIZE) : 64 * 1024;
	case 2:
		return 0;
	default:
		return 1 + below(run, 16 * 1024);
	}
}

/* ---- uploads ---- */

static WAITS enum err upload(struct run *run, size_t number, struct blob_upload **out)
{
	struct blob_upload *opened = NULL;
	struct buf content = {0};
	struct bytes left;
	enum err err = blob_upload_open(run->parts.blobs, env_random_id(sched_env(task_sched())),
					(struct id128){{0xac}}, &opened);

	if (err != ERR_OK)
		return err;
	fill(number, &content, run->items[number].size);
	left = bytes_of_buf(&content);
	while (err == ERR_OK && left.size > 0) {
		struct bytes part = bytes_slice(left, 0, left.size < 50000 ? left.size : 50000);

		err = blob_upload_write(opened, part);
		left = bytes_slice(left, part.size, left.size - part.size);
	}
	buf_finish(&content);
	*out = opened;
	return err;
}

struct token {
	size_t number;
};

static enum err seal_token(void *context, const struct entry_place *place, struct buf *payload)
{
	const struct token *token = context;

	(void)place;
	buf_put_u64(payload, token->number);
	fill(token->number, payload, (uint32_t)(token->number * 37 % PAYLOAD_PADDING));
	return payload->err;
}

/* A home promises before it writes; a promise outlives every crash. */
static WAITS enum err promise(struct run *run, struct stream *stream)
{
	struct promise_result result;
	uint64_t epoch = 0;
	enum err err = journal_epoch(run->parts.journal, stream->id, &epoch);

	if (err != ERR_OK)
		return err;
	if (epoch < stream->highest_epoch)
		report_broken(run->report, run->world.sim, "promise",
			      "epoch %llu was promised, %llu is known",
			      (unsigned long long)stream->highest_epoch, (unsigned long long)epoch);
	epoch++;
	err = journal_promise(run->parts.journal, stream->id, epoch, PARTS_NODE, &result);
	if (err != ERR_OK)
		return err;
	stream->epoch = stream->highest_epoch = epoch;
	return ERR_OK;
}

static WAITS enum err promise_once(struct run *run, struct stream *stream)
{
	enum err err = gate_enter(&stream->gate, TASK_FOREVER);

	if (err != ERR_OK)
		return err;
	if (stream->epoch == 0)
		err = promise(run, stream);
	gate_leave(&stream->gate);
	return err;
}

static WAITS enum err name_blob(struct run *run, size_t number, struct blob_upload *upload)
{
	struct blob_ref ref;
	struct token token = {number};
	struct journal_append append = {.kind = ENTRY_OPERATION,
					.floor = blob_floor(run->parts.blobs),
					.blob_incarnation = blob_incarnation(run->parts.blobs),
					.blobs = &ref,
					.blob_count = 1,
					.seal = seal_token,
					.context = &token};
	struct stream *stream = &run->streams[run->items[number].stream];
	enum err err = blob_upload_finish(upload, &ref);

	if (err == ERR_OK)
		err = promise_once(run, stream);
	if (err != ERR_OK)
		return err;
	append.stream = stream->id;
	append.epoch = stream->epoch;
	run->items[number].ref = ref;
	run->items[number].state = ITEM_NAMED;
	return journal_append(run->writer, &append);
}

static WAITS enum err put(struct run *run)
{
	struct blob_upload *upload_open = NULL;
	size_t number = run->item_count;
	enum err err;

	run->items =
		sim_grow(run->items, run->item_count, &run->item_capacity, sizeof(*run->items));
	run->items[run->item_count++] =
		(struct item){.stream = below(run, STREAM_COUNT), .size = pick_size(run)};
	run->report->sent++;
	err = upload(run, number, &upload_open);
	if (err == ERR_OK)
		err = name_blob(run, number, upload_open);
	if (upload_open != NULL)
		blob_upload_release(&upload_open);
	if (err == ERR_OK) {
		run->items[number].state = ITEM_ACKNOWLEDGED;
		run->items[number].acknowledged = ++run->clock;
		run->report->acknowledged++;
	} else if (err != ERR_CANCELED) {
		run->report->refused++;
	}
	return err;
}

/* ---- reading blobs ---- */

static void check_bytes(struct run *run, size_t number, uint64_t offset, struct bytes found)
{
	struct buf whole = {0};
	uint32_t size = run->items[number].size;

	fill(number, &whole, size);
	if (offset + found.size > size ||
	    !bytes_equal(found, bytes_slice(bytes_of_buf(&whole), (size_t)offset, found.size)))
		report_broken(run->report, run->world.sim, "bytes",
			      "blob %zu has other bytes at %llu than were stored", number,
			      (unsigned long long)offset);
	buf_finish(&whole);
}

/* What another try may mend, where reads fail by themselves. */
static bool is_passing(const struct run *run, enum err err)
{
	return !run->exam && run->world.fickle &&
	       (err == ERR_IO || err == ERR_UNAVAILABLE || err == ERR_CORRUPT);
}

static WAITS void get(struct run *run, size_t number)
{
	const struct blob_ref ref = run->items[number].ref;
	uint64_t offset = 0, size = ref.size;
	struct buf out = {0};
	enum err err;
	unsigned tries = 0;

	if (!run->exam && size > 1 && below(run, 3) == 0) {
		offset = below(run, size);
		size = 1 + below(run, size - offset);
	}
	do {
		buf_clear(&out);
		err = blob_read(run->parts.blobs, &ref, offset, size, &out);
		if (err == ERR_OK || err == ERR_CANCELED || !is_passing(run, err))
			break;
		run->report->reads_retried++;
	} while (++tries < TRIES && task_sleep(1000) == ERR_OK);
	run->report->reads++;
	if (err == ERR_OK && out.size != size)
		report_broken(run->report, run->world.sim, "bytes", "blob %zu is short", number);
	else if (err == ERR_OK)
		check_bytes(run, number, offset, bytes_of_buf(&out));
	else if (err != ERR_CANCELED && !task_canceled() && !is_passing(run, err))
		report_broken(run->report, run->world.sim, "readable",
			      "acknowledged blob %zu of %llu bytes, set %016llx: %s", number,
			      (unsigned long long)ref.size,
			      (unsigned long long)(ref.extent_count ? ref.extents[0].set : 0),
			      err_name(err));
	buf_finish(&out);
}

/* ---- reading streams ---- */

/* One reading of a stream: manifests, their pages, and the entries beyond. */
struct listing_of {
	struct run *run;
	struct stream *stream;
	struct vector covered, seen, last; /* last: per incarnation, of the entries visited */
	struct id128 *pages;
	size_t page_count, page_capacity;
	struct buf fresh; /* numbers of the entries outside of any manifest */
	uint64_t number;  /* of this reading */
	bool complete;
};

static void found(struct listing_of *listing, uint64_t number, const char *where)
{
	struct run *run = listing->run;
	struct item *item;

	if (number >= run->item_count || run->items[number].state == ITEM_SENT) {
		report_broken(run->report, run->world.sim, "unknown",
			      "number %llu in a %s, which nobody sent", (unsigned long long)number,
			      where);
		return;
	}
	item = &run->items[number];
	if (item->found == listing->number)
		report_broken(run->report, run->world.sim, "twice", "entry %llu, again in a %s",
			      (unsigned long long)number, where);
	item->found = listing->number;
}

static enum err visit_entry(void *context, const struct entry *entry)
{
	struct listing_of *listing = context;
	struct run *run = listing->run;
	struct cursor cursor = cursor_make(entry->payload);
	uint64_t number = cursor_u64(&cursor);
	uint64_t before = vector_get(&listing->last, entry->incarnation);
	uint64_t start = vector_get(&listing->covered, entry->incarnation);

	if (entry->seq != (before != 0 ? before : start) + 1)
		report_broken(run->report, run->world.sim, "order", "entry %llu follows %llu",
			      (unsigned long long)entry->seq, (unsigned long long)before);
	found(listing, number, "entry");
	if (!run->world.sim->failed &&
	    (entry->blob_count != 1 || !id128_equal(entry->blobs[0].id, run->items[number].ref.id)))
		report_broken(run->report, run->world.sim, "bytes", "entry %llu names another blob",
			      (unsigned long long)number);
	buf_put_u64(&listing->fresh, number);
	return vector_raise(&listing->last, entry->incarnation, entry->seq);
}

static void add_page(struct listing_of *listing, struct id128 page)
{
	for (size_t i = 0; i < listing->page_count; i++) {
		if (id128_equal(listing->pages[i], page))
			return;
	}
	listing->pages = sim_grow(listing->pages, listing->page_count, &listing->page_capacity,
				  sizeof(*listing->pages));
	listing->pages[listing->page_count++] = page;
}

static enum err visit_manifest(void *context, const struct manifest *manifest)
{
	struct listing_of *listing = context;

	for (size_t i = 0; i < manifest->page_count; i++)
		add_page(listing, manifest->pages[i]);
	return vector_merge(&listing->covered, &manifest->vector);
}

static WAITS enum err read_pages(struct listing_of *listing)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < listing->page_count && err == ERR_OK; i++) {
		struct buf payload = {0};

		err = journal_read_page(listing->run->parts.journal, listing->stream->id,
					listing->pages[i], &payload);
		for (size_t at = 0; err == ERR_OK && at + 8 <= payload.size; at += 8)
			found(listing, load_u64(payload.data + at), "page");
		buf_finish(&payload);
	}
	return err;
}

static WAITS enum err read_entries(struct listing_of *listing)
{
	struct journal *journal = listing->run->parts.journal;
	bool more = true;
	enum err err = vector_merge(&listing->seen, &listing->covered);

	listing->complete = true;
	while (err == ERR_OK && more) {
		struct vector after = {0};
		bool complete;

		err = vector_copy(&listing->seen, &after);
		if (err == ERR_OK)
			err = journal_read(journal, listing->stream->id, &after,
					   1 + below(listing->run, 64), visit_entry, listing,
					   &listing->seen, &complete, &more);
		if (err == ERR_OK)
			listing->complete &= complete;
		vector_finish(&after);
	}
	return err;
}

static void find_missing(const struct listing_of *listing, uint64_t asked)
{
	struct run *run = listing->run;

	for (size_t i = 0; i < run->item_count; i++) {
		const struct item *item = &run->items[i];

		if (&run->streams[item->stream] != listing->stream ||
		    item->state != ITEM_ACKNOWLEDGED || item->acknowledged > asked ||
		    item->found == listing->number)
			continue;
		report_broken(run->report, run->world.sim, "missing",
			      "acknowledged entry %zu is in no manifest and no entry", i);
		return;
	}
}

static WAITS enum err list(struct listing_of *listing)
{
	struct run *run = listing->run;
	uint64_t asked = run->clock;
	enum err err;

	listing->number = ++run->reading;
	err = journal_manifests(run->parts.journal, listing->stream->id, visit_manifest, listing);
	if (err == ERR_OK)
		err = read_pages(listing);
	if (err == ERR_OK)
		err = read_entries(listing);
	if (err != ERR_OK)
		return err;
	run->report->listings++;
	run->report->incomplete_listings += !listing->complete;
	if (listing->complete)
		find_missing(listing, asked);
	return ERR_OK;
}

static void listing_of_finish(struct listing_of *listing)
{
	vector_finish(&listing->covered);
	vector_finish(&listing->seen);
	vector_finish(&listing->last);
	sim_free(listing->pages);
	buf_finish(&listing->fresh);
}

/* Stands for all that a complete reading found: what it covers may go everywhere. */
static WAITS void put_manifest(struct listing_of *listing)
{
	struct run *run = listing->run;
	struct env *env = sched_env(task_sched());
	struct manifest_page page = {.id = env_random_id(env),
				     .payload = bytes_of_buf(&listing->fresh)};
	struct manifest manifest = {.stream = listing->stream->id,
				    .id = env_random_id(env),
				    .incarnation = journal_writer_incarnation(run->writer),
				    .epoch = listing->stream->epoch,
				    .floor = blob_floor(run->parts.blobs),
				    .vector = listing->seen};
	enum err err;

	add_page(listing, page.id);
	manifest.pages = listing->pages;
	manifest.page_count = listing->page_count;
	err = journal_put_manifest(run->parts.journal, &manifest, &page, 1);
	run->report->manifests += err == ERR_OK;
	run->report->refused += err != ERR_OK && err != ERR_CANCELED;
}

/* Again when a manifest came to light meanwhile: what it covers is no longer among the entries. */
static WAITS enum err list_anew(struct listing_of *listing)
{
	struct run *run = listing->run;
	struct stream *stream = listing->stream;
	enum err err = list(listing);

	for (unsigned tries = 1; err == ERR_STALE && tries < TRIES; tries++) {
		listing_of_finish(listing);
		*listing = (struct listing_of){.run = run, .stream = stream};
		err = task_sleep(100);
		if (err == ERR_OK)
			err = list(listing);
	}
	return err;
}

/* Reads a stream, and at times writes a manifest of what it found. */
static WAITS enum err read_stream(struct run *run, struct stream *stream, bool *complete)
{
	struct listing_of listing = {.run = run, .stream = stream};
	enum err err = gate_enter(&stream->gate, TASK_FOREVER);

	if (err != ERR_OK)
		return err;
	err = list_anew(&listing);
	*complete = listing.complete;
	if (err == ERR_OK && stream->epoch == 0)
		err = promise(run, stream);
	if (err == ERR_OK && listing.complete && !run->world.sim->failed && below(run, 3) == 0)
		put_manifest(&listing);
	listing_of_finish(&listing);
	gate_leave(&stream->gate);
	return err;
}

/* ---- steps ---- */

static void run_put(void *argument)
{
	enum err err = put(argument);

	(void)err;
}

static void run_get(void *argument)
{
	struct run *run = argument;
	size_t number = below(run, run->item_count);

	if (run->item_count != 0 && run->items[number].state == ITEM_ACKNOWLEDGED)
		get(run, number);
}

static void run_list(void *argument)
{
	struct run *run = argument;
	struct stream *stream = &run->streams[below(run, STREAM_COUNT)];
	bool complete;
	enum err err = read_stream(run, stream, &complete);

	if (err == ERR_OK || err == ERR_CANCELED || task_canceled() || is_passing(run, err))
		return;
	/* The promise may be refused, as any write. */
	if (err != ERR_UNAVAILABLE && err != ERR_NOSPACE)
		report_broken(run->report, run->world.sim, "readable", "a stream: %s",
			      err_name(err));
}

static void run_settle(void *argument)
{
	struct run *run = argument;
	enum err err = blobs_settle(run->parts.blobs);

	(void)err;
}

static void halt_at_times(struct run *run)
{
	struct sim_node *node = run->world.node;

	if (!sim_is_running(node))
		return;
	if (sim_random_chance(&run->random, run->world.crash_per_million)) {
		run->report->crashes++;
		sim_crash(node, SIM_CRASH_RANDOM);
	} else if (sim_random_chance(&run->random, run->world.kill_per_million)) {
		sim_kill(node);
	}
}

static void act(struct run *run)
{
	struct sim_node *node = run->world.node;
	uint32_t what = below(run, 100);

	halt_at_times(run);
	if (!lives_serves(&run->lives, node))
		return;
	if (what < 50)
		sim_spawn(node, "put", run_put, run);
	else if (what < 90)
		sim_spawn(node, "get", run_get, run);
	else if (what < 99)
		sim_spawn(node, "list", run_list, run);
	else
		sim_spawn(node, "settle", run_settle, run);
}

/* ---- lives ---- */

/* Where reads fail by themselves, whoever starts the program starts it again. */
static WAITS enum err open_patiently(struct run *run)
{
	enum err err = parts_open(&run->parts);

	for (unsigned tries = 1; tries < TRIES && is_passing(run, err); tries++) {
		parts_close(&run->parts);
		if (task_sleep(1000) != ERR_OK)
			return ERR_CANCELED;
		err = parts_open(&run->parts);
	}
	return err;
}

static WAITS enum err start(void *context, struct sim_node *node)
{
	struct run *run = context;
	enum err err = open_patiently(run);

	(void)node;
	for (size_t i = 0; i < STREAM_COUNT; i++)
		run->streams[i].epoch = 0;
	if (err == ERR_OK)
		err = journal_writer_create(run->parts.journal, NULL, ID128_ZERO, &run->writer);
	return err;
}

static WAITS void stop(void *context, struct sim_node *node)
{
	struct run *run = context;
	struct blobs_status blobs;
	struct journal_status journal;

	(void)node;
	if (run->parts.blobs != NULL) {
		blobs_get_status(run->parts.blobs, &blobs);
		journal_get_status(run->parts.journal, &journal);
		run->report->seals += blobs.seals;
		run->report->evacuations += blobs.evacuations;
		run->report->degraded_reads += blobs.degraded_reads;
		run->report->mirror_reads += blobs.mirror_reads;
		run->report->truncated += journal.truncated;
	}
	journal_writer_destroy(&run->writer);
	parts_close(&run->parts);
}

/* ---- the exam ---- */

static WAITS void read_all(struct run *run)
{
	struct sim *sim = run->world.sim;

	for (size_t i = 0; i < STREAM_COUNT && !sim->failed; i++) {
		bool complete = false;
		enum err err = ERR_OK;

		/* A replica that finds damage only now does not count until the others mended it. */
		for (unsigned tries = 0; (!complete || err == ERR_UNAVAILABLE) && tries < TRIES;
		     tries++) {
			err = read_stream(run, &run->streams[i], &complete);
			if ((!complete || err == ERR_UNAVAILABLE) && task_sleep(1000) != ERR_OK)
				break;
		}
		if (err != ERR_OK || !complete)
			report_broken(run->report, sim, "readable", "stream %zu at rest: %s", i,
				      err == ERR_OK ? "never complete" : err_name(err));
	}
	for (size_t i = 0; i < run->item_count && !sim->failed; i++) {
		if (run->items[i].state == ITEM_ACKNOWLEDGED)
			get(run, i);
	}
}

static WAITS void settle_all(struct run *run)
{
	enum err err = ERR_UNAVAILABLE;

	for (unsigned tries = 0; err == ERR_UNAVAILABLE && tries < TRIES; tries++) {
		err = blobs_settle(run->parts.blobs);
		if (err == ERR_UNAVAILABLE && task_sleep(1000) != ERR_OK)
			break;
	}
	/* What only an absent volume could tell has to wait for it. */
	if (err == ERR_UNAVAILABLE && parts_lack_volume(&run->parts))
		return;
	if (err != ERR_OK && !run->world.sim->failed)
		report_broken(run->report, run->world.sim, "settles", "sets cannot be finished: %s",
			      err_name(err));
}

/* A volume that went while the node ran is known as failed when something failed on it. */
static WAITS void put_some(struct run *run)
{
	unsigned failures = 0;

	for (unsigned i = 0; i < EXAM_PUTS && failures < TRIES; i++) {
		if (put(run) == ERR_OK)
			continue;
		failures++;
		i--;
		if (task_sleep(1000) != ERR_OK)
			break;
	}
	if (failures == TRIES && !run->world.sim->failed)
		report_broken(run->report, run->world.sim, "takes writes",
			      "two volumes live, and nothing can be stored");
}

static void examine(void *argument)
{
	struct run *run = argument;

	read_all(run);
	if (!run->world.sim->failed)
		settle_all(run);
	if (!run->world.sim->failed)
		put_some(run);
	if (!run->world.sim->failed)
		read_all(run);
	run->done = true;
}

static enum err sit_exam(struct run *run)
{
	run->done = false;
	return lives_run(&run->lives, run->world.node, "exam", examine, run, &run->done);
}

static enum err restart(struct run *run)
{
	sim_kill(run->world.node);
	return lives_settle(&run->lives);
}

static enum err take_exams(struct run *run)
{
	struct world *world = &run->world;
	bool while_running = sim_random_below(&run->random, 2) == 0;
	enum err err;

	world_calm(world);
	/* A volume that failed for one bad read serves again in the next life. */
	if (world->fickle && sim_is_running(world->node))
		sim_kill(world->node);
	err = lives_settle(&run->lives);
	if (err == ERR_OK)
		err = sim_run_for(world->sim, QUIET_MS);
	run->exam = true;
	if (err == ERR_OK)
		err = sit_exam(run);
	if (err == ERR_OK && !while_running)
		sim_kill(world->node);
	if (err == ERR_OK)
		world_lose_disks(world);
	if (err == ERR_OK)
		err = lives_settle(&run->lives);
	if (err == ERR_OK)
		err = sit_exam(run);
	if (err == ERR_OK)
		err = restart(run);
	return err == ERR_OK ? sit_exam(run) : err;
}

/* ---- a run ---- */

static enum err be_busy(struct run *run)
{
	uint64_t end = sim_now_ms(run->world.sim) + BUSY_MS;
	enum err err = ERR_OK;

	while (err == ERR_OK && sim_now_ms(run->world.sim) < end) {
		if (below(run, STEP_MS) < LIVES_TURN_MS)
			act(run);
		err = lives_turn(&run->lives);
	}
	return err;
}

static void init(struct run *run, uint64_t seed, struct report *report)
{
	*run = (struct run){.report = report};
	world_init(&run->world, seed, seed % 5 == 4 ? 5 : 3);
	parts_init(&run->parts, &run->world);
	sim_random_init(&run->random, seed, STORE_STREAM);
	for (size_t i = 0; i < STREAM_COUNT; i++) {
		run->streams[i].id =
			(struct id128){{0x57, (uint8_t)i, (uint8_t)(seed >> 8), (uint8_t)seed}};
		run->streams[i].gate.limit = 1;
	}
	run->lives =
		(struct lives){.sim = run->world.sim, .start = start, .stop = stop, .context = run};
}

enum err store_run(uint64_t seed, struct report *report)
{
	struct run *run = sim_allocate(sizeof(*run));
	struct sim *sim;
	enum err err;

	*report = (struct report){0};
	init(run, seed, report);
	sim = run->world.sim;
	err = parts_format(&run->parts);
	if (err == ERR_OK) {
		world_unleash(&run->world);
		lives_begin(&run->lives);
		err = be_busy(run);
	}
	if (err == ERR_OK)
		err = take_exams(run);
	lives_end(&run->lives);
	if (sim->failed) {
		err = ERR_LIMIT;
		if (report->oracle[0] == '\0')
			memcpy(report->oracle, "recovery", sizeof("recovery"));
	}
	report->restarts = run->lives.restarts;
	report->events = sim->event_count;
	report->virtual_ms = sim_now_ms(sim) - run->world.start_ms;
	report->trace_hash = sim_trace_hash(sim);
	world_count_faults(&run->world, report->faults);
	report->crashes += report->faults[SIM_FAULT_CRASH];
	world_finish(&run->world);
	sim_free(run->items);
	sim_free(run);
	return err;
}
