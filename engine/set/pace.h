/* SPDX-License-Identifier: MPL-2.0 */
/*
 * pace - how fast background work may go on a volume: so many bytes a second,
 * and only while nobody in the foreground waits for a commit of that volume. It
 * gives way for a bounded time, so that a volume that is always busy gets its
 * repair, too, if slowly.
 */
#ifndef AEROSTORE_ENGINE_SET_PACE_H
#define AEROSTORE_ENGINE_SET_PACE_H

#include "engine/volume/volume.h"

/* The longest that one step gives way. */
#define PACE_YIELD_MAX_MS 100u

struct pace {
	struct volume *volume;
	uint64_t rate;	 /* bytes a second; 0: as fast as it goes */
	uint64_t due_us; /* when the next bytes are */
};

/* Before `size` bytes are read or written. ERR_CANCELED. */
WAITS MUST_USE enum err pace_wait(struct pace *pace, uint64_t size);

#endif
