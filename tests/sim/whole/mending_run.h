/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mending_run - one calamity after the other, each mended before the next: the
 * store of store_run, with as many volumes at a time without what they should
 * hold as it tolerates, over and over, until all of them had their turn.
 *
 * A calamity is a disk that is lost and replaced by an empty one under a new id,
 * an old copy of a disk that was put back, or rot all over one. While it is mended
 * the power fails again and again, reads fail, disks are full or hang for seconds,
 * and, where the profile tolerates two, a second disk goes in the middle.
 *
 * Oracles, beside those of store_load.h, which hold throughout:
 *   - without further faults everything is mended: every set has all its columns
 *     and every replica of the journal what the others hold
 *   - each column on the disks is what its certificate says
 *   - so the next calamity, on another disk, costs nothing
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_MENDING_RUN_H
#define AEROSTORE_TESTS_SIM_WHOLE_MENDING_RUN_H

#include "tests/sim/whole/report.h"

/* The whole run of a seed. ERR_LIMIT: something is wrong, and was printed. */
MUST_USE enum err mending_run(uint64_t seed, struct report *report);

#endif
