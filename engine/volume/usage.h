/* SPDX-License-Identifier: MPL-2.0 */
/*
 * usage - what a volume's directory occupies, by kind: the sum is what du(1)
 * says. By the names of the files; none is opened.
 *
 * Not an account that is kept, but a look at every file: a stat each, in
 * sequence. What comes and goes meanwhile may be counted or not.
 */
#ifndef AEROSTORE_ENGINE_VOLUME_USAGE_H
#define AEROSTORE_ENGINE_VOLUME_USAGE_H

#include <stdint.h>

#include "engine/task.h"

enum usage_kind {
	USAGE_DATA,
	USAGE_MIRROR,
	USAGE_PARITY,
	USAGE_JOURNAL,
	USAGE_OTHER, /* superblocks, folders, columns being made anew */
	USAGE_KINDS
};

/* Bytes of blocks. */
struct usage {
	uint64_t bytes[USAGE_KINDS];
};

/* Of the files in the directory and in its folders. ERR_NOTFOUND, ERR_IO, ERR_NOMEM, ERR_CANCELED.
 */
WAITS MUST_USE enum err usage_measure(const char *directory, struct usage *out);
uint64_t usage_total(const struct usage *usage);
/* "data", "mirror", "parity", "journal", "other". */
const char *usage_kind_name(enum usage_kind kind);

#endif
