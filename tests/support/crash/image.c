/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/crash/image.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

#define PATH_SIZE 320u

/* ---- names ---- */

static struct image_entry *find(const struct image *image, const char *path)
{
	for (size_t i = 0; i < image->entry_count; i++) {
		if (strcmp(image->entries[i].path, path) == 0)
			return &image->entries[i];
	}
	return NULL;
}

static void drop_name(struct image *image, const char *path)
{
	struct image_entry *entry = find(image, path);

	if (entry != NULL)
		*entry = image->entries[--image->entry_count];
}

static void put_name(struct image *image, const char *path, uint32_t file, bool is_directory)
{
	drop_name(image, path);
	image->entries = sim_grow(image->entries, image->entry_count, &image->entry_capacity,
				  sizeof(*image->entries));
	image->entries[image->entry_count++] = (struct image_entry){path, file, is_directory};
}

/* The record does not name the disks, so what lies at the top is always there. */
static bool is_reachable(const struct image *image, const char *path)
{
	char parent[PATH_SIZE];
	char *slash;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	while ((slash = strrchr(parent, '/')) != NULL) {
		*slash = '\0';
		if (strchr(parent, '/') == strrchr(parent, '/'))
			return true;
		if (find(image, parent) == NULL)
			return false;
	}
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	const struct image_entry *left = a, *right = b;

	return strcmp(left->path, right->path);
}

static void keep_reachable(struct image *image)
{
	size_t i = 0;

	while (i < image->entry_count) {
		if (is_reachable(image, image->entries[i].path)) {
			i++;
		} else {
			image->entries[i] = image->entries[--image->entry_count];
			i = 0;
		}
	}
	if (image->entry_count != 0)
		qsort(image->entries, image->entry_count, sizeof(*image->entries), compare_entries);
}

void image_remove(struct image *image, const char *path)
{
	size_t size = strlen(path), kept = 0;

	for (size_t i = 0; i < image->entry_count; i++) {
		const char *each = image->entries[i].path;

		if (strncmp(each, path, size) != 0 || (each[size] != '\0' && each[size] != '/'))
			image->entries[kept++] = image->entries[i];
	}
	image->entry_count = kept;
}

/* ---- bytes ---- */

static void set_size(struct image_content *content, uint64_t size)
{
	if (size > content->capacity) {
		content->capacity = size * 2;
		content->data = sim_resize(content->data, content->capacity);
	}
	if (size > content->size)
		memset(content->data + content->size, 0, size - content->size);
	content->size = size;
}

static void write_range(struct image_content *content, const struct effect *effect,
			struct fate fate)
{
	uint64_t from = 0, to = effect->size;

	if (fate.kind == FATE_HEAD && fate.size < to)
		to = fate.size;
	if (fate.kind == FATE_TAIL)
		from = fate.size < to ? fate.size : to;
	if (fate.kind == FATE_ZEROS)
		from = to;
	if (content->size < effect->offset + to)
		set_size(content, effect->offset + to);
	if (to > from)
		memcpy(content->data + effect->offset + from, effect->data + from, to - from);
}

static void apply(struct image *image, const struct effect *effect, struct fate fate)
{
	switch (effect->kind) {
	case EFFECT_CREATE:
		put_name(image, effect->path, effect->file, false);
		break;
	case EFFECT_MAKE_DIRECTORY:
		put_name(image, effect->path, 0, true);
		break;
	case EFFECT_RENAME:
		drop_name(image, effect->path);
		put_name(image, effect->to_path, effect->file, false);
		break;
	case EFFECT_UNLINK:
		drop_name(image, effect->path);
		break;
	case EFFECT_WRITE:
		write_range(&image->contents[effect->file], effect, fate);
		break;
	case EFFECT_TRUNCATE:
		set_size(&image->contents[effect->file], effect->size);
		break;
	}
}

void image_build(struct image *image, const struct recorder *recorder, uint64_t cut,
		 const struct fate *fates)
{
	if (image->content_count < recorder->file_count) {
		image->contents = sim_resize(image->contents,
					     recorder->file_count * sizeof(*image->contents));
		memset(image->contents + image->content_count, 0,
		       (recorder->file_count - image->content_count) * sizeof(*image->contents));
		image->content_count = recorder->file_count;
	}
	image->entry_count = 0;
	for (size_t i = 0; i < image->content_count; i++)
		image->contents[i].size = 0;
	for (size_t i = 0; i < recorder->effect_count; i++) {
		const struct effect *effect = &recorder->effects[i];

		if (effect->posted <= cut && effect->withdrawn > cut &&
		    fates[i].kind != FATE_DROPPED)
			apply(image, effect, fates[i]);
	}
	keep_reachable(image);
}

void image_finish(struct image *image)
{
	for (size_t i = 0; i < image->content_count; i++)
		sim_free(image->contents[i].data);
	sim_free(image->contents);
	sim_free(image->entries);
	*image = (struct image){0};
}

static struct bytes content_of(const struct image *image, const struct image_entry *entry)
{
	const struct image_content *content = &image->contents[entry->file];

	return entry->is_directory ? bytes_make("", 0) : bytes_make(content->data, content->size);
}

struct hash128 image_hash(const struct image *image)
{
	struct buf sums = {0};
	struct hash128 hash;

	for (size_t i = 0; i < image->entry_count; i++) {
		struct bytes content = content_of(image, &image->entries[i]);

		buf_put_string(&sums, image->entries[i].path);
		buf_put_u8(&sums, image->entries[i].is_directory);
		buf_put_u64(&sums, content.size);
		buf_put_hash128(&sums, hash_128(content.data, content.size));
	}
	ASSERT(sums.err == ERR_OK);
	hash = hash_128(sums.data, sums.size);
	buf_finish(&sums);
	return hash;
}

/* ---- putting it somewhere ---- */

static void put_sim_file(struct sim_tree *tree, const char *path, struct bytes content)
{
	struct sim_inode *inode = NULL;
	enum err err = sim_tree_open(tree, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, tree, &inode);

	ASSERT(err == ERR_OK);
	if (content.size != 0)
		err = sim_inode_write(inode, 0, content);
	ASSERT(err == ERR_OK);
	sim_inode_sync(inode);
	sim_tree_close(tree, inode, tree);
}

static void sync_parent(struct sim_tree *tree, const char *path)
{
	char parent[PATH_SIZE];
	enum err err;

	(void)snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	err = sim_tree_sync_directory(tree, parent);
	ASSERT(err == ERR_OK);
}

void image_put_sim(const struct image *image, struct sim_node *node)
{
	for (size_t i = 0; i < image->entry_count; i++) {
		const struct image_entry *entry = &image->entries[i];

		if (entry->is_directory) {
			enum err err = sim_tree_make_directory(&node->tree, entry->path);

			ASSERT(err == ERR_OK);
		} else {
			put_sim_file(&node->tree, entry->path, content_of(image, entry));
		}
		sync_parent(&node->tree, entry->path);
	}
}

void image_put_real(const struct image *image, const char *directory)
{
	for (size_t i = 0; i < image->entry_count; i++) {
		const struct image_entry *entry = &image->entries[i];
		struct bytes content = content_of(image, entry);
		char path[PATH_SIZE];
		FILE *file;

		(void)snprintf(path, sizeof(path), "%s%s", directory, entry->path);
		if (entry->is_directory) {
			ASSERT(mkdir(path, 0700) == 0);
			continue;
		}
		file = fopen(path, "wb");
		ASSERT(file != NULL);
		ASSERT(content.size == 0 || fwrite(content.data, content.size, 1, file) == 1);
		ASSERT(fclose(file) == 0);
	}
}

/* ---- comparing ---- */

static bool file_equals(const char *path, struct bytes content)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = sim_allocate(content.size + 1);
	bool equal;

	equal = file != NULL && fread(data, 1, content.size + 1, file) == content.size &&
		(content.size == 0 || memcmp(data, content.data, content.size) == 0);
	if (file != NULL)
		(void)fclose(file);
	sim_free(data);
	return equal;
}

static size_t count_real(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	size_t count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		char below[2 * PATH_SIZE];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		count += 1 + count_real(below);
	}
	if (directory != NULL)
		(void)closedir(directory);
	return count;
}

bool image_equals_real(const struct image *image, const char *directory, const char *path)
{
	char real[PATH_SIZE];
	size_t count = 0;

	for (size_t i = 0; i < image->entry_count; i++) {
		const struct image_entry *entry = &image->entries[i];

		if (strncmp(entry->path, path, strlen(path)) != 0)
			continue;
		count++;
		(void)snprintf(real, sizeof(real), "%s%s", directory, entry->path);
		if (!entry->is_directory && !file_equals(real, content_of(image, entry)))
			return false;
	}
	(void)snprintf(real, sizeof(real), "%s%s", directory, path);
	return count_real(real) == count;
}
