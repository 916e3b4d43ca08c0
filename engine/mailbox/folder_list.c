/* SPDX-License-Identifier: MPL-2.0 */
/* The list of folders, subscribed names and parents; finding a folder by its name. */
#include "engine/mailbox/internal.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

static const struct bytes inbox_name = {(const uint8_t *)"INBOX", 5};

/* So that there is room for what tells twins apart. */
#define NAME_GIVEN_MAX (FOLDER_NAME_MAX - 16)

/* Made anew as a whole; the mailbox has a reference on the newest. */
struct listing {
	struct folder_list list; /* first; of `items` */
	size_t references;
	struct folder_info *items;
	size_t capacity;
	struct arena names;
};

static void listing_release(struct listing **listing)
{
	struct listing *released = *listing;

	*listing = NULL;
	if (!released || --released->references)
		return;
	memory_free(released->items);
	arena_finish(&released->names);
	memory_free(released);
}

void folder_list_release(struct folder_list **list)
{
	struct listing *listing = (struct listing *)*list;

	*list = NULL;
	listing_release(&listing);
}

/* ---- the order ---- */

static bool is_inbox_or_below(const char *name)
{
	return !strncmp(name, "INBOX", inbox_name.size) &&
	       (name[inbox_name.size] == '\0' || name[inbox_name.size] == '/');
}

/* The separator is before every other octet, so that what is below a name follows it at once. */
static unsigned rank(char octet)
{
	return octet == '/' ? 1 : (uint8_t)octet;
}

static int compare_names(const char *a, const char *b)
{
	bool a_inbox = is_inbox_or_below(a), b_inbox = is_inbox_or_below(b);

	if (a_inbox != b_inbox)
		return a_inbox ? -1 : 1;
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return rank(*a) < rank(*b) ? -1 : rank(*a) > rank(*b);
}

static int compare_infos(const void *a, const void *b)
{
	const struct folder_info *left = a, *right = b;
	int order = compare_names(left->name, right->name);

	if (order)
		return order;
	if (left->exists != right->exists)
		return left->exists ? -1 : 1;
	/*
	 * Two folders that two homes gave one name: the same one is first everywhere, and of the
	 * greatest UIDVALIDITY, so that the name never shows a lower one when its twin appears.
	 */
	if (left->uidvalidity != right->uidvalidity)
		return left->uidvalidity > right->uidvalidity ? -1 : 1;
	return id128_compare(left->id, right->id);
}

static bool are_twins(const struct folder_info *a, const struct folder_info *b)
{
	return a->exists && b->exists && !strcmp(a->name, b->name);
}

/* The name is the first one's; if the next has its UIDVALIDITY, too, nobody's: they would be mixed up. */
static bool has_name_of_another(const struct folder_list *list, size_t i)
{
	const struct folder_info *items = list->items;

	return (i && are_twins(&items[i], &items[i - 1])) ||
	       (i + 1 < list->count && are_twins(&items[i], &items[i + 1]) &&
		items[i].uidvalidity == items[i + 1].uidvalidity);
}

/* A second folder of one name is shown under another: nothing is hidden. */
static enum err name_twins(struct mailbox *mailbox, const struct folder_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct folder_info *twin = &list->items[i];
		struct buf name = {0};
		enum err err;

		if (!has_name_of_another(list, i))
			continue;
		buf_put_string(&name, twin->name);
		buf_printf(&name, " (%02x%02x)", twin->id.octets[0], twin->id.octets[1]);
		err = name.err ? name.err
			       : folder_set_name(mailbox_folder_state(mailbox, twin->id),
						 bytes_of_buf(&name));
		buf_finish(&name);
		if (err)
			return err;
		mailbox->state.folders_version++;
	}
	return ERR_OK;
}

/* ---- making the list ---- */

static enum err list_name(struct listing *listing, struct bytes name, struct folder_info info)
{
	enum err err = ARRAY_GROW(listing->items, listing->capacity, listing->list.count);

	if (err)
		return err;
	info.name = (const char *)arena_copy(&listing->names, name).data;
	if (!info.name)
		return ERR_NOMEM;
	listing->items[listing->list.count++] = info;
	listing->list.items = listing->items;
	return ERR_OK;
}

static void sort(struct listing *listing)
{
	if (listing->list.count)
		qsort(listing->items, listing->list.count, sizeof(*listing->items), compare_infos);
}

static enum err list_folders(const struct account_state *state, struct listing *listing)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < state->folder_count && !err; i++) {
		const struct folder *folder = state->folders[i];

		err = list_name(listing, bytes_string(folder->name),
				(struct folder_info){
					.id = folder->id,
					.uidvalidity = folder->uidvalidity,
					.special_use = folder->special_use,
					.exists = true,
				});
	}
	sort(listing);
	return err;
}

static bool starts_alike(struct bytes a, struct bytes b, size_t size)
{
	return a.size >= size && b.size >= size && !memcmp(a.data, b.data, size);
}

/*
 * The parents of what is there: they need not exist. What is below a parent follows it and each
 * other, so one that the last name has as well is there already.
 */
static enum err list_parents(struct listing *listing)
{
	size_t folders = listing->list.count;
	struct bytes last = {0};
	enum err err = ERR_OK;

	for (size_t i = 0; i < folders && !err; i++) {
		struct bytes name = bytes_string(listing->items[i].name);

		for (size_t j = 1; j < name.size && !err; j++) {
			if (name.data[j] == '/' && !starts_alike(name, last, j + 1))
				err = list_name(listing, bytes_slice(name, 0, j),
						(struct folder_info){.has_children = true});
		}
		last = name;
	}
	return err;
}

static enum err list_subscribed(const struct account_state *state, struct listing *listing)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < state->subscription_count && !err; i++) {
		const struct subscription *subscription = &state->subscriptions[i];

		if (subscription->subscribed)
			err = list_name(listing, bytes_string(subscription->name),
					(struct folder_info){.subscribed = true});
	}
	return err;
}

/* Equal names become one entry that has all their marks. */
static void merge_equal(struct listing *listing)
{
	struct folder_info *items = listing->items;
	size_t kept = 0;

	for (size_t i = 0; i < listing->list.count; i++) {
		if (kept && !items[i].exists && !strcmp(items[kept - 1].name, items[i].name)) {
			items[kept - 1].subscribed |= items[i].subscribed;
			items[kept - 1].has_children |= items[i].has_children;
			continue;
		}
		items[kept++] = items[i];
	}
	listing->list.count = kept;
}

/* *twins: some got other names, so that it has to be made once more. */
static enum err make_listing(struct mailbox *mailbox, struct listing *listing, bool *twins)
{
	uint64_t version = mailbox->state.folders_version;
	enum err err = list_folders(&mailbox->state, listing);

	if (!err)
		err = name_twins(mailbox, &listing->list);
	*twins = version != mailbox->state.folders_version;
	if (err || *twins)
		return err;
	err = list_parents(listing);
	if (!err)
		err = list_subscribed(&mailbox->state, listing);
	if (err)
		return err;
	sort(listing);
	merge_equal(listing);
	return ERR_OK;
}

static enum err refresh_list(struct mailbox *mailbox)
{
	while (!mailbox->listing || mailbox->listing_version != mailbox->state.folders_version) {
		struct listing *listing = memory_allocate(sizeof(*listing));
		bool twins;
		enum err err;

		if (!listing)
			return ERR_NOMEM;
		listing->references = 1;
		err = make_listing(mailbox, listing, &twins);
		if (err || twins) {
			listing_release(&listing);
			if (err)
				return err;
			continue;
		}
		listing_release(&mailbox->listing);
		mailbox->listing = listing;
		mailbox->listing_version = mailbox->state.folders_version;
	}
	return ERR_OK;
}

void mailbox_forget_list(struct mailbox *mailbox)
{
	listing_release(&mailbox->listing);
}

enum err mailbox_folders(struct mailbox *mailbox, const struct folder_info **folders, size_t *count)
{
	enum err err = refresh_list(mailbox);

	if (err)
		return err;
	*folders = mailbox->listing->items;
	*count = mailbox->listing->list.count;
	return ERR_OK;
}

enum err mailbox_folder_list(struct mailbox *mailbox, struct folder_list **out)
{
	enum err err = refresh_list(mailbox);

	if (err)
		return err;
	mailbox->listing->references++;
	*out = &mailbox->listing->list;
	return ERR_OK;
}

/* ---- names ---- */

/* "inbox" and "inbox/x" in any case are INBOX's. */
static void put_name(struct bytes name, struct buf *out)
{
	struct bytes first = bytes_slice(name, 0, inbox_name.size);

	if (bytes_equal_nocase(first, inbox_name) &&
	    (name.size == inbox_name.size || name.data[inbox_name.size] == '/')) {
		buf_put_bytes(out, inbox_name);
		name = bytes_slice(name, inbox_name.size, SIZE_MAX);
	}
	buf_put_bytes(out, name);
}

size_t mailbox_name_levels(struct bytes name)
{
	size_t levels = 1;

	for (size_t i = 0; i < name.size; i++)
		levels += name.data[i] == '/';
	return levels;
}

enum err mailbox_check_name(struct bytes name)
{
	if (!name.size || name.size > NAME_GIVEN_MAX)
		return ERR_INVALID;
	if (name.data[0] == '/' || name.data[name.size - 1] == '/')
		return ERR_INVALID;
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] < 0x20 || name.data[i] == 0x7f)
			return ERR_INVALID;
		if (i && name.data[i] == '/' && name.data[i - 1] == '/')
			return ERR_INVALID;
	}
	return mailbox_name_levels(name) > LEVELS_MAX ? ERR_LIMIT : ERR_OK;
}

enum err mailbox_normal_name(struct bytes name, struct buf *out)
{
	enum err err = mailbox_check_name(name);

	if (!err)
		put_name(name, out);
	return err ? err : out->err;
}

static const struct folder_info *find_info(struct mailbox *mailbox, struct bytes name)
{
	size_t low = 0, high;
	struct buf wanted = {0};
	const struct folder_info *found = NULL;

	put_name(name, &wanted);
	buf_put_u8(&wanted, 0);
	if (wanted.err || refresh_list(mailbox) || memchr(name.data, 0, name.size))
		goto out;
	high = mailbox->listing->list.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_names(mailbox->listing->items[middle].name,
					  (const char *)wanted.data);

		if (!order) {
			found = &mailbox->listing->items[middle];
			break;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
out:
	buf_finish(&wanted);
	return found;
}

enum err mailbox_folder(struct mailbox *mailbox, struct bytes name, struct folder_info *out)
{
	const struct folder_info *info = name.size ? find_info(mailbox, name) : NULL;

	if (!info)
		return ERR_NOTFOUND;
	*out = *info;
	return ERR_OK;
}

struct folder *mailbox_folder_named(struct mailbox *mailbox, struct bytes name)
{
	const struct folder_info *info = name.size ? find_info(mailbox, name) : NULL;

	return info && info->exists ? mailbox_folder_state(mailbox, info->id) : NULL;
}
