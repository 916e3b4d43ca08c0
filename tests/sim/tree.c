/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/tree.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

/* One atomic change of names: a name goes, a name comes, or (rename) both. */
struct sim_tree_change {
	struct sim_inode *from, *to; /* directories; NULL: no such side */
	char *from_name, *to_name;
	struct sim_inode *inode;
};

/* ---- entries ---- */

/* The index of the name, or where it would go. */
static size_t entries_find(const struct sim_entries *entries, const char *name, bool *found)
{
	size_t low = 0, high = entries->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(entries->items[middle].name, name);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct sim_inode *entries_get(const struct sim_entries *entries, const char *name)
{
	bool found;
	size_t at = entries_find(entries, name, &found);

	return found ? entries->items[at].inode : NULL;
}

static void entries_set(struct sim_entries *entries, const char *name, struct sim_inode *inode)
{
	bool found;
	size_t at = entries_find(entries, name, &found);

	if (!found) {
		entries->items = sim_grow(entries->items, entries->count, &entries->capacity,
					  sizeof(*entries->items));
		memmove(entries->items + at + 1, entries->items + at,
			(entries->count - at) * sizeof(*entries->items));
		entries->items[at].name = sim_copy_string(name);
		entries->count++;
	}
	entries->items[at].inode = inode;
}

static void entries_remove_at(struct sim_entries *entries, size_t at)
{
	sim_free(entries->items[at].name);
	entries->count--;
	memmove(entries->items + at, entries->items + at + 1,
		(entries->count - at) * sizeof(*entries->items));
}

static void entries_remove(struct sim_entries *entries, const char *name)
{
	bool found;
	size_t at = entries_find(entries, name, &found);

	if (found)
		entries_remove_at(entries, at);
}

static void entries_remove_inode(struct sim_entries *entries, const struct sim_inode *inode)
{
	for (size_t i = entries->count; i-- > 0;) {
		if (entries->items[i].inode == inode)
			entries_remove_at(entries, i);
	}
}

static void entries_clear(struct sim_entries *entries)
{
	while (entries->count != 0)
		entries_remove_at(entries, entries->count - 1);
}

static void entries_assign(struct sim_entries *entries, const struct sim_entries *from)
{
	entries_clear(entries);
	for (size_t i = 0; i < from->count; i++)
		entries_set(entries, from->items[i].name, from->items[i].inode);
}

/* ---- changes ---- */

static void change_finish(struct sim_tree_change *change)
{
	sim_free(change->from_name);
	sim_free(change->to_name);
}

static void change_add(struct sim_tree *tree, struct sim_inode *inode, struct sim_inode *from,
		       const char *from_name, struct sim_inode *to, const char *to_name)
{
	tree->changes = sim_grow(tree->changes, tree->change_count, &tree->change_capacity,
				 sizeof(*tree->changes));
	tree->changes[tree->change_count++] = (struct sim_tree_change){
		.from = from,
		.to = to,
		.from_name = from != NULL ? sim_copy_string(from_name) : NULL,
		.to_name = to != NULL ? sim_copy_string(to_name) : NULL,
		.inode = inode};
}

static void change_apply(struct sim_tree *tree, const struct sim_tree_change *change)
{
	/* Earlier renames may have been lost: wherever the disk has the inode, it leaves. */
	for (struct sim_inode *dir = tree->inodes; change->from != NULL && dir != NULL;
	     dir = dir->next)
		entries_remove_inode(&dir->durable, change->inode);
	if (change->to != NULL)
		entries_set(&change->to->durable, change->to_name, change->inode);
}

static bool same_name(const struct sim_inode *a, const char *a_name, const struct sim_inode *b,
		      const char *b_name)
{
	return a != NULL && a == b && strcmp(a_name, b_name) == 0;
}

static bool change_depends(const struct sim_tree_change *later,
			   const struct sim_tree_change *earlier)
{
	return later->inode == earlier->inode ||
	       same_name(later->from, later->from_name, earlier->from, earlier->from_name) ||
	       same_name(later->from, later->from_name, earlier->to, earlier->to_name) ||
	       same_name(later->to, later->to_name, earlier->from, earlier->from_name) ||
	       same_name(later->to, later->to_name, earlier->to, earlier->to_name);
}

/* Applies those that touch the directory, and what these depend on, in their order. */
static void changes_make_durable(struct sim_tree *tree, const struct sim_inode *directory)
{
	bool *needed = sim_allocate(tree->change_count * sizeof(bool));
	size_t left = 0;

	for (size_t i = tree->change_count; i-- > 0;) {
		const struct sim_tree_change *change = &tree->changes[i];

		needed[i] = change->from == directory || change->to == directory;
		for (size_t j = i + 1; j < tree->change_count && !needed[i]; j++)
			needed[i] = needed[j] && change_depends(&tree->changes[j], change);
	}
	for (size_t i = 0; i < tree->change_count; i++) {
		if (needed[i]) {
			change_apply(tree, &tree->changes[i]);
			change_finish(&tree->changes[i]);
		} else {
			tree->changes[left++] = tree->changes[i];
		}
	}
	tree->change_count = left;
	sim_free(needed);
}

static void changes_clear(struct sim_tree *tree)
{
	for (size_t i = 0; i < tree->change_count; i++)
		change_finish(&tree->changes[i]);
	tree->change_count = 0;
}

/* ---- inodes ---- */

static struct sim_inode *inode_add(struct sim_tree *tree, struct sim_disk *disk, bool is_directory)
{
	struct sim_inode *inode = sim_inode_create(disk, tree->next_number++, is_directory);

	inode->link_count = 1;
	inode->next = tree->inodes;
	tree->inodes = inode;
	return inode;
}

static void mark(struct sim_inode *inode)
{
	if (inode->reachable)
		return;
	inode->reachable = true;
	for (size_t i = 0; i < inode->live.count; i++)
		mark(inode->live.items[i].inode);
	for (size_t i = 0; i < inode->durable.count; i++)
		mark(inode->durable.items[i].inode);
}

/* Frees what no name, no handle and no crash could bring back. */
static void collect(struct sim_tree *tree)
{
	struct sim_inode **link = &tree->inodes;

	for (struct sim_inode *inode = tree->inodes; inode != NULL; inode = inode->next)
		inode->reachable = false;
	mark(tree->root);
	for (size_t i = 0; i < tree->change_count; i++) {
		mark(tree->changes[i].inode);
		if (tree->changes[i].from != NULL)
			mark(tree->changes[i].from);
		if (tree->changes[i].to != NULL)
			mark(tree->changes[i].to);
	}
	for (struct sim_inode *inode = tree->inodes; inode != NULL; inode = inode->next) {
		if (inode->handle_count != 0)
			mark(inode);
	}
	while (*link != NULL) {
		struct sim_inode *inode = *link;

		if (inode->reachable) {
			link = &inode->next;
			continue;
		}
		*link = inode->next;
		entries_clear(&inode->live);
		entries_clear(&inode->durable);
		sim_inode_destroy(inode);
	}
}

/* A name of it is gone: its blocks are free once nobody has it open. */
static void release_blocks(struct sim_inode *inode)
{
	if (inode->link_count == 0 && inode->handle_count == 0)
		sim_inode_set_charged(inode, false);
}

/* ---- paths ---- */

struct place {
	struct sim_inode *directory; /* of the last component */
	struct sim_inode *inode;     /* NULL: nothing there */
	char name[NAME_MAX + 1];     /* empty: the root itself */
};

static enum err resolve(struct sim_tree *tree, const char *path, struct place *out)
{
	struct sim_inode *inode = tree->root, *directory = tree->root;

	out->name[0] = '\0';
	for (;;) {
		size_t size;

		path += strspn(path, "/");
		size = strcspn(path, "/");
		if (size == 0)
			break;
		if (size > NAME_MAX)
			return err_from_errno(ENAMETOOLONG);
		if (inode == NULL)
			return err_from_errno(ENOENT);
		if (!inode->is_directory)
			return err_from_errno(ENOTDIR);
		memcpy(out->name, path, size);
		out->name[size] = '\0';
		directory = inode;
		inode = entries_get(&directory->live, out->name);
		path += size;
	}
	out->directory = directory;
	out->inode = inode;
	return ERR_OK;
}

enum err sim_tree_find(struct sim_tree *tree, const char *path, struct sim_inode **out)
{
	struct place place;
	enum err err = resolve(tree, path, &place);

	if (err != ERR_OK)
		return err;
	if (place.inode == NULL)
		return err_from_errno(ENOENT);
	*out = place.inode;
	return ERR_OK;
}

static enum err find_directory(struct sim_tree *tree, const char *path, struct sim_inode **out)
{
	struct sim_inode *inode = NULL;
	enum err err = sim_tree_find(tree, path, &inode);

	if (err != ERR_OK)
		return err;
	if (!inode->is_directory)
		return err_from_errno(ENOTDIR);
	*out = inode;
	return ERR_OK;
}

/* ---- life ---- */

static struct sim_disk *disk_add(struct sim_tree *tree, const char *path, uint64_t device,
				 const struct sim_disk_options *options)
{
	struct sim_disk *disk = sim_disk_create(path, device, options);

	tree->disks = sim_grow(tree->disks, tree->disk_count, &tree->disk_capacity,
			       sizeof(struct sim_disk *));
	tree->disks[tree->disk_count++] = disk;
	return disk;
}

void sim_tree_init(struct sim_tree *tree, uint64_t first_device,
		   const struct sim_disk_options *root_options)
{
	*tree = (struct sim_tree){.next_number = 1};
	tree->root = inode_add(tree, disk_add(tree, "/", first_device, root_options), true);
}

void sim_tree_finish(struct sim_tree *tree)
{
	changes_clear(tree);
	while (tree->inodes != NULL) {
		struct sim_inode *inode = tree->inodes;

		ASSERT(inode->handle_count == 0);
		tree->inodes = inode->next;
		entries_clear(&inode->live);
		entries_clear(&inode->durable);
		sim_inode_destroy(inode);
	}
	for (size_t i = 0; i < tree->disk_count; i++)
		sim_disk_destroy(tree->disks[i]);
	sim_free(tree->disks);
	sim_free(tree->changes);
}

/* Makes what is missing of the path, durably; its end belongs to the disk. */
static void mount(struct sim_tree *tree, const char *path, struct sim_disk *disk)
{
	struct sim_inode *directory = tree->root;

	while (*(path += strspn(path, "/")) != '\0') {
		size_t size = strcspn(path, "/");
		char name[NAME_MAX + 1];
		struct sim_inode *inode;

		ASSERT(size <= NAME_MAX);
		memcpy(name, path, size);
		name[size] = '\0';
		inode = entries_get(&directory->live, name);
		if (inode == NULL) {
			inode = inode_add(tree, directory->disk, true);
			entries_set(&directory->live, name, inode);
			entries_set(&directory->durable, name, inode);
		}
		ASSERT(inode->is_directory);
		directory = inode;
		path += size;
	}
	directory->disk = disk;
}

struct sim_disk *sim_tree_add_disk(struct sim_tree *tree, const char *path,
				   const struct sim_disk_options *options)
{
	struct sim_disk *disk =
		disk_add(tree, path, tree->disks[0]->device + tree->disk_count, options);

	mount(tree, path, disk);
	return disk;
}

void sim_tree_replace_disk(struct sim_tree *tree, struct sim_disk *disk)
{
	mount(tree, disk->path, disk);
}

static bool is_below(const char *path, const char *prefix)
{
	for (;;) {
		size_t path_size, prefix_size;

		path += strspn(path, "/");
		prefix += strspn(prefix, "/");
		path_size = strcspn(path, "/");
		prefix_size = strcspn(prefix, "/");
		if (prefix_size == 0)
			return true;
		if (path_size != prefix_size || memcmp(path, prefix, path_size) != 0)
			return false;
		path += path_size;
		prefix += prefix_size;
	}
}

struct sim_disk *sim_tree_disk_of(const struct sim_tree *tree, const char *path)
{
	struct sim_disk *best = tree->disks[0];

	for (size_t i = 1; i < tree->disk_count; i++) {
		if (is_below(path, tree->disks[i]->path) &&
		    is_below(tree->disks[i]->path, best->path))
			best = tree->disks[i];
	}
	return best;
}

/* ---- operations ---- */

enum err sim_tree_open(struct sim_tree *tree, const char *path, unsigned flags, const void *holder,
		       struct sim_inode **out)
{
	struct place place;
	struct sim_inode *inode;
	enum err err = resolve(tree, path, &place);

	if (err != ERR_OK)
		return err;
	inode = place.inode;
	if (inode == NULL && (flags & ENV_OPEN_CREATE) == 0)
		return err_from_errno(ENOENT);
	if (inode != NULL && (flags & ENV_OPEN_CREATE) != 0 && (flags & ENV_OPEN_EXCLUSIVE) != 0)
		return err_from_errno(EEXIST);
	if (inode != NULL && inode->is_directory)
		return err_from_errno(EISDIR);
	if (inode == NULL) {
		inode = inode_add(tree, place.directory->disk, false);
		entries_set(&place.directory->live, place.name, inode);
		change_add(tree, inode, NULL, NULL, place.directory, place.name);
	}
	if ((flags & ENV_OPEN_LOCK) != 0) {
		if (inode->lock != NULL)
			return ERR_UNAVAILABLE;
		inode->lock = holder;
	}
	inode->handle_count++;
	*out = inode;
	return ERR_OK;
}

void sim_tree_close(struct sim_tree *tree, struct sim_inode *inode, const void *holder)
{
	ASSERT(inode->handle_count != 0);
	inode->handle_count--;
	if (inode->lock == holder)
		inode->lock = NULL;
	release_blocks(inode);
	if (inode->link_count == 0 && inode->handle_count == 0)
		collect(tree);
}

enum err sim_tree_sync_directory(struct sim_tree *tree, const char *path)
{
	struct sim_inode *directory = NULL;
	enum err err = find_directory(tree, path, &directory);

	if (err != ERR_OK)
		return err;
	changes_make_durable(tree, directory);
	collect(tree);
	return ERR_OK;
}

enum err sim_tree_make_directory(struct sim_tree *tree, const char *path)
{
	struct place place;
	struct sim_inode *inode;
	enum err err = resolve(tree, path, &place);

	if (err != ERR_OK)
		return err;
	if (place.inode != NULL)
		return err_from_errno(EEXIST);
	inode = inode_add(tree, place.directory->disk, true);
	entries_set(&place.directory->live, place.name, inode);
	change_add(tree, inode, NULL, NULL, place.directory, place.name);
	return ERR_OK;
}

/* As rename(2) says of what may replace what. */
static enum err may_replace(const struct sim_inode *inode, const struct sim_inode *target)
{
	if (inode->is_directory && !target->is_directory)
		return err_from_errno(ENOTDIR);
	if (!inode->is_directory && target->is_directory)
		return err_from_errno(EISDIR);
	if (target->is_directory && target->live.count != 0)
		return err_from_errno(ENOTEMPTY);
	return ERR_OK;
}

enum err sim_tree_rename(struct sim_tree *tree, const char *path, const char *to_path)
{
	struct place from, to;
	enum err err = resolve(tree, path, &from);

	if (err == ERR_OK)
		err = resolve(tree, to_path, &to);
	if (err != ERR_OK)
		return err;
	if (from.inode == NULL)
		return err_from_errno(ENOENT);
	if (from.inode == to.inode)
		return ERR_OK;
	if (from.inode->disk != to.directory->disk)
		return err_from_errno(EXDEV);
	if (is_below(to_path, path))
		return err_from_errno(EINVAL);
	if (to.inode != NULL) {
		err = may_replace(from.inode, to.inode);
		if (err != ERR_OK)
			return err;
		to.inode->link_count = 0;
		release_blocks(to.inode);
	}
	entries_remove(&from.directory->live, from.name);
	entries_set(&to.directory->live, to.name, from.inode);
	change_add(tree, from.inode, from.directory, from.name, to.directory, to.name);
	return ERR_OK;
}

enum err sim_tree_unlink(struct sim_tree *tree, const char *path)
{
	struct place place;
	enum err err = resolve(tree, path, &place);

	if (err != ERR_OK)
		return err;
	if (place.inode == NULL)
		return err_from_errno(ENOENT);
	if (place.inode->is_directory)
		return err_from_errno(EISDIR);
	entries_remove(&place.directory->live, place.name);
	change_add(tree, place.inode, place.directory, place.name, NULL, NULL);
	place.inode->link_count = 0;
	release_blocks(place.inode);
	return ERR_OK;
}

enum err sim_tree_list(struct sim_tree *tree, const char *path, struct buf *names)
{
	struct sim_inode *directory = NULL;
	enum err err = find_directory(tree, path, &directory);

	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < directory->live.count; i++) {
		const char *name = directory->live.items[i].name;

		buf_put(names, name, strlen(name) + 1);
	}
	return names->err;
}

/* ---- loss ---- */

static void unlink_below(struct sim_inode *inode)
{
	inode->link_count = 0;
	for (size_t i = 0; i < inode->live.count; i++)
		unlink_below(inode->live.items[i].inode);
	entries_clear(&inode->live);
	entries_clear(&inode->durable);
	release_blocks(inode);
}

enum err sim_tree_remove_all(struct sim_tree *tree, const char *path)
{
	struct place place;
	enum err err = resolve(tree, path, &place);

	if (err != ERR_OK)
		return err;
	if (place.inode == NULL)
		return err_from_errno(ENOENT);
	ASSERT(place.inode != tree->root);
	changes_make_durable(tree, place.directory);
	entries_remove(&place.directory->live, place.name);
	entries_remove(&place.directory->durable, place.name);
	unlink_below(place.inode);
	collect(tree);
	return ERR_OK;
}

struct sim_inode *sim_tree_pick_file(struct sim_tree *tree, const struct sim_disk *disk,
				     struct sim_random *random)
{
	uint64_t total = 0, chosen;

	for (struct sim_inode *inode = tree->inodes; inode != NULL; inode = inode->next) {
		if (inode->disk == disk)
			total += sim_inode_durable_pages(inode);
	}
	chosen = sim_random_below(random, total);
	for (struct sim_inode *inode = tree->inodes; inode != NULL; inode = inode->next) {
		uint64_t pages = inode->disk == disk ? sim_inode_durable_pages(inode) : 0;

		if (chosen < pages)
			return inode;
		chosen -= pages;
	}
	return NULL;
}

static void crash_changes(struct sim_tree *tree, enum sim_crash_outcome outcome,
			  struct sim_random *random)
{
	bool in_order = sim_random_below(random, 2) == 0;
	size_t first = (size_t)sim_random_below(random, tree->change_count + 1);

	for (size_t i = 0; i < tree->change_count; i++) {
		bool kept = in_order ? i < first : sim_random_below(random, 2) == 0;

		if (outcome == SIM_CRASH_KEEP_ALL || (outcome == SIM_CRASH_RANDOM && kept))
			change_apply(tree, &tree->changes[i]);
	}
	changes_clear(tree);
}

void sim_tree_crash(struct sim_tree *tree, enum sim_crash_outcome outcome,
		    struct sim_random *random)
{
	crash_changes(tree, outcome, random);
	for (struct sim_inode *inode = tree->inodes; inode != NULL; inode = inode->next) {
		ASSERT(inode->handle_count == 0);
		inode->lock = NULL;
		entries_assign(&inode->live, &inode->durable);
		if (!inode->is_directory)
			sim_inode_crash(inode, outcome, random);
	}
	collect(tree);
	for (struct sim_inode *inode = tree->inodes; inode != NULL; inode = inode->next) {
		inode->link_count = 1;
		sim_inode_set_charged(inode, true);
	}
}
