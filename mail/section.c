/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/section.h"

static bool take_digit(struct bytes *text, uint64_t *number)
{
	if (text->size == 0 || text->data[0] < '0' || text->data[0] > '9')
		return false;
	*number = *number * 10 + (text->data[0] - '0');
	*text = bytes_slice(*text, 1, text->size);
	return true;
}

/* nz-number, and the dot after it when more follows. */
static enum err take_number(struct bytes *text, struct section *out)
{
	uint64_t number = 0;

	while (take_digit(text, &number))
		if (number == 0 || number > UINT32_MAX)
			return ERR_INVALID;
	if (out->number_count == SUMMARY_DEPTH_MAX)
		return ERR_LIMIT;
	out->numbers[out->number_count++] = (uint32_t)number;
	if (text->size == 0)
		return ERR_OK;
	if (text->data[0] != '.' || text->size == 1)
		return ERR_INVALID;
	*text = bytes_slice(*text, 1, text->size);
	return ERR_OK;
}

enum err section_parse(struct bytes text, struct section *out)
{
	static const struct {
		const char *name;
		enum section_kind kind;
	} kinds[] = {
		{"", SECTION_ALL},
		{"HEADER", SECTION_HEADER},
		{"HEADER.FIELDS", SECTION_HEADER_FIELDS},
		{"HEADER.FIELDS.NOT", SECTION_HEADER_FIELDS_NOT},
		{"TEXT", SECTION_TEXT},
		{"MIME", SECTION_MIME},
	};
	struct section section = {0};

	while (text.size != 0 && text.data[0] >= '0' && text.data[0] <= '9') {
		enum err err = take_number(&text, &section);

		if (err != ERR_OK)
			return err;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!bytes_equal_nocase(text, bytes_string(kinds[i].name)))
			continue;
		section.kind = kinds[i].kind;
		if (section.kind == SECTION_MIME && section.number_count == 0)
			return ERR_INVALID;
		*out = section;
		return ERR_OK;
	}
	return ERR_INVALID;
}

/* Part `number` of what holds parts: a multipart, or a message's root, whatever it is. */
static const struct part *numbered(const struct part *part, uint32_t number)
{
	/* A message that is not multipart has one part: its body. */
	if (part->kind != PART_MULTIPART)
		return number == 1 ? part : NULL;
	for (part = part->child; part != NULL && number > 1; number--)
		part = part->next;
	return part;
}

static const struct part *find(const struct summary *summary, const struct section *section)
{
	const struct part *part = summary->root;

	for (size_t i = 0; i < section->number_count && part != NULL; i++) {
		if (i != 0 && part->kind == PART_LEAF)
			return NULL;
		if (i != 0 && part->kind == PART_MESSAGE)
			part = part->child;
		part = numbered(part, section->numbers[i]);
	}
	return part;
}

static void set_range(const struct part *part, bool header, struct section_range *out)
{
	out->part = part;
	out->offset = header ? part->header_offset : part->body_offset;
	out->size = header ? part->header_size : part->body_size;
}

enum err section_locate(const struct summary *summary, const struct section *section,
			struct section_range *out)
{
	const struct part *part = find(summary, section);

	if (part == NULL)
		return ERR_NOTFOUND;
	if (section->kind == SECTION_MIME || section->kind == SECTION_ALL) {
		set_range(part, section->kind == SECTION_MIME, out);
		if (section->number_count == 0)
			*out = (struct section_range){0, summary->size, part};
		return ERR_OK;
	}
	/* HEADER and TEXT are of messages: the whole one, or one that a part holds. */
	if (section->number_count != 0) {
		if (part->kind != PART_MESSAGE)
			return ERR_NOTFOUND;
		part = part->child;
	}
	set_range(part, section->kind != SECTION_TEXT, out);
	return ERR_OK;
}
