/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/shared.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

struct shared *shared_create(size_t size)
{
	struct shared *shared;

	if (size > SIZE_MAX - sizeof(*shared))
		return NULL;
	/* Not zeroed: a megabyte that is about to be overwritten. */
	shared = memory_resize(NULL, sizeof(*shared) + size);
	if (shared == NULL)
		return NULL;
	shared->references = 1;
	shared->size = size;
	return shared;
}

struct shared *shared_reference(struct shared *shared)
{
	ASSERT(shared->references > 0 && shared->references < UINT32_MAX);
	shared->references++;
	return shared;
}

void shared_release(struct shared **shared)
{
	if (*shared != NULL) {
		ASSERT((*shared)->references > 0);
		if (--(*shared)->references == 0)
			memory_free(*shared);
	}
	*shared = NULL;
}

struct bytes shared_bytes(const struct shared *shared)
{
	return bytes_make(shared->data, shared->size);
}

void lent_return(struct lent *lent)
{
	shared_release(&lent->holder);
	buf_finish(&lent->own);
	lent->bytes = bytes_make(NULL, 0);
}
