/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/log_run.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/volume/log.h"
#include "tests/sim/allocate.h"
#include "tests/sim/node_fault.h"

#define LOG_STREAM 705
#define LIVES 4u
#define RECORDS_MAX 2000u
#define WRITERS 4u
#define APPENDS 60u
#define DIRECTORY "/d/v"
#define CLUSTER ((struct id128){{0x10}})

struct kept {
	uint64_t offset;
	uint32_t life, size;
	bool acknowledged, found;
	bool reported; /* by a scan, once: it is synced then, whoever wrote it */
};

struct run {
	struct sim *sim;
	struct sim_node *node;
	struct report *report;
	struct sim_random random;
	struct volume *volume;
	struct log *log;
	struct group writers;
	uint32_t life; /* whose log is written, or read */
	struct kept kept[RECORDS_MAX];
	size_t count;
	/* A byte was flipped in this record. */
	const struct kept *victim;
	bool victim_named;
};

/* ---- writing ---- */

static struct log_options options_of(uint32_t life, char name[32])
{
	(void)snprintf(name, 32, "journal/%08x.log", life);
	return (struct log_options){.name = name, .set = life, .allocate_size = 65536};
}

static void fill(struct buf *out, size_t number, uint32_t size)
{
	buf_put_u64(out, number);
	for (uint32_t i = 8; i < size; i++)
		buf_put_u8(out, (uint8_t)(number * 31 + i));
}

static WAITS enum err append(struct run *run)
{
	size_t number = run->count++;
	struct kept *kept = &run->kept[number];
	struct buf payload = {0};
	struct record record = {.type = RECORD_BLOB};
	enum err err;

	*kept = (struct kept){.life = run->life,
			      .size = 8 + (uint32_t)sim_random_below(&run->random, 6000)};
	fill(&payload, number, kept->size);
	record.payload_size = kept->size;
	run->report->sent++;
	err = log_append_wait(run->log, &record, bytes_of_buf(&payload), false);
	buf_finish(&payload);
	if (err == ERR_OK) {
		kept->acknowledged = true;
		kept->offset = record.offset;
		run->report->acknowledged++;
	}
	return err;
}

static void write_some(void *argument)
{
	struct run *run = argument;
	enum err err = ERR_OK;

	for (unsigned i = 0; i < APPENDS / WRITERS && err == ERR_OK; i++) {
		if (run->count < RECORDS_MAX)
			err = append(run);
		if (err == ERR_OK)
			err = task_sleep(sim_random_below(&run->random, 3));
	}
	group_leave(&run->writers);
}

static WAITS void write_log(struct run *run)
{
	uint8_t header[LOG_HEADER_SIZE] = {0};
	char name[32];
	const struct log_options options = options_of(run->life, name);
	enum err err =
		log_create(run->volume, &options, bytes_make(header, sizeof(header)), &run->log);

	if (err != ERR_OK)
		return;
	for (unsigned i = 0; i < WRITERS; i++) {
		group_enter(&run->writers);
		sim_spawn(run->node, "writer", write_some, run);
	}
	group_wait(&run->writers);
	log_close(&run->log);
}

/* ---- reading ---- */

static void take_record(struct run *run, const struct log_visit *visit)
{
	struct cursor cursor = cursor_make(visit->payload);
	uint64_t number = cursor_u64(&cursor);
	struct kept *kept = &run->kept[number < run->count ? number : 0];
	struct buf expected = {0};

	if (cursor.err != ERR_OK || number >= run->count || kept->life != run->life) {
		report_broken(run->report, run->sim, "bytes", "a record that nobody wrote");
		return;
	}
	fill(&expected, number, kept->size);
	if (!bytes_equal(bytes_of_buf(&expected), visit->payload) ||
	    (kept->acknowledged && kept->offset != visit->offset))
		report_broken(run->report, run->sim, "bytes", "record %zu is another",
			      (size_t)number);
	buf_finish(&expected);
	kept->found = true;
}

static enum err visit(void *context, const struct log_visit *visit)
{
	struct run *run = context;

	run->report->reads++;
	if (visit->event == LOG_RECORD) {
		if (visit->record->type == RECORD_BLOB)
			take_record(run, visit);
	} else if (visit->event == LOG_CORRUPT) {
		if (run->victim == NULL || run->victim->life != run->life ||
		    visit->offset > run->victim->offset)
			report_broken(run->report, run->sim, "naming",
				      "damage at %llu, where there is none",
				      (unsigned long long)visit->offset);
		run->victim_named = true;
	}
	return ERR_OK;
}

static void find_missing(struct run *run)
{
	for (size_t i = 0; i < run->count && !run->sim->failed; i++) {
		const struct kept *kept = &run->kept[i];

		if (kept->life == run->life && !kept->found && kept != run->victim &&
		    (kept->acknowledged || kept->reported))
			report_broken(run->report, run->sim,
				      kept->acknowledged ? "acknowledged" : "reported",
				      "record %zu at %llu is gone", i,
				      (unsigned long long)kept->offset);
	}
}

static WAITS void read_log(struct run *run)
{
	struct buf header = {0};
	char name[32];
	const struct log_options options = options_of(run->life, name);
	enum err err = log_open(run->volume, &options, &header, &run->log);

	for (size_t i = 0; i < run->count; i++)
		run->kept[i].found &= run->kept[i].life != run->life;
	if (err == ERR_OK)
		err = log_scan(run->log, 0, 0, true, visit, run, NULL);
	/* Only other copies could tell what an unfinished end was, and there are none. */
	if (err == ERR_OK && log_append_wait(run->log, &(struct record){.type = RECORD_FENCE},
					     bytes_make(NULL, 0), true) == ERR_TORN)
		err = log_truncate(run->log, log_end(run->log));
	buf_finish(&header);
	log_close(&run->log);
	for (size_t i = 0; err == ERR_OK && i < run->count; i++)
		run->kept[i].reported |= run->kept[i].found;
	if (err == ERR_OK || err == ERR_NOTFOUND || err == ERR_TORN)
		find_missing(run);
	else if (err != ERR_CANCELED)
		report_broken(run->report, run->sim, "readable", "log %u: %s", run->life,
			      err_name(err));
}

/* ---- lives ---- */

static WAITS void format(void)
{
	const struct volume_identity identity = {
		.cluster = CLUSTER, .node = {{1}}, .volume = {{2}}, .created_ms = 1};
	enum err err = volume_format(DIRECTORY, &identity);

	ASSERT(err == ERR_OK);
}

/* Reads all logs so far, and writes one more. */
static void live(void *argument)
{
	struct run *run = argument;
	uint32_t life = run->life;
	enum err err;

	if (life == 0)
		format();
	err = volume_open(task_sched(), DIRECTORY, CLUSTER, &run->volume);
	if (err != ERR_OK) {
		if (err != ERR_CANCELED)
			report_broken(run->report, run->sim, "readable", "the volume: %s",
				      err_name(err));
		return;
	}
	for (run->life = 0; run->life < life && !run->sim->failed; run->life++)
		read_log(run);
	run->life = life;
	if (life < LIVES) {
		run->node->crash_at =
			run->node->step_count + 20 + sim_random_below(&run->random, 150);
		write_log(run);
	}
	volume_close(&run->volume);
}

static enum err one_life(struct run *run)
{
	enum err err = sim_run_task(run->sim, live, run);

	if (sim_is_running(run->node) && err == ERR_OK) {
		if (sim_random_below(&run->random, 2) != 0)
			sim_kill(run->node);
		else
			sim_crash(run->node, SIM_CRASH_RANDOM);
	}
	if (err == ERR_OK)
		err = sim_unwind(run->node);
	if (err == ERR_OK)
		sim_restart(run->node);
	run->report->crashes++;
	run->node->crash_at = 0;
	return err;
}

/* One that others behind it say was durable: an acknowledged one, well before the last. */
static void flip_a_byte(struct run *run)
{
	const struct kept *last = NULL;
	char path[48];

	for (size_t i = 0; i < run->count; i++) {
		const struct kept *kept = &run->kept[i];

		if (kept->life == LIVES - 1 && kept->acknowledged &&
		    (last == NULL || kept->offset > last->offset))
			last = kept;
	}
	for (size_t i = 0; i < run->count && last != NULL && run->victim == NULL; i++) {
		const struct kept *kept = &run->kept[i];

		if (kept->life == last->life && kept->acknowledged && kept->offset > 4096 &&
		    kept->offset + 65536 < last->offset)
			run->victim = kept;
	}
	if (run->victim == NULL)
		return;
	(void)snprintf(path, sizeof(path), DIRECTORY "/journal/%08x.log", run->victim->life);
	if (!sim_flip_bit(run->node, path,
			  LOG_HEADER_SIZE + run->victim->offset + RECORD_HEADER_SIZE + 9))
		run->victim = NULL;
}

static enum err run_lives(struct run *run)
{
	struct sim_disk *disk = run->node->tree.disks[1];
	enum err err = ERR_OK;

	for (run->life = 0; run->life <= LIVES && err == ERR_OK; run->life++) {
		uint32_t life = run->life;

		if (life == LIVES)
			flip_a_byte(run);
		else if (life > 0 && sim_random_below(&run->random, 3) == 0)
			sim_plan_fault(disk, SIM_STEP_SYNC, 10 + sim_random_below(&run->random, 30),
				       SIM_FAULT_SYNC_FAILURE);
		err = one_life(run);
		sim_stop_faults(disk);
		run->life = life;
	}
	if (err == ERR_OK && run->victim != NULL && !run->victim_named)
		report_broken(run->report, run->sim, "naming", "damage was not called so");
	return run->sim->failed ? ERR_LIMIT : err;
}

/* After a failure, too: nothing may leak into the next seed. */
static void end(struct run *run)
{
	enum err err;

	run->sim->failed = false;
	if (sim_is_running(run->node))
		sim_kill(run->node);
	err = sim_unwind(run->node);
	ASSERT(err == ERR_OK);
}

enum err log_run(uint64_t seed, struct report *report)
{
	const struct sim_options options = {.write_back_per_million = 20000};
	const struct sim_disk_options disk = {.latency_us = 50, .jitter_us = 200, .sync_us = 1000};
	struct run *run = sim_allocate(sizeof(*run));
	uint64_t start_ms;
	enum err err;

	*report = (struct report){0};
	run->report = report;
	run->sim = sim_create(seed, &options);
	start_ms = sim_now_ms(run->sim);
	run->node = sim_add_node(run->sim);
	sim_random_init(&run->random, seed, LOG_STREAM);
	(void)sim_add_disk(run->node, "/d", &disk);
	err = run_lives(run);
	end(run);
	for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
		report->faults[i] = run->node->tree.disks[1]->faults.counts[i];
	report->events = run->sim->event_count;
	report->virtual_ms = sim_now_ms(run->sim) - start_ms;
	report->trace_hash = sim_trace_hash(run->sim);
	sim_finish(&run->sim);
	sim_free(run);
	return err;
}
