/* SPDX-License-Identifier: MPL-2.0 */
#include "net/timers.h"

#include <assert.h>
#include <string.h>

/*
 * implementation[] of an armed timer. A node's children are a list through
 * NEXT; BEFORE is the node before it in that list, or its parent. The two
 * numbers are 64 bits wide wherever pointers are not.
 */
enum { CHILD, NEXT, BEFORE, DEADLINE, SEQUENCE = DEADLINE + 2, SLOTS = SEQUENCE + 2 };

static_assert(SLOTS <= sizeof(((struct env_timer *)0)->implementation) / sizeof(void *),
	      "a timer has no room for its node");

static struct env_timer *link_of(const struct env_timer *timer, int slot)
{
	return timer->implementation[slot];
}

static uint64_t number_of(const struct env_timer *timer, int slot)
{
	uint64_t number;

	memcpy(&number, &timer->implementation[slot], sizeof(number));
	return number;
}

static bool is_before(const struct env_timer *a, const struct env_timer *b)
{
	uint64_t a_us = number_of(a, DEADLINE), b_us = number_of(b, DEADLINE);

	return a_us != b_us ? a_us < b_us : number_of(a, SEQUENCE) < number_of(b, SEQUENCE);
}

/* Both are roots; either may be NULL. */
static struct env_timer *meld(struct env_timer *a, struct env_timer *b)
{
	struct env_timer *child;

	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (is_before(b, a)) {
		struct env_timer *swap = a;

		a = b;
		b = swap;
	}
	child = link_of(a, CHILD);
	b->implementation[NEXT] = child;
	b->implementation[BEFORE] = a;
	if (child != NULL)
		child->implementation[BEFORE] = b;
	a->implementation[CHILD] = b;
	return a;
}

static struct env_timer *detach_next(struct env_timer *timer)
{
	struct env_timer *next = link_of(timer, NEXT);

	timer->implementation[NEXT] = timer->implementation[BEFORE] = NULL;
	return next;
}

/* Two passes: pairs from left to right, then all pairs from right to left. */
static struct env_timer *meld_children(struct env_timer *child)
{
	struct env_timer *pairs = NULL, *root = NULL;

	while (child != NULL) {
		struct env_timer *a = child, *b = detach_next(a), *pair;

		child = b != NULL ? detach_next(b) : NULL;
		pair = meld(a, b);
		pair->implementation[NEXT] = pairs;
		pairs = pair;
	}
	while (pairs != NULL) {
		struct env_timer *pair = pairs;

		pairs = detach_next(pair);
		root = meld(root, pair);
	}
	return root;
}

void timers_arm(struct timers *timers, struct env_timer *timer, uint64_t deadline_us)
{
	uint64_t sequence = ++timers->sequence;

	if (timer->armed)
		timers_disarm(timers, timer);
	memset(timer->implementation, 0, sizeof(timer->implementation));
	memcpy(&timer->implementation[DEADLINE], &deadline_us, sizeof(deadline_us));
	memcpy(&timer->implementation[SEQUENCE], &sequence, sizeof(sequence));
	timer->armed = true;
	timers->first = meld(timers->first, timer);
}

void timers_disarm(struct timers *timers, struct env_timer *timer)
{
	struct env_timer *before, *next, *children;

	if (!timer->armed)
		return;
	timer->armed = false;
	before = link_of(timer, BEFORE);
	next = link_of(timer, NEXT);
	children = meld_children(link_of(timer, CHILD));
	timer->implementation[CHILD] = NULL;
	if (before == NULL) {
		timers->first = children;
		return;
	}
	if (link_of(before, CHILD) == timer)
		before->implementation[CHILD] = next;
	else
		before->implementation[NEXT] = next;
	if (next != NULL)
		next->implementation[BEFORE] = before;
	timers->first = meld(timers->first, children);
}

uint64_t timers_earliest_us(const struct timers *timers)
{
	return timers->first != NULL ? number_of(timers->first, DEADLINE) : UINT64_MAX;
}

void timers_expire(struct timers *timers, uint64_t now_us)
{
	uint64_t last = timers->sequence;
	struct env_timer *timer;

	while ((timer = timers->first) != NULL && number_of(timer, DEADLINE) <= now_us &&
	       number_of(timer, SEQUENCE) <= last) {
		timers_disarm(timers, timer);
		timer->fire(timer);
	}
}
