/* SPDX-License-Identifier: MPL-2.0 */
/* APPEND (RFC 3501, 6.3.11; APPENDUID of RFC 4315): the message streams from the connection into the store. */
#include "imap/input.h"

struct message_options {
	struct bytes mailbox;
	struct imap_flags flags;
	bool dated;
	int64_t arrival_seconds; /* since 1970 */
	int16_t zone_minutes;
};

static void parse_options(struct imap_parser *parser, struct message_options *out)
{
	*out = (struct message_options){0};
	imap_space(parser);
	out->mailbox = imap_mailbox(parser);
	imap_space(parser);
	if (imap_peek(parser) == '(') {
		out->flags = imap_flag_list(parser, false);
		imap_space(parser);
	}
	if (imap_peek(parser) == '"') {
		out->dated = true;
		imap_date_time(parser, &out->arrival_seconds, &out->zone_minutes);
		imap_space(parser);
	}
	imap_end(parser);
}

/* The message is not wanted: an announced one is never asked for, one under way is read over. */
static struct imap_reply refuse(struct imap_session *session, struct imap_command *command,
				struct imap_reply reply)
{
	enum err err = ERR_OK;

	if (!command->literal_synchronising)
		err = imap_drop_from_literal(session, command->literal_size);
	if (err == ERR_OK)
		return reply;
	imap_say_goodbye(session, err);
	return (struct imap_reply){.result = IMAP_NO_REPLY};
}

/* Takes exactly the literal off the stream, whatever becomes of it in the store. */
static enum err transfer(struct imap_session *session, struct appending *appending, uint64_t size,
			 enum err *stored)
{
	*stored = ERR_OK;
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
		if (*stored == ERR_OK)
			*stored = append_write(appending, input);
		stream_consume(session->stream, input.size);
		size -= input.size;
	}
	return ERR_OK;
}

/* To the mailbox 0 is "now". */
static uint64_t arrival_ms(const struct message_options *options)
{
	if (!options->dated)
		return 0;
	return options->arrival_seconds != 0 ? (uint64_t)options->arrival_seconds * 1000 : 1;
}

static struct imap_reply finish(struct imap_command *command, struct appending *appending,
				const struct message_options *options)
{
	uint32_t uidvalidity, uid;
	struct buf code = {0};
	struct bytes kept;
	enum err err = append_finish(appending, options->flags.system, options->flags.keywords,
				     options->flags.keyword_count, arrival_ms(options),
				     options->zone_minutes, &uidvalidity, &uid);

	if (err != ERR_OK)
		return imap_reply_error(err);
	buf_printf(&code, "[APPENDUID %u %u]", (unsigned)uidvalidity, (unsigned)uid);
	kept = arena_copy(&command->arena, bytes_of_buf(&code));
	buf_finish(&code);
	return (struct imap_reply){IMAP_OK, (const char *)kept.data, "Message appended"};
}

struct imap_reply imap_cmd_append(struct imap_session *session, struct imap_command *command)
{
	struct appending *appending = NULL;
	struct message_options options;
	struct imap_reply reply;
	struct bytes rest;
	enum err err, stored;

	parse_options(&command->parser, &options);
	if (!command->literal_pending)
		return imap_reply_bad("The message literal is missing");
	if (imap_failed(&command->parser))
		return refuse(session, command, imap_reply_syntax(&command->parser));
	if (options.arrival_seconds < 0)
		return refuse(session, command,
			      imap_reply_no("[CANNOT]", "A date before 1970 cannot be kept"));
	if (command->literal_size > session->server->append_limit)
		return refuse(
			session, command,
			imap_reply_no("[TOOBIG]", "Message is larger than this server takes"));
	err = append_begin(session->mailbox, options.mailbox, &appending);
	if (err != ERR_OK)
		return refuse(session, command,
			      err == ERR_NOTFOUND ? imap_reply_no("[TRYCREATE]", "No such mailbox")
						  : imap_reply_error(err));
	err = imap_accept_literal(session, command);
	if (err == ERR_OK)
		err = transfer(session, appending, command->literal_size, &stored);
	if (err == ERR_OK)
		err = imap_read_line(session, IMAP_LINE_MAX, imap_deadline(session), &rest);
	if (err == ERR_OK && rest.size != 0) {
		reply = imap_reply_bad("Unexpected text behind the message");
		err = imap_drop_command(session, rest);
	} else if (err == ERR_OK) {
		reply = stored != ERR_OK ? imap_reply_error(stored)
					 : finish(command, appending, &options);
	}
	if (err != ERR_OK) {
		imap_say_goodbye(session, err);
		reply = (struct imap_reply){.result = IMAP_NO_REPLY};
	}
	append_end(&appending);
	return reply;
}
