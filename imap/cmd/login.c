/* SPDX-License-Identifier: MPL-2.0 */
/* LOGIN and AUTHENTICATE PLAIN (RFC 3501, 6.2; RFC 4616; RFC 4959). */
#include <string.h>

#include "engine/base/memory.h"
#include "imap/capability.h"
#include "imap/input.h"
#include "mail/encoding.h"

#define SASL_LINE_MAX 4096u

static struct imap_reply after_login(struct imap_session *session, enum err err)
{
	if (err == ERR_OK) {
		struct buf line = {0};
		struct bytes code;

		imap_authenticated(session);
		stream_set_secret(session->stream, false);
		buf_printf(&line, "[CAPABILITY %s]", imap_capabilities(session));
		code = arena_copy(&session->command->arena, bytes_of_buf(&line));
		buf_finish(&line);
		return (struct imap_reply){IMAP_OK, (const char *)code.data, "Logged in"};
	}
	if (err != ERR_AUTH && err != ERR_DENIED)
		return imap_reply_error(err);
	session->failed_logins++;
	if (session->failed_logins >= session->server->login_attempts_max) {
		imap_untagged(session, "BYE Too many failed logins");
		imap_flush(session, true);
		session->over = true;
	}
	if (err == ERR_DENIED)
		return imap_reply_no("[AUTHORIZATIONFAILED]",
				     "An invitation is no password: make one with it first");
	return imap_reply_error(err);
}

static struct imap_reply log_in(struct imap_session *session, struct bytes address,
				struct bytes password)
{
	enum err err = home_login(session->server->home, address, password,
				  stream_peer(session->stream), &session->mailbox);

	return after_login(session, err);
}

struct imap_reply imap_cmd_login(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;
	struct bytes address, password;

	imap_space(parser);
	address = imap_astring(parser);
	imap_space(parser);
	password = imap_astring(parser);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (!imap_login_allowed(session))
		return imap_reply_no("[PRIVACYREQUIRED]", "Not without TLS");
	return log_in(session, address, password);
}

/* Base64 with padding, nothing else between: ERR_INVALID. */
static enum err decode_strictly(struct bytes text, struct buf *out)
{
	struct encoding_decoder decoder = ENCODING_DECODER(ENCODING_BASE64);
	size_t padding = 0;

	while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
		padding++;
	if (text.size % 4 != 0)
		return ERR_INVALID;
	for (size_t i = 0; i + padding < text.size; i++) {
		uint8_t octet = text.data[i];

		if (!(octet >= 'A' && octet <= 'Z') && !(octet >= 'a' && octet <= 'z') &&
		    !(octet >= '0' && octet <= '9') && octet != '+' && octet != '/')
			return ERR_INVALID;
	}
	encoding_decode(&decoder, text, out);
	encoding_decode_end(&decoder, out);
	return out->err;
}

/* authzid NUL authcid NUL password (RFC 4616); nobody may act for another. */
static struct imap_reply plain(struct imap_session *session, struct bytes response)
{
	struct buf decoded = {0};
	struct imap_reply reply = imap_reply_bad("The PLAIN response is malformed");
	struct bytes all, authzid, authcid, password;
	const uint8_t *first = NULL, *second = NULL;

	if (decode_strictly(response, &decoded) == ERR_OK && decoded.size != 0) {
		all = bytes_of_buf(&decoded);
		first = memchr(all.data, '\0', all.size);
		if (first != NULL)
			second = memchr(first + 1, '\0', (size_t)(all.data + all.size - first - 1));
	}
	if (second != NULL) {
		authzid = bytes_make(all.data, (size_t)(first - all.data));
		authcid = bytes_make(first + 1, (size_t)(second - first - 1));
		password = bytes_make(second + 1, (size_t)(all.data + all.size - second - 1));
		if (authzid.size != 0 && !bytes_equal_nocase(authzid, authcid))
			reply = after_login(session, ERR_AUTH);
		else
			reply = log_in(session, authcid, password);
	}
	buf_finish(&decoded);
	return reply;
}

/* The client's answer to an empty challenge. */
static struct imap_reply ask(struct imap_session *session)
{
	struct bytes line;
	struct bytes copy;
	enum err err;

	buf_put_string(&session->out, "+ \r\n");
	imap_flush(session, true);
	err = imap_read_line(session, SASL_LINE_MAX, imap_deadline(session), &line);
	if (err != ERR_OK) {
		imap_say_goodbye(session, err);
		return (struct imap_reply){.result = IMAP_NO_REPLY};
	}
	if (bytes_equal(line, bytes_string("*")))
		return imap_reply_bad("Authentication canceled");
	copy = arena_copy(&session->command->arena, line);
	if (copy.data == NULL)
		return imap_reply_error(ERR_NOMEM);
	return plain(session, copy);
}

struct imap_reply imap_cmd_authenticate(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;
	struct bytes mechanism, initial = {0};
	bool has_initial;

	imap_space(parser);
	mechanism = imap_atom(parser);
	has_initial = imap_accept(parser, ' ');
	if (has_initial) {
		initial = bytes_slice(parser->text, parser->offset, parser->text.size);
		parser->offset = parser->text.size;
	}
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (!bytes_equal_nocase(mechanism, bytes_string("PLAIN")))
		return imap_reply_no("[CANNOT]", "Only PLAIN is offered");
	if (!imap_login_allowed(session))
		return imap_reply_no("[PRIVACYREQUIRED]", "Not without TLS");
	return has_initial ? plain(session, initial) : ask(session);
}
