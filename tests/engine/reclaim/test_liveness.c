/* SPDX-License-Identifier: MPL-2.0 */
/* Each clause of the rule alone: what it protects, and that nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/journal/audit.h"
#include "engine/journal/closings.h"
#include "engine/reclaim/liveness.h"
#include "tests/sim/plant.h"
#include "tests/support/blobs_fixture.h"

static struct blobs_fixture fixture;
static struct liveness_judge judge;
static struct journal_writer *writer;
static struct blob_ref blob; /* what is judged */
static struct compact_record record;

#define STREAM ((struct id128){{0x57}})
#define TAG ((struct id128){{0xac}})

static enum err one_account(void *context,
			    enum err (*each)(void *each_context,
					     const struct reclaim_account *account),
			    void *each_context)
{
	const struct reclaim_account account = {.id = {{1}}, .tag = TAG, .stream = STREAM};

	(void)context;
	return each(each_context, &account);
}

static WAITS enum err verified(void *context, struct id128 *silent)
{
	(void)context;
	*silent = ID128_ZERO;
	return ERR_OK;
}

static enum err nothing_in_memory(void *context, struct id128 account,
				  enum err (*each)(void *each_context, const struct blob_ref *blob),
				  void *each_context)
{
	(void)context;
	(void)account;
	(void)each;
	(void)each_context;
	return ERR_OK;
}

static enum err seal_nothing(void *context, const struct entry_place *place, struct buf *payload)
{
	(void)context;
	(void)place;
	buf_put_u8(payload, 1);
	return payload->err;
}

static WAITS enum err name(struct id128 incarnation)
{
	struct journal_append append = {.stream = STREAM,
					.kind = ENTRY_DELIVERY,
					.floor = 1,
					.blob_incarnation = incarnation,
					.blobs = &blob,
					.blob_count = 1,
					.seal = seal_nothing};

	return journal_append(writer, &append);
}

/* Covers `vector`, and refers to the blob or to nothing. */
static WAITS void put_manifest(uint64_t epoch, const struct vector *vector, bool refers)
{
	struct env *env = sched_env(task_sched());
	const struct manifest_page page = {
		.id = env_random_id(env), .blobs = &blob, .blob_count = refers ? 1 : 0};
	struct id128 pages[1] = {page.id};
	const struct manifest manifest = {.stream = STREAM,
					  .id = env_random_id(env),
					  .epoch = epoch,
					  .vector = *vector,
					  .pages = pages,
					  .page_count = 1};

	assert_int_equal(journal_put_manifest(fixture.journal, &manifest, &page, 1), ERR_OK);
	assert_int_equal(task_sleep(100), ERR_OK);
}

static WAITS enum liveness verdict(void)
{
	assert_int_equal(liveness_judge(&judge, &record, 1), ERR_OK);
	return record.liveness;
}

static WAITS void begin(void)
{
	fixture.journaled = true;
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	assert_int_equal(journal_writer_create(fixture.journal, NULL, ID128_ZERO, &writer), ERR_OK);
	judge = (struct liveness_judge){.journal = fixture.journal,
					.blobs = fixture.blobs,
					.layout = &fixture.layout,
					.source = {one_account, verified, nothing_in_memory, NULL}};
	assert_int_equal(blobs_fixture_put(&fixture, 5000, 0), ERR_OK);
	blob = fixture.known[0].ref;
	record = (struct compact_record){.entry = {.id = blob.id, .type = RECORD_BLOB},
					 .tag = TAG,
					 .incarnation = blob_incarnation(fixture.blobs),
					 .number = 1};
}

static WAITS void end(void)
{
	plant_reset();
	journal_writer_destroy(&writer);
	blobs_fixture_close(&fixture);
}

/* (b) */
static WAITS void entry_outside_the_vector(void *argument)
{
	(void)argument;
	begin();
	assert_int_equal(verdict(), LIVENESS_DEAD);
	assert_int_equal(name(blob_incarnation(fixture.blobs)), ERR_OK);
	assert_int_equal(task_sleep(100), ERR_OK);
	assert_int_equal(verdict(), LIVENESS_LIVE);
	plant_set(PLANT_reclaim_ignores_unseen, true);
	assert_int_equal(verdict(), LIVENESS_DEAD);
	end();
}

static WAITS void page_refers(void *argument)
{
	struct vector vector = {0};

	(void)argument;
	begin();
	assert_int_equal(name(blob_incarnation(fixture.blobs)), ERR_OK);
	assert_int_equal(vector_raise(&vector, journal_writer_incarnation(writer), 1), ERR_OK);
	put_manifest(1, &vector, true);
	assert_int_equal(verdict(), LIVENESS_LIVE);
	put_manifest(2, &vector, false);
	assert_int_equal(verdict(), LIVENESS_DEAD);
	vector_finish(&vector);
	end();
}

/* (a) Of two manifests that do not know of each other the one refers to it. */
static WAITS void sibling_refers(void *argument)
{
	struct vector mine = {0}, others = {0};
	struct journal_writer *other;

	(void)argument;
	begin();
	assert_int_equal(name(blob_incarnation(fixture.blobs)), ERR_OK);
	assert_int_equal(vector_raise(&mine, journal_writer_incarnation(writer), 1), ERR_OK);
	other = writer;
	assert_int_equal(journal_writer_create(fixture.journal, NULL, ID128_ZERO, &writer), ERR_OK);
	assert_int_equal(name(blob_incarnation(fixture.blobs)), ERR_OK);
	assert_int_equal(vector_raise(&others, journal_writer_incarnation(writer), 1), ERR_OK);
	put_manifest(1, &mine, false);
	put_manifest(1, &others, true);
	assert_int_equal(verdict(), LIVENESS_UNKNOWN);
	assert_int_equal(judge.obstacle.err, ERR_STALE);
	assert_true(id128_equal(judge.obstacle.tag, TAG));
	plant_set(PLANT_reclaim_ignores_siblings, true);
	assert_int_equal(verdict(), LIVENESS_DEAD);
	plant_reset();
	assert_int_equal(vector_merge(&mine, &others), ERR_OK);
	put_manifest(2, &mine, true);
	assert_int_equal(verdict(), LIVENESS_LIVE);
	journal_writer_destroy(&other);
	vector_finish(&mine);
	vector_finish(&others);
	end();
}

/* (c) An upload that is open, and those that came after it. */
static WAITS void upload_is_open(void *argument)
{
	struct blob_upload *upload;

	(void)argument;
	begin();
	assert_int_equal(blob_upload_open(fixture.blobs, (struct id128){{7}}, TAG, &upload),
			 ERR_OK);
	record.entry.id = (struct id128){{7}};
	record.number = 2;
	assert_int_equal(verdict(), LIVENESS_UNKNOWN);
	record.number = 3;
	assert_int_equal(verdict(), LIVENESS_UNKNOWN);
	plant_set(PLANT_reclaim_ignores_writers, true);
	assert_int_equal(verdict(), LIVENESS_DEAD);
	plant_reset();
	blob_upload_release(&upload);
	record.number = 2;
	assert_int_equal(verdict(), LIVENESS_DEAD);
	/* A process that nobody has closed. */
	record.incarnation = (struct id128){{9}};
	assert_int_equal(verdict(), LIVENESS_UNKNOWN);
	end();
}

/* (c) From its closing on no replica takes an entry of the incarnation; also after a restart. */
static WAITS void incarnation_is_closed(void *argument)
{
	const struct id128 gone = {{9}};

	(void)argument;
	begin();
	record.incarnation = gone;
	assert_int_equal(verdict(), LIVENESS_UNKNOWN);
	assert_int_equal(
		journal_close_incarnations(fixture.journal, NULL, (struct id128){{0x0d}}, &gone, 1),
		ERR_OK);
	assert_int_equal(verdict(), LIVENESS_DEAD);
	assert_int_equal(name(gone), ERR_FENCED);
	end();
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	assert_int_equal(journal_writer_create(fixture.journal, NULL, ID128_ZERO, &writer), ERR_OK);
	assert_true(journal_incarnation_is_closed(fixture.journal, gone));
	assert_int_equal(name(gone), ERR_FENCED);
	journal_writer_destroy(&writer);
	assert_int_equal(journal_writer_create(fixture.journal, NULL, ID128_ZERO, &writer), ERR_OK);
	plant_set(PLANT_closed_reused, true);
	assert_int_equal(name(gone), ERR_OK);
	end();
}

/* (d) One volume does not answer. */
static WAITS void volume_is_silent(void *argument)
{
	(void)argument;
	begin();
	assert_int_equal(verdict(), LIVENESS_DEAD);
	blobs_fixture_lose(&fixture, 1);
	assert_int_equal(verdict(), LIVENESS_UNKNOWN);
	assert_int_equal(judge.obstacle.err, ERR_UNAVAILABLE);
	assert_true(id128_equal(judge.obstacle.volume, blobs_fixture_volume(1)));
	assert_true(liveness_is_held_up(&judge));
	end();
}

static void run(void (*body)(void *argument))
{
	struct sim *sim = sim_create(1, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
	sim_finish(&sim);
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run(name);                                                                         \
	}

TEST(entry_outside_the_vector)
TEST(page_refers)
TEST(sibling_refers)
TEST(upload_is_open)
TEST(incarnation_is_closed)
TEST(volume_is_silent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_outside_the_vector),
		cmocka_unit_test(test_page_refers),
		cmocka_unit_test(test_sibling_refers),
		cmocka_unit_test(test_upload_is_open),
		cmocka_unit_test(test_incarnation_is_closed),
		cmocka_unit_test(test_volume_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
