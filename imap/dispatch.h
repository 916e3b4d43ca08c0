/* SPDX-License-Identifier: MPL-2.0 */
/*
 * dispatch - the table of commands: who serves each, in which states, and
 * whether expunges may be told at its end (RFC 3501, 7.4.1).
 */
#ifndef AEROSTORE_IMAP_DISPATCH_H
#define AEROSTORE_IMAP_DISPATCH_H

#include "imap/session.h"

/* Serves the command and gives its tagged reply. */
WAITS void imap_dispatch(struct imap_session *session, struct imap_command *command);

#endif
