/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/transcript.h"

#include <dirent.h>
#include <stdlib.h>

#include "imap/session.h"
#include "mail/date.h"
#include "tests/net/stream_pair.h"

#define assert_good(call) assert_int_equal((call), ERR_OK)
#define ITEMS_MAX 1000u
#define NAME_SIZE 64u

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
	const struct transcript_world *world;
	struct loop_fixture *fixture;
	struct imap_server server;
	enum mode mode;
	uint32_t seed;
	bool over; /* the task of the test has done its work */
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
	add_item('C', line, "login LOGIN " TRANSCRIPT_USER " " TRANSCRIPT_PASSWORD);
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

uint8_t transcript_flags(const char *letters)
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
	char folder[NAME_SIZE], letters[16];
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
	run.world->add(folder, bytes_of_buf(&data), transcript_flags(letters),
		       (uint64_t)date.seconds * 1000, date.zone_minutes);
	buf_finish(&data);
}

static void begin_world(void *nothing)
{
	(void)nothing;
	run.server.home = run.world->begin(run.fixture);
	for (size_t i = 0; i < run.transcript.count; i++)
		if (run.transcript.items[i].kind == '>')
			add_mail(i);
	run.over = true;
}

static void end_world(void *nothing)
{
	(void)nothing;
	run.world->end();
}

static void act(const struct item *item)
{
	if (!run.world->act((const char *)item->text.data))
		fail_msg("%s:%u: this world cannot do that", run.transcript.name, item->line);
}

/* The item's text with what only the world knows. */
static void expand(const struct item *item, struct buf *out)
{
	static const char sign[] = "<<uidvalidity ";
	struct bytes text = bytes_of_buf(&item->text);
	const uint8_t *at;

	buf_clear(out);
	while ((at = memmem(text.data, text.size, sign, sizeof(sign) - 1)) != NULL) {
		const uint8_t *name = at + sizeof(sign) - 1;
		const uint8_t *end = memmem(name, text.size - (size_t)(name - text.data), ">>", 2);
		char folder[NAME_SIZE];

		assert_non_null(end);
		snprintf(folder, sizeof(folder), "%.*s", (int)(end - name), (const char *)name);
		buf_put_bytes(out, bytes_make(text.data, (size_t)(at - text.data)));
		buf_printf(out, "%u", run.world->uidvalidity(folder));
		text = bytes_slice(text, (size_t)(end + 2 - text.data), text.size);
	}
	buf_put_bytes(out, text);
	assert_good(out->err);
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

/* "* 3 FETCH (UID 7 FLAGS (\Deleted ...))" and nothing else. */
static bool is_of_deleted(struct bytes line)
{
	char text[200];
	int end = 0;

	snprintf(text, sizeof(text), "%.*s", (int)line.size, (const char *)line.data);
	if (sscanf(text, "* %*u FETCH (FLAGS (%*[^)]%n", &end) == 0 && end == 0)
		(void)sscanf(text, "* %*u FETCH (UID %*u FLAGS (%*[^)]%n", &end);
	return end != 0 && strcmp(text + end, "))\r\n") == 0 && strstr(text, "\\Deleted") != NULL;
}

static void expect(struct stream *stream, const struct item *item)
{
	struct bytes line = {0};
	struct buf wanted = {0};
	bool as_wanted;
	enum err err;

	expand(item, &wanted);
	do {
		err = stream_line(stream, 70000, in_ms(10000), &line);
		as_wanted = err == ERR_OK && bytes_equal(line, bytes_of_buf(&wanted));
	} while (err == ERR_OK && !as_wanted && run.world->chatty && is_of_deleted(line));
	if (as_wanted) {
		buf_finish(&wanted);
		return;
	}
	printf("%s:%u (mode %d, %s)\ngot:      %.*s", run.transcript.name, item->line,
	       (int)run.mode, err_name(err), (int)line.size, (const char *)line.data);
	printf("expected: %.*s", (int)wanted.size, (const char *)wanted.data);
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
	run.over = true;
}

/* A world may have tasks of its own, which go on: run() says when it has ended. */
static void run_until_over(void (*run_it)(void *argument), void *argument)
{
	assert_good(task_spawn(run.fixture->sched, "transcript", run_it, argument, NULL));
	for (run.over = false; !run.over;)
		loop_turn(run.fixture->loop, true);
}

static void replay_once(enum mode mode, uint32_t seed)
{
	struct stream_pair pair = {.connect = talk, .fixture = run.fixture};

	run.mode = mode;
	run.seed = seed;
	imap_server_init(&run.server);
	run.server.env = loop_env(run.fixture->loop);
	run.server.sched = run.fixture->sched;
	run_until_over(begin_world, NULL);
	pair.options = (struct listener_options){
		.address = "127.0.0.1:0", .serve = imap_serve, .context = &run.server};
	assert_good(listener_open(run.fixture->sched, &pair.options, &pair.listener));
	snprintf(pair.address, sizeof(pair.address), "127.0.0.1:%u", listener_port(pair.listener));
	run_until_over(stream_pair_client, &pair);
	while (listener_connections(pair.listener) != 0)
		loop_turn(run.fixture->loop, true);
	listener_close(&pair.listener);
	assert_int_equal(run.server.sessions, 0);
	loop_fixture_run(run.fixture, end_world, NULL);
}

static void replay(const char *path)
{
	read_transcript(path);
	replay_once(WHOLE, 0);
	for (uint32_t seed = 1; seed <= (run.world->dear ? 1 : 3); seed++)
		replay_once(CHUNKS, seed);
	if (!run.world->dear)
		replay_once(OCTETS, 0);
	if (!run.world->dear && run.transcript.alone)
		replay_once(PIPELINED, 0);
	for (size_t i = 0; i < run.transcript.count; i++)
		buf_finish(&run.transcript.items[i].text);
}

static int is_transcript(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
}

void transcripts_replay(struct loop_fixture *fixture, const struct transcript_world *world,
			const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_transcript, alphasort);
	const char *only = getenv("TRANSCRIPT");

	assert_true(count > 0);
	run.fixture = fixture;
	run.world = world;
	for (int i = 0; i < count; i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		if (only == NULL || strcmp(only, entries[i]->d_name) == 0)
			replay(path);
		free(entries[i]);
	}
	free(entries);
}
