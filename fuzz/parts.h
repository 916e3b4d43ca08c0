/* SPDX-License-Identifier: MPL-2.0 */
/* parts - what a decoded summary promises to whoever uses it, checked over all its parts. */
#ifndef AEROSTORE_FUZZ_PARTS_H
#define AEROSTORE_FUZZ_PARTS_H

#include "fuzz/response.h"
#include "imap/render.h"
#include "mail/section.h"

/* The next part in the message's order. */
static inline const struct part *parts_next(const struct part *part)
{
	if (part->child != NULL)
		return part->child;
	while (part != NULL && part->next == NULL)
		part = part->parent;
	return part != NULL ? part->next : NULL;
}

static inline void parts_check_one(const struct summary *summary, const struct part *part)
{
	bool is_root = part->parent == NULL || part->parent->kind == PART_MESSAGE;

	ASSERT(part->header_offset <= summary->size && part->body_offset <= summary->size);
	ASSERT(part->header_size <= part->body_offset - part->header_offset);
	ASSERT(part->body_size <= summary->size - part->body_offset);
	ASSERT(part->body_lines <= part->body_size);
	ASSERT((part->kind == PART_LEAF) == (part->child == NULL));
	ASSERT(part->kind != PART_MESSAGE || part->child->next == NULL);
	ASSERT(part->type.size != 0 && part->subtype.size != 0);
	ASSERT((part->envelope != NULL) == is_root);
	if (part->parent == NULL)
		return;
	ASSERT(part->header_offset >= part->parent->body_offset);
	ASSERT(part->body_offset + part->body_size <=
	       part->parent->body_offset + part->parent->body_size);
}

static inline void parts_render(const struct summary *summary)
{
	struct buf out = {0};

	render_structure(&out, summary->root, true);
	render_structure(&out, summary->root, false);
	render_envelope(&out, summary->root->envelope);
	response_check(&out);
	buf_finish(&out);
}

static inline void parts_check(const struct summary *summary)
{
	size_t count = 0;

	for (const struct part *part = summary->root; part != NULL; part = parts_next(part)) {
		parts_check_one(summary, part);
		count++;
	}
	ASSERT(count == summary->part_count && count <= SUMMARY_PARTS_MAX);
	parts_render(summary);
}

static inline void parts_check_section(const struct summary *summary, struct bytes text)
{
	struct section section;
	struct section_range range;

	if (section_parse(text, &section) != ERR_OK)
		return;
	ASSERT(section.number_count <= SUMMARY_DEPTH_MAX);
	if (section_locate(summary, &section, &range) != ERR_OK)
		return;
	ASSERT(range.offset <= summary->size && range.size <= summary->size - range.offset);
	ASSERT(range.part != NULL);
}

#endif
