/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Replays tests/imap/transcripts/ against the server over a loopback stream: each
 * dialogue whole, octet by octet, in random chunks, and, where nothing happens
 * behind the client's back, pipelined; the answers are the same every time.
 *
 *   # comment
 *   > INBOX SF 09-Sep-2001 01:46:40 +0000    a message, flags by letter (- for none); its lines:
 *   | Subject: x
 *   @login                the greeting and a LOGIN
 *   C: a NOOP             a line of the client
 *   S: a OK ...           a line of the server, exactly
 *   ! expunge INBOX 2     what others do: expunge, flag, deliver, vanish; folder, fail-read, ...
 *
 * <<41>> stands for an octet. The server closes at the end.
 */
#include "tests/net/stream_pair.h"

#include <dirent.h>
#include <stdlib.h>

#include "imap/session.h"
#include "mail/date.h"
#include "tests/imap/fake_mailbox.h"

#define assert_good(call) assert_int_equal((call), ERR_OK)
#define ITEMS_MAX 1000u
#define DIRECTORY "tests/imap/transcripts"

enum mode { WHOLE, OCTETS, CHUNKS, PIPELINED };

struct item {
	char kind; /* the sign it starts with */
	unsigned line;
	struct buf text;
};

struct transcript {
	const char *name;
	struct item items[ITEMS_MAX];
	size_t count;
	bool alone; /* nobody else does anything */
};

static struct {
	struct transcript transcript;
	struct home home;
	struct imap_server server;
	enum mode mode;
	uint32_t seed;
} run;

/* ---- reading ---- */

static void add_item(char kind, unsigned line, const char *text)
{
	struct item *item = &run.transcript.items[run.transcript.count++];

	assert_true(run.transcript.count < ITEMS_MAX);
	*item = (struct item){.kind = kind, .line = line};
	for (const char *at = text; *at != '\0'; at++) {
		unsigned octet;
		char end[3];

		if (sscanf(at, "<<%2x%2[>]", &octet, end) == 2 && strcmp(end, ">>") == 0) {
			buf_put_u8(&item->text, (uint8_t)octet);
			at += 5;
		} else {
			buf_put_u8(&item->text, (uint8_t)*at);
		}
	}
	if (kind != '!')
		buf_put_string(&item->text, "\r\n");
	else
		buf_put_u8(&item->text, '\0');
}

static void add_login(unsigned line)
{
	add_item('S', line,
		 "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN] Aerostore "
		 "ready");
	add_item('C', line, "login LOGIN joe@example.org secret");
	add_item('S', line,
		 "login OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE NAMESPACE IDLE UIDPLUS "
		 "MOVE UNSELECT CHILDREN SPECIAL-USE] Logged in");
}

static void parse_line(const char *line, unsigned number)
{
	if (line[0] == '\0' || line[0] == '#')
		return;
	if (strcmp(line, "@login") == 0) {
		add_login(number);
		return;
	}
	run.transcript.alone &= line[0] != '!';
	if (strncmp(line, "C: ", 3) == 0 || strncmp(line, "S: ", 3) == 0)
		add_item(line[0], number, line + 3);
	else if (strncmp(line, "! ", 2) == 0)
		add_item('!', number, line + 2);
	else if (strncmp(line, "> ", 2) == 0)
		add_item('>', number, line + 2);
	else if (line[0] == '|')
		add_item('|', number, line[1] != '\0' ? line + 2 : "");
	else
		fail_msg("%s:%u: what is this?", run.transcript.name, number);
}

static void read_transcript(const char *path)
{
	FILE *file = fopen(path, "r");
	static char line[70000];
	unsigned number = 0;

	assert_non_null(file);
	run.transcript.name = path;
	run.transcript.count = 0;
	run.transcript.alone = true;
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		parse_line(line, ++number);
	}
	fclose(file);
}

/* ---- the world behind the server ---- */

static uint8_t flags_of(const char *letters)
{
	static const char names[] = "SAFDT";
	uint8_t flags = 0;

	for (; *letters != '\0'; letters++)
		if (strchr(names, *letters) != NULL)
			flags |= (uint8_t)(1u << (strchr(names, *letters) - names));
	return flags;
}

static void add_mail(size_t index)
{
	char folder[64], letters[16];
	struct buf data = {0};
	struct date date;
	int at = 0;

	assert_int_equal(sscanf((const char *)run.transcript.items[index].text.data, "%63s %15s %n",
				folder, letters, &at),
			 2);
	assert_good(date_parse_imap(
		bytes_make(run.transcript.items[index].text.data + at, DATE_IMAP_SIZE - 1), &date));
	for (size_t i = index + 1; i < run.transcript.count && run.transcript.items[i].kind == '|';
	     i++)
		buf_put_bytes(&data, bytes_of_buf(&run.transcript.items[i].text));
	fake_folder(&run.home, folder)->exists = true;
	(void)fake_add(&run.home, fake_folder(&run.home, folder), bytes_of_buf(&data),
		       flags_of(letters), (uint64_t)date.seconds * 1000, date.zone_minutes);
	buf_finish(&data);
}

static struct fake_message *find_message(const char *folder, unsigned uid)
{
	struct fake_folder *found = fake_folder(&run.home, folder);

	for (size_t i = 0; i < found->count; i++)
		if (found->messages[i]->uid == uid)
			return found->messages[i];
	fail_msg("no message %u in %s", uid, folder);
	return NULL;
}

static void act(const struct item *item)
{
	const char *text = (const char *)item->text.data;
	char what[32] = "", folder[64] = "", letters[16] = "";
	unsigned number = 0;

	sscanf(text, "%31s %63s %u %15s", what, folder, &number, letters);
	if (strcmp(what, "expunge") == 0) {
		find_message(folder, number)->expunged = true;
	} else if (strcmp(what, "flag") == 0) {
		find_message(folder, number)->flags.system = flags_of(letters);
	} else if (strcmp(what, "deliver") == 0) {
		(void)fake_add(&run.home, fake_folder(&run.home, folder),
			       bytes_string("Subject: new\r\n\r\nnew\r\n"), 0, FAKE_ARRIVAL_MS, 0);
	} else if (strcmp(what, "vanish") == 0) {
		run.home.vanishing = find_message(folder, number);
	} else if (strcmp(what, "folder") == 0) {
		fake_folder(&run.home, folder)->exists = true;
		fake_folder(&run.home, folder)->special_use = (enum special_use)number;
	} else if (strcmp(what, "keywords-max") == 0) {
		fake_folder(&run.home, folder)->keyword_max = number;
	} else if (strcmp(what, "fail-read") == 0) {
		run.home.failing_read = number;
		run.home.read_error =
			strcmp(folder, "corrupt") == 0 ? ERR_CORRUPT : ERR_UNAVAILABLE;
	} else if (strcmp(what, "fail-store") == 0) {
		run.home.store_error = ERR_UNAVAILABLE;
	} else if (strcmp(what, "forget-counts") == 0) {
		run.home.reads = run.home.summaries = 0;
	} else if (strcmp(what, "reads") == 0) {
		/* "! reads 3 0": reads of blobs, of summaries since the start. */
		unsigned reads, summaries;

		assert_int_equal(sscanf(text, "reads %u %u", &reads, &summaries), 2);
		assert_int_equal(run.home.reads, reads);
		assert_int_equal(run.home.summaries, summaries);
	} else {
		fail_msg("%s:%u: unknown deed", run.transcript.name, item->line);
	}
	fake_changed(&run.home);
}

/* ---- the client ---- */

static uint32_t random_below(uint32_t limit)
{
	run.seed = run.seed * 1664525u + 1013904223u;
	return (run.seed >> 8) % limit;
}

static void send_bytes(struct stream *stream, struct bytes bytes)
{
	while (bytes.size != 0) {
		size_t size = run.mode == OCTETS   ? 1
			      : run.mode == CHUNKS ? 1 + random_below(40)
						   : bytes.size;

		assert_good(stream_write(stream, bytes_slice(bytes, 0, size)));
		assert_good(stream_flush(stream));
		if (run.mode != WHOLE)
			task_yield();
		bytes = bytes_slice(bytes, size, bytes.size);
	}
}

static void expect(struct stream *stream, const struct item *item)
{
	struct bytes line = {0};
	enum err err = stream_line(stream, 70000, in_ms(10000), &line);

	if (err == ERR_OK && bytes_equal(line, bytes_of_buf(&item->text)))
		return;
	printf("%s:%u (mode %d, %s)\ngot:      %.*s", run.transcript.name, item->line,
	       (int)run.mode, err_name(err), (int)line.size, (const char *)line.data);
	printf("expected: %.*s", (int)item->text.size, (const char *)item->text.data);
	while (stream_line(stream, 70000, in_ms(200), &line) == ERR_OK)
		printf("then:     %.*s", (int)line.size, (const char *)line.data);
	fail_msg("%s:%u: another answer was expected", run.transcript.name, item->line);
}

/* All of the client's lines first, in one piece. */
static void send_all(struct stream *stream)
{
	struct buf all = {0};

	for (size_t i = 0; i < run.transcript.count; i++)
		if (run.transcript.items[i].kind == 'C')
			buf_put_bytes(&all, bytes_of_buf(&run.transcript.items[i].text));
	send_bytes(stream, bytes_of_buf(&all));
	buf_finish(&all);
}

static void talk(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	if (run.mode == PIPELINED)
		send_all(stream);
	for (size_t i = 0; i < run.transcript.count; i++) {
		const struct item *item = &run.transcript.items[i];

		if (item->kind == 'C' && run.mode != PIPELINED)
			send_bytes(stream, bytes_of_buf(&item->text));
		else if (item->kind == 'S')
			expect(stream, item);
		else if (item->kind == '!')
			act(item);
	}
	expect_end(stream);
	assert_int_equal(stream_input(stream).size, 0);
	stream_close(&stream);
}

static void replay_once(void **state, enum mode mode, uint32_t seed)
{
	struct stream_pair pair = {.connect = talk};
	struct loop_fixture *fixture = *state;

	run.mode = mode;
	run.seed = seed;
	fake_init(&run.home, loop_env(fixture->loop));
	imap_server_init(&run.server);
	run.server.home = &run.home;
	run.server.env = loop_env(fixture->loop);
	run.server.sched = fixture->sched;
	for (size_t i = 0; i < run.transcript.count; i++)
		if (run.transcript.items[i].kind == '>')
			add_mail(i);
	pair.fixture = fixture;
	pair.options = (struct listener_options){
		.address = "127.0.0.1:0", .serve = imap_serve, .context = &run.server};
	assert_good(listener_open(fixture->sched, &pair.options, &pair.listener));
	snprintf(pair.address, sizeof(pair.address), "127.0.0.1:%u", listener_port(pair.listener));
	loop_fixture_run(fixture, stream_pair_client, &pair);
	while (listener_connections(pair.listener) != 0)
		loop_turn(fixture->loop, true);
	listener_close(&pair.listener);
	assert_int_equal(run.server.sessions, 0);
	fake_finish(&run.home);
}

static void replay(void **state, const char *path)
{
	read_transcript(path);
	replay_once(state, WHOLE, 0);
	replay_once(state, OCTETS, 0);
	for (uint32_t seed = 1; seed <= 3; seed++)
		replay_once(state, CHUNKS, seed);
	if (run.transcript.alone)
		replay_once(state, PIPELINED, 0);
	for (size_t i = 0; i < run.transcript.count; i++)
		buf_finish(&run.transcript.items[i].text);
}

static int is_transcript(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
}

static void test_transcripts(void **state)
{
	struct dirent **entries;
	int count = scandir(DIRECTORY, &entries, is_transcript, alphasort);
	const char *only = getenv("TRANSCRIPT");

	assert_true(count > 0);
	for (int i = 0; i < count; i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", DIRECTORY, entries[i]->d_name);
		if (only == NULL || strcmp(only, entries[i]->d_name) == 0)
			replay(state, path);
		free(entries[i]);
	}
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transcripts, loop_fixture_setup,
						loop_fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
