/* SPDX-License-Identifier: MPL-2.0 */
/*
 * message - mails whose bytes tell which they are.
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_MESSAGE_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_MESSAGE_H

#include "engine/base/bytes.h"
#include "tests/sim/random.h"

/* Appends a message of the number: a header, and a body of random printable lines. */
void message_make(struct buf *message, size_t number, size_t size_limit, struct sim_random *random);
/* False when the bytes do not begin as such a message does. */
bool message_number(struct bytes message, size_t *number);

#endif
