/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Envelopes. Mode 0: any bytes are opened, and nobody but a sender makes one that opens. Mode 1: the
 * input is sealed and opened, whole and then with octets of it, or of what it is bound to, changed.
 */
#include "engine/crypto/sealed.h"
#include "fuzz/fuzz.h"
#include "tests/support/unit_env.h"

static struct unit_env env;
static const struct id128 account = {{0x66}}, use = {{0x77}};
static struct key *delivery;
static uint8_t delivery_public[X25519_SIZE];
static struct envelope_sender *sender;
static struct envelope_opener *opener;

static void setup(void)
{
	ASSERT(key_library_init() == ERR_OK);
	unit_env_init(&env, 1);
	ASSERT(key_random(&env.env, &delivery) == ERR_OK);
	x25519_public(delivery, delivery_public);
	ASSERT(envelope_sender_create(&env.env, 4, &sender) == ERR_OK);
	ASSERT(envelope_opener_create(delivery, &opener) == ERR_OK);
}

/* Whether it opens; when not, nothing is given. */
static bool opens(struct id128 to, struct id128 as, struct bytes associated, struct bytes envelope,
		  struct buf *plain)
{
	enum err err;

	buf_clear(plain);
	err = envelope_open(opener, to, as, associated, envelope, plain);
	ASSERT(err == ERR_OK || plain->size == 0);
	ASSERT(err == ERR_OK || err == ERR_AUTH || err == ERR_NEWER || err == ERR_LIMIT ||
	       err == ERR_CORRUPT);
	return err == ERR_OK;
}

static void open_any(struct cursor *input)
{
	struct buf plain = {0};

	ASSERT(!opens(account, use, bytes_make(NULL, 0), fuzz_rest(input), &plain));
	buf_finish(&plain);
}

static void seal_and_change(struct cursor *input)
{
	const struct id128 other = {{0x88}};
	uint16_t where = cursor_u16(input);
	uint8_t change = cursor_u8(input), bound[4];
	struct bytes associated = bytes_make(bound, sizeof(bound)), plain;
	struct buf envelope = {0}, out = {0};

	fuzz_fill(input, bound, sizeof(bound));
	plain = fuzz_rest(input);
	ASSERT(envelope_seal(sender, delivery_public, account, use, associated, plain, &envelope) ==
	       ERR_OK);
	ASSERT(opens(account, use, associated, bytes_of_buf(&envelope), &out));
	fuzz_assert_equal(bytes_of_buf(&out), plain);
	ASSERT(!opens(other, use, associated, bytes_of_buf(&envelope), &out));
	ASSERT(!opens(account, other, associated, bytes_of_buf(&envelope), &out));
	ASSERT(!opens(account, use, associated,
		      bytes_slice(bytes_of_buf(&envelope), 0, where % envelope.size), &out));
	if (change != 0) {
		bound[where % sizeof(bound)] ^= change;
		ASSERT(!opens(account, use, associated, bytes_of_buf(&envelope), &out));
		bound[where % sizeof(bound)] ^= change;
		envelope.data[where % envelope.size] ^= change;
		/* The highest bit of a public key counts for nothing in X25519 (RFC 7748, 5), but is
		 * bound to the key that is derived. */
		ASSERT(!opens(account, use, associated, bytes_of_buf(&envelope), &out));
	}
	buf_finish(&envelope);
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));

	if (sender == NULL)
		setup();
	if ((cursor_u8(&input) & 1) == 0)
		open_any(&input);
	else if (cursor_left(&input) > 8)
		seal_and_change(&input);
	return 0;
}
