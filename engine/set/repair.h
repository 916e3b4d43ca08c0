/* SPDX-License-Identifier: MPL-2.0 */
/*
 * repair - brings sealed sets back to full redundancy: finds columns that no
 * live volume holds whole, and has them made anew (engine/set/member_rebuild.c).
 *
 * What is missing is computed, never recorded: from the directory, the layout
 * and what the members say they hold. Beside that there is what somebody has met:
 * columns that a read or the scrub found damaged, which are looked at before
 * they are believed to be.
 *
 *   survey ─▶ queue, the set with the fewest columns to spare first ─▶ rebuild ─▶ publish
 *      ▲                                                                            │
 *      └──── kicked: a volume came or failed, a set was sealed, damage was met ─────┘
 *
 * A column of a volume that failed is due at once. One of a volume that is
 * merely not there waits for `repair_after_ms`, as long as a directory of the
 * configuration is not served: the volume may come back. It goes to the live
 * volume without a column of the set that rendezvous picks; where there is
 * none, the set stays degraded until there is. A damaged file is replaced on
 * its own volume.
 *
 * INV 1  No file is overwritten, and no placement removed, before the column
 *        that takes its place is synced, read back and equal to the certificate.
 * INV 2  A silent volume is not a lost one: its columns count as missing, never
 *        as lost; nothing is given up for them.
 * INV 3  A placement's tag is removed in the directory before a file that bears
 *        it is deleted on a volume that comes back.
 */
#ifndef AEROSTORE_ENGINE_SET_REPAIR_H
#define AEROSTORE_ENGINE_SET_REPAIR_H

#include "engine/set/blobs_private.h"

struct repair;

MUST_USE enum err repair_create(struct blobs *blobs, struct repair **out);
/* Starts the task that repairs as it becomes necessary. */
MUST_USE enum err repair_start(struct repair *repair);
/* Asks what is under way to end; before the group of the blobs' tasks is waited for. */
void repair_stop(struct repair *repair);
void repair_destroy(struct repair **repair);
/* Something has changed: survey soon. */
void repair_kick(struct repair *repair);
/* A read met something that is not right. From anywhere; does not wait. */
void repair_suspect(struct repair *repair, uint64_t set, uint8_t column);
/* A check has found faults. */
void repair_damaged(struct repair *repair, uint64_t set, uint8_t column);
/*
 * One survey and all the work that it finds, due or not. ERR_UNAVAILABLE: something is left that
 * needs volumes which are not there.
 */
WAITS MUST_USE enum err repair_run(struct repair *repair);
/* As of the last survey: bit i, column i of the set is not whole anywhere. */
uint32_t repair_missing(const struct repair *repair, uint64_t set);
void repair_get_status(const struct repair *repair, struct repair_status *out);

#endif
