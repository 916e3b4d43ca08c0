/* SPDX-License-Identifier: MPL-2.0 */
/*
 * workload - senders and devices that use a system on a simulated world, while
 * its nodes crash, and oracles that watch what they are told.
 *
 * The system under test is a table of functions, struct target. The workload
 * starts it on every node, and starts it again after each crash; between two
 * starts it calls `stop`, when all other tasks of the node have unwound.
 *
 * One run has two phases. In the first, for `busy_ms`, messages are delivered,
 * devices roam from node to node, poll, change flags, fetch and expunge, and nodes
 * lose power or are killed, by chance and by the faults of their disks. Then
 * faults stop, all nodes run, and after `quiet_ms` everything is read at every
 * node: the states must agree and hold what the ledgers say.
 *
 * What breaks a promise is told by sim_fail(), with the seed. The world's seed
 * gives everything: the same world and options replay the same run.
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_WORKLOAD_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_WORKLOAD_H

#include "tests/sim/sim_task.h"
#include "tests/sim/workload/mail_ledger.h"
#include "tests/sim/workload/poller.h"
#include "tests/sim/workload/uid_ledger.h"

/*
 * Each runs as a task of the node, and ends with ERR_CANCELED when the node halts. Any error of
 * deliver and what follows means: not done, or done without an answer. ERR_NOTFOUND from fetch,
 * set_flags and expunge: that UID names nothing any more.
 */
struct target {
	WAITS enum err (*start)(void *system, struct sim_node *node);
	/* On a halted node, and after any start: closes and frees what the life held. */
	WAITS void (*stop)(void *system, struct sim_node *node);
	/* ERR_OK acknowledges. */
	WAITS enum err (*deliver)(void *system, struct sim_node *node, uint32_t account,
				  struct bytes message);
	/* The INBOX and its changes after `since`, both of one moment. */
	WAITS enum err (*poll)(void *system, struct sim_node *node, uint32_t account,
			       uint64_t since, struct listing *full, struct poll_changes *changes);
	WAITS enum err (*fetch)(void *system, struct sim_node *node, uint32_t account, uint32_t uid,
				struct buf *message);
	WAITS enum err (*set_flags)(void *system, struct sim_node *node, uint32_t account,
				    uint32_t uid, uint32_t flags);
	WAITS enum err (*expunge)(void *system, struct sim_node *node, uint32_t account,
				  uint32_t uid);
	/* Copies it or moves it to another folder, and comes back to what is there. May be NULL. */
	WAITS enum err (*shuffle)(void *system, struct sim_node *node, uint32_t account,
				  uint32_t uid);
	/* Between the two phases, when faults have ended: an event of the world's. May be NULL. */
	void (*before_quiet)(void *system);
	/* At the very end, on every node: for oracles of the system's own. May be NULL. */
	WAITS void (*at_rest)(void *system, struct sim_node *node);
};

/* Zero means the default. */
struct workload_options {
	uint32_t account_count;	   /* 1 */
	size_t device_count;	   /* 3 */
	uint64_t busy_ms;	   /* 60000 */
	uint64_t quiet_ms;	   /* 60000 */
	uint64_t step_ms;	   /* mean time between two steps of all: 20 */
	size_t message_size_limit; /* bytes: 20000 */
	/* Chance, a step, that some node loses power, or its process dies. */
	uint32_t crash_per_million, kill_per_million;
};

struct workload_counters {
	uint64_t sent, acknowledged, polls, fetches, flag_changes, expunges, shuffles, crashes,
		restarts;
	enum verdict broken; /* the first promise that was; FINE: none */
};

/*
 * Runs both phases over the nodes that the world has. ERR_LIMIT: a promise was broken, or the
 * world failed, and it was printed. Leaves the nodes halted, unwound, and their systems stopped.
 */
MUST_USE enum err workload_run(struct sim *sim, const struct target *target, void *system,
			       const struct workload_options *options,
			       struct workload_counters *counters);

#endif
