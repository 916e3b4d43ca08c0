/* SPDX-License-Identifier: MPL-2.0 */
/*
 * log_run - logs on one volume, without any other copy: what a single disk
 * must keep by itself, and what it must say of what it lost.
 *
 * Each life makes a log, appends to it from several tasks and is cut short by
 * a power loss; in some seeds a sync fails. Then one byte of a record that was
 * durable long before flips.
 *
 * Oracles: an acknowledged record is found at its place with its bytes; nothing
 * is called damaged before the byte flips; and afterwards exactly that place is,
 * with everything behind it still there.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_LOG_RUN_H
#define AEROSTORE_TESTS_SIM_WHOLE_LOG_RUN_H

#include "tests/sim/whole/report.h"

/* The whole run of a seed. ERR_LIMIT: something is wrong, and was printed. */
MUST_USE enum err log_run(uint64_t seed, struct report *report);

#endif
