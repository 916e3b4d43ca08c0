/* SPDX-License-Identifier: MPL-2.0 */
/*
 * folder - the files directly below a volume's folder: what they occupy, and
 * making memory forget them. A failure ends the process (load.h), but a file that
 * went meanwhile is none.
 */
#ifndef AEROSTORE_BENCH_LOAD_FOLDER_H
#define AEROSTORE_BENCH_LOAD_FOLDER_H

#include <stdint.h>

/* Bytes of the blocks that the files of "<volume>/<folder>" occupy. */
uint64_t folder_size(const char *volume, const char *folder);
/* The next reads of them come from the disk. */
void folder_forget(const char *volume, const char *folder);
/* Removes the directory and all below. */
void folder_remove(const char *directory);
/* Copies it with all below. */
void folder_copy(const char *from, const char *to);

#endif
