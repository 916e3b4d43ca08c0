/* SPDX-License-Identifier: MPL-2.0 */
/*
 * latency - how long something takes of late, in two hundred bytes: a histogram
 * in steps of the root of two whose counts fade, so that after a few hundred
 * samples nothing is left of what was before. Pure.
 */
#ifndef AEROSTORE_ENGINE_SET_LATENCY_H
#define AEROSTORE_ENGINE_SET_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LATENCY_BUCKETS 64u
/* Fewer samples say nothing. */
#define LATENCY_SAMPLES_MIN 8u

/* Zeroed to begin with. */
struct latency {
	uint16_t counts[LATENCY_BUCKETS];
	uint32_t total; /* of the counts */
};

void latency_note(struct latency *latency, uint64_t duration_us);
bool latency_is_known(const struct latency *latency);
/* What 95 of 100 do not exceed, at most a step too high. 0: not known. */
uint64_t latency_p95_us(const struct latency *latency);
/* A few times the p95, but not below the floor nor above the ceiling; the ceiling when unknown. */
uint64_t latency_hedge_ms(uint64_t p95_us, uint64_t floor_ms, uint64_t ceiling_ms);

/*
 * A bucket of tokens that fills by a share of what is counted: how hedged reads are kept from
 * doubling the load of disks that are slow because they are busy.
 */
struct latency_budget {
	uint32_t tokens; /* thousandths */
};

#define LATENCY_BUDGET_SHARE 30u /* thousandths of a hedge that one read pays for */
#define LATENCY_BUDGET_MAX 10000u

void latency_budget_earn(struct latency_budget *budget);
/* False: used up. */
bool latency_budget_spend(struct latency_budget *budget);

#endif
