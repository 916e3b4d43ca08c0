/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/other_side.h"

#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

#define OTHER_STREAM 711
#define SIZE_MAX_BYTES 12000u
#define READ_BATCH 256u
/* Of references that a merging home drops. */
#define DROP_PER_MILLION 300000u

void other_side_init(struct other_side *other, struct sim *sim, struct report *report, bool fickle)
{
	*other = (struct other_side){.sim = sim, .report = report, .fickle = fickle};
	sim_random_init(&other->random, sim->seed, OTHER_STREAM);
}

void other_side_finish(struct other_side *other)
{
	for (size_t i = 0; i < OTHER_SIDES; i++)
		vector_finish(&other->vectors[i]);
	sim_free(other->blobs);
	*other = (struct other_side){0};
}

void other_side_start(struct other_side *other, struct journal *journal, struct blobs *store,
		      struct id128 stream, struct id128 tag)
{
	enum err err = ERR_OK;

	other->journal = journal;
	other->store = store;
	other->stream = stream;
	other->tag = tag;
	for (size_t i = 0; i < OTHER_SIDES && err == ERR_OK; i++)
		err = journal_writer_create(journal, NULL, ID128_ZERO, &other->writers[i]);
	ASSERT(err == ERR_OK);
}

void other_side_stop(struct other_side *other)
{
	if (other->journal == NULL)
		return;
	if (other->upload != NULL)
		blob_upload_release(&other->upload);
	for (size_t i = 0; i < OTHER_SIDES; i++)
		journal_writer_destroy(&other->writers[i]);
	other->journal = NULL;
	other->store = NULL;
}

/* ---- blobs ---- */

static void fill(uint64_t number, uint8_t *out, size_t size)
{
	struct sim_random random;

	sim_random_init(&random, number, OTHER_STREAM);
	sim_random_fill(&random, out, size);
}

static bool has_content(const struct buf *bytes, const struct other_blob *blob)
{
	uint8_t *expected = sim_allocate(SIZE_MAX_BYTES);
	bool same;

	fill(blob->number, expected, SIZE_MAX_BYTES);
	same = bytes->size == blob->ref.size && memcmp(bytes->data, expected, bytes->size) == 0;
	sim_free(expected);
	return same;
}

/* Released unnamed: nobody may name it any more, whoever wakes up. */
static void release_upload(struct other_side *other)
{
	if (other->upload == NULL)
		return;
	blob_upload_release(&other->upload);
	if (other->count != 0 && other->blobs[other->count - 1].state == OTHER_UPLOADED)
		other->blobs[other->count - 1].state = OTHER_GIVEN_UP;
}

static WAITS void upload(struct other_side *other)
{
	struct other_blob blob = {.number = ++other->numbers, .state = OTHER_UPLOADED};
	size_t size = 1 + sim_random_below(&other->random, SIZE_MAX_BYTES);
	uint8_t *bytes = sim_allocate(SIZE_MAX_BYTES);
	enum err err;

	release_upload(other);
	fill(blob.number, bytes, SIZE_MAX_BYTES);
	err = blob_upload_open(other->store, env_random_id(sched_env(task_sched())), other->tag,
			       &other->upload);
	if (err == ERR_OK)
		err = blob_upload_write(other->upload, bytes_make(bytes, size));
	if (err == ERR_OK)
		err = blob_upload_finish(other->upload, &blob.ref);
	sim_free(bytes);
	if (err != ERR_OK) {
		if (other->upload != NULL)
			blob_upload_release(&other->upload);
		return;
	}
	blob.uploader = blob_incarnation(other->store);
	other->blobs =
		sim_grow(other->blobs, other->count, &other->capacity, sizeof(*other->blobs));
	other->blobs[other->count++] = blob;
}

static enum err seal_something(void *context, const struct entry_place *place, struct buf *payload)
{
	(void)context;
	(void)place;
	buf_put_u8(payload, 1);
	return payload->err;
}

/* What is not acknowledged may have happened all the same. */
static WAITS enum err name(struct other_side *other, size_t index, size_t side)
{
	const struct blob_ref ref = other->blobs[index].ref;
	struct journal_append append = {.stream = other->stream,
					.kind = ENTRY_DELIVERY,
					.floor = blob_floor(other->store),
					.blob_incarnation = other->blobs[index].uploader,
					.blobs = &ref,
					.blob_count = 1,
					.seal = seal_something};
	struct id128 writer = journal_writer_incarnation(other->writers[side]);
	enum err err;

	other->blobs[index].state = OTHER_GIVEN_UP;
	err = journal_append(other->writers[side], &append);
	if (err != ERR_OK)
		return err;
	other->blobs[index].state = OTHER_NAMED;
	other->blobs[index].writer = writer;
	other->blobs[index].seq = append.seq;
	return vector_raise(&other->vectors[side], writer, append.seq);
}

/* A writer that was refused is of no more use in the stream. */
static void replace_writer(struct other_side *other, size_t side)
{
	enum err err;

	journal_writer_destroy(&other->writers[side]);
	err = journal_writer_create(other->journal, NULL, ID128_ZERO, &other->writers[side]);
	ASSERT(err == ERR_OK);
}

/* The last one, whose upload is held open; or one of a process that is no more. */
static WAITS void name_one(struct other_side *other)
{
	size_t side = sim_random_below(&other->random, OTHER_SIDES);
	size_t index = other->count;
	bool late;
	enum err err;

	while (index > 0 && other->blobs[index - 1].state != OTHER_UPLOADED)
		index--;
	if (index-- == 0)
		return;
	late = !id128_equal(other->blobs[index].uploader, blob_incarnation(other->store));
	/* Released unnamed: it is nobody's. */
	if (!late && (other->upload == NULL || index + 1 != other->count)) {
		other->blobs[index].state = OTHER_GIVEN_UP;
		return;
	}
	err = name(other, index, side);
	if (err == ERR_CANCELED)
		return;
	other->report->late_names += late && err == ERR_OK;
	other->report->fenced_names += late && err == ERR_FENCED;
	if (err == ERR_FENCED)
		replace_writer(other, side);
	if (!late && other->upload != NULL)
		blob_upload_release(&other->upload);
}

/* ---- manifests ---- */

static bool is_covered(const struct other_blob *blob, const struct vector *vector)
{
	return blob->state == OTHER_NAMED && blob->seq <= vector_get(vector, blob->writer);
}

static WAITS enum err put_manifest(struct other_side *other, const struct vector *vector)
{
	struct env *env = sched_env(task_sched());
	struct blob_ref *refs = sim_allocate((other->count + 1) * sizeof(*refs));
	struct manifest_page page = {.id = env_random_id(env), .blobs = refs};
	struct manifest manifest = {.stream = other->stream,
				    .id = env_random_id(env),
				    .epoch = ++other->epoch,
				    .vector = *vector,
				    .pages = &page.id,
				    .page_count = 1};
	enum err err;

	for (size_t i = 0; i < other->count; i++)
		if (is_covered(&other->blobs[i], vector))
			refs[page.blob_count++] = other->blobs[i].ref;
	err = journal_put_manifest(other->journal, &manifest, &page, 1);
	sim_free(refs);
	return err;
}

static WAITS void write_manifest(struct other_side *other)
{
	struct vector vector = {0};
	size_t side = sim_random_below(&other->random, OTHER_SIDES);

	if (vector_copy(&other->vectors[side], &vector) == ERR_OK)
		(void)!put_manifest(other, &vector);
	vector_finish(&vector);
}

/* From now on all sides know of all. */
static enum err join(struct other_side *other)
{
	enum err err = ERR_OK;

	for (size_t i = 1; i < OTHER_SIDES && err == ERR_OK; i++)
		err = vector_merge(&other->vectors[0], &other->vectors[i]);
	for (size_t i = 1; i < OTHER_SIDES && err == ERR_OK; i++)
		err = vector_merge(&other->vectors[i], &other->vectors[0]);
	return err;
}

static WAITS void merge(struct other_side *other)
{
	if (join(other) != ERR_OK)
		return;
	for (size_t i = 0; i < other->count; i++)
		if (other->blobs[i].state == OTHER_NAMED &&
		    sim_random_chance(&other->random, DROP_PER_MILLION))
			other->blobs[i].state = OTHER_GIVEN_UP;
	write_manifest(other);
}

static enum err pass_by(void *context, const struct entry *entry)
{
	(void)context;
	(void)entry;
	return ERR_OK;
}

enum err other_side_settle(struct other_side *other)
{
	bool more = true, complete = true;
	enum err err = join(other);

	release_upload(other);
	while (err == ERR_OK && more && complete) {
		struct vector after = {0};

		err = vector_copy(&other->vectors[0], &after);
		if (err == ERR_OK)
			err = journal_read(other->journal, other->stream, &after, READ_BATCH,
					   pass_by, NULL, &other->vectors[0], &complete, &more);
		vector_finish(&after);
	}
	if (err == ERR_OK && !complete)
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = join(other);
	return err == ERR_OK ? put_manifest(other, &other->vectors[0]) : err;
}

void other_side_give_up(struct other_side *other)
{
	for (size_t i = 0; i < other->count; i++)
		other->blobs[i].state = OTHER_GIVEN_UP;
	if (other->upload != NULL)
		blob_upload_release(&other->upload);
}

/* ---- reading ---- */

static WAITS void check_one(struct other_side *other, size_t index)
{
	const struct blob_ref ref = other->blobs[index].ref;
	struct buf bytes = {0};
	enum err err;

	if (other->blobs[index].state != OTHER_NAMED)
		return;
	err = blob_read(other->store, &ref, 0, ref.size, &bytes);
	if (task_canceled() || err == ERR_CANCELED || other->sim->failed)
		;
	else if (err == ERR_NOTFOUND)
		report_broken(other->report, other->sim, "reclaimed",
			      "a blob of the other side's is named, and gone");
	else if (err != ERR_OK && !other->fickle)
		report_broken(other->report, other->sim, "readable", "the other side: %s",
			      err_name(err));
	else if (err == ERR_OK && !has_content(&bytes, &other->blobs[index]))
		report_broken(other->report, other->sim, "WRONG_BYTES",
			      "a blob of the other side's has other bytes");
	buf_finish(&bytes);
}

void other_side_check(struct other_side *other)
{
	for (size_t i = 0; i < other->count; i++)
		check_one(other, i);
}

void other_side_act(struct other_side *other)
{
	uint64_t what = sim_random_below(&other->random, 20);

	if (what < 6 && (other->upload == NULL || what == 0))
		upload(other);
	else if (what < 11)
		name_one(other);
	else if (what < 14)
		write_manifest(other);
	else if (what == 14)
		merge(other);
	else if (other->count != 0)
		check_one(other, sim_random_below(&other->random, other->count));
}
