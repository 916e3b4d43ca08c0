/* SPDX-License-Identifier: MPL-2.0 */
/*
 * admin_key - the private half of the cluster's root of trust, as a file that
 * aeroctl reads and aerod never does. Who holds it can redirect future mail.
 *
 * Two lines of text, mode 0600:
 *
 *	aerostore admin key 1
 *	plain HEX	the Ed25519 seed, 32 octets; or
 *	sealed HEX	that seed in a password slot (engine/crypto/slot.h) of the
 *			cluster and of account zero, opened by the passphrase
 */
#ifndef AEROSTORE_TOOLS_AEROCTL_ADMIN_KEY_H
#define AEROSTORE_TOOLS_AEROCTL_ADMIN_KEY_H

#include "tools/aeroctl/control.h"

/* A fresh key in a new file; `passphrase` may be empty: then the file's mode is its protection. */
WAITS enum program_exit admin_key_create(struct control *control, const char *path,
					 struct id128 cluster, struct bytes passphrase,
					 uint8_t public_key[PUBLIC_SIZE]);
/* --admin-key, else admin.key beside the configuration; must be the one that is pinned there. */
WAITS enum program_exit admin_key_load(struct control *control, struct key **out);

#endif
