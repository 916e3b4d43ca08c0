/* SPDX-License-Identifier: MPL-2.0 */
/*
 * overlay - an env that reads the files of another one and never writes to them.
 *
 * Whatever is written, made, renamed or unlinked through it is kept in memory
 * and seen by later operations, so that a whole engine can be opened, recover and
 * even serve above disks that stay as they are, octet for octet. The index is in
 * memory and starts empty. Clock, random, timers and jobs are those of the base.
 *
 * Locks are taken on the base's files, if they are there: whoever has a volume
 * keeps others away through the overlay, too.
 *
 * overlay_through() lets operations pass to the base for a while: for who has
 * decided what to write for good.
 *
 * Memory: a file is read whole when it is first written to. Paths are compared
 * as text. Not for files that others change meanwhile.
 */
#ifndef AEROSTORE_ENGINE_FSCK_OVERLAY_H
#define AEROSTORE_ENGINE_FSCK_OVERLAY_H

#include "engine/env.h"

struct overlay;

/* Borrows base, which outlives it. */
MUST_USE enum err overlay_create(struct env *base, struct overlay **out);
/* No operation is under way, no file and no index is open. */
void overlay_destroy(struct overlay **overlay);
struct env *overlay_env(struct overlay *overlay);
/* From now on, operations (and files opened) go to the base, or do not any more. */
void overlay_through(struct overlay *overlay, bool through);
bool overlay_is_through(const struct overlay *overlay);
/*
 * The files that differ from the base, by path: content, or NULL for those that are gone. Visited
 * in the order of their paths; `each` may not use the overlay. Borrowed for the call.
 */
void overlay_changes(const struct overlay *overlay,
		     void (*each)(void *context, const char *path, const struct buf *content),
		     void *context);
/* The file is again what the base says; not open. Harmless on others. */
void overlay_forget(struct overlay *overlay, const char *path);

#endif
