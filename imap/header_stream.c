/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/header_stream.h"

#include <string.h>

#include "mail/header.h"

static bool is_blank(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

static void emit(struct header_stream *stream, struct bytes raw, bool last)
{
	struct header_piece piece = {
		.raw = raw, .value = raw, .first = !stream->inside, .last = last};
	struct header_field field;
	struct bytes rest = raw;

	if (piece.first && header_next(&rest, &field)) {
		stream->name_size = field.name.size <= HEADER_NAME_MAX ? field.name.size : 0;
		if (stream->name_size != 0)
			memcpy(stream->name, field.name.data, stream->name_size);
		piece.value = field.value;
		/* The blank that it was cut behind is part of the value. */
		if (!last)
			piece.value.size = (size_t)(raw.data + raw.size - field.value.data);
	}
	piece.name = bytes_make(stream->name, stream->name_size);
	stream->inside = !last;
	stream->each(stream->context, &piece);
}

/* Behind the field that starts at `start`, or 0 when more has to come. */
static size_t field_end(struct header_stream *stream, size_t start, bool final)
{
	const struct buf *text = &stream->pending;
	size_t from = stream->scanned > start ? stream->scanned : start;

	while (from < text->size) {
		const uint8_t *lf = memchr(text->data + from, '\n', text->size - from);
		size_t next = lf != NULL ? (size_t)(lf - text->data) + 1 : text->size;

		if (next == text->size) {
			/* A line end at the very end is looked at again with what follows it. */
			stream->scanned = lf != NULL ? next - 1 : next;
			return final ? next : 0;
		}
		if (!is_blank(text->data[next]))
			return next;
		from = next;
	}
	return final ? text->size : 0;
}

/* Where to cut a field that is too long: behind its last line or blank, else anywhere. */
static size_t cut_of(struct bytes text)
{
	size_t at = text.size;

	/* The last octet may be a line end, of which the next line has to say what it ends. */
	while (at > text.size / 2 && !is_blank(text.data[at - 1]))
		at--;
	return at > text.size / 2 ? at : text.size - 1;
}

/* 0: no empty line here; SIZE_MAX: cannot be told yet. */
static size_t empty_line(struct bytes text, bool final)
{
	if (text.size != 0 && text.data[0] == '\n')
		return 1;
	if (text.size != 0 && text.data[0] == '\r' && text.size == 1)
		return final ? 0 : SIZE_MAX;
	return text.size >= 2 && text.data[0] == '\r' && text.data[1] == '\n' ? 2 : 0;
}

static void advance(struct header_stream *stream, bool final)
{
	struct buf *text = &stream->pending;
	size_t start = 0;

	while (start < text->size && !stream->ended) {
		struct bytes rest = bytes_make(text->data + start, text->size - start);
		size_t empty = stream->inside ? 0 : empty_line(rest, final), end;

		if (empty == SIZE_MAX)
			break;
		if (empty != 0) {
			stream->ended = true;
			break;
		}
		end = field_end(stream, start, final);
		if (end == 0 && rest.size <= HEADER_PIECE_MAX)
			break;
		if (end == 0 || end - start > HEADER_PIECE_MAX) {
			size_t size = cut_of(bytes_slice(rest, 0, HEADER_PIECE_MAX));

			emit(stream, bytes_slice(rest, 0, size), false);
			start += size;
			continue;
		}
		emit(stream, bytes_slice(rest, 0, end - start), true);
		start = end;
	}
	buf_drop_front(text, stream->ended ? text->size : start);
	stream->scanned = stream->scanned > start ? stream->scanned - start : 0;
}

void header_stream_feed(struct header_stream *stream, struct bytes chunk)
{
	while (chunk.size != 0 && !stream->ended && stream->pending.err == ERR_OK) {
		struct bytes part = bytes_slice(chunk, 0, HEADER_PIECE_MAX);

		buf_put_bytes(&stream->pending, part);
		chunk = bytes_slice(chunk, part.size, chunk.size);
		if (stream->pending.err == ERR_OK)
			advance(stream, false);
	}
}

enum err header_stream_end(struct header_stream *stream)
{
	enum err err = stream->pending.err;

	if (err == ERR_OK && !stream->ended)
		advance(stream, true);
	buf_clear(&stream->pending);
	stream->scanned = 0;
	stream->inside = stream->ended = false;
	return err;
}

void header_stream_finish(struct header_stream *stream)
{
	buf_finish(&stream->pending);
}
