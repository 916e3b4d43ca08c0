/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/past_names.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/crypto/key.h"
#include "engine/mailbox/array.h"

void past_names_finish(struct past_names *names)
{
	memory_free(names->items);
	*names = (struct past_names){0};
}

static struct id128 hash_name(struct bytes name)
{
	uint8_t digest[DIGEST_SIZE];
	struct id128 id;

	digest_256(name, digest);
	memcpy(id.octets, digest, sizeof(id.octets));
	return id;
}

static size_t position(const struct past_names *names, struct id128 name)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (id128_compare(names->items[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct past_name *find(const struct past_names *names, struct id128 name)
{
	size_t i = position(names, name);

	return i < names->count && id128_equal(names->items[i].name, name) ? &names->items[i]
									   : NULL;
}

void past_names_raise_floor(struct past_names *names, uint32_t floor)
{
	size_t kept = 0;

	if (floor <= names->floor)
		return;
	names->floor = floor;
	for (size_t i = 0; i < names->count; i++) {
		if (names->items[i].uidvalidity > floor)
			names->items[kept++] = names->items[i];
	}
	names->count = kept;
}

static void forget_lowest(struct past_names *names)
{
	uint32_t lowest = UINT32_MAX;

	for (size_t i = 0; i < names->count; i++) {
		if (names->items[i].uidvalidity < lowest)
			lowest = names->items[i].uidvalidity;
	}
	past_names_raise_floor(names, lowest);
}

static enum err insert(struct past_names *names, const struct past_name *item)
{
	size_t i = position(names, item->name);
	enum err err = ARRAY_GROW(names->items, names->capacity, names->count);

	if (err)
		return err;
	memmove(&names->items[i + 1], &names->items[i], (names->count - i) * sizeof(*names->items));
	names->items[i] = *item;
	names->count++;
	if (names->count > PAST_NAMES_MAX)
		forget_lowest(names);
	return ERR_OK;
}

enum err past_names_join(struct past_names *names, const struct past_name *item)
{
	struct past_name *at = find(names, item->name);

	if (item->uidvalidity <= names->floor)
		return ERR_OK;
	if (!at)
		return insert(names, item);
	if (item->uidvalidity > at->uidvalidity)
		*at = *item;
	else if (item->uidvalidity == at->uidvalidity && !id128_equal(item->folder, at->folder))
		at->folder = ID128_ZERO;
	return ERR_OK;
}

enum err past_names_put(struct past_names *names, struct bytes name, struct id128 folder,
			uint32_t uidvalidity)
{
	const struct past_name item = {hash_name(name), folder, uidvalidity};

	return past_names_join(names, &item);
}

bool past_names_allow(const struct past_names *names, struct bytes name, struct id128 folder,
		      uint32_t uidvalidity)
{
	const struct past_name *at = find(names, hash_name(name));

	if (at && uidvalidity == at->uidvalidity)
		return id128_equal(at->folder, folder);
	return uidvalidity > names->floor && (!at || uidvalidity > at->uidvalidity);
}
