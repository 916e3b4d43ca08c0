/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/random.h"

#include <string.h>

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void sim_random_init(struct sim_random *random, uint64_t seed, uint64_t stream)
{
	uint64_t state = seed;

	/* The seed is mixed before the stream joins, so that (1, 2) and (2, 1) differ. */
	state = splitmix(&state) ^ stream;
	for (size_t i = 0; i < 4; i++)
		random->state[i] = splitmix(&state);
}

static uint64_t rotate(uint64_t value, unsigned count)
{
	return value << count | value >> (64 - count);
}

uint64_t sim_random_u64(struct sim_random *random)
{
	uint64_t *s = random->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t sim_random_below(struct sim_random *random, uint64_t bound)
{
	/* The bias of a 64-bit remainder is far below what a test can see. */
	return bound == 0 ? 0 : sim_random_u64(random) % bound;
}

bool sim_random_chance(struct sim_random *random, uint32_t per_million)
{
	return per_million != 0 && sim_random_below(random, SIM_MILLION) < per_million;
}

void sim_random_fill(struct sim_random *random, void *out, size_t size)
{
	uint8_t *to = out;

	while (size != 0) {
		uint64_t value = sim_random_u64(random);
		size_t part = size < sizeof(value) ? size : sizeof(value);

		memcpy(to, &value, part);
		to += part;
		size -= part;
	}
}
