/* SPDX-License-Identifier: MPL-2.0 */
/*
 * admin - the server of the admin socket: tools/common/admin_protocol.h.
 *
 * For root and the user that aerod runs as; anybody else is cut off. Holds no
 * keys: it publishes what is signed, shows what is public, and hands passwords
 * to the home, which changes slots only for a secret that opens the account.
 */
#ifndef AEROSTORE_TOOLS_AEROD_ADMIN_H
#define AEROSTORE_TOOLS_AEROD_ADMIN_H

#include "imap/session.h"
#include "lmtp/server.h"
#include "tools/common/config.h"

struct admin_server {
	struct env *env;
	struct engine *engine;
	const struct config *config;
	const struct lmtp_server *lmtp;
	const struct imap_server *imap;
	uint64_t started_ms; /* env_now_ms() */
};

/* listener_options.serve with a struct admin_server as context. */
WAITS void admin_serve(struct stream *stream, void *context);

#endif
