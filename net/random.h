/* SPDX-License-Identifier: MPL-2.0 */
/*
 * random - the kernel's random bytes, read a page at a time.
 *
 * Bytes are wiped as they are handed out. The page is zero in a forked child,
 * which therefore reads a page of its own and never repeats its parent's bytes.
 */
#ifndef AEROSTORE_NET_RANDOM_H
#define AEROSTORE_NET_RANDOM_H

#include <stddef.h>

#include "engine/base/err.h"

struct random_page;

/* ERR_NOMEM; ERR_UNAVAILABLE when the kernel cannot promise the above. */
MUST_USE enum err random_page_create(struct random_page **out);
void random_page_destroy(struct random_page **page);
void random_page_get(struct random_page *page, void *out, size_t size);

#endif
