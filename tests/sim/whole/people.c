/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/people.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "tests/sim/whole/parts.h"

#define PASSWORD "correct horse"
/* Of so many messages one is stopped at, for so long at the most. */
#define PAUSE_OF 24u
#define PAUSE_MS 6000u

const struct slot_parameters people_slot = {1, 8};

/* ---- summaries ---- */

static enum err summary_create(void **out)
{
	*out = memory_allocate(sizeof(uint64_t));
	return *out != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err summary_feed(void *parser, struct bytes message)
{
	*(uint64_t *)parser += message.size;
	return ERR_OK;
}

static WAITS enum err pause_perhaps(void)
{
	uint32_t number;

	env_random(sched_env(task_sched()), &number, sizeof(number));
	return number % PAUSE_OF == 0 ? task_sleep(number / PAUSE_OF % PAUSE_MS) : ERR_OK;
}

static WAITS enum err summary_finish(void *parser, struct bytes prefix, struct buf *encoded)
{
	enum err err = pause_perhaps();

	if (err != ERR_OK)
		return err;
	buf_put_u64(encoded, *(uint64_t *)parser + prefix.size);
	return encoded->err;
}

const struct summary_hook people_summary = {summary_create, summary_feed, summary_finish,
					    memory_free};

/* ---- accounts ---- */

void people_address(uint32_t account, char out[PEOPLE_ADDRESS_SIZE])
{
	(void)snprintf(out, PEOPLE_ADDRESS_SIZE, "user%u@example.org", account);
}

const struct account_record *people_find(struct engine *engine, uint32_t account)
{
	char address[PEOPLE_ADDRESS_SIZE];

	people_address(account, address);
	return accounts_find(engine_accounts(engine), bytes_string(address));
}

enum err people_login(struct engine *engine, uint32_t account, struct mailbox **out)
{
	char address[PEOPLE_ADDRESS_SIZE];

	people_address(account, address);
	return home_login(engine_home(engine), bytes_string(address), bytes_string(PASSWORD),
			  "198.51.100.1", out);
}

enum err people_add(struct engine *engine, struct key *admin, uint32_t account)
{
	struct env *env = sched_env(task_sched());
	struct accounts *accounts = engine_accounts(engine);
	const struct slot_info info = {
		.kind = SLOT_PASSWORD, .slot_id = 1, .parameters = people_slot, .created_ms = 1};
	struct account_keys keys;
	struct key *master = NULL;
	struct buf record = {0}, slot = {0};
	struct bytes slots[1];
	struct id128 id;
	char address[PEOPLE_ADDRESS_SIZE];
	enum err err = key_random(env, &master);

	people_address(account, address);
	if (err == ERR_OK)
		err = account_keys_derive(master, &keys);
	ASSERT(err == ERR_OK);
	err = account_make_birth(env, admin, PARTS_CLUSTER, bytes_string(address), &keys, &id,
				 &record);
	if (err == ERR_OK)
		err = accounts_publish(accounts, bytes_of_buf(&record));
	if (err == ERR_OK)
		err = slot_create(env, &info, PARTS_CLUSTER, id, bytes_string(PASSWORD), master,
				  &slot);
	buf_clear(&record);
	slots[0] = bytes_of_buf(&slot);
	if (err == ERR_OK)
		err = account_make_slots(keys.identity, PARTS_CLUSTER, id,
					 people_find(engine, account)->counter + 1, true, slots, 1,
					 &record);
	if (err == ERR_OK)
		err = accounts_publish(accounts, bytes_of_buf(&record));
	buf_finish(&record);
	buf_finish(&slot);
	account_keys_release(&keys);
	key_release(&master);
	return err;
}

enum err people_delete(struct engine *engine, struct key *admin, uint32_t account)
{
	struct buf record = {0};
	enum err err =
		account_make_status(admin, PARTS_CLUSTER, people_find(engine, account),
				    ACCOUNT_DELETED, env_wall_ms(sched_env(task_sched())), &record);

	if (err == ERR_OK)
		err = accounts_publish(engine_accounts(engine), bytes_of_buf(&record));
	buf_finish(&record);
	return err;
}
