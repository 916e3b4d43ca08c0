/* SPDX-License-Identifier: MPL-2.0 */
/*
 * daemon - the life of an aerod: opens the store, serves LMTP, IMAP and the
 * admin socket on the configured addresses, and ends in order.
 *
 * The end (SIGTERM, SIGINT): nothing is accepted any more, what clients have
 * asked is answered, idle ones are told goodbye, the engine is closed. Peers
 * that take longer than a grace of five seconds are cut off; a second signal
 * cuts everybody off at once. Nothing acknowledged depends on any of that.
 * SIGHUP reads certificate and key again; when they do not fit, the old stay.
 */
#ifndef AEROSTORE_TOOLS_AEROD_DAEMON_H
#define AEROSTORE_TOOLS_AEROD_DAEMON_H

#include "tools/common/config.h"
#include "tools/common/program.h"

/* Serves until a signal ends it. What went wrong is in the log. */
enum program_exit daemon_main(const struct config *config);

#endif
