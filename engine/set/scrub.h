/* SPDX-License-Identifier: MPL-2.0 */
/*
 * scrub - reads every column of this process's volumes, one after the other,
 * again and again, and hands what is damaged to the repair.
 *
 * A round takes `scrub_days`: after each column it rests as long as its share of
 * the round says, and never reads faster than `scrub_rate`, nor while the
 * foreground waits for that volume (engine/set/pace.h). A round that somebody
 * asked for does not rest. Columns that appear
 * behind its place are of the next round.
 *
 * Where it stands, when the round began and what was found so far are kept in a
 * file (`scrub_state`), written every minute and at the end, so that a restart
 * does not begin anew. It is a memory aid: damaged or lost, a new round begins.
 */
#ifndef AEROSTORE_ENGINE_SET_SCRUB_H
#define AEROSTORE_ENGINE_SET_SCRUB_H

#include "engine/set/blobs_private.h"

struct scrub;

MUST_USE enum err scrub_create(struct blobs *blobs, struct scrub **out);
MUST_USE enum err scrub_start(struct scrub *scrub);
/* Asks it to end; before the group of the blobs' tasks is waited for. */
void scrub_stop(struct scrub *scrub);
void scrub_destroy(struct scrub **scrub);
void scrub_order(struct scrub *scrub, enum scrub_order order);
/* One whole round, without rests. */
WAITS MUST_USE enum err scrub_run(struct scrub *scrub);
void scrub_get_status(const struct scrub *scrub, struct scrub_status *out);

#endif
