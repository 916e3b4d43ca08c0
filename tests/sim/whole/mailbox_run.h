/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mailbox_run - the whole engine, engine_open() and all, as a target of the
 * workload: deliveries, sessions of several devices, restarts, faults.
 *
 * Oracles beside those of the workload (tests/sim/workload/):
 *   - what a listing named is readable at any moment, while the one disk of the
 *     atlas may be damaged in any way
 *   - COPYUID and APPENDUID name one message, for ever
 *   - a session that stays and is synced shows what a new one shows
 *   - nothing broken is met in the journal, no record is lost for good, and
 *     UIDVALIDITY is never moved
 * Before the last reading the damaged volume is taken away, or any where none is.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_MAILBOX_RUN_H
#define AEROSTORE_TESTS_SIM_WHOLE_MAILBOX_RUN_H

#include "tests/sim/whole/report.h"

/* The whole run of a seed. ERR_LIMIT: something is wrong, and was printed. */
MUST_USE enum err mailbox_run(uint64_t seed, struct report *report);

#endif
