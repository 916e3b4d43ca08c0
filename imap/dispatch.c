/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/dispatch.h"

#include <string.h>

#define ANY (IMAP_GREETED | IMAP_AUTHENTICATED | IMAP_SELECTED)
#define LOGGED_IN (IMAP_AUTHENTICATED | IMAP_SELECTED)

/* What the client may be told at the end of a command. */
enum tell { TELL_NOTHING, TELL_NO_EXPUNGES, TELL_ALL };

static const struct command_entry {
	const char *name;
	imap_handler *handler;
	unsigned states;
	bool has_uid_form;
	enum tell tell, tell_uid;
} table[] = {
	{"APPEND", imap_cmd_append, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"AUTHENTICATE", imap_cmd_authenticate, IMAP_GREETED, false, TELL_NOTHING, TELL_NOTHING},
	{"CAPABILITY", imap_cmd_capability, ANY, false, TELL_ALL, TELL_ALL},
	{"CHECK", imap_cmd_check, IMAP_SELECTED, false, TELL_ALL, TELL_ALL},
	{"CLOSE", imap_cmd_close, IMAP_SELECTED, false, TELL_NOTHING, TELL_NOTHING},
	{"COPY", imap_cmd_copy, IMAP_SELECTED, true, TELL_ALL, TELL_ALL},
	{"CREATE", imap_cmd_create, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"DELETE", imap_cmd_delete, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"ENABLE", imap_cmd_enable, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"EXAMINE", imap_cmd_examine, LOGGED_IN, false, TELL_NOTHING, TELL_NOTHING},
	{"EXPUNGE", imap_cmd_expunge, IMAP_SELECTED, true, TELL_ALL, TELL_ALL},
	{"FETCH", imap_cmd_fetch, IMAP_SELECTED, true, TELL_NO_EXPUNGES, TELL_ALL},
	{"ID", imap_cmd_id, ANY, false, TELL_ALL, TELL_ALL},
	{"IDLE", imap_cmd_idle, LOGGED_IN, false, TELL_NOTHING, TELL_NOTHING},
	{"LIST", imap_cmd_list, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"LOGIN", imap_cmd_login, IMAP_GREETED, false, TELL_NOTHING, TELL_NOTHING},
	{"LOGOUT", imap_cmd_logout, ANY, false, TELL_NOTHING, TELL_NOTHING},
	{"LSUB", imap_cmd_lsub, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"MOVE", imap_cmd_move, IMAP_SELECTED, true, TELL_ALL, TELL_ALL},
	{"NAMESPACE", imap_cmd_namespace, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"NOOP", imap_cmd_noop, ANY, false, TELL_ALL, TELL_ALL},
	{"RENAME", imap_cmd_rename, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"SEARCH", imap_cmd_search, IMAP_SELECTED, true, TELL_NO_EXPUNGES, TELL_ALL},
	{"SELECT", imap_cmd_select, LOGGED_IN, false, TELL_NOTHING, TELL_NOTHING},
	{"STARTTLS", imap_cmd_starttls, IMAP_GREETED, false, TELL_NOTHING, TELL_NOTHING},
	{"STATUS", imap_cmd_status, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"STORE", imap_cmd_store, IMAP_SELECTED, true, TELL_NO_EXPUNGES, TELL_ALL},
	{"SUBSCRIBE", imap_cmd_subscribe, LOGGED_IN, false, TELL_ALL, TELL_ALL},
	{"UNSELECT", imap_cmd_unselect, IMAP_SELECTED, false, TELL_NOTHING, TELL_NOTHING},
	{"UNSUBSCRIBE", imap_cmd_unsubscribe, LOGGED_IN, false, TELL_ALL, TELL_ALL},
};

static const struct command_entry *find(const struct imap_command *command)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (bytes_equal(command->name, bytes_string(table[i].name)) &&
		    (!command->by_uid || table[i].has_uid_form))
			return &table[i];
	return NULL;
}

/* ---- replies ---- */

struct imap_reply imap_reply_ok(const char *text)
{
	return (struct imap_reply){IMAP_OK, NULL, text};
}

struct imap_reply imap_reply_bad(const char *text)
{
	return (struct imap_reply){IMAP_BAD, NULL, text};
}

struct imap_reply imap_reply_no(const char *code, const char *text)
{
	return (struct imap_reply){IMAP_NO, code, text};
}

struct imap_reply imap_reply_read_only(void)
{
	return imap_reply_no("[READ-ONLY]", "The mailbox was opened for reading only");
}

struct imap_reply imap_reply_set_error(enum err err)
{
	return err == ERR_INVALID ? imap_reply_bad("There is no message of that number")
				  : imap_reply_error(err);
}

struct imap_reply imap_reply_syntax(const struct imap_parser *parser)
{
	return imap_reply_bad(parser->error);
}

/* Response codes of RFC 5530. */
struct imap_reply imap_reply_error(enum err err)
{
	switch (err) {
	case ERR_OK:
		return imap_reply_ok("Completed");
	case ERR_NOTFOUND:
		return imap_reply_no("[NONEXISTENT]", "No such mailbox or message");
	case ERR_EXISTS:
		return imap_reply_no("[ALREADYEXISTS]", "Mailbox exists already");
	case ERR_INVALID:
		return imap_reply_no("[CANNOT]", "That is not possible");
	case ERR_DENIED:
		return imap_reply_no("[NOPERM]", "Not permitted");
	case ERR_AUTH:
		return imap_reply_no("[AUTHENTICATIONFAILED]", "Authentication failed");
	case ERR_LIMIT:
		return imap_reply_no("[LIMIT]", "Over a limit of this server");
	case ERR_NOSPACE:
		return imap_reply_no("[UNAVAILABLE]", "The store is full, deleting still works");
	case ERR_CORRUPT:
	case ERR_CONFLICT:
		return imap_reply_no("[CORRUPTION]",
				     "The data is damaged; tell your administrator");
	case ERR_NOMEM:
		return imap_reply_no("[UNAVAILABLE]", "Out of memory, try again later");
	case ERR_IO:
	case ERR_TORN:
	case ERR_FOREIGN:
	case ERR_NEWER:
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_CANCELED:
	case ERR_CLOSED:
	case ERR_FENCED:
	case ERR_STALE:
	case ERR_GONE:
		break;
	}
	return imap_reply_no("[UNAVAILABLE]",
			     "Storage is temporarily unavailable, try again later");
}

static void put_reply(struct imap_session *session, const struct imap_command *command,
		      const struct imap_reply *reply)
{
	static const char *const words[] = {[IMAP_OK] = "OK", [IMAP_NO] = "NO", [IMAP_BAD] = "BAD"};

	if (reply->result == IMAP_BAD)
		session->server->bad_commands++;
	session->bad_streak = reply->result == IMAP_BAD ? session->bad_streak + 1 : 0;
	buf_put_bytes(&session->out, command->tag);
	buf_printf(&session->out, " %s ", words[reply->result]);
	if (reply->code != NULL)
		buf_printf(&session->out, "%s ", reply->code);
	buf_put_string(&session->out, reply->text);
	buf_put_string(&session->out, "\r\n");
}

void imap_dispatch(struct imap_session *session, struct imap_command *command)
{
	const struct command_entry *entry = find(command);
	enum tell tell = entry == NULL	   ? TELL_NOTHING
			 : command->by_uid ? entry->tell_uid
					   : entry->tell;
	struct imap_reply reply;

	if (entry == NULL)
		reply = imap_reply_bad("Unknown command");
	else if ((entry->states & session->state) == 0)
		reply = imap_reply_bad(session->state == IMAP_GREETED	? "Log in first"
				       : entry->states == IMAP_SELECTED ? "Select a mailbox first"
									: "Not in this state");
	else
		reply = entry->handler(session, command);
	if (tell != TELL_NOTHING && session->view != NULL && !session->over)
		imap_sync(session, tell == TELL_ALL);
	if (reply.result != IMAP_NO_REPLY)
		put_reply(session, command, &reply);
}
