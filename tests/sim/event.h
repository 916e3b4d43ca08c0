/* SPDX-License-Identifier: MPL-2.0 */
/*
 * event - what will happen, and when: a heap ordered by (time, sequence).
 *
 * Events of one instant run in the order in which they were scheduled. An
 * event is embedded in what owns it; the heap owns nothing.
 */
#ifndef AEROSTORE_TESTS_SIM_EVENT_H
#define AEROSTORE_TESTS_SIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_env;

struct sim_event {
	uint64_t time_us, sequence;
	struct sim_env *owner; /* whose end cuts it short; NULL: the world's own */
	void (*run)(struct sim_event *event);
	/* Frees it unrun, when the world ends first. */
	void (*discard)(struct sim_event *event);
	/* Runs at once when its owner stops. */
	bool hurried_by_stop;
	size_t position; /* in the heap, from 1; 0: not in it */
};

struct sim_events {
	struct sim_event **heap;
	size_t count, capacity;
	uint64_t next_sequence;
};

/* Heap only; the events in it must be gone. */
void sim_events_finish(struct sim_events *events);
/* Adds, or moves when it is in already; gives it the next sequence number. */
void sim_events_add(struct sim_events *events, struct sim_event *event, uint64_t time_us);
/* Harmless when it is not in. */
void sim_events_remove(struct sim_events *events, struct sim_event *event);
/* The earliest, or NULL. */
struct sim_event *sim_events_first(const struct sim_events *events);
/*
 * Those of an owner, in the order in which they would run: *out is an array of
 * the returned length, the caller's to sim_free().
 */
size_t sim_events_of(const struct sim_events *events, const struct sim_env *owner,
		     struct sim_event ***out);

#endif
