/* SPDX-License-Identifier: MPL-2.0 */
/* COPY (RFC 3501, 6.4.7) and MOVE (RFC 6851), with COPYUID (RFC 4315). */
#include "engine/base/memory.h"
#include "imap/session.h"

/* "[COPYUID 38505 304,319:320 3956:3958]" in the command's arena; NULL when memory is out. */
static const char *copyuid(struct imap_command *command, const struct copy_result *result)
{
	struct buf code = {0};
	struct bytes kept = {0};

	buf_printf(&code, "[COPYUID %u ", (unsigned)result->uidvalidity);
	imap_put_set(&code, result->from_uids, result->count);
	buf_put_u8(&code, ' ');
	imap_put_set(&code, result->to_uids, result->count);
	buf_put_u8(&code, ']');
	if (code.err == ERR_OK)
		kept = arena_copy(&command->arena, bytes_of_buf(&code));
	buf_finish(&code);
	return (const char *)kept.data;
}

/* MOVE tells the code before the EXPUNGEs, which the dispatcher sends before the tagged reply. */
static struct imap_reply done(struct imap_session *session, struct imap_command *command,
			      const struct copy_result *result, bool move)
{
	const char *code = result->count != 0 ? copyuid(command, result) : NULL;

	if (!move || code == NULL)
		return (struct imap_reply){IMAP_OK, code, move ? "Moved" : "Copied"};
	buf_put_string(&session->out, "* OK ");
	buf_put_string(&session->out, code);
	buf_put_string(&session->out, " Moved\r\n");
	return imap_reply_ok("Moved");
}

static struct imap_reply copy(struct imap_session *session, struct imap_command *command, bool move)
{
	struct imap_parser *parser = &command->parser;
	struct copy_result result = {0};
	const uint32_t *sequences;
	struct imap_reply reply;
	struct imap_set set;
	struct bytes target;
	size_t count;
	enum err err;

	imap_space(parser);
	set = imap_sequence_set(parser);
	imap_space(parser);
	target = imap_mailbox(parser);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (move && view_read_only(session->view))
		return imap_reply_read_only();
	err = imap_resolve(session, command, &set, &sequences, &count);
	if (err != ERR_OK)
		return imap_reply_set_error(err);
	if (count == 0)
		return imap_reply_ok(move ? "Nothing to move" : "Nothing to copy");
	err = view_copy(session->view, sequences, count, target, move, &result);
	if (err == ERR_NOTFOUND)
		return imap_reply_no("[TRYCREATE]", "No such mailbox");
	if (err != ERR_OK)
		return imap_reply_error(err);
	reply = done(session, command, &result, move);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
	return reply;
}

struct imap_reply imap_cmd_copy(struct imap_session *session, struct imap_command *command)
{
	return copy(session, command, false);
}

struct imap_reply imap_cmd_move(struct imap_session *session, struct imap_command *command)
{
	return copy(session, command, true);
}
