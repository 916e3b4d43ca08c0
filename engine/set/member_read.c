/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/member_private.h"

/* ---- open files ---- */

static WAITS void close_oldest(struct member *member)
{
	struct member_column *column, *oldest = NULL;
	size_t position = 0;

	while ((column = map_next(&member->columns, &position, NULL)) != NULL)
		if (column->file != NULL && column->users == 0 &&
		    (oldest == NULL || column->used_at < oldest->used_at))
			oldest = column;
	if (oldest != NULL) {
		struct env_file *file = oldest->file;

		oldest->file = NULL;
		member->open_files--;
		io_close(&file);
	}
}

enum err member_file(struct member *member, struct member_column *column, struct env_file **out)
{
	char name[COLUMN_NAME_SIZE];
	struct env_file *file;
	enum err err;

	column->used_at = ++member->tick;
	if (column->file == NULL) {
		if (member->open_files >= MEMBER_OPEN_FILES)
			close_oldest(member);
		column_name(column->header.set, column->header.column, column->trailer.kind, name);
		err = volume_open_file(member->volume, name, &file);
		if (err != ERR_OK)
			return err;
		/* Somebody else may have opened it meanwhile. */
		if (column->file == NULL) {
			column->file = file;
			member->open_files++;
		} else {
			io_close(&file);
		}
	}
	*out = column->file;
	return ERR_OK;
}

/* ---- the index of a sealed column ---- */

static WAITS enum err read_page(struct member *member, struct member_column *column, uint32_t page,
				struct column_entry *entries, size_t *count)
{
	uint64_t key[2] = {column->header.set, page};
	struct member_page *cached =
		&member->pages[hash_64(key, sizeof(key)) % MEMBER_CACHED_PAGES];
	uint8_t bytes[COLUMN_INDEX_PAGE];
	struct env_file *file;
	enum err err;

	if (cached->valid && cached->set == column->header.set && cached->page == page)
		return column_index_page_decode(cached->bytes, entries, count);
	err = member_file(member, column, &file);
	if (err == ERR_OK)
		err = io_read_exact(
			file, column->trailer.index_offset + (uint64_t)page * COLUMN_INDEX_PAGE,
			bytes, sizeof(bytes));
	if (err == ERR_OK)
		err = column_index_page_decode(bytes, entries, count);
	if (err != ERR_OK)
		return err;
	cached->valid = true;
	cached->set = column->header.set;
	cached->page = page;
	memcpy(cached->bytes, bytes, sizeof(bytes));
	return ERR_OK;
}

/* Ids are random, so the place of one is nearly its share of the whole range. */
static uint32_t guess_page(struct id128 id, uint32_t pages)
{
	uint32_t top = (uint32_t)id.octets[0] << 24 | (uint32_t)id.octets[1] << 16 |
		       (uint32_t)id.octets[2] << 8 | id.octets[3];

	return (uint32_t)((uint64_t)top * pages >> 32);
}

static const struct column_entry *find_in_page(const struct column_entry *entries, size_t count,
					       struct id128 id, uint32_t piece)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = column_entry_compare(id, piece, &entries[middle]);

		if (order == 0)
			return &entries[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Pages [low, high) may hold what is looked for; `page` is asked next. */
struct page_search {
	uint32_t low, high, page;
	uint32_t step; /* from a page that was not the one; 0: the ends are near, halves */
	int order;     /* of the last step */
};

/*
 * `order` < 0: it lies before the page, > 0: behind it. The guess is off by little, so neighbours
 * are tried first, then ever farther ones, and halves once it is known to lie between two.
 */
static void search_on(struct page_search *search, int order)
{
	uint32_t step = search->order == 0 || (search->order < 0) == (order < 0) ? search->step : 0;

	if (order < 0)
		search->high = search->page;
	else
		search->low = search->page + 1;
	if (step == 0 || step > search->high - search->low)
		search->page = search->low + (search->high - search->low) / 2;
	else
		search->page = order < 0 ? search->high - step : search->low + step - 1;
	search->step = step * 2;
	search->order = order;
}

static WAITS enum err find_sealed(struct member *member, struct member_column *column,
				  struct id128 id, uint32_t piece, struct column_entry *out)
{
	struct column_entry *entries = memory_array(COLUMN_INDEX_PER_PAGE, sizeof(*entries));
	struct page_search search = {.high = column->trailer.index_pages, .step = 1};
	enum err err = ERR_NOTFOUND;

	search.page = guess_page(id, search.high);
	if (entries == NULL)
		return ERR_NOMEM;
	while (search.low < search.high) {
		const struct column_entry *found;
		size_t count;

		err = read_page(member, column, search.page, entries, &count);
		if (err != ERR_OK)
			break;
		found = find_in_page(entries, count, id, piece);
		if (found != NULL) {
			*out = *found;
			break;
		}
		err = ERR_NOTFOUND;
		if (column_entry_compare(id, piece, &entries[0]) < 0)
			search_on(&search, -1);
		else if (column_entry_compare(id, piece, &entries[count - 1]) > 0)
			search_on(&search, 1);
		else
			break;
	}
	memory_free(entries);
	return err;
}

/* ---- records and ranges ---- */

static WAITS enum err read_exact(struct env_file *file, uint64_t offset, uint64_t size,
				 struct shared **out)
{
	struct shared *bytes = shared_create((size_t)size);
	enum err err;

	if (bytes == NULL)
		return ERR_NOMEM;
	err = io_read_exact(file, LOG_HEADER_SIZE + offset, bytes->data, bytes->size);
	if (err != ERR_OK)
		shared_release(&bytes);
	else
		*out = bytes;
	return err == ERR_TORN ? ERR_CORRUPT : err;
}

static WAITS enum err read_unsealed(struct member_column *column, struct set_read_call *call)
{
	const struct records_item *item = records_find(&column->records, call->id, call->piece);
	uint64_t place;
	enum err err;

	if (item == NULL)
		return ERR_NOTFOUND;
	call->entry = item->entry;
	place = item->place;
	if (column->header.kind != COLUMN_DATA) {
		if (!call->from_mirror)
			return ERR_OK;
		place += RECORD_HEADER_SIZE;
	}
	column->log_readers++;
	err = read_exact(log_file(column->log), place, record_size(call->entry.payload_size),
			 &call->record);
	column->log_readers--;
	cond_broadcast(&column->changed);
	return err;
}

enum err member_read(struct member *member, struct member_column *column,
		     struct set_read_call *call)
{
	struct env_file *file;
	enum err err;

	call->record = NULL;
	if (!member_column_sealed(column))
		return column->log != NULL ? read_unsealed(column, call) : ERR_UNAVAILABLE;
	err = find_sealed(member, column, call->id, call->piece, &call->entry);
	if (err != ERR_OK || call->entry.column != column->header.column)
		return err;
	if (call->entry.payload_size > RECORD_PAYLOAD_MAX)
		return ERR_CORRUPT;
	err = member_file(member, column, &file);
	return err != ERR_OK ? err
			     : read_exact(file, call->entry.offset,
					  record_size(call->entry.payload_size), &call->record);
}

/* Reads [offset, offset + size) of a column that ends at `body`: zeros behind that. */
static WAITS enum err read_padded(struct env_file *file, uint64_t body,
				  const struct set_range_call *call, struct shared **out)
{
	uint64_t have = call->offset >= body ? 0 : body - call->offset;
	struct shared *bytes = shared_create(call->size);
	enum err err = ERR_OK;

	if (bytes == NULL)
		return ERR_NOMEM;
	have = have < call->size ? have : call->size;
	memset(bytes->data + have, 0, call->size - (size_t)have);
	if (have > 0)
		err = io_read_exact(file, LOG_HEADER_SIZE + call->offset, bytes->data,
				    (size_t)have);
	if (err != ERR_OK)
		shared_release(&bytes);
	else
		*out = bytes;
	return err == ERR_TORN ? ERR_CORRUPT : err;
}

/*
 * A data member that has voted is exactly what the seal says, though nobody has told it yet that
 * the others voted, too: its range must not be missing until somebody does.
 */
static bool is_voted_data(const struct member_column *column, struct hash128 seal)
{
	return column->header.kind == COLUMN_DATA && column->log != NULL &&
	       column->machine.voting == SET_VOTE_CAST &&
	       hash128_equal(column->machine.vote.seal, seal);
}

enum err member_range(struct member *member, struct member_column *column,
		      struct set_range_call *call)
{
	struct env_file *file;
	enum err err;

	if (call->size > record_size(RECORD_PAYLOAD_MAX))
		return ERR_LIMIT;
	if (is_voted_data(column, call->seal)) {
		uint64_t body = column->machine.vote.descriptor.length[column->header.column];

		column->log_readers++;
		err = read_padded(log_file(column->log), body, call, &call->bytes);
		column->log_readers--;
		cond_broadcast(&column->changed);
		return err;
	}
	if (!member_column_sealed(column) ||
	    !hash128_equal(column->trailer.certificate.seal, call->seal))
		return ERR_STALE;
	err = member_file(member, column, &file);
	return err != ERR_OK ? err
			     : read_padded(file, column->trailer.body_size, call, &call->bytes);
}

/* ---- lists ---- */

static enum err share(struct buf *buf, struct shared **out)
{
	struct shared *shared;

	if (buf->err != ERR_OK)
		return buf->err;
	shared = shared_create(buf->size);
	if (shared == NULL)
		return ERR_NOMEM;
	if (buf->size > 0)
		memcpy(shared->data, buf->data, buf->size);
	*out = shared;
	return ERR_OK;
}

enum err member_list(const struct member_column *column, struct set_list_call *call)
{
	struct buf buf = {0};
	enum err err;

	if (column->log == NULL)
		return ERR_STALE;
	for (size_t i = 0; i < column->records.count; i++)
		column_entry_put(&column->records.items[i].entry, &buf);
	call->count = (uint32_t)column->records.count;
	err = share(&buf, &call->entries);
	buf_finish(&buf);
	return err;
}

static enum err build_index(const struct member_column *column, struct set_index_call *call)
{
	size_t count = column->records.count;
	struct column_entry *entries = memory_array(count, sizeof(*entries));
	struct buf buf = {0};
	enum err err;

	if (entries == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		entries[i] = column->records.items[i].entry;
	column_index_build(entries, count, &buf);
	memory_free(entries);
	call->entries = (uint32_t)count;
	err = share(&buf, &call->index);
	buf_finish(&buf);
	return err;
}

enum err member_index(struct member *member, struct member_column *column,
		      struct set_index_call *call)
{
	const struct column_trailer *trailer = &column->trailer;
	struct env_file *file;
	struct shared *index;
	enum err err;

	if (!member_column_sealed(column)) {
		if (column->header.kind != COLUMN_MIRROR || column->log == NULL)
			return ERR_STALE;
		return build_index(column, call);
	}
	err = member_file(member, column, &file);
	if (err != ERR_OK)
		return err;
	index = shared_create((size_t)trailer->index_pages * COLUMN_INDEX_PAGE);
	if (index == NULL)
		return ERR_NOMEM;
	err = io_read_exact(file, trailer->index_offset, index->data, index->size);
	if (err == ERR_OK &&
	    !hash128_equal(hash_128(index->data, index->size), trailer->index_hash))
		err = ERR_CORRUPT;
	if (err != ERR_OK) {
		shared_release(&index);
		return err;
	}
	call->index = index;
	call->entries = trailer->index_entries;
	call->certificate = trailer->certificate;
	return ERR_OK;
}
