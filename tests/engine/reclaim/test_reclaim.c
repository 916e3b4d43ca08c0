/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/set/blobs.h"
#include "engine/volume/usage.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define OTHER "bob@example.org"
#define PASSWORD "correct horse"
#define COUNT 20u
#define HOUR_MS (3600u * 1000)
#define REFS 64u

static struct reclaim_status status_of(const struct post *post)
{
	struct reclaim_status status;

	reclaim_get_status(engine_reclaim(post->engine), &status);
	return status;
}

/* Passes until one frees nothing any more: what is busy now is not a moment later. */
static WAITS void reclaim_all(struct post *post)
{
	unsigned idle = 0;

	while (idle < 3) {
		/* On full disks a set may have to wait for what is given back first. */
		enum err err = blobs_settle(engine_blobs(post->engine));
		bool freed;

		if (err != ERR_OK)
			assert_int_equal(err, ERR_UNAVAILABLE);
		err = reclaim_run(engine_reclaim(post->engine), &freed);
		if (err != ERR_OK)
			assert_int_equal(err, ERR_UNAVAILABLE);
		idle = freed ? 0 : idle + 1;
		assert_int_equal(task_sleep(100), ERR_OK);
	}
}

static void text_of(unsigned number, char out[64])
{
	(void)snprintf(out, 64, "Subject: %u\r\n\r\nbody\r\n", number);
}

static WAITS void deliver_some(struct post *post, const char *address)
{
	char text[64];

	for (unsigned i = 0; i < COUNT; i++) {
		text_of(i, text);
		post_deliver(post, address, text);
	}
}

static WAITS void start(struct post *post)
{
	if (post->column_size == 0)
		post->column_size = 64 << 10;
	post->snapshot_entries = 1;
	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	post_add_account(post, OTHER, PASSWORD, true, false);
}

/* Every second message goes; the manifest that says so is written when the session ends. */
static WAITS void expunge_half(struct post *post)
{
	struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
	struct view *view = post_view(mailbox, "INBOX");
	uint32_t sequences[COUNT / 2];
	size_t expunged = 0;

	assert_int_equal(view_count(view), COUNT);
	for (uint32_t i = 0; i < COUNT / 2; i++)
		sequences[i] = 2 * i + 1;
	assert_int_equal(
		view_store(view, sequences, COUNT / 2, STORE_ADD, FLAG_DELETED, NULL, 0, true),
		ERR_OK);
	assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
	assert_int_equal(expunged, COUNT / 2);
	view_close(&view);
	mailbox_release(&mailbox);
	assert_int_equal(task_sleep(1000), ERR_OK);
}

static WAITS void check_half(struct post *post)
{
	struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
	struct view *view = post_view(mailbox, "INBOX");

	assert_int_equal(view_count(view), COUNT / 2);
	for (uint32_t i = 0; i < COUNT / 2; i++) {
		char text[64], expected[96];

		text_of(2 * i + 1, text);
		(void)snprintf(expected, sizeof(expected), "P: p\r\n%s", text);
		post_assert_message(view, i + 1, expected);
	}
	view_close(&view);
	mailbox_release(&mailbox);
}

/* ---- references, as a home knows them ---- */

struct refs {
	struct blob_ref items[REFS];
	size_t count;
};

static enum err take_ref(void *context, const struct blob_ref *blob)
{
	struct refs *refs = context;

	assert_true(refs->count < REFS);
	refs->items[refs->count++] = *blob;
	return ERR_OK;
}

static void collect(const struct post *post, const char *address, struct refs *refs)
{
	const struct account_record *account =
		accounts_find(engine_accounts(post->engine), bytes_string(address));

	refs->count = 0;
	assert_int_equal(home_references(engine_home(post->engine), account->id, take_ref, refs),
			 ERR_OK);
}

static WAITS size_t count_readable(struct post *post, const struct refs *refs)
{
	size_t count = 0;

	for (size_t i = 0; i < refs->count; i++) {
		struct buf out = {0};

		count += blob_read(engine_blobs(post->engine), &refs->items[i], 0,
				   refs->items[i].size, &out) == ERR_OK;
		buf_finish(&out);
	}
	return count;
}

static WAITS void know_all(struct post *post, struct refs *refs)
{
	struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
	struct view *view = post_view(mailbox, "INBOX");

	assert_int_equal(task_sleep(1000), ERR_OK);
	collect(post, ADDRESS, refs);
	assert_true(refs->count >= COUNT);
	view_close(&view);
	mailbox_release(&mailbox);
}

/* ---- tests ---- */

static struct refs known;

static void expunged_messages_go(void *argument)
{
	struct post *post = argument;

	start(post);
	deliver_some(post, ADDRESS);
	deliver_some(post, OTHER);
	know_all(post, &known);
	assert_int_equal(count_readable(post, &known), known.count);
	reclaim_all(post);
	assert_int_equal(count_readable(post, &known), known.count);
	expunge_half(post);
	reclaim_all(post);
	assert_true(status_of(post).compactions > 0);
	assert_true(status_of(post).bytes_reclaimed >= COUNT / 2 * 4096);
	assert_int_equal(status_of(post).restored, 0);
	assert_true(count_readable(post, &known) <= known.count - COUNT / 2);
	check_half(post);
	post_close(post);
	/* And for a process that knows only what is on the disks. */
	post_open(post);
	check_half(post);
	reclaim_all(post);
	check_half(post);
	post_close(post);
}

static void quarantine_is_kept(void *argument)
{
	struct post *post = argument;
	struct reclaim_status status;
	size_t readable;
	bool freed;

	post->quarantine_ms = 24 * HOUR_MS;
	start(post);
	deliver_some(post, ADDRESS);
	know_all(post, &known);
	expunge_half(post);
	reclaim_all(post);
	status = status_of(post);
	assert_true(status.quarantined > 0);
	assert_true(status.sets_quarantined > 0);
	assert_int_equal(status.sets_removed, 0);
	assert_int_equal(status.reclaimable, 0);
	/* Reading one that counts as dead: it stays, and that is an alarm. */
	known.count = 1;
	readable = count_readable(post, &known);
	assert_int_equal(readable, 1);
	assert_int_equal(status_of(post).restored, 1);
	assert_int_equal(task_sleep(24 * HOUR_MS), ERR_OK);
	assert_true(status_of(post).reclaimable > 0);
	assert_int_equal(reclaim_run(engine_reclaim(post->engine), &freed), ERR_OK);
	assert_true(freed);
	assert_int_equal(status_of(post).quarantined, 0);
	assert_int_equal(count_readable(post, &known), 1);
	check_half(post);
	post_close(post);
}

/* A node that starts anew twice a day; between two starts nothing is read, so nothing waits. */
static void quarantine_outlives_restarts(void *argument)
{
	struct post *post = argument;
	bool freed;

	post->quarantine_ms = 24 * HOUR_MS;
	start(post);
	deliver_some(post, ADDRESS);
	know_all(post, &known);
	expunge_half(post);
	reclaim_all(post);
	assert_true(status_of(post).sets_quarantined > 0);
	known.count = 1;
	assert_int_equal(count_readable(post, &known), 1);
	assert_int_equal(status_of(post).restored, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(task_sleep(10 * HOUR_MS), ERR_OK);
		post_close(post);
		assert_int_equal(task_sleep(100 * HOUR_MS), ERR_OK);
		post_open(post);
		assert_int_equal(reclaim_run(engine_reclaim(post->engine), &freed), ERR_OK);
		assert_true(freed == (i == 2));
	}
	assert_int_equal(status_of(post).sets_quarantined, 0);
	/* That it was read is not forgotten either. */
	assert_int_equal(count_readable(post, &known), 1);
	check_half(post);
	post_close(post);
}

/* What died while its set waited has not waited itself. */
static void what_died_later_waits_longer(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	uint32_t first = 1;
	struct message message;
	size_t expunged;
	bool freed;

	post->quarantine_ms = 24 * HOUR_MS;
	start(post);
	deliver_some(post, ADDRESS);
	know_all(post, &known);
	expunge_half(post);
	reclaim_all(post);
	assert_int_equal(task_sleep(23 * HOUR_MS), ERR_OK);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_message(view, first, &message), ERR_OK);
	assert_int_equal(view_store(view, &first, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			 ERR_OK);
	assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
	assert_int_equal(expunged, 1);
	view_close(&view);
	mailbox_release(&mailbox);
	assert_int_equal(task_sleep(HOUR_MS), ERR_OK);
	assert_int_equal(reclaim_run(engine_reclaim(post->engine), &freed), ERR_OK);
	assert_true(freed);
	for (size_t i = 0; i < known.count; i++)
		if (id128_equal(known.items[i].id, message.email_id))
			known.items[0] = known.items[i];
	assert_true(id128_equal(known.items[0].id, message.email_id));
	known.count = 1;
	assert_int_equal(count_readable(post, &known), 1);
	post_close(post);
}

static WAITS uint64_t journal_bytes(struct post *post)
{
	struct engine_status *status = memory_allocate(sizeof(*status));
	uint64_t bytes;

	assert_non_null(status);
	engine_get_status(post->engine, status);
	bytes = status->journal.bytes;
	memory_free(status);
	return bytes;
}

static WAITS void delete_account(struct post *post, const char *address)
{
	struct accounts *accounts = engine_accounts(post->engine);
	struct buf record = {0};

	assert_int_equal(account_make_status(post->admin, POST_CLUSTER,
					     accounts_find(accounts, bytes_string(address)),
					     ACCOUNT_DELETED, 1, &record),
			 ERR_OK);
	assert_int_equal(accounts_publish(accounts, bytes_of_buf(&record)), ERR_OK);
	buf_finish(&record);
}

static WAITS uint64_t occupied(void)
{
	static const char *const paths[POST_VOLUMES] = {"/d0/v", "/d1/v", "/d2/v"};
	uint64_t total = 0;

	for (size_t i = 0; i < POST_VOLUMES; i++) {
		struct usage usage;

		assert_int_equal(usage_measure(paths[i], &usage), ERR_OK);
		total += usage_total(&usage);
	}
	return total;
}

static enum err count_entry(void *context, const struct entry *entry)
{
	(void)entry;
	(*(size_t *)context)++;
	return ERR_OK;
}

static WAITS size_t entries_of(struct post *post, struct id128 stream)
{
	bool complete, more = true;
	size_t count = 0;

	assert_int_equal(journal_read(engine_journal(post->engine), stream, NULL, 100000,
				      count_entry, &count, NULL, &complete, &more),
			 ERR_OK);
	return count;
}

/* Its entries and pages, not its blobs alone, after the quarantine and not before. */
static void deleted_account_leaves_the_journal(void *argument)
{
	struct post *post = argument;
	const struct account_record *account;
	struct id128 stream;
	uint64_t before, bytes;
	bool freed;

	post->segment_size = 64 << 10;
	post->quarantine_ms = HOUR_MS;
	start(post);
	post_close(post);
	/* Nobody reads it: all that is delivered stays in the journal. */
	post->snapshot_entries = 100000;
	post_open(post);
	for (unsigned i = 0; i < 15; i++)
		deliver_some(post, ADDRESS);
	account = accounts_find(engine_accounts(post->engine), bytes_string(ADDRESS));
	stream = account->stream;
	assert_true(entries_of(post, stream) >= 15 * COUNT);
	delete_account(post, ADDRESS);
	assert_int_equal(task_sleep(1000), ERR_OK);
	reclaim_all(post);
	assert_true(entries_of(post, stream) >= 15 * COUNT);
	before = occupied();
	bytes = journal_bytes(post);
	assert_int_equal(task_sleep(HOUR_MS), ERR_OK);
	assert_int_equal(reclaim_run(engine_reclaim(post->engine), &freed), ERR_OK);
	assert_int_equal(status_of(post).streams_emptied, 1);
	assert_int_equal(entries_of(post, stream), 0);
	/* The segments follow when the keeper finds them wasteful. */
	assert_int_equal(task_sleep(HOUR_MS), ERR_OK);
	assert_true(journal_bytes(post) < bytes / 2);
	assert_true(occupied() + (bytes - journal_bytes(post)) / 2 < before);
	post_close(post);
	/* It is not brought back, and there is nothing to do a second time. */
	post_open(post);
	reclaim_all(post);
	assert_int_equal(entries_of(post, stream), 0);
	assert_int_equal(status_of(post).streams_emptied, 0);
	post_close(post);
}

static void deleted_account_goes(void *argument)
{
	struct post *post = argument;
	struct accounts *accounts;
	struct buf record = {0};

	start(post);
	deliver_some(post, ADDRESS);
	deliver_some(post, OTHER);
	know_all(post, &known);
	post_close(post);
	post_open(post);
	accounts = engine_accounts(post->engine);
	/* That of account, which is in no session. */
	assert_int_equal(account_make_status(post->admin, POST_CLUSTER,
					     accounts_find(accounts, bytes_string(ADDRESS)),
					     ACCOUNT_DELETED, 1, &record),
			 ERR_OK);
	assert_int_equal(accounts_publish(accounts, bytes_of_buf(&record)), ERR_OK);
	buf_finish(&record);
	assert_int_equal(task_sleep(1000), ERR_OK);
	reclaim_all(post);
	assert_int_equal(count_readable(post, &known), 0);
	collect(post, OTHER, &known);
	{
		struct mailbox *mailbox = post_login(post, OTHER, PASSWORD);
		struct view *view = post_view(mailbox, "INBOX");

		assert_int_equal(view_count(view), COUNT);
		post_assert_message(view, 1, "P: p\r\nSubject: 0\r\n\r\nbody\r\n");
		view_close(&view);
		mailbox_release(&mailbox);
	}
	post_close(post);
}

/* Uploads that no entry names: of an account, and of nobody. */
static WAITS void upload(struct post *post, struct id128 tag, bool release,
			 struct blob_upload **open)
{
	uint8_t bytes[5000] = {1};
	struct blob_upload *uploading;

	assert_int_equal(blob_upload_open(engine_blobs(post->engine),
					  env_random_id(sched_env(task_sched())), tag, &uploading),
			 ERR_OK);
	assert_int_equal(blob_upload_write(uploading, bytes_make(bytes, sizeof(bytes))), ERR_OK);
	assert_int_equal(blob_upload_finish(uploading, &known.items[known.count++]), ERR_OK);
	if (release)
		blob_upload_release(&uploading);
	else
		*open = uploading;
}

static void orphans_go(void *argument)
{
	struct post *post = argument;
	struct blob_upload *open = NULL;
	struct id128 tag;

	start(post);
	tag = accounts_find(engine_accounts(post->engine), bytes_string(ADDRESS))->tag;
	known.count = 0;
	upload(post, tag, true, NULL);
	upload(post, (struct id128){{0xee}}, true, NULL);
	upload(post, tag, false, &open);
	upload(post, tag, true, NULL);
	reclaim_all(post);
	/* The open one may be named yet, and so may what came after it. */
	assert_int_equal(count_readable(post, &known), 2);
	blob_upload_release(&open);
	reclaim_all(post);
	assert_int_equal(count_readable(post, &known), 0);
	known.count = 0;
	upload(post, tag, true, NULL);
	upload(post, (struct id128){{0xee}}, true, NULL);
	post_close(post);
	post_open(post);
	assert_int_equal(count_readable(post, &known), 2);
	reclaim_all(post);
	assert_int_equal(count_readable(post, &known), 0);
	post_close(post);
}

static void one_silent_volume_holds_it_up(void *argument)
{
	struct post *post = argument;
	struct reclaim_status status;
	bool freed;

	start(post);
	deliver_some(post, ADDRESS);
	know_all(post, &known);
	expunge_half(post);
	assert_int_equal(blobs_settle(engine_blobs(post->engine)), ERR_OK);
	post_close(post);
	assert_int_equal(io_rename("/d1/v", "/d1/away"), ERR_OK);
	post_open(post);
	assert_int_equal(reclaim_run(engine_reclaim(post->engine), &freed), ERR_UNAVAILABLE);
	assert_false(freed);
	status = status_of(post);
	assert_int_equal(status.obstacle.err, ERR_UNAVAILABLE);
	assert_false(id128_is_zero(status.obstacle.volume));
	assert_true(status.obstacle_since_ms != 0);
	assert_int_equal(count_readable(post, &known), known.count);
	post_close(post);
	assert_int_equal(io_rename("/d1/away", "/d1/v"), ERR_OK);
	post_open(post);
	reclaim_all(post);
	assert_true(status_of(post).bytes_reclaimed > 0);
	check_half(post);
	post_close(post);
}

static enum err count_profile(void *context, const struct compact_set *set)
{
	size_t *counts = context;

	counts[set->profile.k]++;
	return ERR_OK;
}

/* What was written while there were two volumes is encoded as three allow, and stays what it is. */
static void more_volumes_encode_anew(void *argument)
{
	struct post *post = argument;
	size_t before[PROFILE_MEMBER_MAX] = {0}, after[PROFILE_MEMBER_MAX] = {0};

	start(post);
	post_close(post);
	assert_int_equal(io_rename("/d1/v", "/d1/away"), ERR_OK);
	post_open(post);
	deliver_some(post, ADDRESS);
	assert_int_equal(blobs_settle(engine_blobs(post->engine)), ERR_OK);
	post_close(post);
	assert_int_equal(io_rename("/d1/away", "/d1/v"), ERR_OK);
	post_open(post);
	assert_int_equal(task_sleep(10000), ERR_OK);
	assert_int_equal(compact_sets(engine_blobs(post->engine), count_profile, before), ERR_OK);
	assert_true(before[1] > 0);
	know_all(post, &known);
	reclaim_all(post);
	assert_true(status_of(post).reencodings > 0);
	assert_int_equal(compact_sets(engine_blobs(post->engine), count_profile, after), ERR_OK);
	assert_int_equal(after[1], 0);
	assert_true(after[2] > 0);
	assert_int_equal(count_readable(post, &known), known.count);
	expunge_half(post);
	check_half(post);
	post_close(post);
}

/* ---- full disks ---- */

#define LARGE 60000u
#define CAPACITY (32u << 20)
#define DELIVERY_MAX 2000u
#define LOOK_MS 10000u /* in which the file system has been looked at */
#define EXPUNGE_COUNT 100u

static WAITS enum err deliver_large(struct post *post)
{
	static char text[LARGE];

	/* Nothing that compresses. */
	(void)snprintf(text, sizeof(text), "Subject: large\r\n\r\n");
	for (size_t i = strlen(text); i + 1 < sizeof(text); i++) {
		uint8_t octet;

		env_random(sched_env(task_sched()), &octet, 1);
		text[i] = (char)(' ' + octet % 90);
	}
	text[sizeof(text) - 1] = '\0';
	return post_deliver_to(post, ADDRESS, "", text);
}

/* Until it is refused twice, with a look between: the estimate alone errs to the careful side. */
static WAITS size_t fill_up(struct post *post)
{
	size_t count = 0;
	bool refused = false;

	while (count < DELIVERY_MAX) {
		enum err err = deliver_large(post);

		if (err == ERR_OK) {
			count++;
			refused = false;
			continue;
		}
		assert_int_equal(err, ERR_NOSPACE);
		if (refused)
			break;
		refused = true;
		assert_int_equal(task_sleep(LOOK_MS), ERR_OK);
	}
	return count;
}

static uint64_t least_free(const struct post *post)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < POST_VOLUMES; i++) {
		uint64_t left = sim_disk_free(post->disks[i]);

		least = left < least ? left : least;
	}
	return least;
}

static WAITS void append_is_refused(struct mailbox *mailbox)
{
	static const uint8_t text[LARGE];
	struct appending *appending;
	uint32_t uidvalidity, uid;
	enum err err = append_begin(mailbox, bytes_string("INBOX"), &appending);

	if (err == ERR_OK) {
		err = append_write(appending, bytes_make(text, sizeof(text)));
		if (err == ERR_OK)
			err = append_finish(appending, 0, NULL, 0, 0, 0, &uidvalidity, &uid);
		append_end(&appending);
	}
	assert_int_equal(err, ERR_NOSPACE);
}

/* A session that sees all that was accepted, with the disks full. */
static WAITS struct view *open_full(struct mailbox *mailbox, size_t delivered)
{
	struct view *view = post_view(mailbox, "INBOX");

	for (unsigned i = 0; i < 10 && view_count(view) < delivered; i++) {
		struct buf events = {0};

		assert_int_equal(task_sleep(1000), ERR_OK);
		post_sync(view, true, &events);
		buf_finish(&events);
	}
	/* What was refused may appear all the same: a replica with room may have taken it. */
	assert_true(view_count(view) >= delivered);
	return view;
}

/* Expunges all but every `keep`th (0: all), and says how little was free meanwhile. */
static WAITS uint64_t expunge_most(struct post *post, struct view *view, size_t keep)
{
	uint64_t least = least_free(post);
	size_t next = 1, kept = 0;

	while (next <= view_count(view)) {
		uint32_t sequences[EXPUNGE_COUNT];
		struct buf events = {0};
		size_t count = 0, expunged;

		for (; count < EXPUNGE_COUNT && next <= view_count(view); next++) {
			if (keep != 0 && next % keep == 0)
				kept++;
			else
				sequences[count++] = (uint32_t)next;
		}
		assert_int_equal(
			view_store(view, sequences, count, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			ERR_OK);
		assert_int_equal(view_expunge(view, sequences, count, &expunged), ERR_OK);
		assert_int_equal(expunged, count);
		post_sync(view, true, &events);
		buf_finish(&events);
		next = kept + 1;
		if (least_free(post) < least)
			least = least_free(post);
	}
	assert_int_equal(view_count(view), kept);
	return least;
}

static WAITS void delete_most(struct post *post, size_t delivered, size_t keep)
{
	struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
	struct view *view = open_full(mailbox, delivered);

	append_is_refused(mailbox);
	/* What deleting takes is a part of the reserve, which is 5 %. */
	assert_true(expunge_most(post, view, keep) > CAPACITY / 40);
	view_close(&view);
	mailbox_release(&mailbox);
	assert_int_equal(task_sleep(2000), ERR_OK);
	reclaim_all(post);
	assert_int_equal(task_sleep(LOOK_MS), ERR_OK);
}

static WAITS size_t start_full(struct post *post)
{
	size_t count;

	for (size_t i = 0; i < POST_VOLUMES; i++)
		post->disks[i]->options.capacity = CAPACITY;
	post->segment_size = 256 << 10;
	start(post);
	count = fill_up(post);
	assert_true(count > 500 && count < DELIVERY_MAX);
	assert_true(least_free(post) < CAPACITY / 10);
	return count;
}

static void full_disks_take_mail_again(void *argument)
{
	struct post *post = argument;
	size_t first = start_full(post);

	delete_most(post, first, 0);
	assert_true(status_of(post).bytes_reclaimed > first * LARGE);
	assert_true(fill_up(post) > first * 9 / 10);
	post_close(post);
}

static WAITS void read_all(struct post *post, size_t least_count)
{
	struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
	struct view *view = post_view(mailbox, "INBOX");

	assert_true(view_count(view) >= least_count);
	for (uint32_t i = 1; i <= view_count(view); i++) {
		struct buf text = {0};

		assert_int_equal(view_read(view, i, 0, LARGE, &text), ERR_OK);
		assert_int_equal(text.size, LARGE);
		buf_finish(&text);
	}
	view_close(&view);
	mailbox_release(&mailbox);
}

/* What lives must be copied before its set goes, and there is the reserve to copy it to. */
static void full_disks_are_compacted(void *argument)
{
	struct post *post = argument;
	size_t first;

	post->column_size = 512 << 10;
	first = start_full(post);
	post_close(post);
	post_open(post);
	delete_most(post, first, 2);
	assert_true(status_of(post).bytes_reclaimed > first / 3 * LARGE);
	read_all(post, first / 2);
	assert_true(fill_up(post) > first / 4);
	post_close(post);
}

/* The last part of the reserve is not for copies: what deletes goes on, and status says why. */
static void copies_leave_the_journal_room(void *argument)
{
	struct post *post = argument;
	size_t first;
	struct mailbox *mailbox;
	struct view *view;
	bool freed;

	post->column_size = 512 << 10;
	first = start_full(post);
	post_close(post);
	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = open_full(mailbox, first);
	(void)expunge_most(post, view, 2);
	view_close(&view);
	mailbox_release(&mailbox);
	assert_int_equal(task_sleep(2000), ERR_OK);
	/* As if somebody else had taken what was left. */
	for (size_t i = 0; i < POST_VOLUMES; i++)
		post->disks[i]->options.capacity -=
			sim_disk_free(post->disks[i]) - CAPACITY / 20 / 5;
	assert_int_equal(task_sleep(LOOK_MS), ERR_OK);
	assert_int_equal(reclaim_run(engine_reclaim(post->engine), &freed), ERR_UNAVAILABLE);
	/* What holds nothing that lives may have gone. */
	assert_int_equal(status_of(post).obstacle.err, ERR_NOSPACE);
	assert_int_equal(status_of(post).bytes_copied, 0);
	for (size_t i = 0; i < POST_VOLUMES; i++)
		post->disks[i]->options.capacity = CAPACITY;
	assert_int_equal(task_sleep(LOOK_MS), ERR_OK);
	reclaim_all(post);
	assert_int_equal(status_of(post).obstacle.err, ERR_OK);
	assert_true(status_of(post).bytes_reclaimed > first / 3 * LARGE);
	read_all(post, first / 2);
	post_close(post);
}

static void run(void (*test)(void *post))
{
	struct post post;

	post_init(&post);
	post_run(&post, test);
	post_finish(&post);
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run(name);                                                                         \
	}

TEST(expunged_messages_go)
TEST(quarantine_is_kept)
TEST(quarantine_outlives_restarts)
TEST(what_died_later_waits_longer)
TEST(deleted_account_leaves_the_journal)
TEST(deleted_account_goes)
TEST(orphans_go)
TEST(one_silent_volume_holds_it_up)
TEST(more_volumes_encode_anew)
TEST(full_disks_take_mail_again)
TEST(full_disks_are_compacted)
TEST(copies_leave_the_journal_room)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expunged_messages_go),
		cmocka_unit_test(test_quarantine_is_kept),
		cmocka_unit_test(test_quarantine_outlives_restarts),
		cmocka_unit_test(test_what_died_later_waits_longer),
		cmocka_unit_test(test_deleted_account_leaves_the_journal),
		cmocka_unit_test(test_deleted_account_goes),
		cmocka_unit_test(test_orphans_go),
		cmocka_unit_test(test_one_silent_volume_holds_it_up),
		cmocka_unit_test(test_more_volumes_encode_anew),
		cmocka_unit_test(test_full_disks_take_mail_again),
		cmocka_unit_test(test_full_disks_are_compacted),
		cmocka_unit_test(test_copies_leave_the_journal_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
