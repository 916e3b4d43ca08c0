/* SPDX-License-Identifier: MPL-2.0 */
/*
 * An envelope:
 *
 *	offset	size	field
 *	0	1	suite, 1
 *	1	3	zeros
 *	4	4	sequence number, u32: uses of this ephemeral key before
 *	8	32	ephemeral X25519 public key (RFC 7748)
 *	40	b	ciphertext of the body (payload.h)
 *	40+b	16	tag
 *
 * The key is kdf(X25519(ephemeral, delivery), LABEL_ENVELOPE, context), context:
 *
 *	0	40	the envelope's first 40 bytes
 *	40	32	delivery public key
 *	72	16	account id
 *	88	16	use id
 *
 * The nonce is zero: the sequence number makes every key the only one of its
 * kind, even if a caller repeats a use id. Associated data is the caller's.
 */
#include <string.h>
#include <sys/queue.h>

#include <sodium.h>

#include "engine/base/assert.h"
#include "engine/base/map.h"
#include "engine/base/memory.h"
#include "engine/crypto/payload.h"

#define LABEL_ENVELOPE "aerostore envelope"
#define HEADER_SIZE 40u
#define CONTEXT_SIZE 104u
#define OPENER_CACHED 4u

static_assert(X25519_SIZE == crypto_scalarmult_BYTES, "X25519");

static const uint8_t nonce_zero[NONCE_SIZE];

void x25519_public(const struct key *secret, uint8_t public_key[X25519_SIZE])
{
	crypto_scalarmult_base(public_key, key_octets(secret));
}

static void envelope_key(const uint8_t shared[KEY_SIZE], const uint8_t header[HEADER_SIZE],
			 const uint8_t delivery_public[X25519_SIZE], struct id128 account,
			 struct id128 use, uint8_t out[KEY_SIZE])
{
	uint8_t context[CONTEXT_SIZE];

	memcpy(context, header, HEADER_SIZE);
	memcpy(context + 40, delivery_public, X25519_SIZE);
	memcpy(context + 72, account.octets, 16);
	memcpy(context + 88, use.octets, 16);
	kdf_octets(shared, LABEL_ENVELOPE, bytes_make(context, sizeof(context)), out);
}

/* ---- sealing ---- */

/* One ephemeral key serves one account only: deliveries to two must not show one sender's key. */
struct recipient {
	uint8_t delivery_public[X25519_SIZE];
	struct id128 account;
};

static_assert(sizeof(struct recipient) == X25519_SIZE + 16, "a map key without padding");

/* The ephemeral secret itself is gone as soon as the shared secret is made. */
struct window {
	TAILQ_ENTRY(window) by_use;
	struct recipient recipient;
	uint8_t ephemeral_public[X25519_SIZE];
	uint8_t shared[KEY_SIZE];
	uint64_t until_ms;
	uint32_t uses;
};

struct envelope_sender {
	struct env *env;
	struct env_timer timer; /* armed while a window is open */
	size_t window_max;
	struct map windows;
	TAILQ_HEAD(window_list, window) by_use; /* the longest unused first */
};

static void window_destroy(struct envelope_sender *sender, struct window *window)
{
	map_remove(&sender->windows, &window->recipient);
	TAILQ_REMOVE(&sender->by_use, window, by_use);
	memory_free(window);
}

static void wipe_expired(struct env_timer *timer)
{
	struct envelope_sender *sender = timer->context;
	uint64_t now_ms = env_now_ms(sender->env), next_ms = UINT64_MAX;
	struct window *window, *after;

	for (window = TAILQ_FIRST(&sender->by_use); window != NULL; window = after) {
		after = TAILQ_NEXT(window, by_use);
		if (window->until_ms <= now_ms)
			window_destroy(sender, window);
		else if (window->until_ms < next_ms)
			next_ms = window->until_ms;
	}
	/* In a stopped env timers fire at once, and would for ever. */
	if (next_ms != UINT64_MAX && !sender->env->stopped)
		env_timer_start(sender->env, &sender->timer, next_ms - now_ms);
}

enum err envelope_sender_create(struct env *env, size_t recipients_cached,
				struct envelope_sender **out)
{
	struct envelope_sender *sender = memory_allocate(sizeof(*sender));

	ASSERT(recipients_cached >= 1);
	if (sender == NULL)
		return ERR_NOMEM;
	sender->env = env;
	sender->timer.fire = wipe_expired;
	sender->timer.context = sender;
	sender->window_max = recipients_cached;
	map_init(&sender->windows, sizeof(struct recipient));
	TAILQ_INIT(&sender->by_use);
	*out = sender;
	return ERR_OK;
}

void envelope_sender_destroy(struct envelope_sender **sender)
{
	struct envelope_sender *destroyed = *sender;

	*sender = NULL;
	if (destroyed == NULL)
		return;
	env_timer_stop(destroyed->env, &destroyed->timer);
	while (!TAILQ_EMPTY(&destroyed->by_use))
		window_destroy(destroyed, TAILQ_FIRST(&destroyed->by_use));
	map_finish(&destroyed->windows);
	memory_free(destroyed);
}

static enum err agree(struct env *env, struct window *window)
{
	uint8_t secret[X25519_SIZE];
	enum err err = ERR_OK;

	env_random(env, secret, sizeof(secret));
	crypto_scalarmult_base(window->ephemeral_public, secret);
	/* Refuses points of low order, whose shared secret everybody knows. */
	if (crypto_scalarmult(window->shared, secret, window->recipient.delivery_public) != 0)
		err = ERR_INVALID;
	sodium_memzero(secret, sizeof(secret));
	return err;
}

static enum err window_create(struct envelope_sender *sender, const struct recipient *recipient,
			      struct window **out)
{
	struct window *window;
	enum err err;

	if (sender->windows.count == sender->window_max)
		window_destroy(sender, TAILQ_FIRST(&sender->by_use));
	window = memory_allocate(sizeof(*window));
	if (window == NULL)
		return ERR_NOMEM;
	window->recipient = *recipient;
	window->until_ms = env_now_ms(sender->env) + ENVELOPE_WINDOW_MS;
	err = agree(sender->env, window);
	if (err == ERR_OK)
		err = map_put(&sender->windows, recipient, window);
	if (err != ERR_OK) {
		memory_free(window);
		return err;
	}
	TAILQ_INSERT_TAIL(&sender->by_use, window, by_use);
	if (!sender->timer.armed)
		env_timer_start(sender->env, &sender->timer, ENVELOPE_WINDOW_MS);
	*out = window;
	return ERR_OK;
}

static enum err window_find(struct envelope_sender *sender, const struct recipient *recipient,
			    struct window **out)
{
	struct window *window = map_get(&sender->windows, recipient);

	if (window != NULL &&
	    (window->uses == ENVELOPE_WINDOW_USES || window->until_ms <= env_now_ms(sender->env))) {
		window_destroy(sender, window);
		window = NULL;
	}
	if (window == NULL)
		return window_create(sender, recipient, out);
	TAILQ_REMOVE(&sender->by_use, window, by_use);
	TAILQ_INSERT_TAIL(&sender->by_use, window, by_use);
	*out = window;
	return ERR_OK;
}

enum err envelope_seal(struct envelope_sender *sender, const uint8_t delivery_public[X25519_SIZE],
		       struct id128 account, struct id128 use, struct bytes associated,
		       struct bytes plain, struct buf *out)
{
	struct recipient recipient = {.account = account};
	uint8_t key[KEY_SIZE], *at;
	struct window *window;
	struct buf body = {0};
	enum err err;

	if (plain.size > ENVELOPE_PLAIN_MAX)
		return ERR_LIMIT;
	memcpy(recipient.delivery_public, delivery_public, X25519_SIZE);
	err = window_find(sender, &recipient, &window);
	if (err == ERR_OK)
		err = payload_pack(plain, &body);
	if (err != ERR_OK)
		goto out;
	at = buf_extend(out, HEADER_SIZE + body.size + TAG_SIZE);
	if (at == NULL) {
		err = out->err;
		goto out;
	}
	memset(at, 0, HEADER_SIZE);
	at[0] = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519;
	store_u32(at + 4, window->uses++);
	memcpy(at + 8, window->ephemeral_public, X25519_SIZE);
	envelope_key(window->shared, at, delivery_public, account, use, key);
	aead_seal_to(key, nonce_zero, associated, bytes_of_buf(&body), at + HEADER_SIZE);
	sodium_memzero(key, sizeof(key));
out:
	buf_finish(&body);
	return err;
}

/* ---- opening ---- */

struct envelope_opener {
	struct key *delivery_secret;
	uint8_t delivery_public[X25519_SIZE];
	size_t oldest; /* which place the next ephemeral key takes */
	struct {
		uint8_t ephemeral_public[X25519_SIZE];
		struct key *shared; /* NULL: unused */
	} cached[OPENER_CACHED];
};

enum err envelope_opener_create(struct key *delivery_secret, struct envelope_opener **out)
{
	struct envelope_opener *opener = memory_allocate(sizeof(*opener));

	if (opener == NULL)
		return ERR_NOMEM;
	opener->delivery_secret = key_reference(delivery_secret);
	x25519_public(delivery_secret, opener->delivery_public);
	*out = opener;
	return ERR_OK;
}

void envelope_opener_destroy(struct envelope_opener **opener)
{
	struct envelope_opener *destroyed = *opener;

	*opener = NULL;
	if (destroyed == NULL)
		return;
	for (size_t i = 0; i < OPENER_CACHED; i++)
		key_release(&destroyed->cached[i].shared);
	key_release(&destroyed->delivery_secret);
	memory_free(destroyed);
}

/* Borrowed from the cache. */
static enum err shared_with(struct envelope_opener *opener, const uint8_t ephemeral[X25519_SIZE],
			    const struct key **out)
{
	uint8_t octets[KEY_SIZE];
	struct key *shared;
	size_t place = opener->oldest;
	enum err err;

	for (size_t i = 0; i < OPENER_CACHED; i++) {
		*out = opener->cached[i].shared;
		if (*out != NULL &&
		    memcmp(opener->cached[i].ephemeral_public, ephemeral, X25519_SIZE) == 0)
			return ERR_OK;
	}
	if (crypto_scalarmult(octets, key_octets(opener->delivery_secret), ephemeral) != 0)
		return ERR_AUTH;
	err = key_import(octets, &shared);
	sodium_memzero(octets, sizeof(octets));
	if (err != ERR_OK)
		return err;
	key_release(&opener->cached[place].shared);
	opener->cached[place].shared = shared;
	memcpy(opener->cached[place].ephemeral_public, ephemeral, X25519_SIZE);
	opener->oldest = (place + 1) % OPENER_CACHED;
	*out = shared;
	return ERR_OK;
}

enum err envelope_open(struct envelope_opener *opener, struct id128 account, struct id128 use,
		       struct bytes associated, struct bytes envelope, struct buf *plain)
{
	struct cursor cursor = cursor_make(envelope);
	uint8_t suite = cursor_u8(&cursor), key[KEY_SIZE];
	const struct key *shared;
	struct buf body = {0};
	enum err err;

	if (cursor.err == ERR_OK && suite != SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519)
		return ERR_NEWER;
	cursor_zeros(&cursor, 3);
	cursor_take(&cursor, HEADER_SIZE - 4);
	if (cursor.err != ERR_OK || cursor_left(&cursor) < PAYLOAD_HEADER_SIZE + TAG_SIZE)
		return ERR_AUTH;
	if (cursor_left(&cursor) > payload_padded_size(ENVELOPE_PLAIN_MAX) + TAG_SIZE)
		return ERR_LIMIT;
	err = shared_with(opener, envelope.data + 8, &shared);
	if (err != ERR_OK)
		return err;
	envelope_key(key_octets(shared), envelope.data, opener->delivery_public, account, use, key);
	err = aead_open(key, nonce_zero, associated,
			bytes_slice(envelope, HEADER_SIZE, envelope.size), &body);
	sodium_memzero(key, sizeof(key));
	if (err == ERR_OK)
		err = payload_unpack(bytes_of_buf(&body), ENVELOPE_PLAIN_MAX, plain);
	buf_finish(&body);
	return err;
}
