/* SPDX-License-Identifier: MPL-2.0 */
/*
 * capability - what is advertised, by state: only what works in every corner.
 */
#ifndef AEROSTORE_IMAP_CAPABILITY_H
#define AEROSTORE_IMAP_CAPABILITY_H

#include "imap/session.h"

/* Static. Depends on login, TLS, and whether plain text login is allowed here. */
const char *imap_capabilities(const struct imap_session *session);
/* Plain text passwords: over TLS, or from this host. */
bool imap_login_allowed(const struct imap_session *session);

#endif
