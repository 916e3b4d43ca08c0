/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/crypto/digest.h"

#include <sodium.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define STATE_ALIGNMENT 64u

/* libsodium wants its state on 64 bytes, the heap gives 16. */
struct digest {
	uint8_t room[sizeof(crypto_generichash_blake2b_state) + STATE_ALIGNMENT];
};

static crypto_generichash_blake2b_state *state_of(struct digest *digest)
{
	uintptr_t address = (uintptr_t)digest->room;

	address = (address + STATE_ALIGNMENT - 1) / STATE_ALIGNMENT * STATE_ALIGNMENT;
	return (crypto_generichash_blake2b_state *)address;
}

enum err digest_create(struct digest **out)
{
	struct digest *digest = memory_allocate(sizeof(*digest));

	if (!digest)
		return ERR_NOMEM;
	ASSERT(!crypto_generichash_blake2b_init(state_of(digest), NULL, 0, DIGEST_SIZE));
	*out = digest;
	return ERR_OK;
}

void digest_update(struct digest *digest, struct bytes piece)
{
	if (piece.size)
		crypto_generichash_blake2b_update(state_of(digest), piece.data, piece.size);
}

void digest_finish(struct digest *digest, uint8_t out[DIGEST_SIZE])
{
	ASSERT(!crypto_generichash_blake2b_final(state_of(digest), out, DIGEST_SIZE));
}

void digest_destroy(struct digest **digest)
{
	if (*digest)
		memory_free(*digest);
	*digest = NULL;
}
