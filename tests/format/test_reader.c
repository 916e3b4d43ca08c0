/* SPDX-License-Identifier: MPL-2.0 */
/*
 * docs/format.md is enough to write a reader: a small store is made in the
 * simulator, its volumes are put into real directories, and reader.py, which
 * knows the document only, must write the very messages that the program reads,
 * with any one of three volumes missing, too. Run from the top of the tree.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/io.h"
#include "tests/support/mailbox_fixture.h"
#include "tests/support/unit.h"

#define READER "tests/format/reader.py"
#define VOLUMES 3
#define LARGE (2500u * 1000)
#define LARGE_COUNT 5

#define ALICE "alice@example.org"
#define BOB "bob@example.org"
#define PASSWORD "correct horse"

static char top[64];
static char admin_public[2 * PUBLIC_SIZE + 1];

/* ---- real files ---- */

static void make_folders(const char *path)
{
	char part[512];

	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		(void)mkdir(part, 0700);
	}
}

static void write_file(const char *path, struct bytes content)
{
	FILE *file;

	make_folders(path);
	file = fopen(path, "wbx");
	assert_non_null(file);
	assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
	assert_int_equal(fclose(file), 0);
}

static WAITS void copy_folder(const char *from, const char *to)
{
	char source[256], target[512];
	struct buf names = {0}, content = {0};

	assert_ok(io_list(from, &names));
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		snprintf(source, sizeof(source), "%s/%s", from, (char *)names.data + at);
		snprintf(target, sizeof(target), "%s/%s", to, (char *)names.data + at);
		buf_clear(&content);
		if (io_read_file(source, 64u << 20, &content) == ERR_OK)
			write_file(target, bytes_of_buf(&content));
	}
	buf_finish(&names);
	buf_finish(&content);
}

static WAITS void copy_volumes(void)
{
	static const char *const folders[] = {"", "/columns", "/journal"};
	char from[64], to[256];

	for (int i = 0; i < VOLUMES; i++)
		for (size_t j = 0; j < sizeof(folders) / sizeof(folders[0]); j++) {
			snprintf(from, sizeof(from), "/d%d/v%s", i, folders[j]);
			snprintf(to, sizeof(to), "%s/volume%d%s", top, i, folders[j]);
			copy_folder(from, to);
		}
}

/* ---- what the program reads ---- */

static void expected_path(const char *account, const char *folder, const char *name, char out[512])
{
	char flat[64];

	snprintf(flat, sizeof(flat), "%s", folder);
	for (char *slash = flat; (slash = strchr(slash, '/')) != NULL;)
		*slash = '.';
	snprintf(out, 512, "%s/expected/%s/%s/%s", top, account, flat, name);
}

static void maildir_name(const struct message *message, char out[32])
{
	static const struct {
		uint8_t flag;
		char letter;
	} letters[] = {{FLAG_DRAFT, 'D'},
		       {FLAG_FLAGGED, 'F'},
		       {FLAG_ANSWERED, 'R'},
		       {FLAG_SEEN, 'S'},
		       {FLAG_DELETED, 'T'}};
	size_t at = (size_t)snprintf(out, 32, "cur/%u:2,", message->uid);

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (message->flags.system & letters[i].flag)
			out[at++] = letters[i].letter;
	out[at] = '\0';
}

static WAITS void expect_folder(struct mailbox *mailbox, const char *account, const char *folder)
{
	struct view *view = post_view(mailbox, folder);
	struct message message;
	char name[32], path[512];

	for (uint32_t i = 1; i <= view_count(view); i++) {
		struct buf content = {0};

		assert_ok(view_message(view, i, &message));
		assert_ok(view_read(view, i, 0, UINT32_MAX, &content));
		maildir_name(&message, name);
		expected_path(account, folder, name, path);
		write_file(path, bytes_of_buf(&content));
		buf_finish(&content);
	}
	view_close(&view);
}

/* ---- the store ---- */

/* Not compressible, without NULs. */
static void make_large(unsigned number, struct buf *out)
{
	uint32_t state = 12345u + number;

	buf_put_string(out, "Subject: large\r\n\r\n");
	assert_ok(buf_reserve(out, LARGE + 1));
	for (size_t i = 0; i < LARGE; i++) {
		state = state * 1664525u + 1013904223u;
		buf_put_u8(out, (uint8_t)(' ' + (state >> 24) % 95));
	}
	buf_put_u8(out, '\0');
	assert_ok(out->err);
}

static WAITS void store(struct view *view, uint32_t sequence, enum store_mode mode, uint8_t system,
			const char *keyword)
{
	struct bytes name = keyword != NULL ? bytes_string(keyword) : bytes_make(NULL, 0);

	assert_ok(
		view_store(view, &sequence, 1, mode, system, &name, keyword != NULL ? 1 : 0, true));
}

static WAITS void copy(struct view *view, uint32_t sequence, const char *target, bool move)
{
	struct copy_result result = {0};

	assert_ok(view_copy(view, &sequence, 1, bytes_string(target), move, &result));
	memory_free(result.from_uids);
	memory_free(result.to_uids);
}

static WAITS void change_mail(struct mailbox *mailbox)
{
	struct view *view;
	uint32_t fifth = 5;
	size_t expunged;
	struct buf large = {0};

	assert_ok(mailbox_create_folder(mailbox, bytes_string("Work/Lists"), SPECIAL_NONE));
	view = post_view(mailbox, "INBOX");
	for (uint32_t i = 1; i <= 8; i++)
		store(view, i, STORE_ADD, FLAG_SEEN, NULL);
	store(view, 2, STORE_ADD, FLAG_FLAGGED | FLAG_ANSWERED, "$Work");
	copy(view, 3, "Work/Lists", false);
	copy(view, 4, "Archive", true);
	store(view, 5, STORE_ADD, FLAG_DELETED, NULL);
	assert_ok(view_expunge(view, &fifth, 1, &expunged));
	view_close(&view);
	for (unsigned i = 0; i < LARGE_COUNT; i++) {
		buf_clear(&large);
		make_large(i, &large);
		post_append(mailbox, "Sent", (const char *)large.data, FLAG_SEEN);
	}
	buf_finish(&large);
}

/* After the snapshot: registers, a folder's name, a message gone. */
static WAITS void change_more(struct mailbox *mailbox)
{
	struct view *view = post_view(mailbox, "INBOX");
	uint32_t first = 1;
	size_t expunged;

	store(view, 2, STORE_REMOVE, FLAG_FLAGGED, NULL);
	store(view, 3, STORE_REPLACE, FLAG_DRAFT, "$Other");
	store(view, 1, STORE_ADD, FLAG_DELETED, NULL);
	assert_ok(view_expunge(view, &first, 1, &expunged));
	view_close(&view);
	assert_ok(mailbox_rename_folder(mailbox, bytes_string("Work"), bytes_string("Play")));
	post_append(mailbox, "Drafts", "Subject: late\r\n\r\n", FLAG_DRAFT);
}

static void deliver_some(struct post *post, const char *address, unsigned first, unsigned count)
{
	char text[64];

	for (unsigned i = first; i < first + count; i++) {
		snprintf(text, sizeof(text), "Subject: %u\r\n\r\nbody %u\r\n", i, i);
		post_deliver(post, address, text);
	}
}

/* A delivery that nobody drains; it is expected by the id of its blob. */
static WAITS void deliver_unread(struct post *post, const char *address, const char *folder)
{
	static const char message[] = "Subject: unread\r\n\r\n";
	const struct account_record *account =
		accounts_find(engine_accounts(post->engine), bytes_string(address));
	struct delivery *delivery;
	struct buf id = {0};
	char name[64], path[512];
	size_t index;

	assert_ok(delivery_begin(engine_delivery_agent(post->engine), bytes_string("s@example.org"),
				 &delivery));
	assert_ok(delivery_recipient(delivery, account, bytes_string(""), bytes_string(folder),
				     &index));
	assert_ok(delivery_write(delivery, bytes_string(message)));
	delivery_finish(delivery);
	assert_ok(delivery_result(delivery, index));
	delivery_id(delivery, index, &id);
	snprintf(name, sizeof(name), "new/%.32s", (const char *)id.data + id.size - 32);
	expected_path(address, folder, name, path);
	write_file(path, bytes_string(message));
	buf_finish(&id);
	delivery_end(&delivery);
}

static WAITS void wait_for_background(struct post *post)
{
	struct blobs_status status;

	for (unsigned i = 0; i < 100; i++) {
		blobs_get_status(engine_blobs(post->engine), &status);
		if (status.sets_sealed != 0 && home_counters(engine_home(post->engine)).manifests)
			return;
		assert_ok(task_sleep(1000));
	}
	fail_msg("no set was sealed, or no manifest written");
}

static WAITS void use_alice(struct post *post)
{
	struct mailbox *mailbox;

	deliver_some(post, ALICE, 0, 10);
	assert_ok(post_deliver_to(post, ALICE, "Junk", "Subject: junk\r\n\r\n"));
	mailbox = post_login(post, ALICE, PASSWORD);
	change_mail(mailbox);
	mailbox_release(&mailbox);
	wait_for_background(post);
	mailbox = post_login(post, ALICE, PASSWORD);
	change_more(mailbox);
	for (size_t i = 0; i < 7; i++)
		expect_folder(mailbox, ALICE,
			      (const char *[]){"INBOX", "Drafts", "Sent", "Trash", "Junk",
					       "Archive", "Play/Lists"}[i]);
	mailbox_release(&mailbox);
	deliver_unread(post, ALICE, "INBOX");
	deliver_unread(post, ALICE, "Play/Lists");
}

/* His first login makes new keys: what was before is under the old ones. */
static WAITS void use_bob(struct post *post)
{
	struct mailbox *mailbox;

	deliver_some(post, BOB, 0, 3);
	mailbox = post_login(post, BOB, PASSWORD);
	mailbox_release(&mailbox);
	deliver_some(post, BOB, 3, 2);
	mailbox = post_login(post, BOB, PASSWORD);
	expect_folder(mailbox, BOB, "INBOX");
	mailbox_release(&mailbox);
}

static void make_store(void *argument)
{
	struct post *post = argument;
	uint8_t public_key[PUBLIC_SIZE];

	sign_public(post->admin, public_key);
	for (size_t i = 0; i < sizeof(public_key); i++)
		snprintf(admin_public + 2 * i, 3, "%02x", public_key[i]);
	post_format(post);
	post_open(post);
	post_add_account(post, ALICE, PASSWORD, true, false);
	post_add_account(post, BOB, PASSWORD, false, false);
	use_alice(post);
	use_bob(post);
	post_close(post);
	copy_volumes();
}

/* ---- the reader ---- */

static int run(char *const arguments[], const char *input)
{
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[0], 0);
		close(ends[1]);
		execv(arguments[0], arguments);
		_exit(127);
	}
	close(ends[0]);
	assert_int_equal(write(ends[1], input, strlen(input)), strlen(input));
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* `missing`: a volume that is left out, or VOLUMES. */
static void read_and_compare(const char *account, int missing)
{
	char output[256], expected[256], volumes[VOLUMES][128];
	char *arguments[6 + VOLUMES] = {(char[]){"/usr/bin/python3"}, (char[]){READER},
					admin_public, (char[]){0}};
	char address[64];
	size_t count = 5;

	snprintf(address, sizeof(address), "%s", account);
	snprintf(output, sizeof(output), "%s/read-%s-%d", top, account, missing);
	snprintf(expected, sizeof(expected), "%s/expected/%s", top, account);
	arguments[3] = address;
	arguments[4] = output;
	for (int i = 0; i < VOLUMES; i++) {
		snprintf(volumes[i], sizeof(volumes[i]), "%s/volume%d", top, i);
		if (i != missing)
			arguments[count++] = volumes[i];
	}
	assert_int_equal(run(arguments, PASSWORD "\n"), 0);
	assert_int_equal(
		run((char *[]){(char[]){"/usr/bin/diff"}, (char[]){"-rq"}, expected, output, NULL},
		    ""),
		0);
}

static int setup(void **state)
{
	struct post post;

	(void)state;
	snprintf(top, sizeof(top), "/tmp/aerostore-reader-XXXXXX");
	assert_non_null(mkdtemp(top));
	post_init(&post);
	post_run(&post, make_store);
	post_finish(&post);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return run((char *[]){(char[]){"/bin/rm"}, (char[]){"-r"}, top, NULL}, "");
}

static void test_reader_reads_all(void **state)
{
	(void)state;
	read_and_compare(ALICE, VOLUMES);
}

static void test_reader_does_without_a_volume(void **state)
{
	(void)state;
	for (int i = 0; i < VOLUMES; i++)
		read_and_compare(ALICE, i);
}

static void test_reader_finds_keys_of_before(void **state)
{
	(void)state;
	read_and_compare(BOB, VOLUMES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_reads_all),
		cmocka_unit_test(test_reader_does_without_a_volume),
		cmocka_unit_test(test_reader_finds_keys_of_before),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
