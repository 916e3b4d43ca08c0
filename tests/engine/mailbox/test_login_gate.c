/* SPDX-License-Identifier: MPL-2.0 */
/* Whatever an attacker sends, no more passwords are stretched at once than the gate lets in. */
#include "tests/support/unit.h"

#include "engine/mailbox/internal.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define NOBODY "bob@example.org"
#define PASSWORD "correct horse"

static WAITS enum err log_in(struct home *home, const char *address, struct bytes secret)
{
	struct mailbox *mailbox = NULL;
	enum err err = home_login(home, bytes_string(address), secret, "198.51.100.1", &mailbox);

	mailbox_release(&mailbox);
	home_flush_cache(home);
	return err;
}

/* The same answer, after the same work, for those who are here and those who are not. */
static WAITS void assert_answer(struct home *home, struct bytes secret, enum err expected,
				uint64_t argon2_runs)
{
	static const char *const addresses[] = {ADDRESS, NOBODY, "no address"};

	for (size_t i = 0; i < 3; i++) {
		uint64_t before = slot_argon2_count();

		assert_int_equal(log_in(home, addresses[i], secret), expected);
		assert_int_equal(slot_argon2_count() - before, argon2_runs);
	}
}

static void app_shaped(void *argument)
{
	struct post *post = argument;
	struct buf right = {0}, same_slot = {0}, other_slot = {0}, recovery = {0};
	struct bytes wrong[4];
	struct home *home;
	uint32_t slot_id;
	uint64_t before;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	home = engine_home(post->engine);
	assert_ok(log_in(home, ADDRESS, bytes_string(PASSWORD)));
	assert_ok(home_add_slot(home, bytes_string(ADDRESS), bytes_string(PASSWORD), SLOT_APP,
				&right));
	assert_ok(secret_app_slot(bytes_of_buf(&right), &slot_id));
	secret_generate_app(home->env, slot_id, &same_slot);
	secret_generate_app(home->env, slot_id + 7, &other_slot);
	secret_generate_recovery(home->env, &recovery);
	wrong[0] = bytes_of_buf(&same_slot);
	wrong[1] = bytes_of_buf(&other_slot);
	wrong[2] = bytes_of_buf(&recovery);
	wrong[3] = bytes_string("wrong");
	for (size_t i = 0; i < 4; i++)
		assert_answer(home, wrong[i], ERR_AUTH, 1);
	/* As many as may are at it, and nobody may wait. */
	home->argon.queue = 0;
	for (size_t i = 0; i < home->argon.parallel; i++)
		assert_ok(argon_enter(&home->argon, true));
	for (size_t i = 0; i < 4; i++)
		assert_answer(home, wrong[i], ERR_UNAVAILABLE, 0);
	/* Phones come in all the same. */
	before = slot_argon2_count();
	assert_ok(log_in(home, ADDRESS, bytes_of_buf(&right)));
	assert_int_equal(slot_argon2_count(), before);
	while (home->argon.running)
		argon_leave(&home->argon);
	assert_ok(log_in(home, ADDRESS, bytes_string(PASSWORD)));
	buf_finish(&right);
	buf_finish(&same_slot);
	buf_finish(&other_slot);
	buf_finish(&recovery);
	post_close(post);
}

static void test_app_shaped(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post_run(&post, app_shaped);
	post_finish(&post);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_app_shaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
