/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/workload.h"

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"
#include "tests/sim/lives.h"
#include "tests/sim/workload/message.h"

#define WORKLOAD_STREAM 500
struct device {
	uint32_t account;
	struct poller poller;
	bool busy;
};

struct workload {
	struct sim *sim;
	const struct target *target;
	void *system;
	struct workload_options options;
	struct workload_counters counters;
	struct sim_random random;
	struct mail_ledger mails;
	struct uid_ledger uids;
	struct device *devices;
	struct lives lives;
	struct listing *references; /* of each account, as the first node read it at rest */
	bool read;
};

/* One thing that somebody does at one node. */
struct step {
	struct workload *workload;
	struct sim_node *node;
	struct device *device; /* NULL: a delivery, a start, a reading */
};

/* ---- judging ---- */

static void judge(const struct step *step, uint32_t account, const char *when, enum verdict verdict)
{
	if (verdict == VERDICT_FINE)
		return;
	if (step->workload->counters.broken == VERDICT_FINE)
		step->workload->counters.broken = verdict;
	sim_fail(step->workload->sim, "%s: %s, by %s, account %u, node %zu", verdict_name(verdict),
		 verdict_text(verdict), when, account, step->node->number);
}

/* A mailbox is known to the ledger by its account: each has one. */
static struct id128 mailbox_of(uint32_t account)
{
	struct id128 id = ID128_ZERO;

	store_u32(id.octets, account);
	return id;
}

static void poll_changes_finish(struct poll_changes *changes)
{
	listing_finish(&changes->changed);
	sim_free(changes->vanished);
}

static uint32_t random_below(struct workload *workload, uint64_t bound)
{
	return (uint32_t)sim_random_below(&workload->random, bound);
}

/* ---- steps ---- */

static void spawn_step(struct workload *workload, const char *name, struct sim_node *node,
		       struct device *device, void (*run)(void *argument))
{
	struct step *step = sim_allocate(sizeof(*step));

	*step = (struct step){.workload = workload, .node = node, .device = device};
	if (device != NULL)
		device->busy = true;
	sim_spawn(node, name, run, step);
}

static void step_end(struct step *step)
{
	if (step->device != NULL)
		step->device->busy = false;
	sim_free(step);
}

static void deliver(void *argument)
{
	struct step *step = argument;
	struct workload *workload = step->workload;
	uint32_t account = random_below(workload, workload->options.account_count);
	struct buf message = {0};
	size_t number = workload->mails.count;

	message_make(&message, number, workload->options.message_size_limit, &workload->random);
	ASSERT(message.err == ERR_OK);
	mail_ledger_send(&workload->mails, account, bytes_of_buf(&message));
	workload->counters.sent++;
	if (workload->target->deliver(workload->system, step->node, account,
				      bytes_of_buf(&message)) == ERR_OK) {
		workload->counters.acknowledged++;
		mail_ledger_acknowledge(&workload->mails, number);
	}
	buf_finish(&message);
	step_end(step);
}

static bool poll(struct step *step)
{
	struct workload *workload = step->workload;
	struct device *device = step->device;
	struct listing full = {0};
	struct poll_changes changes = {0};
	enum err err = workload->target->poll(workload->system, step->node, device->account,
					      device->poller.known.highestmodseq, &full, &changes);

	if (err == ERR_OK) {
		judge(step, device->account, "poll",
		      uid_ledger_tell_listing(&workload->uids, mailbox_of(device->account), &full));
		judge(step, device->account, "poll", poller_poll(&device->poller, &full, &changes));
		workload->counters.polls++;
	}
	listing_finish(&full);
	poll_changes_finish(&changes);
	return err == ERR_OK;
}

/* Which delivery a UID is, by its bytes; false when there is nothing to read. */
static bool fetch(struct step *step, uint32_t uid, size_t *number)
{
	struct workload *workload = step->workload;
	struct buf message = {0};
	enum err err = workload->target->fetch(workload->system, step->node, step->device->account,
					       uid, &message);
	bool known = false;

	if (err == ERR_OK) {
		workload->counters.fetches++;
		known = message_number(bytes_of_buf(&message), number);
		if (!known)
			judge(step, step->device->account, "fetch", VERDICT_WRONG_BYTES);
	}
	buf_finish(&message);
	return known;
}

static void expunge(struct step *step, uint32_t uid)
{
	struct workload *workload = step->workload;
	size_t number = 0;

	if (!fetch(step, uid, &number) || number >= workload->mails.count)
		return;
	mail_ledger_delete(&workload->mails, number);
	if (workload->target->expunge(workload->system, step->node, step->device->account, uid) ==
	    ERR_OK) {
		mail_ledger_deleted(&workload->mails, number);
		workload->counters.expunges++;
	}
}

static void shuffle(struct step *step, uint32_t uid)
{
	struct workload *workload = step->workload;

	if (workload->target->shuffle(workload->system, step->node, step->device->account, uid) ==
	    ERR_OK)
		workload->counters.shuffles++;
}

/* A session: sees what is new, and then does one thing with one message. */
static void visit(void *argument)
{
	struct step *step = argument;
	struct workload *workload = step->workload;
	const struct listing *known = &step->device->poller.known;

	if (poll(step) && known->count != 0) {
		uint32_t uid = known->items[random_below(workload, known->count)].uid;
		uint32_t what = random_below(workload, 10);
		size_t number;

		if (what < 2)
			expunge(step, uid);
		else if (what < 6)
			(void)fetch(step, uid, &number);
		else if (what == 6 && workload->target->shuffle != NULL)
			shuffle(step, uid);
		else if (workload->target->set_flags(workload->system, step->node,
						     step->device->account, uid,
						     random_below(workload, 32)) == ERR_OK)
			workload->counters.flag_changes++;
	}
	step_end(step);
}

/* ---- nodes ---- */

static void halt_some_node(struct workload *workload)
{
	struct sim_node *node =
		workload->sim->nodes[random_below(workload, workload->sim->node_count)];

	if (!sim_is_running(node))
		return;
	if (sim_random_chance(&workload->random, workload->options.crash_per_million)) {
		workload->counters.crashes++;
		sim_crash(node, SIM_CRASH_RANDOM);
	} else if (sim_random_chance(&workload->random, workload->options.kill_per_million)) {
		sim_kill(node);
	}
}

static void act(struct workload *workload)
{
	size_t number = random_below(workload, workload->sim->node_count);
	struct sim_node *node = workload->sim->nodes[number];
	struct device *device =
		&workload->devices[random_below(workload, workload->options.device_count)];

	halt_some_node(workload);
	if (!lives_serves(&workload->lives, node))
		return;
	if (random_below(workload, 2) == 0)
		spawn_step(workload, "deliver", node, NULL, deliver);
	else if (!device->busy)
		spawn_step(workload, "visit", node, device, visit);
}

/* ---- reading everything at rest ---- */

static void read_messages(struct step *step, uint32_t account, const struct listing *full)
{
	struct workload *workload = step->workload;
	size_t number = 0;

	mail_ledger_begin(&workload->mails, account);
	for (size_t i = 0; i < full->count; i++) {
		struct buf message = {0};
		enum err err = workload->target->fetch(workload->system, step->node, account,
						       full->items[i].uid, &message);

		if (err != ERR_OK)
			sim_fail(workload->sim, "a listed message is unreadable at rest: %s",
				 err_name(err));
		else if (!message_number(bytes_of_buf(&message), &number))
			judge(step, account, "reading", VERDICT_WRONG_BYTES);
		else
			judge(step, account, "reading",
			      mail_ledger_read(&workload->mails, number, bytes_of_buf(&message)));
		buf_finish(&message);
	}
	judge(step, account, "reading", mail_ledger_end(&workload->mails, &number));
}

static void read_account(struct step *step, uint32_t account)
{
	struct workload *workload = step->workload;
	struct listing full = {0}, *reference = &workload->references[account];
	struct poll_changes changes = {0};
	enum err err =
		workload->target->poll(workload->system, step->node, account, 0, &full, &changes);

	if (err != ERR_OK) {
		sim_fail(workload->sim, "a mailbox is unreadable at rest: %s", err_name(err));
	} else {
		judge(step, account, "reading",
		      uid_ledger_tell_listing(&workload->uids, mailbox_of(account), &full));
		if (step->node->number == 0)
			listing_copy(reference, &full);
		else if (!listing_agrees(reference, &full))
			judge(step, account, "reading", VERDICT_DIVERGED);
		read_messages(step, account, &full);
	}
	listing_finish(&full);
	poll_changes_finish(&changes);
}

static void read_all(void *argument)
{
	struct step *step = argument;
	struct workload *workload = step->workload;

	for (uint32_t i = 0; i < workload->options.account_count && !workload->sim->failed; i++)
		read_account(step, i);
	if (workload->target->at_rest != NULL && !workload->sim->failed)
		workload->target->at_rest(workload->system, step->node);
	workload->read = true;
	step_end(step);
}

/* ---- phases ---- */

static void set_defaults(struct workload_options *options)
{
	if (options->account_count == 0)
		options->account_count = 1;
	if (options->device_count == 0)
		options->device_count = 3;
	if (options->busy_ms == 0)
		options->busy_ms = 60000;
	if (options->quiet_ms == 0)
		options->quiet_ms = 60000;
	if (options->step_ms == 0)
		options->step_ms = 20;
	if (options->message_size_limit == 0)
		options->message_size_limit = 20000;
}

static enum err be_busy(struct workload *workload)
{
	uint64_t end = sim_now_ms(workload->sim) + workload->options.busy_ms;
	enum err err = ERR_OK;

	while (err == ERR_OK && sim_now_ms(workload->sim) < end) {
		if (random_below(workload, workload->options.step_ms) < LIVES_TURN_MS)
			act(workload);
		err = lives_turn(&workload->lives);
	}
	return err;
}

static enum err be_quiet(struct workload *workload)
{
	struct sim *sim = workload->sim;
	enum err err;

	for (size_t i = 0; i < sim->node_count; i++) {
		for (size_t j = 0; j < sim->nodes[i]->tree.disk_count; j++)
			sim_stop_faults(sim->nodes[i]->tree.disks[j]);
	}
	if (workload->target->before_quiet != NULL)
		workload->target->before_quiet(workload->system);
	err = lives_settle(&workload->lives);
	return err == ERR_OK ? sim_run_for(sim, workload->options.quiet_ms) : err;
}

/* One node after the other: they share the ledger's reading. */
static enum err read_everywhere(struct workload *workload)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < workload->sim->node_count && err == ERR_OK; i++) {
		struct sim_node *node = workload->sim->nodes[i];
		struct step *step = sim_allocate(sizeof(*step));

		*step = (struct step){.workload = workload, .node = node};
		workload->read = false;
		err = lives_run(&workload->lives, node, "read", read_all, step, &workload->read);
	}
	return err;
}

static void finish(struct workload *workload)
{
	for (size_t i = 0; i < workload->options.device_count; i++)
		poller_finish(&workload->devices[i].poller);
	for (uint32_t i = 0; i < workload->options.account_count; i++)
		listing_finish(&workload->references[i]);
	sim_free(workload->devices);
	sim_free(workload->references);
	mail_ledger_finish(&workload->mails);
	uid_ledger_finish(&workload->uids);
}

enum err workload_run(struct sim *sim, const struct target *target, void *system,
		      const struct workload_options *options, struct workload_counters *counters)
{
	struct workload workload = {.sim = sim, .target = target, .system = system};
	enum err err;

	if (options != NULL)
		workload.options = *options;
	set_defaults(&workload.options);
	workload.lives = (struct lives){
		.sim = sim, .start = target->start, .stop = target->stop, .context = system};
	sim_random_init(&workload.random, sim->seed, WORKLOAD_STREAM);
	workload.devices = sim_allocate(workload.options.device_count * sizeof(*workload.devices));
	workload.references =
		sim_allocate(workload.options.account_count * sizeof(*workload.references));
	for (size_t i = 0; i < workload.options.device_count; i++)
		workload.devices[i].account = (uint32_t)i % workload.options.account_count;
	lives_begin(&workload.lives);
	err = be_busy(&workload);
	if (err == ERR_OK)
		err = be_quiet(&workload);
	if (err == ERR_OK)
		err = read_everywhere(&workload);
	lives_end(&workload.lives);
	*counters = workload.counters;
	counters->restarts = workload.lives.restarts;
	finish(&workload);
	return sim->failed ? ERR_LIMIT : err;
}
