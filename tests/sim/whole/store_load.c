/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/store_load.h"

#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

#define CONTENT_STREAM 703
#define PAYLOAD_PADDING 600u
#define EXAM_PUTS 5u
#define STREAM_COUNT STORE_LOAD_STREAMS
#define TRIES STORE_LOAD_TRIES

enum item_state { ITEM_SENT, ITEM_NAMED, ITEM_ACKNOWLEDGED };

/* A blob and the entry that names it. */
struct store_item {
	enum item_state state;
	uint32_t stream, size;
	struct blob_ref ref;   /* from ITEM_NAMED on */
	uint64_t acknowledged; /* when, on the run's own clock */
	uint64_t found;	       /* the last reading that found it */
};

static uint32_t below(struct store_load *load, uint64_t bound)
{
	return (uint32_t)sim_random_below(&load->random, bound);
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
static uint32_t pick_size(struct store_load *load)
{
	switch (below(load, 20)) {
	case 0:
		return 1 + below(load, 400 * 1024);
	case 1:
		return below(load, 64) == 0 ? PIECE_SIZE + below(load, PIECE_SIZE) : 64 * 1024;
	case 2:
		return 0;
	default:
		return 1 + below(load, 16 * 1024);
	}
}

/* ---- uploads ---- */

static WAITS enum err upload(struct store_load *load, size_t number, struct blob_upload **out)
{
	struct blob_upload *opened = NULL;
	struct buf content = {0};
	struct bytes left;
	enum err err = blob_upload_open(load->parts.blobs, env_random_id(sched_env(task_sched())),
					(struct id128){{0xac}}, &opened);

	if (err != ERR_OK)
		return err;
	fill(number, &content, load->items[number].size);
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
static WAITS enum err promise(struct store_load *load, struct store_stream *stream)
{
	struct promise_result result;
	uint64_t epoch = 0;
	enum err err = journal_epoch(load->parts.journal, stream->id, &epoch);

	if (err != ERR_OK)
		return err;
	if (epoch < stream->highest_epoch)
		report_broken(load->report, load->world.sim, "promise",
			      "epoch %llu was promised, %llu is known",
			      (unsigned long long)stream->highest_epoch, (unsigned long long)epoch);
	epoch++;
	err = journal_promise(load->parts.journal, stream->id, epoch, PARTS_NODE, &result);
	if (err != ERR_OK)
		return err;
	stream->epoch = stream->highest_epoch = epoch;
	return ERR_OK;
}

static WAITS enum err promise_once(struct store_load *load, struct store_stream *stream)
{
	enum err err = gate_enter(&stream->gate, TASK_FOREVER);

	if (err != ERR_OK)
		return err;
	if (stream->epoch == 0)
		err = promise(load, stream);
	gate_leave(&stream->gate);
	return err;
}

static WAITS enum err name_blob(struct store_load *load, size_t number, struct blob_upload *upload)
{
	struct blob_ref ref;
	struct token token = {number};
	struct journal_append append = {.kind = ENTRY_OPERATION,
					.floor = blob_floor(load->parts.blobs),
					.blob_incarnation = blob_incarnation(load->parts.blobs),
					.blobs = &ref,
					.blob_count = 1,
					.seal = seal_token,
					.context = &token};
	struct store_stream *stream = &load->streams[load->items[number].stream];
	enum err err = blob_upload_finish(upload, &ref);

	if (err == ERR_OK)
		err = promise_once(load, stream);
	if (err != ERR_OK)
		return err;
	append.stream = stream->id;
	append.epoch = stream->epoch;
	load->items[number].ref = ref;
	load->items[number].state = ITEM_NAMED;
	return journal_append(load->writer, &append);
}

static WAITS enum err put(struct store_load *load)
{
	struct blob_upload *upload_open = NULL;
	size_t number = load->item_count;
	enum err err;

	load->items =
		sim_grow(load->items, load->item_count, &load->item_capacity, sizeof(*load->items));
	load->items[load->item_count++] =
		(struct store_item){.stream = below(load, STREAM_COUNT), .size = pick_size(load)};
	load->report->sent++;
	err = upload(load, number, &upload_open);
	if (err == ERR_OK)
		err = name_blob(load, number, upload_open);
	if (upload_open != NULL)
		blob_upload_release(&upload_open);
	if (err == ERR_OK) {
		load->items[number].state = ITEM_ACKNOWLEDGED;
		load->items[number].acknowledged = ++load->clock;
		load->report->acknowledged++;
	} else if (err != ERR_CANCELED) {
		load->report->refused++;
	}
	return err;
}

/* ---- reading blobs ---- */

static void check_bytes(struct store_load *load, size_t number, uint64_t offset, struct bytes found)
{
	struct buf whole = {0};
	uint32_t size = load->items[number].size;

	fill(number, &whole, size);
	if (offset + found.size > size ||
	    !bytes_equal(found, bytes_slice(bytes_of_buf(&whole), (size_t)offset, found.size)))
		report_broken(load->report, load->world.sim, "bytes",
			      "blob %zu has other bytes at %llu than were stored", number,
			      (unsigned long long)offset);
	buf_finish(&whole);
}

/* What another try may mend, where reads fail by themselves. */
static bool is_passing(const struct store_load *load, enum err err)
{
	return !load->exam && load->world.fickle &&
	       (err == ERR_IO || err == ERR_UNAVAILABLE || err == ERR_CORRUPT);
}

static WAITS void get(struct store_load *load, size_t number)
{
	const struct blob_ref ref = load->items[number].ref;
	uint64_t offset = 0, size = ref.size;
	struct buf out = {0};
	enum err err;
	unsigned tries = 0;

	if (!load->exam && size > 1 && below(load, 3) == 0) {
		offset = below(load, size);
		size = 1 + below(load, size - offset);
	}
	do {
		buf_clear(&out);
		err = blob_read(load->parts.blobs, &ref, offset, size, &out);
		if (err == ERR_OK || err == ERR_CANCELED || !is_passing(load, err))
			break;
		load->report->reads_retried++;
	} while (++tries < TRIES && task_sleep(1000) == ERR_OK);
	load->report->reads++;
	if (err == ERR_OK && out.size != size)
		report_broken(load->report, load->world.sim, "bytes", "blob %zu is short", number);
	else if (err == ERR_OK)
		check_bytes(load, number, offset, bytes_of_buf(&out));
	else if (err != ERR_CANCELED && !task_canceled() && !is_passing(load, err))
		report_broken(load->report, load->world.sim, "readable",
			      "acknowledged blob %zu of %llu bytes, set %016llx: %s", number,
			      (unsigned long long)ref.size,
			      (unsigned long long)(ref.extent_count ? ref.extents[0].set : 0),
			      err_name(err));
	buf_finish(&out);
}

/* ---- reading streams ---- */

/* One reading of a stream: manifests, their pages, and the entries beyond. */
struct listing_of {
	struct store_load *load;
	struct store_stream *stream;
	struct vector covered, seen, last; /* last: per incarnation, of the entries visited */
	struct id128 *pages;
	size_t page_count, page_capacity;
	struct buf fresh; /* numbers of the entries outside of any manifest */
	uint64_t number;  /* of this reading */
	bool complete;
};

static void found(struct listing_of *listing, uint64_t number, const char *where)
{
	struct store_load *load = listing->load;
	struct store_item *item;

	if (number >= load->item_count || load->items[number].state == ITEM_SENT) {
		report_broken(load->report, load->world.sim, "unknown",
			      "number %llu in a %s, which nobody sent", (unsigned long long)number,
			      where);
		return;
	}
	item = &load->items[number];
	if (item->found == listing->number)
		report_broken(load->report, load->world.sim, "twice", "entry %llu, again in a %s",
			      (unsigned long long)number, where);
	item->found = listing->number;
}

static enum err visit_entry(void *context, const struct entry *entry)
{
	struct listing_of *listing = context;
	struct store_load *load = listing->load;
	struct cursor cursor = cursor_make(entry->payload);
	uint64_t number = cursor_u64(&cursor);
	uint64_t before = vector_get(&listing->last, entry->incarnation);
	uint64_t start = vector_get(&listing->covered, entry->incarnation);

	if (entry->seq != (before != 0 ? before : start) + 1)
		report_broken(load->report, load->world.sim, "order", "entry %llu follows %llu",
			      (unsigned long long)entry->seq, (unsigned long long)before);
	found(listing, number, "entry");
	if (!load->world.sim->failed &&
	    (entry->blob_count != 1 ||
	     !id128_equal(entry->blobs[0].id, load->items[number].ref.id)))
		report_broken(load->report, load->world.sim, "bytes",
			      "entry %llu names another blob", (unsigned long long)number);
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

		err = journal_read_page(listing->load->parts.journal, listing->stream->id,
					listing->pages[i], &payload);
		for (size_t at = 0; err == ERR_OK && at + 8 <= payload.size; at += 8)
			found(listing, load_u64(payload.data + at), "page");
		buf_finish(&payload);
	}
	return err;
}

static WAITS enum err read_entries(struct listing_of *listing)
{
	struct journal *journal = listing->load->parts.journal;
	bool more = true;
	enum err err = vector_merge(&listing->seen, &listing->covered);

	listing->complete = true;
	while (err == ERR_OK && more) {
		struct vector after = {0};
		bool complete;

		err = vector_copy(&listing->seen, &after);
		if (err == ERR_OK)
			err = journal_read(journal, listing->stream->id, &after,
					   1 + below(listing->load, 64), visit_entry, listing,
					   &listing->seen, &complete, &more);
		if (err == ERR_OK)
			listing->complete &= complete;
		vector_finish(&after);
	}
	return err;
}

static void find_missing(const struct listing_of *listing, uint64_t asked)
{
	struct store_load *load = listing->load;

	for (size_t i = 0; i < load->item_count; i++) {
		const struct store_item *item = &load->items[i];

		if (&load->streams[item->stream] != listing->stream ||
		    item->state != ITEM_ACKNOWLEDGED || item->acknowledged > asked ||
		    item->found == listing->number)
			continue;
		report_broken(load->report, load->world.sim, "missing",
			      "acknowledged entry %zu is in no manifest and no entry", i);
		return;
	}
}

static WAITS enum err list(struct listing_of *listing)
{
	struct store_load *load = listing->load;
	uint64_t asked = load->clock;
	enum err err;

	listing->number = ++load->reading;
	err = journal_manifests(load->parts.journal, listing->stream->id, visit_manifest, listing);
	if (err == ERR_OK)
		err = read_pages(listing);
	if (err == ERR_OK)
		err = read_entries(listing);
	if (err != ERR_OK)
		return err;
	load->report->listings++;
	load->report->incomplete_listings += !listing->complete;
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
	struct store_load *load = listing->load;
	struct env *env = sched_env(task_sched());
	struct manifest_page page = {.id = env_random_id(env),
				     .payload = bytes_of_buf(&listing->fresh)};
	struct manifest manifest = {.stream = listing->stream->id,
				    .id = env_random_id(env),
				    .incarnation = journal_writer_incarnation(load->writer),
				    .epoch = listing->stream->epoch,
				    .floor = blob_floor(load->parts.blobs),
				    .vector = listing->seen};
	enum err err;

	add_page(listing, page.id);
	manifest.pages = listing->pages;
	manifest.page_count = listing->page_count;
	err = journal_put_manifest(load->parts.journal, &manifest, &page, 1);
	load->report->manifests += err == ERR_OK;
	load->report->refused += err != ERR_OK && err != ERR_CANCELED;
}

/* Again when a manifest came to light meanwhile: what it covers is no longer among the entries. */
static WAITS enum err list_anew(struct listing_of *listing)
{
	struct store_load *load = listing->load;
	struct store_stream *stream = listing->stream;
	enum err err = list(listing);

	for (unsigned tries = 1; err == ERR_STALE && tries < TRIES; tries++) {
		listing_of_finish(listing);
		*listing = (struct listing_of){.load = load, .stream = stream};
		err = task_sleep(100);
		if (err == ERR_OK)
			err = list(listing);
	}
	return err;
}

/* Reads a stream, and at times writes a manifest of what it found. */
static WAITS enum err read_stream(struct store_load *load, struct store_stream *stream,
				  bool *complete)
{
	struct listing_of listing = {.load = load, .stream = stream};
	enum err err = gate_enter(&stream->gate, TASK_FOREVER);

	if (err != ERR_OK)
		return err;
	err = list_anew(&listing);
	*complete = listing.complete;
	if (err == ERR_OK && stream->epoch == 0)
		err = promise(load, stream);
	if (err == ERR_OK && listing.complete && !load->world.sim->failed && below(load, 3) == 0)
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
	struct store_load *load = argument;
	size_t number = below(load, load->item_count);

	if (load->item_count != 0 && load->items[number].state == ITEM_ACKNOWLEDGED)
		get(load, number);
}

static void run_list(void *argument)
{
	struct store_load *load = argument;
	struct store_stream *stream = &load->streams[below(load, STREAM_COUNT)];
	bool complete;
	enum err err = read_stream(load, stream, &complete);

	if (err == ERR_OK || err == ERR_CANCELED || task_canceled() || is_passing(load, err))
		return;
	/* The promise may be refused, as any write. */
	if (err != ERR_UNAVAILABLE && err != ERR_NOSPACE)
		report_broken(load->report, load->world.sim, "readable", "a stream: %s",
			      err_name(err));
}

static void run_settle(void *argument)
{
	struct store_load *load = argument;
	enum err err = blobs_settle(load->parts.blobs);

	(void)err;
}

static void halt_at_times(struct store_load *load)
{
	struct sim_node *node = load->world.node;

	if (!sim_is_running(node))
		return;
	if (sim_random_chance(&load->random, load->world.crash_per_million)) {
		load->report->crashes++;
		sim_crash(node, SIM_CRASH_RANDOM);
	} else if (sim_random_chance(&load->random, load->world.kill_per_million)) {
		sim_kill(node);
	}
}

void store_load_act(struct store_load *load)
{
	struct sim_node *node = load->world.node;
	uint32_t what = below(load, 100);

	halt_at_times(load);
	if (!lives_serves(&load->lives, node))
		return;
	if (what < 50)
		sim_spawn(node, "put", run_put, load);
	else if (what < 90)
		sim_spawn(node, "get", run_get, load);
	else if (what < 99)
		sim_spawn(node, "list", run_list, load);
	else
		sim_spawn(node, "settle", run_settle, load);
}

/* ---- lives ---- */

/* Where reads fail by themselves, whoever starts the program starts it again. */
static WAITS enum err open_patiently(struct store_load *load)
{
	enum err err = parts_open(&load->parts);

	for (unsigned tries = 1; tries < TRIES && is_passing(load, err); tries++) {
		parts_close(&load->parts);
		if (task_sleep(1000) != ERR_OK)
			return ERR_CANCELED;
		err = parts_open(&load->parts);
	}
	return err;
}

static WAITS enum err start(void *context, struct sim_node *node)
{
	struct store_load *load = context;
	enum err err = open_patiently(load);

	(void)node;
	for (size_t i = 0; i < STREAM_COUNT; i++)
		load->streams[i].epoch = 0;
	if (err == ERR_OK)
		err = journal_writer_create(load->parts.journal, NULL, ID128_ZERO, &load->writer);
	return err;
}

static WAITS void stop(void *context, struct sim_node *node)
{
	struct store_load *load = context;
	struct blobs_status blobs;
	struct journal_status journal;

	(void)node;
	if (load->parts.blobs != NULL) {
		blobs_get_status(load->parts.blobs, &blobs);
		journal_get_status(load->parts.journal, &journal);
		load->report->seals += blobs.seals;
		load->report->evacuations += blobs.evacuations;
		load->report->degraded_reads += blobs.degraded_reads;
		load->report->mirror_reads += blobs.mirror_reads;
		load->report->truncated += journal.truncated;
	}
	journal_writer_destroy(&load->writer);
	parts_close(&load->parts);
}

/* ---- the exam ---- */

void store_load_read_all(struct store_load *load)
{
	struct sim *sim = load->world.sim;

	for (size_t i = 0; i < STREAM_COUNT && !sim->failed; i++) {
		bool complete = false;
		enum err err = ERR_OK;

		/* A replica that finds damage only now does not count until the others mended it.
		 */
		for (unsigned tries = 0; (!complete || err == ERR_UNAVAILABLE) && tries < TRIES;
		     tries++) {
			err = read_stream(load, &load->streams[i], &complete);
			if ((!complete || err == ERR_UNAVAILABLE) && task_sleep(1000) != ERR_OK)
				break;
		}
		if (err != ERR_OK || !complete)
			report_broken(load->report, sim, "readable", "stream %zu at rest: %s", i,
				      err == ERR_OK ? "never complete" : err_name(err));
	}
	for (size_t i = 0; i < load->item_count && !sim->failed; i++) {
		if (load->items[i].state == ITEM_ACKNOWLEDGED)
			get(load, i);
	}
}

void store_load_settle(struct store_load *load)
{
	enum err err = ERR_UNAVAILABLE;

	for (unsigned tries = 0; err == ERR_UNAVAILABLE && tries < TRIES; tries++) {
		err = blobs_settle(load->parts.blobs);
		if (err == ERR_UNAVAILABLE && task_sleep(1000) != ERR_OK)
			break;
	}
	/* What only an absent volume could tell has to wait for it. */
	if (err == ERR_UNAVAILABLE && parts_lack_volume(&load->parts))
		return;
	if (err != ERR_OK && !load->world.sim->failed)
		report_broken(load->report, load->world.sim, "settles",
			      "sets cannot be finished: %s", err_name(err));
}

/* A volume that went while the node ran is known as failed when something failed on it. */
void store_load_put_some(struct store_load *load)
{
	unsigned failures = 0;

	for (unsigned i = 0; i < EXAM_PUTS && failures < TRIES; i++) {
		if (put(load) == ERR_OK)
			continue;
		failures++;
		i--;
		if (task_sleep(1000) != ERR_OK)
			break;
	}
	if (failures == TRIES && !load->world.sim->failed)
		report_broken(load->report, load->world.sim, "takes writes",
			      "two volumes live, and nothing can be stored");
}

/* ---- life ---- */

struct errand {
	struct store_load *load;
	void (*run)(struct store_load *load);
};

static void run_errand(void *argument)
{
	struct errand *errand = argument;

	errand->run(errand->load);
	errand->load->done = true;
}

enum err store_load_do(struct store_load *load, const char *name,
		       void (*run)(struct store_load *load))
{
	struct errand errand = {load, run};

	load->done = false;
	return lives_run(&load->lives, load->world.node, name, run_errand, &errand, &load->done);
}

void store_load_init(struct store_load *load, uint64_t seed, size_t volume_count, uint64_t salt,
		     struct report *report)
{
	*report = (struct report){0};
	*load = (struct store_load){.report = report};
	world_init(&load->world, seed, volume_count);
	parts_init(&load->parts, &load->world);
	sim_random_init(&load->random, seed, salt);
	for (size_t i = 0; i < STREAM_COUNT; i++) {
		load->streams[i].id =
			(struct id128){{0x57, (uint8_t)i, (uint8_t)(seed >> 8), (uint8_t)seed}};
		load->streams[i].gate.limit = 1;
	}
	load->lives = (struct lives){
		.sim = load->world.sim, .start = start, .stop = stop, .context = load};
}

enum err store_load_finish(struct store_load *load, enum err err)
{
	struct report *report = load->report;
	struct sim *sim = load->world.sim;

	lives_end(&load->lives);
	if (sim->failed) {
		err = ERR_LIMIT;
		if (report->oracle[0] == '\0')
			memcpy(report->oracle, "recovery", sizeof("recovery"));
	}
	report->restarts = load->lives.restarts;
	report->events = sim->event_count;
	report->virtual_ms = sim_now_ms(sim) - load->world.start_ms;
	report->trace_hash = sim_trace_hash(sim);
	world_count_faults(&load->world, report->faults);
	report->crashes += report->faults[SIM_FAULT_CRASH];
	world_finish(&load->world);
	sim_free(load->items);
	return err;
}
