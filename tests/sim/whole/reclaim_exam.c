/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/reclaim_exam.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/io.h"
#include "engine/set/blobs.h"
#include "engine/set/compact.h"

/* Passes in which everything must have gone; and that free nothing in a row, at the end. */
#define PASSES_MAX 200u
#define IDLE_PASSES 3u

enum err reclaim_exam_refer(void *context, const struct blob_ref *blob)
{
	struct reclaim_exam *exam = context;

	buf_put_id(&exam->referred, blob->id);
	return exam->referred.err;
}

static int compare_ids(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct id128));
}

static bool is_referred(const struct reclaim_exam *exam, struct id128 id)
{
	return exam->referred.size != 0 &&
	       bsearch(&id, exam->referred.data, exam->referred.size / sizeof(id), sizeof(id),
		       compare_ids) != NULL;
}

/* What waits is not over before its time. */
static WAITS enum err reclaim_all(struct reclaim_exam *exam)
{
	struct reclaim_status status = {0};
	unsigned idle = 0;

	for (unsigned i = 0; i < PASSES_MAX; i++) {
		enum err err = blobs_settle(engine_blobs(exam->engine));
		bool freed = false, busy = err != ERR_OK;

		if (err == ERR_OK || err == ERR_UNAVAILABLE)
			err = reclaim_run(engine_reclaim(exam->engine), &freed);
		if (err == ERR_CANCELED)
			return err;
		reclaim_get_status(engine_reclaim(exam->engine), &status);
		idle = freed || busy || err != ERR_OK || status.sets_quarantined != 0 ? 0
										      : idle + 1;
		if (idle == IDLE_PASSES)
			return ERR_OK;
		err = task_sleep(exam->quarantine_ms / 2 + 500);
		if (err != ERR_OK)
			return err;
	}
	report_broken(exam->report, exam->sim, "held up",
		      "reclaiming does not come to an end: %s, %zu sets in quarantine",
		      err_name(status.obstacle.err), status.sets_quarantined);
	return ERR_LIMIT;
}

/* ---- sets ---- */

static enum err list_set(void *context, const struct compact_set *set)
{
	struct buf *sets = context;

	buf_put_u64(sets, set->set);
	return sets->err;
}

static WAITS enum err look_at_set(struct reclaim_exam *exam, uint64_t set)
{
	struct compaction *compaction = NULL;
	uint64_t size = 0, live = 0;
	size_t count;
	const struct compact_record *records;
	enum err err = compaction_create(engine_blobs(exam->engine), &set, 1, &compaction);

	if (err != ERR_OK)
		return err;
	records = compaction_records(compaction, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t bytes = record_size(records[i].entry.payload_size);

		size += bytes;
		live += is_referred(exam, records[i].entry.id) ? bytes : 0;
	}
	compaction_destroy(&compaction);
	if (live * 100 < size * exam->live_percent)
		report_broken(exam->report, exam->sim, "space",
			      "of set %016llx %llu bytes are referred to, of %llu",
			      (unsigned long long)set, (unsigned long long)live,
			      (unsigned long long)size);
	return ERR_OK;
}

static WAITS enum err look_at_sets(struct reclaim_exam *exam, struct buf *sets)
{
	enum err err = compact_sets(engine_blobs(exam->engine), list_set, sets);

	for (size_t at = 0; err == ERR_OK && at < sets->size; at += sizeof(uint64_t))
		err = look_at_set(exam, load_u64(sets->data + at));
	return err;
}

/* ---- files ---- */

static bool is_listed(const struct buf *sets, uint64_t set)
{
	for (size_t at = 0; at < sets->size; at += sizeof(uint64_t))
		if (load_u64(sets->data + at) == set)
			return true;
	return false;
}

static WAITS enum err look_at_files(struct reclaim_exam *exam, const char *path,
				    const struct buf *sets)
{
	struct buf folder = {0}, names = {0};
	enum err err;

	buf_printf(&folder, "%s/columns", path);
	buf_put_u8(&folder, '\0');
	err = folder.err != ERR_OK ? folder.err : io_list((const char *)folder.data, &names);
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;
		enum column_kind kind;
		uint64_t set;
		uint8_t column;

		at += strlen(name) + 1;
		if (column_parse_name(name, &set, &column, &kind) != ERR_OK ||
		    !is_listed(sets, set))
			report_broken(exam->report, exam->sim, "space",
				      "%s/columns/%s belongs to no set", path, name);
	}
	buf_finish(&folder);
	buf_finish(&names);
	return err;
}

enum err reclaim_exam_run(struct reclaim_exam *exam)
{
	struct buf sets = {0};
	enum err err = reclaim_all(exam);

	if (err == ERR_OK)
		err = exam->refer(exam->context, exam);
	if (err == ERR_OK && exam->referred.size != 0)
		qsort(exam->referred.data, exam->referred.size / sizeof(struct id128),
		      sizeof(struct id128), compare_ids);
	if (err == ERR_OK)
		err = look_at_sets(exam, &sets);
	for (size_t i = 0; err == ERR_OK && i < exam->volume_count; i++)
		err = look_at_files(exam, exam->paths[i], &sets);
	buf_finish(&sets);
	buf_finish(&exam->referred);
	return err;
}
