/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/summary_part.h"

#include <string.h>

/* Longer types and subtypes are unreadable (RFC 6838 section 4.2). */
#define TYPE_NAME_MAX 127

void summary_part_finish(struct summary_part *part)
{
	buf_finish(&part->text);
	buf_finish(&part->boundary);
	buf_finish(&part->charset);
}

static void reset(struct summary_part *part)
{
	struct buf text = part->text, boundary = part->boundary, charset = part->charset;

	buf_clear(&text);
	buf_clear(&boundary);
	buf_clear(&charset);
	*part = (struct summary_part){.text = text, .boundary = boundary, .charset = charset};
}

static bool is(struct bytes text, const char *word)
{
	return bytes_equal_nocase(text, bytes_string(word));
}

static bool is_token(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] <= ' ' || text.data[i] >= 0x7f ||
		    strchr("()<>@,;:\\\"/[]?=", text.data[i]) != NULL)
			return false;
	return text.size != 0 && text.size <= TYPE_NAME_MAX;
}

struct content_type {
	struct bytes type, subtype;
	struct header_structured value;
	/* False: absent or unreadable; then nothing else is set. */
	bool valid;
};

static enum err parse_type(struct bytes mime, bool *present, struct content_type *out)
{
	struct header_field field;
	const uint8_t *slash;
	struct bytes text;
	enum err err;

	*out = (struct content_type){0};
	*present = header_find(mime, bytes_string("Content-Type"), &field);
	if (!*present)
		return ERR_OK;
	err = header_structured_parse(field.value, &out->value);
	if (err != ERR_OK)
		return err;
	text = out->value.value;
	slash = text.size != 0 ? memchr(text.data, '/', text.size) : NULL;
	if (slash == NULL)
		return ERR_OK;
	out->type = bytes_make(text.data, (size_t)(slash - text.data));
	out->subtype = bytes_make(slash + 1, text.size - out->type.size - 1);
	out->valid = is_token(out->type) && is_token(out->subtype);
	return ERR_OK;
}

/* The index of a type that is written exactly as in the table. */
static uint8_t type_index(const struct content_type *type)
{
	for (uint8_t i = SUMMARY_TYPE_DEFAULT + 1; i < SUMMARY_TYPE_COUNT; i++)
		if (bytes_equal(type->type, bytes_string(summary_types[i].type)) &&
		    bytes_equal(type->subtype, bytes_string(summary_types[i].subtype)))
			return i;
	return SUMMARY_TYPE_CUSTOM;
}

static enum err take_boundary(const struct header_structured *value, struct buf *out)
{
	for (size_t i = 0; i < value->parameter_count && out->size == 0; i++)
		if (is(value->parameters[i].name, "boundary"))
			buf_put_bytes(out, value->parameters[i].value);
	if (out->size == 0)
		(void)header_parameter_decode(value->parameters, value->parameter_count,
					      bytes_string("boundary"), out);
	if (out->err != ERR_OK)
		return out->err;
	while (out->size != 0 && strchr(" \t", out->data[out->size - 1]) != NULL)
		out->size--;
	if (out->size > SUMMARY_BOUNDARY_MAX)
		out->size = 0;
	return ERR_OK;
}

/* Without a readable type: what the part's place makes of it. */
static void default_kind(const struct summary_part_source *source, bool present,
			 struct summary_part *part)
{
	bool message = source->in_digest && !present && part->encoding != ENCODING_BASE64 &&
		       part->encoding != ENCODING_QUOTED_PRINTABLE;

	part->kind = PART_LEAF;
	part->type = SUMMARY_TYPE_DEFAULT;
	if (message) {
		part->kind = source->may_nest ? PART_MESSAGE : PART_LEAF;
		part->type = source->may_nest ? SUMMARY_TYPE_MESSAGE : SUMMARY_TYPE_OPAQUE;
		part->cut = !source->may_nest;
	}
}

static enum err choose_kind(const struct summary_part_source *source,
			    const struct content_type *type, struct summary_part *part)
{
	bool encoded =
		part->encoding == ENCODING_BASE64 || part->encoding == ENCODING_QUOTED_PRINTABLE;
	bool rfc822 = is(type->type, "message") && is(type->subtype, "rfc822");
	bool global = is(type->type, "message") && is(type->subtype, "global");
	enum err err;

	part->kind = PART_LEAF;
	part->type = type_index(type);
	if (is(type->type, "multipart")) {
		err = take_boundary(&type->value, &part->boundary);
		if (err != ERR_OK)
			return err;
		part->kind = PART_MULTIPART;
		part->digest = is(type->subtype, "digest");
		if (part->boundary.size == 0) {
			part->kind = PART_LEAF;
			part->type = SUMMARY_TYPE_DEFAULT;
			return ERR_OK;
		}
	} else if ((rfc822 || global) && !encoded) {
		part->kind = PART_MESSAGE;
	} else if (rfc822) {
		part->type = SUMMARY_TYPE_OPAQUE;
	}
	if (part->kind != PART_LEAF && !source->may_nest) {
		part->kind = PART_LEAF;
		part->type = SUMMARY_TYPE_OPAQUE;
		part->cut = true;
	}
	return ERR_OK;
}

static void put_parameters(const struct header_structured *value, struct buf *out)
{
	buf_put_varint(out, value->parameter_count);
	for (size_t i = 0; i < value->parameter_count; i++) {
		buf_put_block(out, value->parameters[i].name);
		buf_put_block(out, value->parameters[i].value);
	}
}

/* A field as a block, when it is there; returns its bit. */
static unsigned put_field(struct bytes mime, const char *name, unsigned bit, struct buf *out)
{
	struct header_field field;
	struct buf value = {0};

	if (!header_find(mime, bytes_string(name), &field))
		return 0;
	header_unfold(field.value, &value);
	if (value.err != ERR_OK)
		out->err = value.err;
	buf_put_block(out, bytes_of_buf(&value));
	buf_finish(&value);
	return bit;
}

static unsigned put_disposition(struct bytes mime, struct summary_part *part, struct buf *out)
{
	struct header_structured value;
	struct header_field field;
	enum err err;

	if (!header_find(mime, bytes_string("Content-Disposition"), &field))
		return 0;
	err = header_structured_parse(field.value, &value);
	if (err != ERR_OK) {
		out->err = err;
		return 0;
	}
	if (is(value.value, "attachment"))
		part->previewable = false;
	buf_put_block(out, value.value);
	put_parameters(&value, out);
	part->parameter_count += value.parameter_count;
	part->cut = part->cut || value.cut;
	header_structured_finish(&value);
	return SUMMARY_TEXT_DISPOSITION;
}

static enum err put_text(const struct summary_part_source *source, const struct content_type *type,
			 struct bytes encoding, struct summary_part *part)
{
	struct bytes mime = source->mime;
	struct buf values = {0};
	unsigned bits = 0;
	enum err err;

	if (part->type == SUMMARY_TYPE_CUSTOM) {
		bits |= SUMMARY_TEXT_TYPE;
		buf_put_block(&values, type->type);
		buf_put_block(&values, type->subtype);
	}
	if (part->type != SUMMARY_TYPE_DEFAULT && part->type != SUMMARY_TYPE_OPAQUE &&
	    type->value.parameter_count != 0) {
		bits |= SUMMARY_TEXT_PARAMETERS;
		put_parameters(&type->value, &values);
		part->parameter_count += type->value.parameter_count;
	}
	bits |= put_field(mime, "Content-ID", SUMMARY_TEXT_ID, &values);
	bits |= put_field(mime, "Content-Description", SUMMARY_TEXT_DESCRIPTION, &values);
	if (encoding.size != 0) {
		bits |= SUMMARY_TEXT_ENCODING;
		buf_put_block(&values, encoding);
	}
	bits |= put_field(mime, "Content-MD5", SUMMARY_TEXT_MD5, &values);
	bits |= put_disposition(mime, part, &values);
	bits |= put_field(mime, "Content-Language", SUMMARY_TEXT_LANGUAGE, &values);
	bits |= put_field(mime, "Content-Location", SUMMARY_TEXT_LOCATION, &values);
	if (source->envelope.size != 0) {
		bits |= SUMMARY_TEXT_ENVELOPE;
		buf_put_block(&values, source->envelope);
	}
	if (bits != 0) {
		buf_put_varint(&part->text, bits);
		buf_put_bytes(&part->text, bytes_of_buf(&values));
	}
	err = values.err != ERR_OK ? values.err : part->text.err;
	buf_finish(&values);
	return err;
}

static void choose_preview(const struct content_type *type, struct summary_part *part)
{
	bool plain = part->type == SUMMARY_TYPE_DEFAULT;

	if (type->valid && part->kind == PART_LEAF && is(type->type, "text")) {
		plain = is(type->subtype, "plain");
		part->html = is(type->subtype, "html");
		for (size_t i = 0; i < type->value.parameter_count; i++)
			if (is(type->value.parameters[i].name, "charset") &&
			    part->charset.size == 0)
				buf_put_bytes(&part->charset, type->value.parameters[i].value);
	}
	part->previewable = plain || part->html;
}

enum err summary_part_describe(const struct summary_part_source *source, struct summary_part *part)
{
	struct header_structured encoding = {0};
	struct content_type type;
	struct header_field field;
	bool present;
	enum err err;

	reset(part);
	err = parse_type(source->mime, &present, &type);
	if (err == ERR_OK &&
	    header_find(source->mime, bytes_string("Content-Transfer-Encoding"), &field))
		err = header_structured_parse(field.value, &encoding);
	if (err != ERR_OK)
		goto out;
	part->encoding = encoding_named(encoding.value);
	if (type.valid)
		err = choose_kind(source, &type, part);
	else
		default_kind(source, present, part);
	if (err != ERR_OK)
		goto out;
	choose_preview(&type, part);
	part->cut = part->cut || type.value.cut;
	err = put_text(source, &type, encoding.value, part);
	if (err == ERR_OK)
		err = part->charset.err;
out:
	header_structured_finish(&encoding);
	header_structured_finish(&type.value);
	return err;
}
