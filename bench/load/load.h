/* SPDX-License-Identifier: MPL-2.0 */
/*
 * load - what the load generators share: the clock, samples, addresses, giving up.
 *
 * A generator measures one thing, prints one JSON object and ends. Whatever a
 * server answers that was not expected ends the run with that answer on stderr:
 * a number from a run with errors is none.
 */
#ifndef AEROSTORE_BENCH_LOAD_LOAD_H
#define AEROSTORE_BENCH_LOAD_LOAD_H

#include "engine/base/bytes.h"

uint64_t load_now_us(void);
/* Processor time of this process, user and system. */
uint64_t load_cpu_us(void);

_Noreturn void load_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A decimal number within [low, high], or the end. */
uint64_t load_number(const char *text, uint64_t low, uint64_t high);

/* "unix:PATH" or "HOST:PORT" with a numeric host. Connected, blocking, TCP_NODELAY. */
int load_connect(const char *address);
void load_send(int descriptor, struct bytes bytes);

struct load_samples {
	uint64_t *us;
	size_t count, capacity;
};

void load_samples_add(struct load_samples *samples, uint64_t us);
/* Sorts. 0 <= permille <= 1000; 0 without samples. */
uint64_t load_samples_at(struct load_samples *samples, unsigned permille);
void load_samples_finish(struct load_samples *samples);

#endif
