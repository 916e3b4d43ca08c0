/* SPDX-License-Identifier: MPL-2.0 */
/*
 * secret_file - small files that only their owner may read: keys.
 *
 * Made once, never overwritten; refused when others could read them. On failure
 * `why` says in one line what is wrong and what to do.
 */
#ifndef AEROSTORE_TOOLS_COMMON_SECRET_FILE_H
#define AEROSTORE_TOOLS_COMMON_SECRET_FILE_H

#include "engine/base/bytes.h"

#define SECRET_FILE_WHY 512u
#define SECRET_FILE_MAX 4096u

/* Creates it durably, with exactly this mode. ERR_EXISTS. Also for files that are no secret. */
MUST_USE enum err secret_file_create(const char *path, unsigned mode, struct bytes content,
				     char why[SECRET_FILE_WHY]);
/* Appends the content. ERR_NOTFOUND; ERR_DENIED: its mode lets others read it; ERR_LIMIT. */
MUST_USE enum err secret_file_read(const char *path, struct buf *out, char why[SECRET_FILE_WHY]);

#endif
