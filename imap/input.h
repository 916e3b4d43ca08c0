/* SPDX-License-Identifier: MPL-2.0 */
/*
 * input - reads one command from the stream: its lines and literals joined,
 * tag and name taken apart, continuation requests sent.
 *
 * A synchronising literal that would be too large is refused before it is
 * asked for; a non-synchronising one (LITERAL+, RFC 7888) is read and dropped,
 * or, when absurd, ends the connection. The literal of APPEND that is the
 * message stays on the stream for the handler.
 */
#ifndef AEROSTORE_IMAP_INPUT_H
#define AEROSTORE_IMAP_INPUT_H

#include "imap/session.h"

/*
 * ERR_OK: `command` is ready. ERR_INVALID: it was answered with BAD and is over. Anything else: the
 * connection is. `command` is to be finished in every case.
 */
WAITS MUST_USE enum err imap_read_command(struct imap_session *session,
					  struct imap_command *command);
void imap_command_finish(struct imap_command *command);
/* Asks for the pending literal when it is synchronising: "+ " and a flush. */
WAITS MUST_USE enum err imap_accept_literal(struct imap_session *session,
					    struct imap_command *command);
/* One line after a continuation request (AUTHENTICATE, IDLE), without its line end. */
WAITS MUST_USE enum err imap_read_line(struct imap_session *session, size_t limit,
				       uint64_t deadline_ms, struct bytes *line);
/* More input within a literal. */
WAITS MUST_USE enum err imap_fill_literal(struct imap_session *session);
/*
 * Drops the rest of a command that is refused: the literals that are on their way without having
 * been asked for, and the lines between them, so that none of it is taken for a command. `line` is
 * the last line read, without its end. ERR_LIMIT: too much.
 */
WAITS MUST_USE enum err imap_drop_command(struct imap_session *session, struct bytes line);
/* The same from within a literal of which `size` octets are still to come. */
WAITS MUST_USE enum err imap_drop_from_literal(struct imap_session *session, uint64_t size);
/* When the client must have said the next thing. */
uint64_t imap_deadline(const struct imap_session *session);
/* The client said something, or was answered: its time to say the next thing begins. */
void imap_restart_timer(struct imap_session *session);

#endif
