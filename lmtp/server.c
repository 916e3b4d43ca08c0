/* SPDX-License-Identifier: MPL-2.0 */
#include "lmtp/server.h"

#include <string.h>

#include "engine/base/memory.h"
#include "lmtp/command.h"
#include "lmtp/dot.h"

/* RFC 5321, 4.5.3.1.4 asks for 512 octets; SMTPUTF8, DSN and long addresses need more. */
#define LINE_LIMIT 4096u
/* Errors of syntax after which the peer is not worth listening to. */
#define ERROR_LIMIT 50u

struct recipient {
	struct id128 account;
	size_t index; /* in the delivery */
};

struct session {
	struct lmtp_server *server;
	struct stream *stream;
	struct buf reply;
	struct delivery *delivery; /* from MAIL to the end of the transaction */
	struct buf sender;
	bool smtputf8; /* this transaction's addresses may be UTF-8 (RFC 6531) */
	struct recipient *recipients;
	size_t recipient_count;
	unsigned errors;
	bool greeted, quit;
};

void lmtp_server_init(struct lmtp_server *server)
{
	*server = (struct lmtp_server){.hostname = "localhost",
				       .size_limit = 64u << 20,
				       .recipient_limit = 100,
				       .command_timeout_ms = 5 * 60 * 1000,
				       .data_timeout_ms = 3 * 60 * 1000};
}

/* ---- replies ---- */

static enum err flush_reply(struct session *session)
{
	enum err err = session->reply.err;

	if (err == ERR_OK && session->reply.size != 0)
		err = stream_write(session->stream, bytes_of_buf(&session->reply));
	buf_clear(&session->reply);
	return err;
}

static void reply(struct session *session, const char *line)
{
	buf_put_string(&session->reply, line);
	buf_put_string(&session->reply, "\r\n");
}

static void reply_error(struct session *session, const char *line)
{
	session->errors++;
	reply(session, line);
}

/*
 * Our own trouble as the MTA is to see it: always temporary. Never 421: that says that the channel
 * closes (RFC 5321, 3.8), and the replies of other recipients follow.
 */
static const char *temporary_failure(enum err err)
{
	switch ((unsigned)err) {
	case ERR_NOSPACE:
		return "452 4.3.1 Mail system full";
	case ERR_NOMEM:
		return "452 4.3.0 Out of memory, try again later";
	case ERR_TIMEOUT:
		return "451 4.4.2 Took too long, try again later";
	case ERR_CANCELED:
		return "451 4.3.2 Shutting down";
	default:
		return "451 4.3.0 Storage is temporarily unavailable, try again later";
	}
}

/* ---- the transaction ---- */

static void transaction_end(struct session *session)
{
	if (session->delivery != NULL)
		delivery_end(&session->delivery);
	buf_clear(&session->sender);
	session->recipient_count = 0;
}

static void command_lhlo(struct session *session, struct bytes argument)
{
	if (argument.size == 0) {
		reply_error(session, "501 5.5.4 LHLO needs a host name");
		return;
	}
	transaction_end(session);
	session->greeted = true;
	buf_printf(&session->reply, "250-%s\r\n", session->server->hostname);
	reply(session, "250-PIPELINING");
	reply(session, "250-8BITMIME");
	reply(session, "250-SMTPUTF8");
	reply(session, "250-ENHANCEDSTATUSCODES");
	buf_printf(&session->reply, "250 SIZE %llu\r\n",
		   (unsigned long long)session->server->size_limit);
}

static void reply_path_error(struct session *session, enum err err, const char *syntax)
{
	if (err == ERR_NOTFOUND)
		reply_error(session, "555 5.5.4 Unknown parameter");
	else if (err == ERR_LIMIT)
		reply_error(session, "501 5.5.4 Path or number too long");
	else
		reply_error(session, syntax);
}

/* RFC 6531, 3.1: UTF-8 in an address only where the transaction has asked for it. */
static bool refuse_utf8(struct session *session, struct bytes path)
{
	if (session->smtputf8 || !lmtp_path_is_utf8(path))
		return false;
	session->server->refused++;
	reply(session, "553 5.6.7 A non-ASCII address needs SMTPUTF8");
	return true;
}

static void command_mail(struct session *session, struct bytes argument)
{
	struct lmtp_path path;
	enum err err;

	if (!session->greeted) {
		reply_error(session, "503 5.5.1 Say LHLO first");
		return;
	}
	if (session->delivery != NULL) {
		reply_error(session, "503 5.5.1 A transaction is already open");
		return;
	}
	err = lmtp_parse_from(argument, &path);
	if (err != ERR_OK) {
		reply_path_error(session, err, "501 5.5.4 Syntax: MAIL FROM:<address>");
		return;
	}
	session->smtputf8 = path.smtputf8;
	if (refuse_utf8(session, path.path))
		return;
	if (path.size > session->server->size_limit) {
		reply(session, "552 5.3.4 Message is larger than this server accepts");
		return;
	}
	buf_clear(&session->sender);
	buf_put_bytes(&session->sender, path.path);
	err = session->sender.err;
	if (err == ERR_OK)
		err = delivery_begin(session->server->agent, path.path, &session->delivery);
	reply(session, err == ERR_OK ? "250 2.1.0 Sender accepted" : temporary_failure(err));
}

/* ERR_NOTFOUND: nobody has the address, or it is none; anything else says nothing about it. */
static enum err look_up(const struct account_source *source, struct bytes address,
			const struct account_record **out)
{
	struct buf normal = {0};
	enum err err = address_normalise(address, &normal);

	if (err == ERR_OK) {
		*out = source->find(source->context, bytes_of_buf(&normal));
		if (*out == NULL || (*out)->status == ACCOUNT_DELETED)
			err = ERR_NOTFOUND;
	}
	buf_finish(&normal);
	return err == ERR_INVALID ? ERR_NOTFOUND : err;
}

/* The account of the address itself, else of the address without its +detail. */
static enum err find_account(struct session *session, struct bytes address,
			     const struct account_record **out, struct bytes *detail)
{
	const struct account_source *source = &session->server->accounts;
	struct buf base = {0};
	enum err err;

	*detail = bytes_make(NULL, 0);
	err = look_up(source, address, out);
	if (err == ERR_NOTFOUND) {
		lmtp_split_detail(address, &base, detail);
		if (base.err != ERR_OK)
			err = base.err;
		else if (detail->size != 0)
			err = look_up(source, bytes_of_buf(&base), out);
	}
	buf_finish(&base);
	return err;
}

/* A second RCPT for one account gets a reply of its own, and no second copy. */
static const struct recipient *find_recipient(const struct session *session, struct id128 account)
{
	for (size_t i = 0; i < session->recipient_count; i++)
		if (id128_equal(session->recipients[i].account, account))
			return &session->recipients[i];
	return NULL;
}

static enum err add_recipient(struct session *session, const struct account_record *account,
			      struct bytes address, struct bytes detail)
{
	const struct recipient *same = find_recipient(session, account->id);
	struct recipient added = {.account = account->id};
	struct buf prefix = {0};
	enum err err = ERR_OK;

	if (same != NULL) {
		added.index = same->index;
	} else {
		buf_put_string(&prefix, "Return-Path: <");
		buf_put_bytes(&prefix, bytes_of_buf(&session->sender));
		buf_put_string(&prefix, ">\r\nDelivered-To: ");
		buf_put_bytes(&prefix, address);
		buf_put_string(&prefix, "\r\n");
		err = prefix.err != ERR_OK
			      ? prefix.err
			      : delivery_recipient(session->delivery, account,
						   bytes_of_buf(&prefix), detail, &added.index);
		buf_finish(&prefix);
	}
	if (err == ERR_OK)
		session->recipients[session->recipient_count++] = added;
	return err;
}

static void command_rcpt(struct session *session, struct bytes argument)
{
	const struct account_record *account;
	struct lmtp_path path;
	struct bytes detail;
	enum err err;

	if (session->delivery == NULL) {
		reply_error(session, "503 5.5.1 Say MAIL first");
		return;
	}
	err = lmtp_parse_to(argument, &path);
	if (err != ERR_OK) {
		reply_path_error(session, err, "501 5.5.4 Syntax: RCPT TO:<address>");
		return;
	}
	if (refuse_utf8(session, path.path))
		return;
	if (session->recipient_count == session->server->recipient_limit) {
		reply(session, "452 4.5.3 Too many recipients, send the rest separately");
		return;
	}
	err = find_account(session, path.path, &account, &detail);
	if (err == ERR_NOTFOUND) {
		session->server->refused++;
		reply(session, "550 5.1.1 No such user here");
		return;
	}
	if (err == ERR_OK && account->status != ACCOUNT_ACTIVE) {
		reply(session, "450 4.2.1 Mailbox is disabled");
		return;
	}
	if (err == ERR_OK)
		err = add_recipient(session, account, path.path, detail);
	reply(session, err == ERR_OK ? "250 2.1.5 Recipient accepted" : temporary_failure(err));
}

/* Reads DATA to its end. `*received` counts what the sender sent, stored or not. */
static enum err read_data(struct session *session, uint64_t *received)
{
	struct lmtp_server *server = session->server;
	bool end = false, wanted = true;
	struct dot dot;

	dot_init(&dot);
	*received = 0;
	while (!end) {
		struct bytes input = stream_input(session->stream), content;
		size_t consumed;

		if (input.size == 0) {
			enum err err = stream_fill(
				session->stream, env_now_ms(server->env) + server->data_timeout_ms);

			if (err != ERR_OK)
				return err;
			continue;
		}
		dot_next(&dot, input, &content, &consumed, &end);
		*received += content.size;
		/* Too big, or nobody left to get it: the rest is read and dropped. */
		if (*received > server->size_limit && session->delivery != NULL)
			delivery_end(&session->delivery);
		if (session->delivery != NULL && wanted && content.size != 0)
			wanted = delivery_write(session->delivery, content) == ERR_OK;
		stream_consume(session->stream, consumed);
	}
	return ERR_OK;
}

static void reply_result(struct session *session, const struct recipient *recipient)
{
	enum err err = delivery_result(session->delivery, recipient->index);

	if (err != ERR_OK) {
		session->server->refused++;
		reply(session, temporary_failure(err));
		return;
	}
	session->server->delivered++;
	buf_put_string(&session->reply, "250 2.0.0 Delivered ");
	delivery_id(session->delivery, recipient->index, &session->reply);
	reply(session, "");
}

static enum err command_data(struct session *session)
{
	uint64_t received;
	enum err err;

	if (session->delivery == NULL || session->recipient_count == 0) {
		reply_error(session, session->delivery == NULL ? "503 5.5.1 Say MAIL first"
							       : "503 5.5.1 No valid recipients");
		return ERR_OK;
	}
	reply(session, "354 Send the message, end with <CRLF>.<CRLF>");
	err = flush_reply(session);
	if (err == ERR_OK)
		err = read_data(session, &received);
	if (err != ERR_OK)
		return err;
	session->server->transactions++;
	if (session->delivery != NULL)
		delivery_finish(session->delivery);
	for (size_t i = 0; i < session->recipient_count; i++) {
		if (session->delivery != NULL) {
			reply_result(session, &session->recipients[i]);
			continue;
		}
		session->server->refused++;
		reply(session, "552 5.3.4 Message is larger than this server accepts");
	}
	transaction_end(session);
	return ERR_OK;
}

/* ---- the session ---- */

static enum err dispatch(struct session *session, struct lmtp_command command)
{
	switch (command.verb) {
	case LMTP_LHLO:
		command_lhlo(session, command.argument);
		break;
	case LMTP_HELO:
		reply_error(session, "500 5.5.1 This is LMTP: say LHLO");
		break;
	case LMTP_MAIL:
		command_mail(session, command.argument);
		break;
	case LMTP_RCPT:
		command_rcpt(session, command.argument);
		break;
	case LMTP_DATA:
		return command_data(session);
	case LMTP_RSET:
		transaction_end(session);
		reply(session, "250 2.0.0 Reset");
		break;
	case LMTP_NOOP:
		reply(session, "250 2.0.0 OK");
		break;
	case LMTP_QUIT:
		session->quit = true;
		reply(session, "221 2.0.0 Bye");
		break;
	case LMTP_VRFY:
		reply(session, "252 2.5.2 Send a message to find out");
		break;
	case LMTP_HELP:
		reply(session, "214 2.0.0 LMTP, RFC 2033: LHLO MAIL RCPT DATA RSET NOOP QUIT");
		break;
	case LMTP_UNKNOWN:
		reply_error(session, "500 5.5.2 Unknown command");
		break;
	}
	return ERR_OK;
}

/* Drops input up to and with the next LF. */
static enum err skip_line(struct session *session, uint64_t deadline_ms)
{
	for (;;) {
		struct bytes input = stream_input(session->stream);
		const uint8_t *lf = input.size != 0 ? memchr(input.data, '\n', input.size) : NULL;
		enum err err;

		if (lf != NULL) {
			stream_consume(session->stream, (size_t)(lf - input.data) + 1);
			return ERR_OK;
		}
		stream_consume(session->stream, input.size);
		err = stream_fill(session->stream, deadline_ms);
		if (err != ERR_OK)
			return err;
	}
}

/* One line's worth: ERR_OK to go on. */
static enum err step(struct session *session)
{
	uint64_t deadline_ms =
		env_now_ms(session->server->env) + session->server->command_timeout_ms;
	struct bytes line;
	enum err err = stream_line(session->stream, LINE_LIMIT, deadline_ms, &line);

	if (err == ERR_LIMIT) {
		err = skip_line(session, deadline_ms);
		if (err == ERR_OK)
			reply_error(session, "500 5.5.2 Line too long");
	} else if (err == ERR_OK) {
		line.size--;
		if (line.size != 0 && line.data[line.size - 1] == '\r')
			line.size--;
		if (line.size != 0 && memchr(line.data, '\0', line.size) != NULL)
			reply_error(session, "500 5.5.2 NUL in a command");
		else
			err = dispatch(session, lmtp_command_parse(line));
	}
	if (err == ERR_OK && session->errors > ERROR_LIMIT) {
		reply(session, "421 4.7.0 Too many errors");
		session->quit = true;
	}
	if (err == ERR_OK)
		err = flush_reply(session);
	return err;
}

static const char *farewell(enum err err)
{
	switch ((unsigned)err) {
	case ERR_TIMEOUT:
		return "421 4.4.2 Timed out";
	case ERR_CANCELED:
		return "421 4.3.2 Shutting down";
	case ERR_NOMEM:
		return "421 4.3.0 Out of memory";
	default:
		return NULL;
	}
}

void lmtp_serve(struct stream *stream, void *context)
{
	struct session session = {.server = context, .stream = stream};
	const char *last;
	enum err err = ERR_NOMEM;

	session.recipients =
		memory_array(session.server->recipient_limit, sizeof(*session.recipients));
	if (session.recipients != NULL) {
		buf_printf(&session.reply, "220 %s LMTP Aerostore\r\n", session.server->hostname);
		err = flush_reply(&session);
	}
	while (err == ERR_OK && !session.quit)
		err = step(&session);
	last = farewell(err);
	if (last != NULL) {
		buf_clear(&session.reply);
		reply(&session, last);
		err = flush_reply(&session);
	}
	transaction_end(&session);
	buf_finish(&session.sender);
	buf_finish(&session.reply);
	memory_free(session.recipients);
	stream_close(&session.stream);
}
