/* SPDX-License-Identifier: MPL-2.0 */
/*
 * plant - the switches of engine/plant.h, for tests.
 *
 * They act on code that was compiled with AEROSTORE_PLANT. The count of how
 * often a place was passed while its bug was on tells a bug that no oracle saw
 * from one that never had its chance.
 */
#ifndef AEROSTORE_TESTS_SIM_PLANT_H
#define AEROSTORE_TESTS_SIM_PLANT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/plant.h"

/* All off, all counts zero. */
void plant_reset(void);
void plant_set(enum plant plant, bool on);
uint64_t plant_hits(enum plant plant);
const char *plant_name(enum plant plant);
/* What the bug does, in a phrase. */
const char *plant_text(enum plant plant);

#endif
