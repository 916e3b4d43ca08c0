/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Stores that earlier versions wrote: golden/NAME.tar.gz holds the volumes of
 *one (d0/v, d1/v, d2/v), its keys, and under expected/ each message as it was
 *read by the program that wrote it. Today's program opens it, and reads every
 *message byte for byte; so does reader.py, with any volume missing. Run from
 *the top of the tree.
 *
 *	test_golden --write DIRECTORY   makes a store: golden/make.sh says when
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/io.h"
#include "tests/sim/workload/message.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/mailbox_fixture.h"
#include "tests/support/unit.h"

#define GOLDEN "tests/format/golden"
#define READER "tests/format/reader.py"
#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
#define COLUMN_SIZE (48u * 1024)
#define GOLDEN_STREAM 821
#define MESSAGES 14u

static const char *const folders[] = {"INBOX", "Archive", "Work/Lists"};
#define FOLDER_COUNT (sizeof(folders) / sizeof(folders[0]))

static const char *top; /* of one store */

static void path_in(const char *name, char out[512])
{
	assert_true(snprintf(out, 512, "%s/%s", top, name) < 512);
}

static int run(char *const arguments[], const char *input)
{
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)dup2(ends[0], 0);
		(void)close(ends[1]);
		(void)execv(arguments[0], arguments);
		_exit(127);
	}
	(void)close(ends[0]);
	assert_int_equal(write(ends[1], input, strlen(input)), strlen(input));
	(void)close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int shell(const char *command)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "%s", command);
	return run((char *[]){(char[]){"/bin/sh"}, (char[]){"-c"}, text, NULL}, "");
}

static void write_file(const char *name, struct bytes content)
{
	char path[512];
	FILE *file;

	path_in(name, path);
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "wbx");
	assert_non_null(file);
	assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
	assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *name, uint8_t *out, size_t size)
{
	char path[512];
	FILE *file;
	size_t got;

	path_in(name, path);
	file = fopen(path, "rb");
	assert_non_null(file);
	got = fread(out, 1, size, file);
	assert_int_equal(fclose(file), 0);
	return got;
}

/* ---- what a mailbox holds ---- */

static void message_name(const struct message *message, const char *folder, char out[128])
{
	static const char letters[] = "SRFTD";
	static const uint8_t flags[] = {FLAG_SEEN, FLAG_ANSWERED, FLAG_FLAGGED, FLAG_DELETED,
					FLAG_DRAFT};
	static const char order[] = "DFRST";
	char shown[8], flat[64];
	size_t count = 0;

	for (size_t i = 0; i < 5; i++) {
		size_t flag = (size_t)(strchr(letters, order[i]) - letters);

		if (message->flags.system & flags[flag])
			shown[count++] = order[i];
	}
	shown[count] = '\0';
	(void)snprintf(flat, sizeof(flat), "%s", folder);
	for (char *slash = flat; (slash = strchr(slash, '/')) != NULL;)
		*slash = '.';
	(void)snprintf(out, 128, "%s/cur/%u:2,%s", flat, message->uid, shown);
}

static WAITS void read_mailbox(struct mailbox *mailbox, const char *into)
{
	for (size_t i = 0; i < FOLDER_COUNT; i++) {
		struct view *view = post_view(mailbox, folders[i]);

		for (uint32_t j = 1; j <= view_count(view); j++) {
			struct buf content = {0};
			struct message message;
			char name[128], path[256];

			assert_ok(view_message(view, j, &message));
			assert_ok(view_read(view, j, 0, UINT32_MAX, &content));
			message_name(&message, folders[i], name);
			(void)snprintf(path, sizeof(path), "%s/%s", into, name);
			write_file(path, bytes_of_buf(&content));
			buf_finish(&content);
		}
		view_close(&view);
	}
}

/* ---- writing one ---- */

static WAITS void copy_folder(const char *folder)
{
	struct buf names = {0}, content = {0};

	assert_ok(io_list(folder, &names));
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		char path[256];

		(void)snprintf(path, sizeof(path), "%s/%s", folder, (char *)names.data + at);
		buf_clear(&content);
		if (io_read_file(path, 64u << 20, &content) == ERR_OK)
			write_file(path + 1, bytes_of_buf(&content));
		else
			copy_folder(path);
	}
	buf_finish(&names);
	buf_finish(&content);
}

/* A set whose mirror went with its disk's folder is evacuated at the next
 * start. */
static WAITS void lose_a_mirror(void)
{
	struct buf names = {0};
	bool lost = false;

	for (unsigned volume = 0; volume < POST_VOLUMES && !lost; volume++) {
		char folder[32], path[256];

		(void)snprintf(folder, sizeof(folder), "/d%u/v/columns", volume);
		buf_clear(&names);
		assert_ok(io_list(folder, &names));
		for (size_t at = 0; at < names.size && !lost;
		     at += strlen((char *)names.data + at) + 1) {
			(void)snprintf(path, sizeof(path), "%s/%s", folder,
				       (char *)names.data + at);
			lost = strstr(path, ".mir") != NULL;
			if (lost)
				assert_ok(io_unlink(path));
		}
	}
	assert_true(lost);
	buf_finish(&names);
}

static WAITS void deliver(struct post *post, unsigned first, unsigned count)
{
	struct sim_random random;

	for (unsigned i = first; i < first + count; i++) {
		struct buf text = {0};

		sim_random_init(&random, i, GOLDEN_STREAM);
		message_make(&text, i, i % 3 == 0 ? 40000 : 3000, &random);
		buf_put_u8(&text, '\0');
		post_deliver(post, ADDRESS, (const char *)text.data);
		buf_finish(&text);
	}
}

static WAITS void change(struct mailbox *mailbox)
{
	struct view *view;
	struct copy_result moved = {0};
	uint32_t first = 1, second = 2, third = 3;
	size_t expunged;

	assert_ok(mailbox_create_folder(mailbox, bytes_string("Work/Lists"), SPECIAL_NONE));
	view = post_view(mailbox, "INBOX");
	assert_ok(view_store(view, &first, 1, STORE_ADD, FLAG_SEEN | FLAG_FLAGGED, NULL, 0, true));
	assert_ok(view_copy(view, &second, 1, bytes_string("Work/Lists"), true, &moved));
	memory_free(moved.from_uids);
	memory_free(moved.to_uids);
	assert_ok(view_store(view, &third, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true));
	assert_ok(view_expunge(view, &third, 1, &expunged));
	view_close(&view);
	(void)post_append(mailbox, "Archive", "Subject: kept\r\n\r\nin the archive\r\n", FLAG_SEEN);
}

static WAITS void add_secrets(struct post *post)
{
	struct buf secret = {0};

	assert_ok(home_add_slot(engine_home(post->engine), bytes_string(ADDRESS),
				bytes_string(PASSWORD), SLOT_APP, &secret));
	write_file("app-password", bytes_of_buf(&secret));
	buf_clear(&secret);
	assert_ok(home_add_slot(engine_home(post->engine), bytes_string(ADDRESS),
				bytes_string(PASSWORD), SLOT_RECOVERY, &secret));
	write_file("recovery-code", bytes_of_buf(&secret));
	buf_finish(&secret);
}

static WAITS void make_store(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct engine_status status;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	deliver(post, 0, MESSAGES);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	change(mailbox);
	mailbox_release(&mailbox);
	add_secrets(post);
	assert_ok(task_sleep(60000));
	engine_get_status(post->engine, &status);
	assert_true(status.blobs.sets_sealed != 0);
	deliver(post, MESSAGES, 2);
	post_close(post);
	lose_a_mirror();
	post_open(post);
	assert_ok(task_sleep(60000));
	engine_get_status(post->engine, &status);
	assert_true(status.blobs.evacuations != 0);
	deliver(post, MESSAGES + 2, 2);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	read_mailbox(mailbox, "expected");
	mailbox_release(&mailbox);
	engine_get_status(post->engine, &status);
	assert_true(status.blobs.sets_open != 0);
	post_close(post);
	copy_folder("/d0");
	copy_folder("/d1");
	copy_folder("/d2");
	write_file("admin.key", bytes_make(key_octets(post->admin), KEY_SIZE));
	write_file("node.key", bytes_make(key_octets(post->node), KEY_SIZE));
}

static void test_write(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post.column_size = COLUMN_SIZE;
	post.segment_size = COLUMN_SIZE;
	post.snapshot_entries = 8;
	post_run(&post, make_store);
	post_finish(&post);
}

/* ---- reading one ---- */

static WAITS void read_store(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	char secret[64] = "";

	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	read_mailbox(mailbox, "read");
	mailbox_release(&mailbox);
	(void)read_file("app-password", (uint8_t *)secret, sizeof(secret) - 1);
	home_flush_cache(engine_home(post->engine));
	mailbox = post_login(post, ADDRESS, secret);
	mailbox_release(&mailbox);
	post_close(post);
}

static struct key *load_key(const char *name)
{
	uint8_t octets[KEY_SIZE];
	struct key *key = NULL;

	assert_int_equal(read_file(name, octets, sizeof(octets)), sizeof(octets));
	assert_ok(key_import(octets, &key));
	return key;
}

static void assert_as_expected(const char *read)
{
	char command[1024];

	(void)snprintf(command, sizeof(command), "diff -rq %s/expected %s/%s", top, top, read);
	assert_int_equal(shell(command), 0);
}

/* `missing`: a volume that is left out; POST_VOLUMES: none. */
static void read_with_python(const struct key *admin, unsigned missing)
{
	uint8_t public_key[PUBLIC_SIZE];
	char command[1024], hex[2 * PUBLIC_SIZE + 1], volumes[256] = "", name[16];

	sign_public(admin, public_key);
	for (size_t i = 0; i < sizeof(public_key); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", public_key[i]);
	for (unsigned i = 0; i < POST_VOLUMES; i++) {
		size_t used = strlen(volumes);

		if (i != missing)
			(void)snprintf(volumes + used, sizeof(volumes) - used, " %s/d%u/v", top, i);
	}
	(void)snprintf(name, sizeof(name), "python-%u", missing);
	(void)snprintf(command, sizeof(command), "echo '%s' | /usr/bin/python3 %s %s %s %s/%s%s",
		       PASSWORD, READER, hex, ADDRESS, top, name, volumes);
	assert_int_equal(shell(command), 0);
	assert_as_expected(name);
}

static void read_golden(struct loop_fixture *fixture, const char *archive)
{
	struct post post = {.cache_ms = 60000};
	char command[1024], directory[128];

	print_message("%s\n", archive);
	(void)snprintf(directory, sizeof(directory), "%s/%.60s", fixture->directory, archive);
	top = directory;
	(void)snprintf(command, sizeof(command), "mkdir -p %s/index && tar -xzf %s/%s -C %s",
		       directory, GOLDEN, archive, directory);
	assert_int_equal(shell(command), 0);
	assert_ok(key_library_init());
	post.admin = load_key("admin.key");
	post.node = load_key("node.key");
	/* The reader first: the program goes on with what it opens. */
	for (unsigned missing = 0; missing <= POST_VOLUMES; missing++)
		read_with_python(post.admin, missing);
	post.root = top;
	loop_fixture_run(fixture, read_store, &post);
	assert_as_expected("read");
	key_release(&post.admin);
	key_release(&post.node);
}

static void test_golden_stores_are_read(void **state)
{
	DIR *directory = opendir(GOLDEN);
	const struct dirent *entry;
	size_t count = 0;

	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL) {
		if (strstr(entry->d_name, ".tar.gz") == NULL)
			continue;
		read_golden(*state, entry->d_name);
		count++;
	}
	(void)closedir(directory);
	assert_true(count != 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest write_one[] = {cmocka_unit_test(test_write)};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_golden_stores_are_read, loop_fixture_setup,
						loop_fixture_teardown),
	};

	if (argc == 3 && strcmp(argv[1], "--write") == 0) {
		top = argv[2];
		return cmocka_run_group_tests(write_one, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
