/* SPDX-License-Identifier: MPL-2.0 */
/*
 * session - one IMAP connection: its state, the command in progress, and what
 * command files (imap/cmd/) need to answer.
 *
 * Life: imap_serve() runs in a task. Between commands, with nothing buffered,
 * the session parks its stream and the task ends: an idle session is this
 * struct, its view and the stream's idle state, no stack and no buffers. It is
 * woken by input, by its view becoming stale while in IDLE, or by the time-out.
 *
 * Replies go to `out` and are written when it grows past IMAP_OUT_FLUSH, and
 * before more input is waited for: commands that came together share a write. Untagged changes of the view are sent by imap_sync(), only where RFC
 * 3501, 5.2 and 7.4.1 allow it: never expunges during FETCH, STORE, SEARCH.
 */
#ifndef AEROSTORE_IMAP_SESSION_H
#define AEROSTORE_IMAP_SESSION_H

#include "engine/mailbox/mailbox.h"
#include "imap/parse.h"
#include "net/stream.h"

#define IMAP_LINE_MAX (64u * 1024)     /* one line of a command */
#define IMAP_COMMAND_MAX (256u * 1024) /* lines and literals of a command, but APPEND's message */
#define IMAP_TAG_MAX 63u
#define IMAP_OUT_FLUSH (32u * 1024)
#define IMAP_BAD_MAX 50u /* in a row: whoever that is speaks no IMAP */

enum imap_state { IMAP_GREETED = 1, IMAP_AUTHENTICATED = 2, IMAP_SELECTED = 4, IMAP_LOGOUT = 8 };

struct imap_server {
	struct home *home;
	struct env *env;
	struct sched *sched;
	struct tls_context *tls;  /* for STARTTLS; NULL: not offered */
	uint64_t append_limit;	  /* octets of a message, default 64 MiB */
	uint64_t idle_timeout_ms; /* 30 min authenticated (RFC 3501, 5.4), before login 60 s */
	uint64_t login_timeout_ms;
	uint64_t literal_timeout_ms;		   /* a literal that stalls, 3 min */
	uint64_t keepalive_ms;			   /* "* OK Still here" in IDLE, 2 min */
	unsigned login_attempts_max;		   /* on one connection, 5 */
	uint64_t sessions, commands, bad_commands; /* counted */
};

/* Limits and time-outs at their defaults. */
void imap_server_init(struct imap_server *server);
/* listener_options.serve with a struct imap_server as context. */
WAITS void imap_serve(struct stream *stream, void *context);

struct imap_session {
	struct imap_server *server;
	struct stream *stream;
	enum imap_state state;
	struct mailbox *mailbox;    /* from authentication on */
	struct mailbox_watch watch; /* of the mailbox */
	enum err dismissed;	    /* why the mailbox is of no more use to it */
	struct view *view;	    /* while selected */
	unsigned failed_logins;
	unsigned bad_streak;	   /* BAD replies one after another */
	size_t keywords_announced; /* keywords of the folder in the last untagged FLAGS */
	bool idling;		   /* in IDLE: its tag is kept in idle_tag */
	bool parked;		   /* no task runs */
	bool pushed;		   /* woken by the view, not by the client */
	bool over;		   /* after BYE, or the connection failed */
	char idle_tag[IMAP_TAG_MAX + 1];
	uint64_t active_ms;	   /* when the client last said something, or was answered */
	uint64_t keepalive_due_ms; /* in IDLE: when to show a sign of life */
	struct buf out;
	struct env_timer retry;	      /* when memory for a task was out */
	struct imap_command *command; /* in progress; NULL while idle */
};

/* The command in progress; its memory is freed when it is answered. */
struct imap_command {
	struct arena arena;
	struct buf text; /* all lines and literals, as struct imap_parser wants them */
	struct imap_literal *literals; /* in the arena */
	size_t literal_count, literal_capacity;
	struct bytes tag, name; /* name in upper case, without "UID " */
	bool by_uid;		/* "UID " stood before the name: numbers are UIDs */
	struct imap_parser parser;
	/* APPEND: the message literal follows on the stream, not yet asked for unless non-synchronising. */
	bool literal_pending, literal_synchronising;
	uint64_t literal_size;
};

/* What a command handler returns: how its tagged reply reads; `text` is put behind it. */
enum imap_result {
	IMAP_OK,
	IMAP_NO,
	IMAP_BAD,
	IMAP_NO_REPLY /* already given, or connection over */
};

struct imap_reply {
	enum imap_result result;
	const char *code; /* "[TRYCREATE]" or NULL; static, or in the command's arena */
	const char *text;
};

/* The usual ends. imap_reply_error() is the one table from enum err to NO replies with response codes. */
struct imap_reply imap_reply_ok(const char *text);
struct imap_reply imap_reply_bad(const char *text);
struct imap_reply imap_reply_no(const char *code, const char *text);
struct imap_reply imap_reply_error(enum err err);
/* A change in a folder opened by EXAMINE. */
struct imap_reply imap_reply_read_only(void);
/* A set of numbers that could not be resolved: ERR_INVALID is BAD, the rest as imap_reply_error(). */
struct imap_reply imap_reply_set_error(enum err err);
/* BAD with the parser's error. */
struct imap_reply imap_reply_syntax(const struct imap_parser *parser);

/* One per command, in a file of its own below imap/cmd/, listed in imap/dispatch.c's table. */
typedef WAITS struct imap_reply imap_handler(struct imap_session *session,
					     struct imap_command *command);

imap_handler imap_cmd_append, imap_cmd_authenticate, imap_cmd_capability, imap_cmd_check,
	imap_cmd_close, imap_cmd_copy, imap_cmd_create, imap_cmd_delete, imap_cmd_enable,
	imap_cmd_examine, imap_cmd_expunge, imap_cmd_fetch, imap_cmd_id, imap_cmd_idle,
	imap_cmd_list, imap_cmd_login, imap_cmd_logout, imap_cmd_lsub, imap_cmd_move,
	imap_cmd_namespace, imap_cmd_noop, imap_cmd_rename, imap_cmd_search, imap_cmd_select,
	imap_cmd_starttls, imap_cmd_status, imap_cmd_store, imap_cmd_subscribe, imap_cmd_unselect,
	imap_cmd_unsubscribe;

/* BYE with the reason, as far as the error is one to tell; then the session is over. */
WAITS void imap_say_goodbye(struct imap_session *session, enum err err);
/* session->mailbox was logged in to: the session ends when its account is disabled. */
void imap_authenticated(struct imap_session *session);

/* ---- output ---- */

/* Writes session->out to the stream when it is large, or when `now`; errors stick to the stream. */
WAITS void imap_flush(struct imap_session *session, bool now);
/* "* <text>\r\n", text by format. */
void imap_untagged(struct imap_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* As imap/render.h says. */
void imap_put_string(struct imap_session *session, struct bytes string);
/* A UTF-8 mailbox name in modified UTF-7, as astring. */
void imap_put_mailbox(struct imap_session *session, struct bytes name);
/* "(\Seen $Label)" of a message of the selected view. */
void imap_put_flags(struct imap_session *session, const struct flags *flags, bool recent);

/* ---- the view ---- */

/* "* 5 FETCH (FLAGS (...))" with the UID in a UID command; nothing when it is expunged. */
void imap_put_message_flags(struct imap_session *session, uint32_t sequence);
/* Sends untagged EXPUNGE (when allowed), EXISTS, RECENT, FETCH FLAGS for what changed. */
void imap_sync(struct imap_session *session, bool expunges);
/* Before a keyword is shown in a FETCH the client must have seen it in FLAGS: shows new ones. */
void imap_announce_keywords(struct imap_session *session);
/*
 * The sequence numbers that a set names in the selected view, ascending, in the command's arena:
 * by UID or by number. Numbers above the count are an error of syntax ("BAD") by number, and
 * nothing by UID. ERR_INVALID, ERR_NOMEM.
 */
MUST_USE enum err imap_resolve(struct imap_session *session, struct imap_command *command,
			       struct imap_set *set, const uint32_t **sequences, size_t *count);
/* The untagged data that SELECT and EXAMINE share, then the view becomes the session's. */
WAITS struct imap_reply imap_select(struct imap_session *session, struct imap_command *command,
				    bool read_only);
void imap_unselect(struct imap_session *session);

#endif
