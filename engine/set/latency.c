/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/latency.h"

#define FADE_AT 256u
#define HEDGE_FACTOR 4u

static size_t bucket_of(uint64_t duration_us)
{
	size_t power = 0;

	while (power + 1 < LATENCY_BUCKETS / 2 && duration_us >> (power + 1) != 0)
		power++;
	/* The upper half of an octave begins at three quarters of its end. */
	return 2 * power + (duration_us >= (3ull << power) / 2 && power > 0);
}

static uint64_t end_of(size_t bucket)
{
	uint64_t start = 1ull << bucket / 2;

	return bucket % 2 == 0 ? start + start / 2 : 2 * start;
}

static void fade(struct latency *latency)
{
	latency->total = 0;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		latency->counts[i] = (uint16_t)(latency->counts[i] / 2);
		latency->total += latency->counts[i];
	}
}

void latency_note(struct latency *latency, uint64_t duration_us)
{
	latency->counts[bucket_of(duration_us)]++;
	if (++latency->total >= FADE_AT)
		fade(latency);
}

bool latency_is_known(const struct latency *latency)
{
	return latency->total >= LATENCY_SAMPLES_MIN;
}

uint64_t latency_p95_us(const struct latency *latency)
{
	uint32_t seen = 0;

	if (!latency_is_known(latency))
		return 0;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		seen += latency->counts[i];
		if (seen * 100ull >= latency->total * 95ull)
			return end_of(i);
	}
	return end_of(LATENCY_BUCKETS - 1);
}

uint64_t latency_hedge_ms(uint64_t p95_us, uint64_t floor_ms, uint64_t ceiling_ms)
{
	uint64_t hedge_ms = p95_us * HEDGE_FACTOR / 1000;

	if (p95_us == 0 || hedge_ms > ceiling_ms)
		return ceiling_ms;
	return hedge_ms > floor_ms ? hedge_ms : floor_ms;
}

void latency_budget_earn(struct latency_budget *budget)
{
	budget->tokens += LATENCY_BUDGET_SHARE;
	if (budget->tokens > LATENCY_BUDGET_MAX)
		budget->tokens = LATENCY_BUDGET_MAX;
}

bool latency_budget_spend(struct latency_budget *budget)
{
	if (budget->tokens < 1000)
		return false;
	budget->tokens -= 1000;
	return true;
}
