/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/session.h"

#include "engine/base/memory.h"
#include "imap/capability.h"
#include "imap/dispatch.h"
#include "imap/input.h"

/* Between the tries to get a task for a session that has something to do. */
#define RETRY_MS 1000u

static void run(void *argument);

void imap_server_init(struct imap_server *server)
{
	*server = (struct imap_server){.append_limit = 64u << 20,
				       .idle_timeout_ms = 30 * 60 * 1000,
				       .login_timeout_ms = 60 * 1000,
				       .literal_timeout_ms = 3 * 60 * 1000,
				       .keepalive_ms = 2 * 60 * 1000,
				       .login_attempts_max = 5};
}

/* ---- waking and sleeping ---- */

static void start(struct imap_session *session)
{
	if (task_spawn(session->server->sched, "imap", run, session, NULL) != ERR_OK)
		env_timer_start(session->server->env, &session->retry, RETRY_MS);
}

static void retry_fires(struct env_timer *timer)
{
	start(timer->context);
}

static void woken(struct stream *stream, void *context)
{
	(void)stream;
	start(context);
}

static void view_is_stale(struct view *view, void *context)
{
	struct imap_session *session = context;

	(void)view;
	session->pushed = true;
	stream_unpark(session->stream);
}

static void is_dismissed(void *context, enum err why)
{
	struct imap_session *session = context;

	session->dismissed = why;
	if (session->parked)
		stream_unpark(session->stream);
}

void imap_authenticated(struct imap_session *session)
{
	session->state = IMAP_AUTHENTICATED;
	session->watch = (struct mailbox_watch){.dismissed = is_dismissed, .context = session};
	mailbox_watch_start(session->mailbox, &session->watch);
}

/* Nothing to do until something happens: gives the buffers and, by returning, the stack back. */
static void park(struct imap_session *session)
{
	uint64_t deadline_ms = imap_deadline(session);

	buf_finish(&session->out);
	if (session->idling) {
		session->keepalive_due_ms =
			env_now_ms(session->server->env) + session->server->keepalive_ms;
		if (session->keepalive_due_ms < deadline_ms)
			deadline_ms = session->keepalive_due_ms;
	}
	session->parked = true;
	stream_park(session->stream, deadline_ms, woken, session);
	if (session->idling && session->view != NULL)
		view_notify(session->view, view_is_stale, session);
}

/* ---- the end ---- */

static void end(struct imap_session *session)
{
	imap_unselect(session);
	if (session->mailbox != NULL) {
		mailbox_watch_stop(session->mailbox, &session->watch);
		mailbox_release(&session->mailbox);
	}
	buf_finish(&session->out);
	stream_close(&session->stream);
	session->server->sessions--;
	memory_free(session);
}

void imap_say_goodbye(struct imap_session *session, enum err err)
{
	switch ((unsigned)err) {
	case ERR_TIMEOUT:
		imap_untagged(session, "BYE Autologout; idle for too long");
		break;
	case ERR_DENIED:
		imap_untagged(session, "BYE [UNAVAILABLE] The account was disabled");
		break;
	case ERR_UNAVAILABLE:
		imap_untagged(session, "BYE [UNAVAILABLE] The mailbox must be opened anew");
		break;
	case ERR_CANCELED:
		imap_untagged(session, "BYE Server is shutting down");
		break;
	case ERR_LIMIT:
		imap_untagged(session, "BYE [TOOBIG] Line or literal is too large");
		break;
	case ERR_NOMEM:
		imap_untagged(session, "BYE [UNAVAILABLE] Server is out of memory");
		break;
	default:
		break;
	}
	imap_flush(session, true);
	session->over = true;
}

/* ---- the loop ---- */

/* What came while parked in IDLE: changes of the folder, or the time for a sign of life. */
static void serve_idle(struct imap_session *session)
{
	if (session->pushed && session->view != NULL)
		imap_sync(session, true);
	else
		imap_untagged(session, "OK Still here");
	session->pushed = false;
	imap_flush(session, true);
}

/* In IDLE any line ends it: "DONE" well, another one badly. */
static enum err end_idle(struct imap_session *session)
{
	struct bytes line;
	enum err err = imap_read_line(session, IMAP_TAG_MAX, imap_deadline(session), &line);
	bool done;

	if (err != ERR_OK && err != ERR_LIMIT)
		return err;
	done = err == ERR_OK && bytes_equal_nocase(line, bytes_string("DONE"));
	session->idling = session->pushed = false;
	if (session->view != NULL) {
		view_notify(session->view, NULL, NULL);
		imap_sync(session, true);
	}
	buf_printf(&session->out, done ? "%s OK IDLE ended\r\n" : "%s BAD Expected DONE\r\n",
		   session->idle_tag);
	return err;
}

static enum err serve_command(struct imap_session *session)
{
	struct imap_command command;
	enum err err = imap_read_command(session, &command);

	if (err == ERR_OK) {
		session->command = &command;
		session->server->commands++;
		imap_dispatch(session, &command);
		session->command = NULL;
	}
	imap_command_finish(&command);
	/* Its time to be silent begins with the answer, however long that took. */
	imap_restart_timer(session);
	if (session->bad_streak >= IMAP_BAD_MAX && !session->over) {
		imap_untagged(session, "BYE Too many errors");
		imap_flush(session, true);
		session->over = true;
	}
	return err == ERR_INVALID ? ERR_OK : err;
}

/* Finds out why the session was woken; brings in what the client said, if that was it. */
static enum err attend(struct imap_session *session)
{
	uint64_t now_ms = env_now_ms(session->server->env);

	if (session->dismissed)
		return session->dismissed;
	if (session->idling && (session->pushed || (now_ms >= session->keepalive_due_ms &&
						    now_ms < imap_deadline(session)))) {
		serve_idle(session);
		return ERR_OK;
	}
	return stream_fill(session->stream, imap_deadline(session));
}

static void run(void *argument)
{
	struct imap_session *session = argument;
	enum err err = ERR_OK;

	if (session->parked && stream_input(session->stream).size == 0)
		err = attend(session);
	session->parked = false;
	while (err == ERR_OK && !session->over) {
		if (stream_input(session->stream).size == 0) {
			/* What changed while the last changes were sent calls nobody back. */
			if (session->idling && session->view != NULL && view_stale(session->view)) {
				session->pushed = true;
				serve_idle(session);
				continue;
			}
			park(session);
			return;
		}
		err = session->dismissed ? session->dismissed
		      : session->idling	 ? end_idle(session)
					 : serve_command(session);
		/* Behind a command that has come already, more output will follow. */
		imap_flush(session, stream_input(session->stream).size == 0);
	}
	if (!session->over)
		imap_say_goodbye(session, err);
	end(session);
}

void imap_serve(struct stream *stream, void *context)
{
	struct imap_server *server = context;
	struct imap_session *session = memory_allocate(sizeof(*session));

	if (session == NULL) {
		stream_close(&stream);
		return;
	}
	session->server = server;
	session->stream = stream;
	session->state = IMAP_GREETED;
	imap_restart_timer(session);
	session->retry = (struct env_timer){.fire = retry_fires, .context = session};
	server->sessions++;
	stream_set_secret(stream, true);
	imap_untagged(session, "OK [CAPABILITY %s] Aerostore ready", imap_capabilities(session));
	imap_flush(session, true);
	run(session);
}
