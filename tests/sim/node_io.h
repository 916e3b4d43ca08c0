/* SPDX-License-Identifier: MPL-2.0 */
/*
 * node_io - the file operations of a simulated env.
 *
 * Each takes its latency, then happens in one instant; a commit happens in one
 * instant for its writes and one for each of its syncs, so that a crash may
 * fall between. Operations under way together may overtake each other.
 */
#ifndef AEROSTORE_TESTS_SIM_NODE_IO_H
#define AEROSTORE_TESTS_SIM_NODE_IO_H

#include "engine/env.h"

struct sim_event;
struct sim_node;

/* struct env_ops.io */
void sim_node_io(struct env *env, struct env_io *io);
/*
 * What the posted operation of this event may have done, in part or in whole, when the node
 * halted; it then completes as canceled. Does nothing for other kinds of events.
 */
void sim_node_io_interrupt(struct sim_node *node, struct sim_event *event);
/* After a crash: the dead life's handles lead nowhere. */
void sim_node_io_detach(struct sim_node *node);

#endif
