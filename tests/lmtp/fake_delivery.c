/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/lmtp/fake_delivery.h"

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/task.h"

struct copy {
	size_t account;
	struct buf prefix, folder;
};

struct delivery {
	struct delivery_agent *agent;
	struct buf message;
	struct copy copies[FAKE_RECIPIENTS];
	size_t count;
	bool finished;
};

void fake_delivery_init(struct delivery_agent *agent)
{
	*agent = (struct delivery_agent){0};
}

void fake_delivery_finish(struct delivery_agent *agent)
{
	ASSERT(agent->open == 0);
	for (size_t i = 0; i < FAKE_ACCOUNTS; i++) {
		buf_finish(&agent->stored[i]);
		buf_finish(&agent->folders[i]);
	}
}

/* The error, once. */
static enum err take(enum err *error)
{
	enum err err = *error;

	*error = ERR_OK;
	return err;
}

enum err delivery_begin(struct delivery_agent *agent, struct bytes sender, struct delivery **out)
{
	enum err err = take(&agent->begin_error);

	(void)sender;
	if (err != ERR_OK)
		return err;
	*out = memory_allocate(sizeof(**out));
	if (*out == NULL)
		return ERR_NOMEM;
	(*out)->agent = agent;
	agent->open++;
	agent->begun++;
	return ERR_OK;
}

enum err delivery_recipient(struct delivery *delivery, const struct account_record *account,
			    struct bytes prefix, struct bytes folder, size_t *index)
{
	struct delivery_agent *agent = delivery->agent;
	struct copy *copy = &delivery->copies[delivery->count];
	enum err err = take(&agent->recipient_error);

	ASSERT(delivery->count < FAKE_RECIPIENTS && account->id.octets[0] < FAKE_ACCOUNTS);
	if (err != ERR_OK)
		return err;
	*copy = (struct copy){.account = account->id.octets[0]};
	buf_put_bytes(&copy->prefix, prefix);
	buf_put_bytes(&copy->folder, folder);
	if (copy->prefix.err != ERR_OK || copy->folder.err != ERR_OK) {
		buf_finish(&copy->prefix);
		buf_finish(&copy->folder);
		return ERR_NOMEM;
	}
	*index = delivery->count++;
	agent->recipients++;
	if (agent->added != NULL)
		agent->added(agent->context);
	return ERR_OK;
}

enum err delivery_write(struct delivery *delivery, struct bytes message)
{
	task_yield();
	if (delivery->agent->write_error != ERR_OK)
		return delivery->agent->write_error;
	buf_put_bytes(&delivery->message, message);
	return delivery->message.err;
}

void delivery_finish(struct delivery *delivery)
{
	struct delivery_agent *agent = delivery->agent;

	task_yield();
	delivery->finished = true;
	agent->finished++;
	for (size_t i = 0; i < delivery->count; i++) {
		const struct copy *copy = &delivery->copies[i];

		if (delivery_result(delivery, i) != ERR_OK)
			continue;
		buf_put_bytes(&agent->stored[copy->account], bytes_of_buf(&copy->prefix));
		buf_put_bytes(&agent->stored[copy->account], bytes_of_buf(&delivery->message));
		buf_clear(&agent->folders[copy->account]);
		buf_put_bytes(&agent->folders[copy->account], bytes_of_buf(&copy->folder));
	}
}

enum err delivery_result(const struct delivery *delivery, size_t index)
{
	ASSERT(delivery->finished && index < delivery->count);
	if (delivery->agent->write_error != ERR_OK)
		return delivery->agent->write_error;
	if (delivery->message.err != ERR_OK)
		return delivery->message.err;
	return delivery->agent->results[delivery->copies[index].account];
}

void delivery_id(const struct delivery *delivery, size_t index, struct buf *out)
{
	buf_printf(out, "id-%u", (unsigned)delivery->copies[index].account);
}

void delivery_end(struct delivery **delivery)
{
	(*delivery)->agent->open--;
	for (size_t i = 0; i < (*delivery)->count; i++) {
		buf_finish(&(*delivery)->copies[i].prefix);
		buf_finish(&(*delivery)->copies[i].folder);
	}
	buf_finish(&(*delivery)->message);
	memory_free(*delivery);
	*delivery = NULL;
}
