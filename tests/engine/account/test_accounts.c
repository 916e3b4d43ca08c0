/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The account table on this node: whatever was published and snapshotted, a load
 * gives the same accounts, and verifies no signature that this node has verified.
 */
#include <stdlib.h>

#include "engine/account/accounts.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/unit.h"

#define CLUSTER ((struct id128){{1, 2, 3}})
#define NODE ((struct id128){{4, 5, 6}})
#define ACCOUNTS 12
#define ROTATIONS 20
#define AFTER 10

struct world {
	struct sim *sim;
	struct store store;
	struct key *admin, *node, *stranger;
	uint8_t admin_public[PUBLIC_SIZE];
	struct accounts *accounts;
	struct id128 ids[ACCOUNTS];
	struct account_keys keys[ACCOUNTS]; /* in force */
};

static WAITS void open_accounts(struct world *world, const struct key *signing)
{
	const struct accounts_options options = {.sched = task_sched(),
						 .journal = world->store.journal,
						 .cluster = CLUSTER,
						 .node = NODE,
						 .admin_public = world->admin_public,
						 .signing = signing,
						 .snapshot_after = AFTER};

	assert_ok(accounts_open(&options, &world->accounts));
}

static WAITS void publish(struct world *world, const struct buf *record)
{
	assert_ok(record->err);
	assert_ok(accounts_publish(world->accounts, bytes_of_buf(record)));
	/* A snapshot that is due is written. */
	(void)!task_sleep(200);
}

static void derive(struct account_keys *out)
{
	struct key *master;

	assert_ok(key_random(sched_env(task_sched()), &master));
	assert_ok(account_keys_derive(master, out));
	key_release(&master);
}

static WAITS void add(struct world *world, size_t index)
{
	struct buf record = {0};
	char address[64];

	snprintf(address, sizeof(address), "user%zu@example.org", index);
	derive(&world->keys[index]);
	assert_ok(account_make_birth(sched_env(task_sched()), world->admin, CLUSTER,
				     bytes_string(address), &world->keys[index], &world->ids[index],
				     &record));
	publish(world, &record);
	buf_finish(&record);
}

static WAITS void rotate(struct world *world, size_t index)
{
	const struct account_record *account =
		account_table_by_id(accounts_table(world->accounts), world->ids[index]);
	struct account_keys next;
	struct buf record = {0};

	derive(&next);
	assert_ok(account_make_keys(world->keys[index].identity, CLUSTER, world->ids[index],
				    account->counter + 1, &next, true, NULL, 0, &record));
	publish(world, &record);
	account_keys_release(&world->keys[index]);
	world->keys[index] = next;
	buf_finish(&record);
}

/* A record for each account: identity, counter, status. */
static void picture(const struct world *world, struct buf *out)
{
	const struct account_table *table = accounts_table(world->accounts);
	const struct account_record *account = NULL;

	while ((account = account_table_next(table, account)) != NULL) {
		buf_put_string(out, account->address);
		buf_put(out, account->identity_public, PUBLIC_SIZE);
		buf_put(out, account->delivery_public, X25519_SIZE);
		buf_put_u64(out, account->counter);
		buf_put_u64(out, (uint64_t)account->status);
	}
	assert_ok(out->err);
}

static WAITS void assert_loads(struct world *world, const struct key *signing, bool vouched,
			       const struct buf *expected)
{
	struct journal_table_status status;
	struct buf found = {0};

	open_accounts(world, signing);
	picture(world, &found);
	assert_true(bytes_equal(bytes_of_buf(&found), bytes_of_buf(expected)));
	accounts_get_status(world->accounts, &status);
	/* One account was rotated again and again: its whole chain counts, but nothing else. */
	assert_true(status.records_loaded <= ACCOUNTS + ROTATIONS + 1);
	assert_true(status.records_loaded > 0);
	assert_int_equal(status.records_vouched, vouched ? status.records_loaded : 0);
	/* Not more than what makes a snapshot due. */
	assert_true(status.entries_read <= ACCOUNTS + ROTATIONS + 1 + AFTER);
	assert_int_equal(status.refused, 0);
	buf_finish(&found);
	accounts_close(&world->accounts);
}

static void live(void *argument)
{
	struct world *world = argument;
	const struct account_record *first;
	struct buf record = {0}, expected = {0};

	for (size_t i = 0; i < 3; i++)
		store_format(&world->store, i);
	assert_ok(store_open(&world->store));
	open_accounts(world, world->node);
	for (size_t i = 0; i < ACCOUNTS; i++)
		add(world, i);
	/* More identities than may be kept aside: a snapshot must give them in order. */
	for (size_t i = 0; i < ROTATIONS; i++)
		rotate(world, 0);
	first = account_table_by_id(accounts_table(world->accounts), world->ids[0]);
	for (unsigned i = 0; i < 60; i++) {
		buf_clear(&record);
		assert_ok(account_make_status(world->admin, CLUSTER, first,
					      i % 2 == 0 ? ACCOUNT_DISABLED : ACCOUNT_ACTIVE, i,
					      &record));
		publish(world, &record);
	}
	picture(world, &expected);
	accounts_close(&world->accounts);
	assert_loads(world, world->node, true, &expected);
	/* Another node's word, and none at all, is no reason not to verify. */
	assert_loads(world, world->stranger, false, &expected);
	assert_loads(world, NULL, false, &expected);
	store_close(&world->store);
	buf_finish(&record);
	buf_finish(&expected);
}

/* With another admin key in the configuration no account is known; and none is lost by that. */
static void mistake(void *argument)
{
	struct world *world = argument;
	uint8_t right[PUBLIC_SIZE];
	struct buf expected = {0};

	for (size_t i = 0; i < 3; i++)
		store_format(&world->store, i);
	assert_ok(store_open(&world->store));
	open_accounts(world, world->node);
	for (size_t i = 0; i < ACCOUNTS; i++)
		add(world, i);
	for (size_t i = 0; i < ROTATIONS; i++)
		rotate(world, 0);
	picture(world, &expected);
	accounts_close(&world->accounts);
	memcpy(right, world->admin_public, sizeof(right));
	sign_public(world->stranger, world->admin_public);
	for (unsigned i = 0; i < 3; i++) {
		open_accounts(world, world->node);
		assert_int_equal(account_table_count(accounts_table(world->accounts)), 0);
		(void)!task_sleep(1000);
		accounts_close(&world->accounts);
	}
	memcpy(world->admin_public, right, sizeof(right));
	open_accounts(world, world->node);
	{
		struct buf found = {0};

		picture(world, &found);
		assert_true(bytes_equal(bytes_of_buf(&found), bytes_of_buf(&expected)));
		buf_finish(&found);
	}
	accounts_close(&world->accounts);
	store_close(&world->store);
	buf_finish(&expected);
}

static void run(void (*body)(void *argument))
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->sim = sim_simple();
	store_init(&world->store, world->sim, 3);
	assert_ok(key_random(sim_simple_env(world->sim), &world->admin));
	assert_ok(key_random(sim_simple_env(world->sim), &world->node));
	assert_ok(key_random(sim_simple_env(world->sim), &world->stranger));
	sign_public(world->admin, world->admin_public);
	assert_int_equal(sim_run_task(world->sim, body, world), ERR_OK);
	for (size_t i = 0; i < ACCOUNTS; i++)
		account_keys_release(&world->keys[i]);
	key_release(&world->admin);
	key_release(&world->node);
	key_release(&world->stranger);
	assert_int_equal(key_count(), 0);
	sim_finish(&world->sim);
	free(world);
}

static void test_a_load_verifies_what_is_new(void **state)
{
	(void)state;
	run(live);
}

static void test_another_admin_key_loses_nothing(void **state)
{
	(void)state;
	run(mistake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_load_verifies_what_is_new),
		cmocka_unit_test(test_another_admin_key_loses_nothing),
	};

	if (key_library_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
