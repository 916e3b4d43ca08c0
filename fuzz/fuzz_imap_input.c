/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What an IMAP client sends, cut into commands: imap/input.c over a stream that is the input. The
 * stream and the session's output are the target's own, so nothing waits. Read whole and in pieces,
 * the commands and the answers are the same. Input: u32 how to cut it, u8 state, what is sent.
 */
#include "fuzz/fuzz.h"
#include "imap/input.h"
#include "tests/support/unit_env.h"

#define COMMANDS_MAX 64u

struct stream {
	struct bytes sent; /* all that the client will send */
	size_t start, end; /* unread and arrived: [start, end) */
	size_t line_size;  /* consumed at the next call */
	bool is_cut;
	uint32_t seed;
};

static void drop_line(struct stream *stream)
{
	stream->start += stream->line_size;
	stream->line_size = 0;
}

struct bytes stream_input(const struct stream *stream)
{
	return bytes_slice(stream->sent, stream->start + stream->line_size,
			   stream->end - stream->start - stream->line_size);
}

void stream_consume(struct stream *stream, size_t size)
{
	drop_line(stream);
	ASSERT(size <= stream->end - stream->start);
	stream->start += size;
}

enum err stream_fill(struct stream *stream, uint64_t deadline_ms)
{
	size_t left = stream->sent.size - stream->end, room;

	(void)deadline_ms;
	drop_line(stream);
	room = STREAM_INPUT_MAX - (stream->end - stream->start);
	if (room == 0)
		return ERR_LIMIT;
	if (left == 0)
		return ERR_CLOSED;
	if (stream->is_cut)
		left = fuzz_piece(&stream->seed, left);
	stream->end += left < room ? left : room;
	return ERR_OK;
}

enum err stream_line(struct stream *stream, size_t limit, uint64_t deadline_ms, struct bytes *line)
{
	drop_line(stream);
	for (;;) {
		struct bytes input = stream_input(stream);
		const uint8_t *lf = input.size != 0 ? memchr(input.data, '\n', input.size) : NULL;
		size_t size = lf != NULL ? (size_t)(lf - input.data) + 1 : input.size;
		enum err err;

		if (size > limit || (lf == NULL && size == limit))
			return ERR_LIMIT;
		if (lf != NULL) {
			stream->line_size = size;
			*line = bytes_slice(input, 0, size);
			return ERR_OK;
		}
		err = stream_fill(stream, deadline_ms);
		if (err != ERR_OK)
			return err;
	}
}

void imap_flush(struct imap_session *session, bool now)
{
	(void)session;
	(void)now;
}

void imap_untagged(struct imap_session *session, const char *format, ...)
{
	buf_put_string(&session->out, format);
}

static void note(struct buf *seen, const struct imap_command *command, enum err err)
{
	buf_put_u8(seen, (uint8_t)err);
	buf_put_block(seen, command->tag);
	buf_put_block(seen, command->name);
	buf_put_block(seen, bytes_of_buf(&command->text));
	buf_put_u8(seen, command->by_uid);
	buf_put_varint(seen, command->literal_count);
	buf_put_u8(seen, command->literal_pending);
}

static void check_command(const struct imap_command *command)
{
	size_t end = 0;

	ASSERT(command->tag.size != 0 && command->tag.size <= IMAP_TAG_MAX);
	ASSERT(command->text.size <= IMAP_COMMAND_MAX);
	for (size_t i = 0; i < command->literal_count; i++) {
		ASSERT(command->literals[i].offset >= end);
		end = command->literals[i].offset + command->literals[i].size;
	}
	ASSERT(end <= command->text.size);
}

static void read_all(struct bytes sent, uint8_t state, bool is_cut, uint32_t seed, struct buf *seen)
{
	static struct unit_env env;
	static struct imap_server server;
	struct stream stream = {.sent = sent, .is_cut = is_cut, .seed = seed};
	struct imap_session session = {.server = &server, .stream = &stream};
	enum err err = ERR_OK;

	unit_env_init(&env, 1);
	server.env = &env.env;
	session.state = (state & 1) != 0 ? IMAP_AUTHENTICATED : IMAP_GREETED;
	for (size_t i = 0; i < COMMANDS_MAX && (err == ERR_OK || err == ERR_INVALID); i++) {
		struct imap_command command;

		err = imap_read_command(&session, &command);
		if (err == ERR_OK)
			check_command(&command);
		if (err == ERR_OK && command.literal_pending)
			err = imap_drop_from_literal(&session, command.literal_size);
		note(seen, &command, err);
		imap_command_finish(&command);
	}
	buf_put_bytes(seen, bytes_of_buf(&session.out));
	ASSERT(seen->err == ERR_OK);
	buf_finish(&session.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint32_t seed = cursor_u32(&input);
	uint8_t state = cursor_u8(&input);
	struct buf whole = {0}, pieces = {0};

	read_all(fuzz_rest(&input), state, false, 0, &whole);
	read_all(fuzz_rest(&input), state, true, seed, &pieces);
	fuzz_assert_equal(bytes_of_buf(&whole), bytes_of_buf(&pieces));
	buf_finish(&whole);
	buf_finish(&pieces);
	return 0;
}
