/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/summary.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "mail/charset.h"
#include "mail/summary_format.h"

const struct summary_type_name summary_types[SUMMARY_TYPE_COUNT] = {
	{"text", "plain"},
	{"application", "octet-stream"},
	{"message", "rfc822"},
	{"multipart", "mixed"},
	{"text", "plain"},
	{"text", "html"},
	{"multipart", "alternative"},
	{"multipart", "related"},
	{"multipart", "signed"},
	{"multipart", "report"},
	{"multipart", "digest"},
	{"multipart", "encrypted"},
	{"image", "png"},
	{"image", "jpeg"},
	{"image", "gif"},
	{"application", "pdf"},
	{"application", "pgp-signature"},
	{"application", "zip"},
	{"text", "calendar"},
	{"message", "delivery-status"},
};

/* The ten of an ENVELOPE, then by whom else they are asked for. A change is a new version. */
/* clang-format off */
#define NAME(text) {(const uint8_t *)(text), sizeof(text) - 1}
static const struct bytes kept_fields[] = {
	NAME("Date"), NAME("Subject"), NAME("From"), NAME("Sender"), NAME("Reply-To"), NAME("To"),
	NAME("Cc"), NAME("Bcc"), NAME("In-Reply-To"), NAME("Message-ID"),
	/* threading and display, everybody */
	NAME("References"), NAME("Content-Type"), NAME("Content-Transfer-Encoding"),
	NAME("Content-Disposition"), NAME("Content-Language"), NAME("Content-Description"),
	NAME("MIME-Version"), NAME("Priority"), NAME("X-Priority"), NAME("X-MSMail-Priority"),
	NAME("Importance"), NAME("Newsgroups"), NAME("Followup-To"), NAME("Organization"),
	NAME("Lines"), NAME("User-Agent"), NAME("X-Mailer"), NAME("Auto-Submitted"),
	NAME("Precedence"), NAME("Return-Path"), NAME("Delivered-To"), NAME("X-Original-To"),
	NAME("Envelope-To"), NAME("Disposition-Notification-To"), NAME("Return-Receipt-To"),
	NAME("Mail-Followup-To"), NAME("Mail-Reply-To"), NAME("Supersedes"), NAME("X-Label"),
	NAME("X-Status"), NAME("Status"),
	/* lists */
	NAME("List-Id"), NAME("List-Post"), NAME("List-Help"), NAME("List-Archive"),
	NAME("List-Owner"), NAME("List-Subscribe"), NAME("List-Unsubscribe"),
	NAME("List-Unsubscribe-Post"), NAME("Mailing-List"), NAME("X-Mailing-List"),
	NAME("X-Loop"), NAME("X-List"), NAME("X-BeenThere"),
	/* resent messages */
	NAME("Resent-Date"), NAME("Resent-From"), NAME("Resent-Sender"), NAME("Resent-To"),
	NAME("Resent-Cc"), NAME("Resent-Bcc"), NAME("Resent-Message-ID"),
	/* Apple Mail */
	NAME("X-Uniform-Type-Identifier"), NAME("X-Universally-Unique-Identifier"),
	NAME("BIMI-Indicator"), NAME("BIMI-Location"), NAME("Authentication-Results"),
	NAME("DKIM-Signature"),
	/* K-9, Delta Chat; mbsync; Thunderbird; filters */
	NAME("X-K9mail-Identity"), NAME("Chat-Version"), NAME("Autocrypt"), NAME("X-TUID"),
	NAME("X-Mozilla-Draft-Info"), NAME("X-Mozilla-Keys"), NAME("X-Spam-Flag"),
	NAME("X-Spam-Score"), NAME("X-Spam-Status"),
};
#undef NAME
/* clang-format on */

#define ENVELOPE_FIELDS 10

static bool is_listed(struct bytes name, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (name.size == kept_fields[i].size && bytes_equal_nocase(name, kept_fields[i]))
			return true;
	return false;
}

bool summary_keeps_field(struct bytes name)
{
	return is_listed(name, sizeof(kept_fields) / sizeof(kept_fields[0]));
}

bool summary_is_envelope_field(struct bytes name)
{
	return is_listed(name, ENVELOPE_FIELDS);
}

struct summary_envelope summary_envelope_of(struct bytes fields)
{
	struct summary_envelope envelope = {0};
	struct bytes *const values[ENVELOPE_FIELDS] = {
		&envelope.date,	       &envelope.subject,    &envelope.from, &envelope.sender,
		&envelope.reply_to,    &envelope.to,	     &envelope.cc,   &envelope.bcc,
		&envelope.in_reply_to, &envelope.message_id,
	};
	struct header_field field;

	while (header_next(&fields, &field)) {
		for (size_t i = 0; i < ENVELOPE_FIELDS; i++) {
			if (values[i]->data == NULL &&
			    bytes_equal_nocase(field.name, kept_fields[i]))
				*values[i] = field.value;
		}
	}
	return envelope;
}

/* What the one allocation holds, and how much of it is taken. */
struct room {
	struct part *parts;
	struct header_parameter *parameters;
	struct summary_envelope *envelopes;
	size_t part_count, parameter_count, envelope_count;
	size_t parameters_taken, envelopes_taken;
};

static const struct header_parameter default_charset = {
	{(const uint8_t *)"charset", 7},
	{(const uint8_t *)"us-ascii", 8},
};

static void take_parameters(struct cursor *cursor, struct room *room,
			    const struct header_parameter **out, size_t *out_count)
{
	uint64_t count = cursor_varint(cursor);

	if (count > room->parameter_count - room->parameters_taken) {
		cursor_fail(cursor);
		return;
	}
	*out = room->parameters + room->parameters_taken;
	*out_count = (size_t)count;
	for (size_t i = 0; i < count; i++) {
		struct header_parameter *parameter = &room->parameters[room->parameters_taken++];

		parameter->name = cursor_block(cursor);
		parameter->value = cursor_block(cursor);
	}
}

static void take_text(struct bytes text, struct room *room, bool custom, struct part *part,
		      struct cursor *outer)
{
	struct cursor cursor = cursor_make(text);
	uint64_t bits = cursor_varint(&cursor);
	bool is_nested_root = part->parent != NULL && part->parent->kind == PART_MESSAGE;

	if (bits > SUMMARY_TEXT_ALL || ((bits & SUMMARY_TEXT_TYPE) != 0) != custom ||
	    ((bits & SUMMARY_TEXT_ENVELOPE) != 0 && !is_nested_root))
		cursor_fail(&cursor);
	if (bits & SUMMARY_TEXT_TYPE) {
		part->type = cursor_block(&cursor);
		part->subtype = cursor_block(&cursor);
	}
	if (bits & SUMMARY_TEXT_PARAMETERS)
		take_parameters(&cursor, room, &part->parameters, &part->parameter_count);
	if (bits & SUMMARY_TEXT_ID)
		part->id = cursor_block(&cursor);
	if (bits & SUMMARY_TEXT_DESCRIPTION)
		part->description = cursor_block(&cursor);
	if (bits & SUMMARY_TEXT_ENCODING)
		part->encoding = cursor_block(&cursor);
	if (bits & SUMMARY_TEXT_MD5)
		part->md5 = cursor_block(&cursor);
	if (bits & SUMMARY_TEXT_DISPOSITION) {
		part->disposition = cursor_block(&cursor);
		take_parameters(&cursor, room, &part->disposition_parameters,
				&part->disposition_parameter_count);
	}
	if (bits & SUMMARY_TEXT_LANGUAGE)
		part->language = cursor_block(&cursor);
	if (bits & SUMMARY_TEXT_LOCATION)
		part->location = cursor_block(&cursor);
	if (bits & SUMMARY_TEXT_ENVELOPE)
		room->envelopes[room->envelopes_taken - 1] =
			summary_envelope_of(cursor_block(&cursor));
	if (cursor_end(&cursor) != ERR_OK)
		cursor_fail(outer);
}

static void take_type(struct cursor *cursor, struct room *room, struct part *part)
{
	uint8_t type = cursor_u8(cursor);
	struct bytes text = cursor_block(cursor);

	if (type < SUMMARY_TYPE_COUNT) {
		part->type = bytes_string(summary_types[type].type);
		part->subtype = bytes_string(summary_types[type].subtype);
	}
	if (text.size != 0)
		take_text(text, room, type == SUMMARY_TYPE_CUSTOM, part, cursor);
	if (type == SUMMARY_TYPE_DEFAULT) {
		if (part->parameters != NULL)
			cursor_fail(cursor);
		part->parameters = &default_charset;
		part->parameter_count = 1;
	}
	if (part->type.size == 0 || part->subtype.size == 0)
		cursor_fail(cursor);
}

static bool is_nested_type(struct bytes subtype)
{
	return bytes_equal_nocase(subtype, bytes_string("rfc822")) ||
	       bytes_equal_nocase(subtype, bytes_string("global"));
}

/* That the kind is what the type says; see struct part. */
static bool kind_agrees(const struct part *part)
{
	bool multipart = bytes_equal_nocase(part->type, bytes_string("multipart"));
	bool message = bytes_equal_nocase(part->type, bytes_string("message"));

	switch (part->kind) {
	case PART_MULTIPART:
		return multipart;
	case PART_MESSAGE:
		return message && is_nested_type(part->subtype);
	case PART_LEAF:
		return !multipart &&
		       !(message && bytes_equal_nocase(part->subtype, bytes_string("rfc822")));
	}
	return false;
}

static uint64_t part_end(const struct part *part)
{
	return part->body_offset + part->body_size;
}

/* Sets the part's place; `before` is the part before it in the message's order. */
static void take_place(struct cursor *cursor, uint64_t message_size, const struct part *before,
		       struct part *part)
{
	uint64_t start = before != NULL ? before->body_offset : 0;
	uint64_t end = part->parent != NULL ? part_end(part->parent) : message_size;
	uint64_t distance = cursor_varint(cursor);

	part->header_size = cursor_varint(cursor);
	part->body_size = cursor_varint(cursor);
	part->body_lines = cursor_varint(cursor);
	if (start > end || distance > end - start || (before == NULL && distance != 0) ||
	    part->header_size > end - start - distance ||
	    part->body_size > end - start - distance - part->header_size ||
	    part->body_lines > part->body_size) {
		cursor_fail(cursor);
		return;
	}
	part->header_offset = start + distance;
	part->body_offset = part->header_offset + part->header_size;
}

/* The part at that depth's list of siblings; `path[d]` is the last part of depth d + 1. */
static bool link_part(struct part *part, struct part **path, size_t depth, size_t deepest)
{
	if (depth == 0 || depth > SUMMARY_DEPTH_MAX || depth > deepest + 1 ||
	    (depth == 1) != (deepest == 0))
		return false;
	if (depth > 1) {
		struct part *parent = path[depth - 2];

		if (parent->kind == PART_LEAF)
			return false;
		part->parent = parent;
		if (depth == deepest + 1)
			parent->child = part;
		else if (parent->kind == PART_MULTIPART)
			path[depth - 1]->next = part;
		else
			return false;
	}
	path[depth - 1] = part;
	return true;
}

static void take_parts(struct cursor *cursor, struct summary *summary, struct room *room)
{
	struct part *path[SUMMARY_DEPTH_MAX];
	size_t deepest = 0;

	for (size_t i = 0; i < room->part_count && cursor->err == ERR_OK; i++) {
		struct part *part = &room->parts[i];
		const struct part *before = i != 0 ? part - 1 : NULL;
		uint8_t kind = cursor_u8(cursor);
		uint64_t depth = cursor_varint(cursor);

		if (kind > PART_MESSAGE || depth > SUMMARY_DEPTH_MAX ||
		    !link_part(part, path, (size_t)depth, deepest)) {
			cursor_fail(cursor);
			return;
		}
		/* Whoever may have children has one, and it comes next. */
		if (before != NULL && before->kind != PART_LEAF && depth != deepest + 1)
			cursor_fail(cursor);
		part->kind = (enum part_kind)kind;
		deepest = (size_t)depth;
		take_place(cursor, summary->size, before, part);
		if (part->parent == NULL || part->parent->kind == PART_MESSAGE) {
			if (room->envelopes_taken == room->envelope_count) {
				cursor_fail(cursor);
				return;
			}
			part->envelope = &room->envelopes[room->envelopes_taken++];
		}
		take_type(cursor, room, part);
		if (!kind_agrees(part))
			cursor_fail(cursor);
	}
	if (cursor->err == ERR_OK && room->parts[room->part_count - 1].kind != PART_LEAF)
		cursor_fail(cursor);
}

/* Everything before the parts. */
static enum err take_head(struct cursor *cursor, struct summary *summary, struct room *room)
{
	uint64_t flags, part_count, parameter_count, nested_count;
	uint8_t version = cursor_u8(cursor), has_sent;

	if (cursor->err == ERR_OK && version > SUMMARY_VERSION)
		return ERR_NEWER;
	flags = cursor_varint(cursor);
	summary->size = cursor_varint(cursor);
	summary->lines = cursor_varint(cursor);
	summary->header_lines = cursor_varint(cursor);
	has_sent = cursor_u8(cursor);
	if (has_sent == 1) {
		summary->sent.seconds = (int64_t)cursor_u64(cursor);
		summary->sent.zone_minutes = (int16_t)cursor_u16(cursor);
	}
	summary->has_sent = has_sent == 1;
	summary->fields = cursor_block(cursor);
	summary->preview = cursor_block(cursor);
	part_count = cursor_varint(cursor);
	parameter_count = cursor_varint(cursor);
	nested_count = cursor_varint(cursor);
	/* Each part takes 8 bytes at least, each parameter 2: so little input never costs much. */
	if (cursor->err != ERR_OK || version != SUMMARY_VERSION || has_sent > 1 ||
	    flags >= SUMMARY_STRUCTURE_CUT * 2 || summary->header_lines > summary->lines ||
	    summary->lines > summary->size || part_count == 0 || part_count > SUMMARY_PARTS_MAX ||
	    part_count > cursor_left(cursor) / 8 || parameter_count > cursor_left(cursor) / 2 ||
	    nested_count >= part_count || !charset_utf8_valid(summary->preview) ||
	    summary->sent.zone_minutes <= -1440 || summary->sent.zone_minutes >= 1440)
		return ERR_CORRUPT;
	summary->flags = (uint32_t)flags;
	room->part_count = summary->part_count = (size_t)part_count;
	room->parameter_count = (size_t)parameter_count;
	room->envelope_count = (size_t)nested_count + 1;
	return ERR_OK;
}

static bool make_room(struct room *room, struct summary *summary)
{
	size_t parts_size = room->part_count * sizeof(*room->parts);
	size_t parameters_size = room->parameter_count * sizeof(*room->parameters);
	size_t envelopes_size = room->envelope_count * sizeof(*room->envelopes);

	static_assert(sizeof(struct part) % sizeof(void *) == 0 &&
			      sizeof(struct header_parameter) % sizeof(void *) == 0,
		      "the arrays lie one after another");
	summary->memory = memory_allocate(parts_size + parameters_size + envelopes_size);
	if (summary->memory == NULL)
		return false;
	room->parts = summary->memory;
	room->parameters = (void *)(room->parts + room->part_count);
	room->envelopes = (void *)(room->parameters + room->parameter_count);
	return true;
}

enum err summary_decode(struct bytes encoded, struct summary *out)
{
	struct cursor cursor = cursor_make(encoded);
	struct summary summary = {0};
	struct room room = {0};
	enum err err;

	if (encoded.size > SUMMARY_SIZE_MAX)
		return ERR_CORRUPT;
	err = take_head(&cursor, &summary, &room);
	if (err != ERR_OK)
		return err;
	if (!make_room(&room, &summary))
		return ERR_NOMEM;
	take_parts(&cursor, &summary, &room);
	err = cursor_end(&cursor);
	if (err == ERR_OK && (room.parameters_taken != room.parameter_count ||
			      room.envelopes_taken != room.envelope_count))
		err = ERR_CORRUPT;
	if (err != ERR_OK) {
		summary_finish(&summary);
		return err;
	}
	room.envelopes[0] = summary_envelope_of(summary.fields);
	summary.root = room.parts;
	summary.header_size = summary.root->header_size;
	*out = summary;
	return ERR_OK;
}

void summary_finish(struct summary *summary)
{
	memory_free(summary->memory);
	*summary = (struct summary){0};
}
