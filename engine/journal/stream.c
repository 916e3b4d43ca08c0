/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/stream.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/format/record.h"

struct stream *stream_create(struct id128 id, struct ledger *ledger)
{
	struct stream *stream = memory_allocate(sizeof(*stream));

	if (stream == NULL)
		return NULL;
	stream->id = id;
	stream->ledger = ledger;
	stream->digest_stale = true;
	return stream;
}

void stream_manifest_finish(struct stream_manifest *manifest)
{
	vector_finish(&manifest->vector);
	memory_free(manifest->pages);
	*manifest = (struct stream_manifest){0};
}

void stream_destroy(struct stream **stream)
{
	struct stream *gone = *stream;

	if (gone == NULL)
		return;
	*stream = NULL;
	for (size_t i = 0; i < gone->incarnation_count; i++)
		memory_free(gone->incarnations[i].locations);
	for (size_t i = 0; i < gone->manifest_count; i++)
		stream_manifest_finish(&gone->manifests[i]);
	memory_free(gone->incarnations);
	memory_free(gone->manifests);
	memory_free(gone->pages);
	memory_free(gone);
}

static void account(const struct stream *stream, const struct location *location, bool live)
{
	int64_t size = (int64_t)record_size(location->payload_size);

	if (location->segment != 0)
		stream->ledger->change(stream->ledger, location->segment, live ? size : -size);
}

static bool is_same_place(const struct location *a, const struct location *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

static bool is_same_bytes(const struct location *a, const struct location *b)
{
	return a->hash == b->hash && a->payload_size == b->payload_size;
}

/* One more item in a small array that doubles. NULL: ERR_NOMEM. */
static void *grown(void *items, size_t count, size_t item_size)
{
	if (count != 0 && (count & (count - 1)) != 0)
		return items;
	return memory_resize(items, (count != 0 ? count * 2 : 1) * item_size);
}

/* ---- entries ---- */

struct stream_incarnation *stream_find(const struct stream *stream, struct id128 incarnation)
{
	/* The writer of now is nearly always among the last. */
	for (size_t i = stream->incarnation_count; i-- > 0;)
		if (id128_equal(stream->incarnations[i].id, incarnation))
			return &stream->incarnations[i];
	return NULL;
}

enum err stream_incarnation(struct stream *stream, struct id128 incarnation, size_t *index)
{
	struct stream_incarnation *found = stream_find(stream, incarnation), *items;

	if (found != NULL) {
		*index = (size_t)(found - stream->incarnations);
		return ERR_OK;
	}
	if (stream->incarnation_count >= STREAM_INCARNATION_MAX)
		return ERR_LIMIT;
	items = grown(stream->incarnations, stream->incarnation_count, sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	stream->incarnations = items;
	*index = stream->incarnation_count++;
	items[*index] = (struct stream_incarnation){
		.id = incarnation, .dirty_low = UINT64_MAX, .indexed_low = UINT64_MAX};
	return ERR_OK;
}

static struct location *location_of(const struct stream_incarnation *incarnation, uint64_t seq)
{
	if (seq < incarnation->first || seq - incarnation->first >= incarnation->count)
		return NULL;
	return &incarnation->locations[seq - incarnation->first];
}

const struct location *stream_entry(const struct stream_incarnation *incarnation, uint64_t seq)
{
	const struct location *location = location_of(incarnation, seq);

	return location != NULL && location->segment != 0 ? location : NULL;
}

/* Makes locations[] reach from below or at `seq` to above it. */
static enum err make_room(struct stream_incarnation *incarnation, uint64_t seq)
{
	uint64_t first = incarnation->count == 0 ? seq : incarnation->first;
	uint64_t low = seq < first ? seq : first;
	uint64_t high = first + incarnation->count > seq + 1 ? first + incarnation->count : seq + 1;
	size_t shift = (size_t)(first - low), count = (size_t)(high - low);

	if (high - low > incarnation->count + (uint64_t)STREAM_GAP_MAX)
		return ERR_LIMIT;
	if (count > incarnation->capacity) {
		size_t capacity = incarnation->capacity != 0 ? incarnation->capacity : 4;
		struct location *locations;

		while (capacity < count)
			capacity *= 2;
		locations = memory_resize(incarnation->locations, capacity * sizeof(*locations));
		if (locations == NULL)
			return ERR_NOMEM;
		incarnation->locations = locations;
		incarnation->capacity = capacity;
	}
	if (shift != 0)
		memmove(incarnation->locations + shift, incarnation->locations,
			incarnation->count * sizeof(struct location));
	memset(incarnation->locations, 0, shift * sizeof(struct location));
	memset(incarnation->locations + shift + incarnation->count, 0,
	       (count - shift - incarnation->count) * sizeof(struct location));
	incarnation->first = low;
	incarnation->count = count;
	return ERR_OK;
}

static void mark_dirty(struct stream *stream, struct stream_incarnation *incarnation, uint64_t seq)
{
	stream->dirty = stream->digest_stale = true;
	if (incarnation == NULL)
		return;
	if (incarnation->dirty_low > seq)
		incarnation->dirty_low = seq;
	if (incarnation->dirty_high < seq)
		incarnation->dirty_high = seq;
}

static void advance(struct stream_incarnation *incarnation)
{
	if (incarnation->contiguous < incarnation->dropped)
		incarnation->contiguous = incarnation->dropped;
	while (stream_entry(incarnation, incarnation->contiguous + 1) != NULL)
		incarnation->contiguous++;
}

enum err stream_put_entry(struct stream *stream, struct id128 incarnation_id, uint64_t seq,
			  const struct location *location)
{
	struct stream_incarnation *incarnation;
	struct location *held;
	size_t index;
	enum err err;

	ASSERT(seq != 0 && location->segment != 0);
	err = stream_incarnation(stream, incarnation_id, &index);
	if (err != ERR_OK)
		return err;
	incarnation = &stream->incarnations[index];
	if (seq <= incarnation->dropped)
		return ERR_OK;
	held = location_of(incarnation, seq);
	if (held == NULL) {
		err = make_room(incarnation, seq);
		if (err != ERR_OK)
			return err;
		held = location_of(incarnation, seq);
	}
	if (held->segment != 0 && !is_same_bytes(held, location))
		return ERR_CONFLICT;
	stream->ledger->entries += held->segment == 0;
	account(stream, held, false);
	*held = *location;
	account(stream, held, true);
	advance(incarnation);
	mark_dirty(stream, incarnation, seq);
	return ERR_OK;
}

enum err stream_load_entry(struct stream_incarnation *incarnation, uint64_t seq,
			   const struct location *location)
{
	enum err err = ERR_OK;

	if (location_of(incarnation, seq) == NULL)
		err = make_room(incarnation, seq);
	if (err == ERR_OK)
		*location_of(incarnation, seq) = *location;
	return err;
}

/* Everything up to `seq` is covered by a complete manifest. */
static void drop_entries(struct stream *stream, struct stream_incarnation *incarnation,
			 uint64_t seq)
{
	size_t count = 0;

	if (seq <= incarnation->dropped)
		return;
	while (count < incarnation->count && incarnation->first + count <= seq) {
		if (incarnation->locations[count].segment != 0) {
			account(stream, &incarnation->locations[count], false);
			stream->ledger->entries--;
			stream->ledger->truncated++;
		}
		count++;
	}
	incarnation->count -= count;
	incarnation->first += count;
	if (incarnation->count != 0)
		memmove(incarnation->locations, incarnation->locations + count,
			incarnation->count * sizeof(struct location));
	if (incarnation->count == 0) {
		memory_free(incarnation->locations);
		incarnation->locations = NULL;
		incarnation->capacity = 0;
	}
	incarnation->dropped = seq;
	advance(incarnation);
	mark_dirty(stream, incarnation, seq);
}

/* ---- manifests and pages ---- */

const struct stream_manifest *stream_manifest(const struct stream *stream, struct id128 id)
{
	for (size_t i = 0; i < stream->manifest_count; i++)
		if (id128_equal(stream->manifests[i].id, id))
			return &stream->manifests[i];
	return NULL;
}

/* Pages are sorted by id: where one is, or would go. */
static size_t page_position(const struct stream *stream, struct id128 id)
{
	size_t low = 0, high = stream->page_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (id128_compare(stream->pages[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct stream_page *stream_page(const struct stream *stream, struct id128 id)
{
	size_t position = page_position(stream, id);

	if (position == stream->page_count || !id128_equal(stream->pages[position].id, id))
		return NULL;
	return &stream->pages[position];
}

bool manifest_dominates(const struct vector *vector, uint64_t epoch, struct id128 id,
			const struct vector *other_vector, uint64_t other_epoch,
			struct id128 other_id)
{
	if (!vector_covers(vector, other_vector))
		return false;
	if (!vector_covers(other_vector, vector))
		return true;
	if (epoch != other_epoch)
		return epoch > other_epoch;
	return id128_compare(id, other_id) > 0;
}

bool stream_dominates(const struct stream *stream, const struct vector *vector, uint64_t epoch,
		      struct id128 id)
{
	for (size_t i = 0; i < stream->manifest_count; i++) {
		const struct stream_manifest *held = &stream->manifests[i];

		if (held->complete &&
		    manifest_dominates(&held->vector, held->epoch, held->id, vector, epoch, id))
			return true;
	}
	return false;
}

static void remove_manifest(struct stream *stream, size_t index)
{
	account(stream, &stream->manifests[index].location, false);
	stream_manifest_finish(&stream->manifests[index]);
	stream->manifests[index] = stream->manifests[--stream->manifest_count];
	mark_dirty(stream, NULL, 0);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id128));
}

/* INV 5. The pages named by any manifest are gathered and sorted first: accounts have thousands. */
static void remove_orphans(struct stream *stream, uint64_t epoch)
{
	struct id128 *named;
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < stream->manifest_count; i++)
		count += stream->manifests[i].page_count;
	named = memory_array(count, sizeof(*named));
	/* They stay until the next manifest. */
	if (named == NULL)
		return;
	count = 0;
	for (size_t i = 0; i < stream->manifest_count; i++) {
		const struct stream_manifest *manifest = &stream->manifests[i];

		if (manifest->page_count != 0)
			memcpy(named + count, manifest->pages,
			       manifest->page_count * sizeof(*named));
		count += manifest->page_count;
	}
	qsort(named, count, sizeof(*named), compare_ids);
	for (size_t i = 0; i < stream->page_count; i++) {
		struct stream_page *page = &stream->pages[i];

		if (page->epoch > epoch ||
		    bsearch(&page->id, named, count, sizeof(*named), compare_ids) != NULL)
			stream->pages[kept++] = *page;
		else
			account(stream, &page->location, false);
	}
	stream->page_count = kept;
	memory_free(named);
}

static bool has_all_pages(const struct stream *stream, const struct stream_manifest *manifest)
{
	for (size_t i = 0; i < manifest->page_count; i++)
		if (stream_page(stream, manifest->pages[i]) == NULL)
			return false;
	return true;
}

/* What the vector of a complete manifest covers is passed. */
static enum err apply_vector(struct stream *stream, const struct vector *vector)
{
	for (size_t i = 0; i < vector->count; i++) {
		size_t index;
		enum err err = stream_incarnation(stream, vector->items[i].incarnation, &index);

		if (err != ERR_OK)
			return err;
		drop_entries(stream, &stream->incarnations[index], vector->items[i].seq);
	}
	return ERR_OK;
}

/* Completes what can be completed, then lets go of what is dominated, covered or orphaned. */
static enum err settle(struct stream *stream)
{
	uint64_t epoch = 0;
	bool changed = false;

	for (size_t i = 0; i < stream->manifest_count; i++) {
		struct stream_manifest *manifest = &stream->manifests[i];
		enum err err;

		if (manifest->complete || !has_all_pages(stream, manifest))
			continue;
		err = apply_vector(stream, &manifest->vector);
		if (err != ERR_OK)
			return err;
		manifest->complete = changed = true;
		mark_dirty(stream, NULL, 0);
	}
	if (!changed)
		return ERR_OK;
	for (size_t i = stream->manifest_count; i-- > 0;) {
		const struct stream_manifest *manifest = &stream->manifests[i];

		if (stream_dominates(stream, &manifest->vector, manifest->epoch, manifest->id))
			remove_manifest(stream, i);
	}
	for (size_t i = 0; i < stream->manifest_count; i++)
		if (stream->manifests[i].complete && stream->manifests[i].epoch > epoch)
			epoch = stream->manifests[i].epoch;
	remove_orphans(stream, epoch);
	return ERR_OK;
}

enum err stream_put_manifest(struct stream *stream, struct stream_manifest *manifest)
{
	struct stream_manifest *items;

	for (size_t i = 0; i < stream->manifest_count; i++) {
		struct stream_manifest *held = &stream->manifests[i];

		if (!id128_equal(held->id, manifest->id))
			continue;
		if (!is_same_bytes(&held->location, &manifest->location))
			return ERR_CONFLICT;
		account(stream, &held->location, false);
		held->location = manifest->location;
		account(stream, &held->location, true);
		mark_dirty(stream, NULL, 0);
		return ERR_OK;
	}
	if (stream_dominates(stream, &manifest->vector, manifest->epoch, manifest->id))
		return ERR_OK;
	if (stream->manifest_count >= STREAM_MANIFEST_MAX)
		return ERR_LIMIT;
	items = grown(stream->manifests, stream->manifest_count, sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	stream->manifests = items;
	manifest->complete = false;
	items[stream->manifest_count++] = *manifest;
	account(stream, &manifest->location, true);
	*manifest = (struct stream_manifest){0};
	mark_dirty(stream, NULL, 0);
	return settle(stream);
}

enum err stream_put_page(struct stream *stream, const struct stream_page *page)
{
	size_t position = page_position(stream, page->id);
	struct stream_page *items;

	if (position < stream->page_count && id128_equal(stream->pages[position].id, page->id)) {
		struct stream_page *held = &stream->pages[position];

		if (!is_same_bytes(&held->location, &page->location))
			return ERR_CONFLICT;
		account(stream, &held->location, false);
		*held = *page;
		account(stream, &held->location, true);
		mark_dirty(stream, NULL, 0);
		return ERR_OK;
	}
	if (stream->page_count >= STREAM_PAGE_MAX)
		return ERR_LIMIT;
	items = grown(stream->pages, stream->page_count, sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	stream->pages = items;
	memmove(items + position + 1, items + position,
		(stream->page_count - position) * sizeof(*items));
	items[position] = *page;
	stream->page_count++;
	account(stream, &page->location, true);
	mark_dirty(stream, NULL, 0);
	return settle(stream);
}

void stream_put_promise(struct stream *stream, uint64_t epoch, struct id128 home,
			const struct location *location)
{
	if (epoch < stream->promise_epoch ||
	    (epoch == stream->promise_epoch && id128_compare(home, stream->promise_home) < 0))
		return;
	account(stream, &stream->promise, false);
	stream->promise_epoch = epoch;
	stream->promise_home = home;
	stream->promise = *location;
	account(stream, location, true);
	mark_dirty(stream, NULL, 0);
}

enum err stream_put_record(struct stream *stream, const struct record *record, uint64_t segment,
			   struct stream_manifest *manifest)
{
	const struct location location = {.segment = segment,
					  .hash = record->payload_hash.low,
					  .offset = (uint32_t)record->offset,
					  .payload_size = record->payload_size};

	switch (record->type) {
	case RECORD_ENTRY:
		return stream_put_entry(stream, record->incarnation, record->number, &location);
	case RECORD_PAGE:
		return stream_put_page(stream, &(struct stream_page){.id = record->id,
								     .epoch = record->number,
								     .location = location});
	case RECORD_MANIFEST:
		manifest->location = location;
		return stream_put_manifest(stream, manifest);
	case RECORD_PROMISE:
		stream_put_promise(stream, record->number, record->incarnation, &location);
		return ERR_OK;
	default:
		return ERR_OK;
	}
}

void stream_lose(struct stream *stream, const struct location *location)
{
	for (size_t i = 0; i < stream->incarnation_count; i++) {
		struct stream_incarnation *incarnation = &stream->incarnations[i];

		for (size_t j = 0; j < incarnation->count; j++) {
			uint64_t seq = incarnation->first + j;

			if (!is_same_place(&incarnation->locations[j], location))
				continue;
			account(stream, location, false);
			stream->ledger->entries--;
			incarnation->locations[j] = (struct location){0};
			if (incarnation->contiguous >= seq)
				incarnation->contiguous = seq - 1;
			mark_dirty(stream, incarnation, seq);
		}
	}
	for (size_t i = stream->manifest_count; i-- > 0;)
		if (is_same_place(&stream->manifests[i].location, location))
			remove_manifest(stream, i);
	for (size_t i = stream->page_count; i-- > 0;) {
		if (!is_same_place(&stream->pages[i].location, location))
			continue;
		account(stream, location, false);
		memmove(&stream->pages[i], &stream->pages[i + 1],
			(stream->page_count - i - 1) * sizeof(*stream->pages));
		stream->page_count--;
		for (size_t j = 0; j < stream->manifest_count; j++)
			stream->manifests[j].complete &=
				has_all_pages(stream, &stream->manifests[j]);
		mark_dirty(stream, NULL, 0);
	}
}

uint64_t stream_entry_count(const struct stream *stream)
{
	uint64_t count = 0;

	for (size_t i = 0; i < stream->incarnation_count; i++)
		for (size_t j = 0; j < stream->incarnations[i].count; j++)
			count += stream->incarnations[i].locations[j].segment != 0;
	return count;
}

enum err stream_vector(const struct stream *stream, struct vector *out)
{
	for (size_t i = 0; i < stream->incarnation_count; i++) {
		enum err err = vector_raise(out, stream->incarnations[i].id,
					    stream->incarnations[i].contiguous);

		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

uint64_t stream_digest(const struct stream *stream)
{
	uint64_t sum = 0;
	uint8_t item[16 + 8 + 16 + 1];

	/* A sum of hashes needs no order. */
	for (size_t i = 0; i < stream->incarnation_count; i++) {
		if (stream->incarnations[i].contiguous == 0)
			continue;
		memcpy(item, stream->incarnations[i].id.octets, 16);
		store_u64(item + 16, stream->incarnations[i].contiguous);
		item[24] = 'v';
		sum += hash_64(item, 25);
	}
	for (size_t i = 0; i < stream->manifest_count; i++) {
		if (!stream->manifests[i].complete)
			continue;
		memcpy(item, stream->manifests[i].id.octets, 16);
		item[16] = 'm';
		sum += hash_64(item, 17);
	}
	if (stream->promise_epoch != 0) {
		store_u64(item, stream->promise_epoch);
		memcpy(item + 8, stream->promise_home.octets, 16);
		item[24] = 'p';
		sum += hash_64(item, 25);
	}
	/* What a stream without content gives is nothing: to not know it is the same. */
	if (sum == 0)
		return 0;
	memcpy(item, stream->id.octets, 16);
	store_u64(item + 16, sum);
	return hash_64(item, 24);
}
