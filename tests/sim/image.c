/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/image.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"
#include "tests/sim/node_fault.h"

#define PATH_SIZE 256u

/* A file, or a directory before what is in it. */
struct item {
	char path[PATH_SIZE];
	bool is_directory;
	struct buf bytes;
};

struct sim_image {
	struct item *items;
	size_t count, capacity;
};

static void take_bytes(const struct sim_inode *inode, struct buf *out)
{
	for (uint64_t at = 0; at < inode->durable_size; at += SIM_PAGE_SIZE) {
		size_t page = (size_t)(at / SIM_PAGE_SIZE);
		uint64_t left = inode->durable_size - at;
		size_t size = left < SIM_PAGE_SIZE ? (size_t)left : SIM_PAGE_SIZE;

		if (page < inode->page_count && inode->pages[page].durable != NULL)
			buf_put(out, inode->pages[page].durable, size);
		else
			buf_put_zeros(out, size);
	}
	ASSERT(out->err == ERR_OK);
}

static void take_entries(struct sim_image *image, const struct sim_inode *directory,
			 const char *path)
{
	for (size_t i = 0; i < directory->durable.count; i++) {
		const struct sim_entry *entry = &directory->durable.items[i];
		struct item *item;
		char below[PATH_SIZE];

		image->items = sim_grow(image->items, image->count, &image->capacity,
					sizeof(*image->items));
		item = &image->items[image->count++];
		*item = (struct item){.is_directory = entry->inode->is_directory};
		ASSERT(snprintf(item->path, PATH_SIZE, "%s/%s", path, entry->name) <
		       (int)PATH_SIZE);
		memcpy(below, item->path, PATH_SIZE);
		if (item->is_directory)
			take_entries(image, entry->inode, below);
		else
			take_bytes(entry->inode, &item->bytes);
	}
}

struct sim_image *sim_image_take(struct sim_node *node, const struct sim_disk *disk)
{
	struct sim_image *image = sim_allocate(sizeof(*image));
	struct sim_inode *root = NULL;

	*image = (struct sim_image){.count = 0};
	if (sim_tree_find(&node->tree, disk->path, &root) == ERR_OK)
		take_entries(image, root, disk->path);
	return image;
}

static void put_item(struct sim_tree *tree, const struct item *item)
{
	struct sim_inode *inode = NULL;
	enum err err;

	if (item->is_directory) {
		err = sim_tree_make_directory(tree, item->path);
		ASSERT(err == ERR_OK);
		return;
	}
	err = sim_tree_open(tree, item->path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, item, &inode);
	if (err == ERR_OK)
		err = sim_inode_write(inode, 0, bytes_of_buf(&item->bytes));
	ASSERT(err == ERR_OK);
	sim_inode_sync(inode);
	sim_tree_close(tree, inode, item);
}

void sim_image_put_back(struct sim_node *node, struct sim_disk *disk, const struct sim_image *image)
{
	enum err err;

	sim_lose_disk(node, disk, SIM_FAULT_UNLINKED);
	sim_replace_disk(node, disk);
	for (size_t i = 0; i < image->count; i++)
		put_item(&node->tree, &image->items[i]);
	err = sim_tree_sync_directory(&node->tree, disk->path);
	for (size_t i = 0; err == ERR_OK && i < image->count; i++)
		if (image->items[i].is_directory)
			err = sim_tree_sync_directory(&node->tree, image->items[i].path);
	ASSERT(err == ERR_OK);
	sim_trace(node->sim, "node=%zu disk=%s put-back=%zu", node->number, disk->path,
		  image->count);
	sim_damaged(disk);
}

void sim_image_destroy(struct sim_image **image)
{
	if (*image == NULL)
		return;
	for (size_t i = 0; i < (*image)->count; i++)
		buf_finish(&(*image)->items[i].bytes);
	sim_free((*image)->items);
	sim_free(*image);
	*image = NULL;
}
