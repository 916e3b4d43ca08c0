/* SPDX-License-Identifier: MPL-2.0 */
/*
 * node_keys - the secrets of one node, files in its keys directory, 0600:
 *
 *	node.key	the Ed25519 seed that signs its deliveries
 *	fake-salt	makes the work for unknown users look like that for known ones
 *
 * each 32 octets as hexadecimal digits and a line end.
 */
#ifndef AEROSTORE_TOOLS_COMMON_NODE_KEYS_H
#define AEROSTORE_TOOLS_COMMON_NODE_KEYS_H

#include "engine/crypto/key.h"
#include "tools/common/secret_file.h"

struct node_keys {
	struct key *signing;
	uint8_t fake_salt[KEY_SIZE];
};

/* Makes the directory and fresh files in it. ERR_EXISTS. */
MUST_USE enum err node_keys_create(struct env *env, const char *directory,
				   char why[SECRET_FILE_WHY]);
/* The caller releases. Needs key_library_init(). */
MUST_USE enum err node_keys_load(const char *directory, struct node_keys *out,
				 char why[SECRET_FILE_WHY]);
/* Random ones in memory, for reading a store whose keys are lost: no signature of its node holds. */
MUST_USE enum err node_keys_invent(struct env *env, struct node_keys *out);
void node_keys_release(struct node_keys *keys);

#endif
