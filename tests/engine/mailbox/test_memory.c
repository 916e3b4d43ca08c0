/* SPDX-License-Identifier: MPL-2.0 */
/*
 * After the last session has ended and the cache has been emptied, nothing in
 * this process's memory opens the account, or was in its mail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mailbox_fixture.h"
#include "tests/support/residue.h"

#define ADDRESS "eve@example.org"
#define CODED_SIZE 32u

struct needle {
	uint8_t masked[CODED_SIZE];
	size_t size;
};

static void hide(const void *secret, size_t size, struct needle *out)
{
	const uint8_t *octets = secret;

	assert_in_range(size, 8, CODED_SIZE);
	out->size = size;
	for (size_t i = 0; i < size; i++)
		out->masked[i] = octets[i] ^ RESIDUE_MASK;
}

/* Written masked in the source, too, so that only use brings them into memory. */
static void show(const char *masked, char *out)
{
	size_t size = strlen(masked);

	for (size_t i = 0; i < size; i++)
		out[i] = (char)(masked[i] ^ 1);
	out[size] = '\0';
}

static void find_keys(struct post *post, const char *password, struct needle *master,
		      struct needle *directory, struct needle *delivery)
{
	const struct account_record *record =
		accounts_find(engine_accounts(post->engine), bytes_string(ADDRESS));
	struct account_keys keys;
	struct key *opened;
	uint32_t slot_id;

	assert_non_null(record);
	assert_int_equal(account_unlock_password((struct id128){{1, 2, 3}}, record,
						 bytes_string(password), false, &opened, &slot_id),
			 ERR_OK);
	assert_int_equal(account_keys_derive(opened, &keys), ERR_OK);
	hide(key_octets(keys.master), KEY_SIZE, master);
	hide(key_octets(keys.directory), KEY_SIZE, directory);
	hide(key_octets(keys.delivery), KEY_SIZE, delivery);
	account_keys_release(&keys);
	key_release(&opened);
}

static void memory_after_logout(void *argument)
{
	struct post *post = argument;
	struct needle master, directory, delivery, secret;
	char password[CODED_SIZE + 1];
	struct mailbox *mailbox;
	struct view *view;
	size_t keys;

	post_format(post);
	post_open(post);
	/* "horse-battery-staple" */
	show("insrd,c`uudsx,ru`qmd", password);
	hide(password, strlen(password), &secret);
	keys = key_count();
	post_add_account(post, ADDRESS, password, false, false);
	post_deliver(post, ADDRESS, "Subject: one\r\n\r\nbody\r\n");
	mailbox = post_login(post, ADDRESS, password);
	find_keys(post, password, &master, &directory, &delivery);
	/* The search itself works: while somebody is logged in the keys are there. */
	assert_int_not_equal(residue_count(master.masked, master.size), 0);
	view = post_view(mailbox, "INBOX");
	post_assert_message(view, 1, "P: p\r\nSubject: one\r\n\r\nbody\r\n");
	view_close(&view);
	mailbox_release(&mailbox);
	home_flush_cache(engine_home(post->engine));
	assert_int_equal(home_unlocked_count(engine_home(post->engine)), 0);
	memset(password, 0, sizeof(password));
	assert_int_equal(residue_count(master.masked, master.size), 0);
	assert_int_equal(residue_count(directory.masked, directory.size), 0);
	assert_int_equal(residue_count(delivery.masked, delivery.size), 0);
	assert_int_equal(residue_count(secret.masked, secret.size), 0);
	assert_int_equal(key_count(), keys);
	post_close(post);
}

static void test_memory_after_logout(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post_run(&post, memory_after_logout);
	post_finish(&post);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_after_logout)};

	return cmocka_run_group_tests_name("mailbox/memory", tests, NULL, NULL);
}
