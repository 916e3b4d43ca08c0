/* SPDX-License-Identifier: MPL-2.0 */
/*
 * store_run - blobs and journal under faults: uploads that journal entries
 * name, reads, manifests, restarts, and what must hold of them at any moment.
 *
 * Oracles, while the atlas's one disk may be damaged in any way:
 *   - a blob whose entry was acknowledged reads back byte for byte, open, half
 *     sealed or sealed
 *   - a complete reading of a stream finds every acknowledged entry once, in
 *     the order of its writer, from its entries or the manifest that covers them
 *   - a promised epoch is never forgotten
 *   - the system starts by itself after every crash
 * and at the end, without faults, in the exam:
 *   - every set can be finished, and everything is read again from sealed sets
 *   - it survives the loss of the damaged volume, or of any when none is, and
 *     still takes writes
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_STORE_RUN_H
#define AEROSTORE_TESTS_SIM_WHOLE_STORE_RUN_H

#include "tests/sim/whole/report.h"

/* The whole run of a seed. ERR_LIMIT: something is wrong, and was printed. */
MUST_USE enum err store_run(uint64_t seed, struct report *report);

#endif
