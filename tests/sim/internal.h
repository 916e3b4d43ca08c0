/* SPDX-License-Identifier: MPL-2.0 */
/*
 * internal - what the simulator's own files share.
 */
#ifndef AEROSTORE_TESTS_SIM_INTERNAL_H
#define AEROSTORE_TESTS_SIM_INTERNAL_H

#include "tests/sim/sim.h"

enum sim_stream {
	SIM_STREAM_SCHEDULING = 1,
	SIM_STREAM_FAULTS,
	SIM_STREAM_NODES = 1000, /* and up: random bytes of each life of each node */
};

/* node_env.c: the table of every simulated env. */
const struct env_ops *sim_node_ops(void);
/* Adds bytes to the trace hash. */
void sim_trace_mix(struct sim *sim, const void *data, size_t size);
/* The life that an env is. */
struct sim_env *sim_life(struct env *env);

#endif
