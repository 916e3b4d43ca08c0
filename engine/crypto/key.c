/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The locked pool. A slab is SLAB_SIZE bytes of locked pages between two guard
 * pages; it holds nothing but octets of keys, so an overrun of anything else
 * meets a guard page and not a key. Who uses which place, and how many hold a
 * key, is kept outside, in ordinary memory. Slabs are kept for the life of the
 * process: their number follows the peak of keys, 512 to a slab.
 */
#include "engine/crypto/key.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define SLAB_SIZE 16384u
#define SLAB_KEYS (SLAB_SIZE / KEY_SIZE)
#define LABEL_MAX 255u

static_assert(KEY_SIZE == crypto_generichash_KEYBYTES, "BLAKE2b key");
static_assert(SLAB_KEYS % 64 == 0, "whole words of the bitmap");

struct slab {
	struct slab *next;
	uint8_t *octets;
	uint64_t used[SLAB_KEYS / 64];
};

struct key {
	struct slab *slab;
	uint8_t *octets;
	size_t references;
};

/* One pool a process, because RLIMIT_MEMLOCK is the process's. */
static struct slab *slabs;
static size_t keys_alive;
static bool initialised;

static enum err forbid_core_dumps(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return err_from_errno(errno);
#ifndef __SANITIZE_ADDRESS__
	/* A handler in core_pattern ignores the limit. The leak checker must attach to us. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_from_errno(errno);
#endif
	return ERR_OK;
}

enum err key_library_init(void)
{
	enum err err;

	if (initialised)
		return ERR_OK;
	if (sodium_init() < 0)
		return ERR_UNAVAILABLE;
	err = forbid_core_dumps();
	initialised = err == ERR_OK;
	return err;
}

/* Locked, not dumped, and absent in children: mlock is not inherited. */
static enum err map_locked(uint8_t **out)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *area, *octets;
	enum err err;

	ASSERT(SLAB_SIZE % page == 0);
	area = mmap(NULL, SLAB_SIZE + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return ERR_NOMEM;
	octets = area + page;
	if (mprotect(octets, SLAB_SIZE, PROT_READ | PROT_WRITE) != 0) {
		err = ERR_NOMEM;
		goto out;
	}
	if (mlock(octets, SLAB_SIZE) != 0) {
		err = ERR_LIMIT;
		goto out;
	}
	if (madvise(octets, SLAB_SIZE, MADV_DONTDUMP) != 0 ||
	    madvise(octets, SLAB_SIZE, MADV_DONTFORK) != 0) {
		err = err_from_errno(errno);
		goto out;
	}
	*out = octets;
	return ERR_OK;
out:
	munmap(area, SLAB_SIZE + 2 * page);
	return err;
}

static enum err slab_create(struct slab **out)
{
	struct slab *slab = memory_allocate(sizeof(*slab));
	enum err err;

	if (slab == NULL)
		return ERR_NOMEM;
	err = map_locked(&slab->octets);
	if (err != ERR_OK) {
		memory_free(slab);
		return err;
	}
	slab->next = slabs;
	slabs = slab;
	*out = slab;
	return ERR_OK;
}

/* A free place in the slab, taken; NULL when it is full. */
static uint8_t *slab_take(struct slab *slab)
{
	for (size_t word = 0; word < SLAB_KEYS / 64; word++) {
		size_t bit;

		if (slab->used[word] == UINT64_MAX)
			continue;
		bit = (size_t)__builtin_ctzll(~slab->used[word]);
		slab->used[word] |= UINT64_C(1) << bit;
		return slab->octets + (word * 64 + bit) * KEY_SIZE;
	}
	return NULL;
}

static void slab_give(struct slab *slab, uint8_t *octets)
{
	size_t place = (size_t)(octets - slab->octets) / KEY_SIZE;

	ASSERT((slab->used[place / 64] >> (place % 64) & 1) == 1);
	sodium_memzero(octets, KEY_SIZE);
	slab->used[place / 64] &= ~(UINT64_C(1) << (place % 64));
}

static enum err pool_take(struct slab **slab, uint8_t **octets)
{
	enum err err;

	for (*slab = slabs; *slab != NULL; *slab = (*slab)->next) {
		*octets = slab_take(*slab);
		if (*octets != NULL)
			return ERR_OK;
	}
	err = slab_create(slab);
	if (err == ERR_OK)
		*octets = slab_take(*slab);
	return err;
}

/* With undefined octets. */
static enum err key_create(struct key **out)
{
	struct key *key;
	enum err err;

	ASSERT(initialised);
	key = memory_allocate(sizeof(*key));
	if (key == NULL)
		return ERR_NOMEM;
	err = pool_take(&key->slab, &key->octets);
	if (err != ERR_OK) {
		memory_free(key);
		return err;
	}
	key->references = 1;
	keys_alive++;
	*out = key;
	return ERR_OK;
}

enum err key_random(struct env *env, struct key **out)
{
	enum err err = key_create(out);

	if (err == ERR_OK)
		env_random(env, (*out)->octets, KEY_SIZE);
	return err;
}

enum err key_import(const uint8_t octets[KEY_SIZE], struct key **out)
{
	enum err err = key_create(out);

	if (err == ERR_OK)
		memcpy((*out)->octets, octets, KEY_SIZE);
	return err;
}

enum err key_derive(const struct key *from, const char *label, struct bytes context,
		    struct key **out)
{
	enum err err = key_create(out);

	if (err == ERR_OK)
		key_derive_octets(from, label, context, (*out)->octets);
	return err;
}

void key_derive_octets(const struct key *from, const char *label, struct bytes context,
		       uint8_t out[KEY_SIZE])
{
	kdf_octets(from->octets, label, context, out);
}

/* Label and message with their sizes: the one framing of derivation and of signatures. */
static void hash_labelled(const uint8_t *key, size_t key_size, const char *label,
			  struct bytes message, uint8_t out[DIGEST_SIZE])
{
	crypto_generichash_state state;
	size_t label_size = strlen(label);
	uint8_t prefix[1 + LABEL_MAX + 8];

	ASSERT(label_size >= 1 && label_size <= LABEL_MAX);
	prefix[0] = (uint8_t)label_size;
	memcpy(prefix + 1, label, label_size);
	store_u64(prefix + 1 + label_size, message.size);
	crypto_generichash_init(&state, key, key_size, DIGEST_SIZE);
	crypto_generichash_update(&state, prefix, 1 + label_size + 8);
	crypto_generichash_update(&state, message.data, message.size);
	crypto_generichash_final(&state, out, DIGEST_SIZE);
	sodium_memzero(&state, sizeof(state));
}

void kdf_octets(const uint8_t from[KEY_SIZE], const char *label, struct bytes context,
		uint8_t out[KEY_SIZE])
{
	hash_labelled(from, KEY_SIZE, label, context, out);
}

struct key *key_reference(struct key *key)
{
	key->references++;
	return key;
}

void key_release(struct key **key)
{
	struct key *released = *key;

	*key = NULL;
	if (released == NULL || --released->references > 0)
		return;
	slab_give(released->slab, released->octets);
	memory_free(released);
	keys_alive--;
}

const uint8_t *key_octets(const struct key *key)
{
	return key->octets;
}

bool key_equal(const struct key *a, const struct key *b)
{
	return sodium_memcmp(a->octets, b->octets, KEY_SIZE) == 0;
}

size_t key_count(void)
{
	return keys_alive;
}

void digest_256(struct bytes input, uint8_t out[DIGEST_SIZE])
{
	crypto_generichash(out, DIGEST_SIZE, input.data, input.size, NULL, 0);
}

void sign_public(const struct key *seed, uint8_t public_key[PUBLIC_SIZE])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	crypto_sign_seed_keypair(public_key, secret, seed->octets);
	sodium_memzero(secret, sizeof(secret));
}

void sign_bytes(const struct key *seed, const char *label, struct bytes message,
		uint8_t signature[SIGNATURE_SIZE])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES], public_key[PUBLIC_SIZE], digest[DIGEST_SIZE];

	hash_labelled(NULL, 0, label, message, digest);
	crypto_sign_seed_keypair(public_key, secret, seed->octets);
	crypto_sign_detached(signature, NULL, digest, sizeof(digest), secret);
	sodium_memzero(secret, sizeof(secret));
}

enum err sign_verify(const uint8_t public_key[PUBLIC_SIZE], const char *label, struct bytes message,
		     const uint8_t signature[SIGNATURE_SIZE])
{
	uint8_t digest[DIGEST_SIZE];

	hash_labelled(NULL, 0, label, message, digest);
	return crypto_sign_verify_detached(signature, digest, sizeof(digest), public_key) == 0
		       ? ERR_OK
		       : ERR_AUTH;
}
