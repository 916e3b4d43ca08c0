/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Slots. Mode 0: any bytes are inspected and, where that costs little, opened. Mode 1: a slot of a
 * kind that the input chooses, made once, with bytes of it changed as the input says. Mode 2: codes
 * as people type them.
 */
#include "engine/crypto/sealed.h"
#include "engine/crypto/slot.h"
#include "fuzz/fuzz.h"
#include "tests/support/unit_env.h"

#define KINDS 5u
#define MEMORY_KIB_SMALL 64u

static struct unit_env env;
static const struct id128 cluster = {{0x55}}, account = {{0x66}};
static struct key *master;
static struct buf slots[KINDS], secrets[KINDS];

static void make_slot(unsigned i)
{
	enum slot_kind kind = (enum slot_kind)(i + 1);
	struct slot_info info = {.kind = kind, .slot_id = i + 1, .created_ms = 1700000000000u};

	if (kind == SLOT_PASSWORD || kind == SLOT_ENROLMENT)
		info.parameters = (struct slot_parameters){1, 8};
	if (kind == SLOT_RECOVERY)
		secret_generate_recovery(&env.env, &secrets[i]);
	else if (kind == SLOT_APP)
		secret_generate_app(&env.env, info.slot_id, &secrets[i]);
	else
		secret_generate_password(&env.env, &secrets[i]);
	if (kind == SLOT_MEMBER) {
		uint8_t public_key[32];

		buf_clear(&secrets[i]);
		buf_put(&secrets[i], key_octets(master), KEY_SIZE);
		x25519_public(master, public_key);
		ASSERT(slot_create(&env.env, &info, cluster, account,
				   bytes_make(public_key, sizeof(public_key)), master,
				   &slots[i]) == ERR_OK);
		return;
	}
	ASSERT(slot_create(&env.env, &info, cluster, account, bytes_of_buf(&secrets[i]), master,
			   &slots[i]) == ERR_OK);
}

static void prepare(void)
{
	if (master != NULL)
		return;
	unit_env_init(&env, 1);
	ASSERT(key_library_init() == ERR_OK);
	ASSERT(key_random(&env.env, &master) == ERR_OK);
	for (unsigned i = 0; i < KINDS; i++)
		make_slot(i);
}

static enum err open_slot(struct bytes slot, struct bytes secret)
{
	struct slot_info info;
	struct key *opened = NULL;
	enum err err = slot_inspect(slot, &info);

	if (err != ERR_OK) {
		ASSERT(slot_open(slot, cluster, account, secret, &opened) == err);
		return err;
	}
	ASSERT(info.kind >= SLOT_PASSWORD && info.kind <= SLOT_MEMBER);
	if (info.parameters.memory_kib > MEMORY_KIB_SMALL || info.parameters.operations > 2)
		return ERR_LIMIT;
	err = slot_open(slot, cluster, account, secret, &opened);
	ASSERT((err == ERR_OK) == (opened != NULL));
	if (err == ERR_OK)
		ASSERT(key_equal(opened, master));
	key_release(&opened);
	return err;
}

static void check_changed(struct cursor *input)
{
	unsigned i = cursor_u8(input) % KINDS;
	struct buf slot = {0};
	bool is_changed;

	buf_put_bytes(&slot, bytes_of_buf(&slots[i]));
	while (cursor_left(input) >= 2) {
		size_t at = cursor_u8(input) % slot.size;

		slot.data[at] ^= cursor_u8(input);
	}
	is_changed = !bytes_equal(bytes_of_buf(&slot), bytes_of_buf(&slots[i]));
	/* Every byte of a slot is authenticated. */
	ASSERT((open_slot(bytes_of_buf(&slot), bytes_of_buf(&secrets[i])) == ERR_OK) ==
	       !is_changed);
	buf_finish(&slot);
}

static void check_code(struct bytes typed)
{
	struct buf code = {0}, again = {0};
	uint32_t slot_id;

	if (secret_normalise_code(typed, &code) == ERR_OK) {
		ASSERT(secret_normalise_code(bytes_of_buf(&code), &again) == ERR_OK);
		fuzz_assert_equal(bytes_of_buf(&again), bytes_of_buf(&code));
	} else {
		ASSERT(code.size == 0);
	}
	(void)!secret_app_slot(typed, &slot_id);
	buf_finish(&code);
	buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint8_t mode = cursor_u8(&input) % 3;

	prepare();
	if (mode == 0)
		(void)open_slot(fuzz_rest(&input), bytes_string("password"));
	else if (mode == 1)
		check_changed(&input);
	else
		check_code(fuzz_rest(&input));
	return 0;
}
