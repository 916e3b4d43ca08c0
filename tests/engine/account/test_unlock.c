/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/account/account.h"
#include "tests/sim/sim_task.h"
#include "tests/support/unit_env.h"

static struct unit_env test;
static const struct id128 cluster = {{0x55}};
static struct key *master;

enum {
	PASSWORD_ID = 1,
	RECOVERY_ID = 2,
	APP_ID = 3,
	OTHER_APP_ID = 4,
	INVITED_ID = 5,
	FIRST_ID = 6
};

/* An account with slots of these kinds, outside of any table. */
struct fixture {
	struct account_record record;
	struct account_slot slots[8];
	struct buf encoded[8];
	struct buf recovery, app, other_app, invitation;
};

static int setup(void **state)
{
	(void)state;
	unit_env_init(&test, 42);
	return key_library_init() == ERR_OK && key_random(&test.env, &master) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	key_release(&master);
	return key_count() == 0 ? 0 : -1;
}

static void add_slot(struct fixture *fixture, enum slot_kind kind, uint32_t slot_id,
		     bool is_invitation, struct bytes secret)
{
	size_t place = fixture->record.slot_count++;
	struct slot_info info = {.kind = kind, .slot_id = slot_id, .is_invitation = is_invitation};

	if (kind == SLOT_PASSWORD || kind == SLOT_ENROLMENT)
		info.parameters = (struct slot_parameters){1, 8};
	assert_ok(slot_create(&test.env, &info, cluster, fixture->record.id, secret, master,
			      &fixture->encoded[place]));
	fixture->slots[place] = (struct account_slot){
		.info = info, .encoded = bytes_of_buf(&fixture->encoded[place])};
	fixture->record.slots = fixture->slots;
}

static void fixture_init(struct fixture *fixture)
{
	*fixture = (struct fixture){.record = {.id = {{7}}, .status = ACCOUNT_ACTIVE}};
	secret_generate_recovery(&test.env, &fixture->recovery);
	secret_generate_app(&test.env, APP_ID, &fixture->app);
	secret_generate_app(&test.env, OTHER_APP_ID, &fixture->other_app);
	secret_generate_invitation(&test.env, &fixture->invitation);
}

static void fixture_finish(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->record.slot_count; i++)
		buf_finish(&fixture->encoded[i]);
	buf_finish(&fixture->recovery);
	buf_finish(&fixture->app);
	buf_finish(&fixture->other_app);
	buf_finish(&fixture->invitation);
}

static void an_enrolled_user(struct fixture *fixture)
{
	fixture_init(fixture);
	add_slot(fixture, SLOT_APP, APP_ID, false, bytes_of_buf(&fixture->app));
	add_slot(fixture, SLOT_PASSWORD, PASSWORD_ID, false, bytes_string("a password"));
	add_slot(fixture, SLOT_RECOVERY, RECOVERY_ID, false, bytes_of_buf(&fixture->recovery));
}

/* As a home does: what costs nothing first. */
static WAITS enum err unlock(const struct fixture *fixture, struct bytes secret, bool invitations,
			     struct key **opened, uint32_t *slot_id)
{
	uint64_t before = slot_argon2_count();
	enum err err = account_unlock_code(cluster, &fixture->record, secret, opened, slot_id);

	assert_int_equal(slot_argon2_count(), before);
	return err == ERR_AUTH ? account_unlock_password(cluster, &fixture->record, secret,
							 invitations, opened, slot_id)
			       : err;
}

/* Unlocks and counts; `slot_id` 0: it must fail. */
static void assert_unlocks(const struct fixture *fixture, struct bytes secret, bool invitations,
			   uint32_t slot_id, uint64_t argon2_runs)
{
	uint64_t before = slot_argon2_count();
	struct key *opened = NULL;
	uint32_t opened_id = 0;
	enum err err = unlock(fixture, secret, invitations, &opened, &opened_id);

	assert_int_equal(err, slot_id != 0 ? ERR_OK : ERR_AUTH);
	assert_int_equal(opened_id, slot_id);
	assert_true((opened != NULL) == (slot_id != 0));
	assert_true(opened == NULL || key_equal(opened, master));
	assert_int_equal(slot_argon2_count() - before, argon2_runs);
	key_release(&opened);
}

static void test_enrolled(void **state)
{
	struct fixture user;

	(void)state;
	an_enrolled_user(&user);
	assert_unlocks(&user, bytes_string("a password"), false, PASSWORD_ID, 1);
	assert_unlocks(&user, bytes_of_buf(&user.app), false, APP_ID, 0);
	assert_unlocks(&user, bytes_of_buf(&user.recovery), false, RECOVERY_ID, 0);
	fixture_finish(&user);
}

/* Every failure costs one Argon2, as it does for a user who does not exist. */
static void test_failures_cost_the_same(void **state)
{
	struct fixture user, nobody, member;
	struct buf recovery = {0};

	(void)state;
	an_enrolled_user(&user);
	secret_generate_recovery(&test.env, &recovery);
	assert_unlocks(&user, bytes_string("wrong"), false, 0, 1);
	assert_unlocks(&user, bytes_string(""), false, 0, 1);
	assert_unlocks(&user, bytes_of_buf(&user.other_app), false, 0, 1);
	assert_unlocks(&user, bytes_of_buf(&user.invitation), true, 0, 1);
	assert_unlocks(&user, bytes_of_buf(&recovery), false, 0, 1);
	/* No slot to try: the enrolment slot's parameters are used, and nothing opens. */
	fixture_init(&nobody);
	add_slot(&nobody, SLOT_ENROLMENT, INVITED_ID, true, bytes_of_buf(&nobody.invitation));
	assert_unlocks(&nobody, bytes_string("wrong"), false, 0, 1);
	assert_unlocks(&nobody, bytes_of_buf(&nobody.invitation), false, 0, 1);
	fixture_init(&member);
	assert_unlocks(&member, bytes_string("wrong"), false, 0, 1);
	fixture_finish(&user);
	fixture_finish(&nobody);
	fixture_finish(&member);
	buf_finish(&recovery);
}

static void test_before_the_first_login(void **state)
{
	struct fixture user;

	(void)state;
	fixture_init(&user);
	add_slot(&user, SLOT_ENROLMENT, INVITED_ID, true, bytes_of_buf(&user.invitation));
	assert_unlocks(&user, bytes_of_buf(&user.invitation), true, INVITED_ID, 1);
	assert_unlocks(&user, bytes_of_buf(&user.invitation), false, 0, 1);
	add_slot(&user, SLOT_ENROLMENT, FIRST_ID, false, bytes_string("legacy"));
	assert_unlocks(&user, bytes_string("legacy"), false, FIRST_ID, 1);
	fixture_finish(&user);
}

/* A password that happens to be somebody's app password or code is still a password. */
static void test_password_that_looks_like_a_code(void **state)
{
	struct fixture user;

	(void)state;
	fixture_init(&user);
	add_slot(&user, SLOT_PASSWORD, PASSWORD_ID, false, bytes_of_buf(&user.other_app));
	add_slot(&user, SLOT_APP, APP_ID, false, bytes_of_buf(&user.app));
	assert_unlocks(&user, bytes_of_buf(&user.other_app), false, PASSWORD_ID, 1);
	assert_unlocks(&user, bytes_of_buf(&user.app), false, APP_ID, 0);
	fixture_finish(&user);
}

static void test_slots_of_another_account(void **state)
{
	struct fixture user;

	(void)state;
	an_enrolled_user(&user);
	user.record.id.octets[3] ^= 1;
	assert_unlocks(&user, bytes_string("a password"), false, 0, 1);
	assert_unlocks(&user, bytes_of_buf(&user.app), false, 0, 1);
	fixture_finish(&user);
}

/* The record may change while Argon2 runs; being canceled is no wrong password. */
static void unlock_in_task(void *argument)
{
	struct fixture *user = argument;
	struct key *opened;
	uint32_t slot_id;

	assert_unlocks(user, bytes_string("a password"), false, PASSWORD_ID, 1);
	task_cancel(task_current());
	assert_int_equal(unlock(user, bytes_string("a password"), false, &opened, &slot_id),
			 ERR_CANCELED);
}

static void test_in_a_task(void **state)
{
	struct sim *sim = sim_simple();
	struct fixture user;

	(void)state;
	an_enrolled_user(&user);
	assert_ok(sim_run_task(sim, unlock_in_task, &user));
	sim_finish(&sim);
	fixture_finish(&user);
}

static void test_every_allocation_may_fail(void **state)
{
	struct fixture user;
	bool failed;

	(void)state;
	an_enrolled_user(&user);
	FOR_EACH_ALLOCATION(failed)
	{
		struct key *opened = NULL;
		struct account_keys keys;
		uint32_t slot_id;
		enum err err =
			unlock(&user, bytes_of_buf(&user.recovery), false, &opened, &slot_id);

		if (err == ERR_OK)
			err = account_keys_derive(opened, &keys);
		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		key_release(&opened);
		if (!failed)
			account_keys_release(&keys);
		assert_int_equal(key_count(), 1);
	}
	fixture_finish(&user);
}

/* The four keys of an account are four. */
static void test_keys(void **state)
{
	struct account_keys keys, again;

	(void)state;
	assert_ok(account_keys_derive(master, &keys));
	assert_ok(account_keys_derive(master, &again));
	assert_true(key_equal(keys.master, master) && key_equal(keys.identity, again.identity));
	assert_false(key_equal(keys.directory, keys.identity));
	assert_false(key_equal(keys.directory, keys.delivery));
	assert_false(key_equal(keys.identity, keys.delivery));
	assert_false(key_equal(keys.master, keys.directory));
	account_keys_release(&keys);
	account_keys_release(&again);
	account_keys_release(&keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enrolled),
		cmocka_unit_test(test_failures_cost_the_same),
		cmocka_unit_test(test_before_the_first_login),
		cmocka_unit_test(test_password_that_looks_like_a_code),
		cmocka_unit_test(test_slots_of_another_account),
		cmocka_unit_test(test_in_a_task),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
