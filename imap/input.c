/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/input.h"

#include <string.h>

/* Before login nothing longer than an address and a password is expected. */
#define ANONYMOUS_COMMAND_MAX 8192u
/* A literal that is dropped rather than stored may take so much of the line. */
#define DROP_MAX (256u << 20)
/* Of a line that is dropped so much is kept: "~{18446744073709551615+}" and a line end. */
#define LINE_TAIL 32u
#define ARENA_LIMIT (32u << 20)
#define LITERALS_MAX 4096u

uint64_t imap_deadline(const struct imap_session *session)
{
	const struct imap_server *server = session->server;

	return session->active_ms + (session->state == IMAP_GREETED ? server->login_timeout_ms
								    : server->idle_timeout_ms);
}

void imap_restart_timer(struct imap_session *session)
{
	session->active_ms = env_now_ms(session->server->env);
}

static struct bytes without_line_end(struct bytes line)
{
	if (line.size != 0 && line.data[line.size - 1] == '\n')
		line.size--;
	if (line.size != 0 && line.data[line.size - 1] == '\r')
		line.size--;
	return line;
}

enum err imap_read_line(struct imap_session *session, size_t limit, uint64_t deadline_ms,
			struct bytes *line)
{
	struct bytes input = stream_input(session->stream);
	enum err err;

	if (input.size == 0 || memchr(input.data, '\n', input.size) == NULL)
		imap_flush(session, true);
	if (session->over)
		return ERR_CLOSED;
	err = stream_line(session->stream, limit, deadline_ms, line);
	if (err == ERR_OK) {
		*line = without_line_end(*line);
		imap_restart_timer(session);
	}
	return err;
}

/* A literal that stalls is given up sooner than a client that thinks. */
static uint64_t literal_deadline(const struct imap_session *session)
{
	return session->state == IMAP_GREETED
		       ? imap_deadline(session)
		       : env_now_ms(session->server->env) + session->server->literal_timeout_ms;
}

/* Pipelined commands share a write: what has gathered goes before their next octet is waited for. */
static enum err fill(struct imap_session *session, uint64_t deadline_ms)
{
	imap_flush(session, true);
	return session->over ? ERR_CLOSED : stream_fill(session->stream, deadline_ms);
}

enum err imap_fill_literal(struct imap_session *session)
{
	enum err err = fill(session, literal_deadline(session));

	/* Before login, what trickles in buys no time. */
	if (err == ERR_OK && session->state != IMAP_GREETED)
		imap_restart_timer(session);
	return err;
}

/* "{123}", "{123+}", "~{123}" at the end of a line; *line loses it. */
static bool take_literal_mark(struct bytes *line, uint64_t *size, bool *synchronising, bool *binary)
{
	size_t at = line->size, digits = 0;
	uint64_t value = 0, place = 1;

	if (at < 3 || line->data[at - 1] != '}')
		return false;
	at--;
	*synchronising = line->data[at - 1] != '+';
	if (!*synchronising)
		at--;
	while (at != 0 && line->data[at - 1] >= '0' && line->data[at - 1] <= '9' && digits < 19) {
		value += (uint64_t)(line->data[at - 1] - '0') * place;
		place *= 10;
		digits++;
		at--;
	}
	if (digits == 0 || digits == 19 || at == 0 || line->data[at - 1] != '{')
		return false;
	at--;
	*binary = at != 0 && line->data[at - 1] == '~';
	line->size = *binary ? at - 1 : at;
	*size = value;
	return true;
}

/* ---- what is not wanted ---- */

static enum err drop_literal(struct imap_session *session, uint64_t size)
{
	if (size > DROP_MAX)
		return ERR_LIMIT;
	while (size != 0) {
		struct bytes input = stream_input(session->stream);
		enum err err;

		if (input.size == 0) {
			err = imap_fill_literal(session);
			if (err != ERR_OK)
				return err;
			continue;
		}
		if (input.size > size)
			input.size = (size_t)size;
		stream_consume(session->stream, input.size);
		size -= input.size;
	}
	return ERR_OK;
}

/* A line of any length; `tail` gets its end, where a literal would be announced. */
static enum err drop_line(struct imap_session *session, uint8_t tail[LINE_TAIL], size_t *tail_size)
{
	*tail_size = 0;
	for (;;) {
		struct bytes input = stream_input(session->stream), end;
		const uint8_t *lf = input.size != 0 ? memchr(input.data, '\n', input.size) : NULL;
		enum err err;

		if (lf != NULL)
			input.size = (size_t)(lf - input.data) + 1;
		end = input.size > LINE_TAIL ? bytes_slice(input, input.size - LINE_TAIL, LINE_TAIL)
					     : input;
		if (*tail_size + end.size > LINE_TAIL) {
			size_t over = *tail_size + end.size - LINE_TAIL;

			memmove(tail, tail + over, *tail_size - over);
			*tail_size -= over;
		}
		if (end.size != 0)
			memcpy(tail + *tail_size, end.data, end.size);
		*tail_size += end.size;
		stream_consume(session->stream, input.size);
		if (lf != NULL)
			return ERR_OK;
		err = fill(session, imap_deadline(session));
		if (err != ERR_OK)
			return err;
	}
}

enum err imap_drop_command(struct imap_session *session, struct bytes line)
{
	uint8_t tail[LINE_TAIL];
	size_t tail_size;
	bool synchronising, binary;
	uint64_t size;

	while (take_literal_mark(&line, &size, &synchronising, &binary) && !synchronising) {
		enum err err = drop_literal(session, size);

		if (err == ERR_OK)
			err = drop_line(session, tail, &tail_size);
		if (err != ERR_OK)
			return err;
		line = without_line_end(bytes_make(tail, tail_size));
	}
	return ERR_OK;
}

enum err imap_drop_from_literal(struct imap_session *session, uint64_t size)
{
	uint8_t tail[LINE_TAIL];
	size_t tail_size;
	enum err err = drop_literal(session, size);

	if (err == ERR_OK)
		err = drop_line(session, tail, &tail_size);
	return err != ERR_OK
		       ? err
		       : imap_drop_command(session, without_line_end(bytes_make(tail, tail_size)));
}

/* ---- tag and name ---- */

static bool is_tag_octet(uint8_t octet)
{
	return octet > 0x20 && octet < 0x7f && strchr("(){%*\"\\+", octet) == NULL;
}

static struct bytes take_word(struct bytes *text)
{
	size_t size = 0;
	struct bytes word;

	while (size < text->size && text->data[size] != ' ')
		size++;
	word = bytes_slice(*text, 0, size);
	*text = bytes_slice(*text, size, text->size);
	return word;
}

static struct bytes upper(struct arena *arena, struct bytes word)
{
	struct bytes copy = arena_copy(arena, word);
	uint8_t *octets = copy.data != NULL ? arena_array(arena, 1, word.size + 1) : NULL;

	if (octets == NULL)
		return bytes_make(NULL, 0);
	for (size_t i = 0; i < word.size; i++)
		octets[i] = word.data[i] >= 'a' && word.data[i] <= 'z' ? word.data[i] & 0xdf
								       : word.data[i];
	return bytes_make(octets, word.size);
}

/* Tag, name and "UID" from the front of the first line. The rest is left in *line. */
static bool take_names(struct imap_command *command, struct bytes *line)
{
	struct bytes tag = take_word(line), name;

	if (tag.size == 0 || tag.size > IMAP_TAG_MAX)
		return false;
	for (size_t i = 0; i < tag.size; i++)
		if (!is_tag_octet(tag.data[i]))
			return false;
	command->tag = arena_copy(&command->arena, tag);
	if (line->size == 0)
		return command->tag.data != NULL;
	*line = bytes_slice(*line, 1, line->size);
	name = take_word(line);
	if (bytes_equal_nocase(name, bytes_string("UID")) && line->size != 0) {
		command->by_uid = true;
		*line = bytes_slice(*line, 1, line->size);
		name = take_word(line);
	}
	command->name = upper(&command->arena, name);
	return command->tag.data != NULL && command->name.data != NULL;
}

/* ---- literals ---- */

enum err imap_accept_literal(struct imap_session *session, struct imap_command *command)
{
	command->literal_pending = false;
	if (!command->literal_synchronising)
		return ERR_OK;
	buf_put_string(&session->out, "+ Ready for the literal\r\n");
	imap_flush(session, true);
	return session->over ? ERR_CLOSED : ERR_OK;
}

static enum err refuse(struct imap_session *session, struct imap_command *command, const char *why)
{
	session->server->bad_commands++;
	session->bad_streak++;
	if (command->tag.size != 0)
		buf_put_bytes(&session->out, command->tag);
	else
		buf_put_u8(&session->out, '*');
	buf_printf(&session->out, " %s\r\n", why);
	return ERR_INVALID;
}

/* Refuses a literal: one that is on its way already has to be read over. */
static enum err refuse_literal(struct imap_session *session, struct imap_command *command,
			       const char *why)
{
	enum err err = ERR_OK;

	if (!command->literal_synchronising)
		err = imap_drop_from_literal(session, command->literal_size);
	return err != ERR_OK ? err : refuse(session, command, why);
}

static enum err read_literal(struct imap_session *session, struct imap_command *command,
			     bool binary)
{
	size_t size = (size_t)command->literal_size;
	enum err err = imap_accept_literal(session, command);

	if (err != ERR_OK)
		return err;
	command->literals[command->literal_count++] =
		(struct imap_literal){.offset = command->text.size, .size = size, .binary = binary};
	while (size != 0) {
		struct bytes input = stream_input(session->stream);

		if (input.size == 0) {
			err = imap_fill_literal(session);
			if (err != ERR_OK)
				return err;
			continue;
		}
		input = bytes_slice(input, 0, size);
		buf_put_bytes(&command->text, input);
		stream_consume(session->stream, input.size);
		size -= input.size;
	}
	return command->text.err;
}

/* Whether the literal about to come is APPEND's message: its mailbox name is complete already. */
static bool is_append_message(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser parser;

	if (!bytes_equal(command->name, bytes_string("APPEND")) || command->by_uid ||
	    session->state == IMAP_GREETED)
		return false;
	imap_parser_init(&parser, bytes_of_buf(&command->text), command->literals,
			 command->literal_count, &command->arena);
	imap_space(&parser);
	(void)imap_astring(&parser);
	imap_space(&parser);
	return !imap_failed(&parser);
}

static bool room_for_literal(struct imap_command *command)
{
	size_t capacity = command->literal_capacity != 0 ? command->literal_capacity * 2 : 8;
	struct imap_literal *bigger;

	if (command->literal_count < command->literal_capacity)
		return true;
	if (capacity > LITERALS_MAX)
		return false;
	bigger = arena_array(&command->arena, capacity, sizeof(*bigger));
	if (bigger == NULL)
		return false;
	if (command->literal_count != 0)
		memcpy(bigger, command->literals, command->literal_count * sizeof(*bigger));
	command->literals = bigger;
	command->literal_capacity = capacity;
	return true;
}

/* One line, and the literal at its end. *more: the command goes on behind it. */
static enum err read_part(struct imap_session *session, struct imap_command *command, bool first,
			  bool *more)
{
	size_t limit = session->state == IMAP_GREETED ? ANONYMOUS_COMMAND_MAX : IMAP_COMMAND_MAX;
	struct bytes line;
	bool binary = false;
	enum err err;

	err = imap_read_line(session, IMAP_LINE_MAX, imap_deadline(session), &line);
	if (err == ERR_LIMIT) {
		err = imap_drop_from_literal(session, 0);
		return err != ERR_OK ? err : refuse(session, command, "BAD Line is too long");
	}
	if (err != ERR_OK)
		return err;
	*more = take_literal_mark(&line, &command->literal_size, &command->literal_synchronising,
				  &binary);
	if (line.size != 0 && memchr(line.data, '\0', line.size) != NULL)
		return *more ? refuse_literal(session, command, "BAD NUL in a command")
			     : refuse(session, command, "BAD NUL in a command");
	if (first && !take_names(command, &line))
		return *more ? refuse_literal(session, command, "BAD Tag is invalid")
			     : refuse(session, command, "BAD Tag is invalid");
	if (line.size > limit - command->text.size)
		return *more ? refuse_literal(session, command, "BAD Command is too long")
			     : refuse(session, command, "BAD Command is too long");
	buf_put_bytes(&command->text, line);
	if (!*more)
		return command->text.err;
	if (is_append_message(session, command)) {
		command->literal_pending = true;
		*more = false;
		return ERR_OK;
	}
	if (command->literal_size > limit - command->text.size || !room_for_literal(command))
		return refuse_literal(session, command, "BAD [TOOBIG] Literal is too large");
	return read_literal(session, command, binary);
}

enum err imap_read_command(struct imap_session *session, struct imap_command *command)
{
	bool first = true, more = true;
	enum err err = ERR_OK;

	*command = (struct imap_command){.arena.limit = ARENA_LIMIT,
					 .arena.secret = session->state == IMAP_GREETED};
	while (err == ERR_OK && more) {
		err = read_part(session, command, first, &more);
		first = false;
	}
	if (err == ERR_OK)
		imap_parser_init(&command->parser, bytes_of_buf(&command->text), command->literals,
				 command->literal_count, &command->arena);
	return err;
}

void imap_command_finish(struct imap_command *command)
{
	/* It may have held a password, or a search for something private. */
	buf_finish(&command->text);
	arena_finish(&command->arena);
}
