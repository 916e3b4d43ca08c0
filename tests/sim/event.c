/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/event.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->time_us != b->time_us ? a->time_us < b->time_us : a->sequence < b->sequence;
}

static void place(struct sim_events *events, size_t position, struct sim_event *event)
{
	events->heap[position - 1] = event;
	event->position = position;
}

static void sift_up(struct sim_events *events, struct sim_event *event, size_t position)
{
	while (position > 1 && before(event, events->heap[position / 2 - 1])) {
		place(events, position, events->heap[position / 2 - 1]);
		position /= 2;
	}
	place(events, position, event);
}

static void sift_down(struct sim_events *events, struct sim_event *event, size_t position)
{
	for (;;) {
		size_t child = position * 2;

		if (child > events->count)
			break;
		if (child < events->count && before(events->heap[child], events->heap[child - 1]))
			child++;
		if (!before(events->heap[child - 1], event))
			break;
		place(events, position, events->heap[child - 1]);
		position = child;
	}
	place(events, position, event);
}

void sim_events_finish(struct sim_events *events)
{
	ASSERT(events->count == 0);
	sim_free(events->heap);
	*events = (struct sim_events){0};
}

void sim_events_add(struct sim_events *events, struct sim_event *event, uint64_t time_us)
{
	sim_events_remove(events, event);
	event->time_us = time_us;
	event->sequence = events->next_sequence++;
	events->heap =
		sim_grow(events->heap, events->count, &events->capacity, sizeof(*events->heap));
	events->count++;
	sift_up(events, event, events->count);
}

void sim_events_remove(struct sim_events *events, struct sim_event *event)
{
	size_t position = event->position;
	struct sim_event *last;

	if (position == 0)
		return;
	event->position = 0;
	last = events->heap[--events->count];
	if (last == event)
		return;
	if (position > 1 && before(last, events->heap[position / 2 - 1]))
		sift_up(events, last, position);
	else
		sift_down(events, last, position);
}

struct sim_event *sim_events_first(const struct sim_events *events)
{
	return events->count != 0 ? events->heap[0] : NULL;
}

static int compare(const void *a, const void *b)
{
	const struct sim_event *const *left = a, *const *right = b;

	if (*left == *right)
		return 0;
	return before(*left, *right) ? -1 : 1;
}

size_t sim_events_of(const struct sim_events *events, const struct sim_env *owner,
		     struct sim_event ***out)
{
	struct sim_event **found = sim_allocate(events->count * sizeof(struct sim_event *));
	size_t count = 0;

	for (size_t i = 0; i < events->count; i++) {
		if (events->heap[i]->owner == owner)
			found[count++] = events->heap[i];
	}
	qsort(found, count, sizeof(struct sim_event *), compare);
	*out = found;
	return count;
}
