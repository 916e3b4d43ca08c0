/* SPDX-License-Identifier: MPL-2.0 */
/*
 * random - reproducible pseudo-random streams of one seed (xoshiro256**).
 *
 * A run draws from several streams, one for each purpose, so that switching a
 * fault on does not change the order in which everything else happens.
 */
#ifndef AEROSTORE_TESTS_SIM_RANDOM_H
#define AEROSTORE_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MILLION 1000000u

struct sim_random {
	uint64_t state[4];
};

/* Streams of one seed with different numbers are independent. */
void sim_random_init(struct sim_random *random, uint64_t seed, uint64_t stream);
uint64_t sim_random_u64(struct sim_random *random);
/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);
/* True in `per_million` of 1,000,000 cases; draws nothing when it is 0. */
bool sim_random_chance(struct sim_random *random, uint32_t per_million);
void sim_random_fill(struct sim_random *random, void *out, size_t size);

#endif
