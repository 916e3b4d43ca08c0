/* SPDX-License-Identifier: MPL-2.0 */
/* The list of folders, subscribed names and parents; finding a folder by its name. */
#include "engine/mailbox/internal.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

static const struct bytes inbox_name = {(const uint8_t *)"INBOX", 5};

/* So that there is room for what tells twins apart. */
#define NAME_GIVEN_MAX (FOLDER_NAME_MAX - 16)

static int compare_names(const char *a, const char *b)
{
	bool a_inbox = !strcmp(a, "INBOX"), b_inbox = !strcmp(b, "INBOX");

	if (a_inbox != b_inbox)
		return a_inbox ? -1 : 1;
	return strcmp(a, b);
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

static enum err list_append(struct mailbox *mailbox, const struct folder_info *info)
{
	enum err err = ARRAY_GROW(mailbox->folder_list, mailbox->folder_list_capacity,
				  mailbox->folder_list_count);

	if (!err)
		mailbox->folder_list[mailbox->folder_list_count++] = *info;
	return err;
}

/* Names into one buffer first; pointers only when it has stopped growing: until then, offsets. */
static enum err list_name(struct mailbox *mailbox, struct bytes name, struct folder_info info)
{
	info.name = (const char *)(uintptr_t)mailbox->folder_names.size;
	buf_put_bytes(&mailbox->folder_names, name);
	buf_put_u8(&mailbox->folder_names, 0);
	return list_append(mailbox, &info);
}

static enum err list_folders(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++) {
		const struct folder *folder = mailbox->state.folders[i];

		err = list_name(mailbox, bytes_string(folder->name),
				(struct folder_info){
					.id = folder->id,
					.uidvalidity = folder->uidvalidity,
					.special_use = folder->special_use,
					.exists = true,
				});
	}
	return err;
}

/* Subscribed names, and the parents of what is there: they need not exist. */
static enum err list_other_names(struct mailbox *mailbox)
{
	size_t folders = mailbox->folder_list_count;
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.subscription_count && !err; i++) {
		const struct subscription *subscription = &mailbox->state.subscriptions[i];

		if (subscription->subscribed)
			err = list_name(mailbox, bytes_string(subscription->name),
					(struct folder_info){.subscribed = true});
	}
	for (size_t i = 0; i < folders && !err; i++) {
		struct bytes name = bytes_string(mailbox->state.folders[i]->name);

		for (size_t j = 1; j < name.size && !err; j++) {
			if (name.data[j] == '/')
				err = list_name(mailbox, bytes_slice(name, 0, j),
						(struct folder_info){.has_children = true});
		}
	}
	return err ? err : mailbox->folder_names.err;
}

static bool are_twins(const struct folder_info *a, const struct folder_info *b)
{
	return a->exists && b->exists && !strcmp(a->name, b->name);
}

/* The name is the first one's; if the next has its UIDVALIDITY, too, nobody's: they would be mixed up. */
static bool has_name_of_another(const struct mailbox *mailbox, size_t i)
{
	const struct folder_info *list = mailbox->folder_list;

	return (i && are_twins(&list[i], &list[i - 1])) ||
	       (i + 1 < mailbox->folder_list_count && are_twins(&list[i], &list[i + 1]) &&
		list[i].uidvalidity == list[i + 1].uidvalidity);
}

/* A second folder of one name is shown under another: nothing is hidden. */
static enum err name_twins(struct mailbox *mailbox)
{
	const struct folder_info *list = mailbox->folder_list;

	for (size_t i = 0; i < mailbox->folder_list_count; i++) {
		struct folder_info twin = list[i];
		struct buf name = {0};
		enum err err;

		if (!has_name_of_another(mailbox, i))
			continue;
		buf_put_string(&name, twin.name);
		buf_printf(&name, " (%02x%02x)", twin.id.octets[0], twin.id.octets[1]);
		err = name.err ? name.err
			       : folder_set_name(mailbox_folder_state(mailbox, twin.id),
						 bytes_of_buf(&name));
		buf_finish(&name);
		if (err)
			return err;
		mailbox->state.folders_version++;
	}
	return ERR_OK;
}

/* Equal names become one entry that has all their marks. */
static void merge_equal(struct mailbox *mailbox)
{
	struct folder_info *list = mailbox->folder_list;
	size_t kept = 0;

	for (size_t i = 0; i < mailbox->folder_list_count; i++) {
		if (kept && !list[i].exists && !strcmp(list[kept - 1].name, list[i].name)) {
			list[kept - 1].subscribed |= list[i].subscribed;
			list[kept - 1].has_children |= list[i].has_children;
			continue;
		}
		list[kept++] = list[i];
	}
	mailbox->folder_list_count = kept;
}

static enum err build_list(struct mailbox *mailbox)
{
	enum err err;

	mailbox->folder_list_count = 0;
	buf_clear(&mailbox->folder_names);
	err = list_folders(mailbox);
	if (!err)
		err = list_other_names(mailbox);
	if (err)
		return err;
	for (size_t i = 0; i < mailbox->folder_list_count; i++) {
		size_t offset = (size_t)(uintptr_t)mailbox->folder_list[i].name;

		mailbox->folder_list[i].name = (const char *)mailbox->folder_names.data + offset;
	}
	if (mailbox->folder_list_count)
		qsort(mailbox->folder_list, mailbox->folder_list_count,
		      sizeof(*mailbox->folder_list), compare_infos);
	return ERR_OK;
}

static enum err refresh_list(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	while (!err && mailbox->folder_list_version != mailbox->state.folders_version) {
		uint64_t version = mailbox->state.folders_version;

		err = build_list(mailbox);
		if (!err)
			err = name_twins(mailbox);
		if (err || version != mailbox->state.folders_version)
			continue;
		merge_equal(mailbox);
		mailbox->folder_list_version = version;
	}
	return err;
}

enum err mailbox_folders(struct mailbox *mailbox, const struct folder_info **folders, size_t *count)
{
	enum err err = refresh_list(mailbox);

	if (err)
		return err;
	*folders = mailbox->folder_list;
	*count = mailbox->folder_list_count;
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
	return ERR_OK;
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
	high = mailbox->folder_list_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order =
			compare_names(mailbox->folder_list[middle].name, (const char *)wanted.data);

		if (!order) {
			found = &mailbox->folder_list[middle];
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
