/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/fetch.h"
#include "imap/header_stream.h"
#include "imap/render.h"

/* Selected fields up to this size are kept between counting and sending them. */
#define SELECTED_KEPT_MAX (64u * 1024)
#define HEADER_READ (64u * 1024)

/* ---- octets of the message ---- */

static void put_literal_size(struct buf *out, uint64_t size)
{
	buf_put_u8(out, '{');
	render_number(out, size);
	buf_put_string(out, "}\r\n");
}

enum err fetch_send_piece(struct fetch *fetch)
{
	if (fetch->session->out.size < FETCH_PIECE)
		return ERR_OK;
	imap_flush(fetch->session, true);
	fetch->sent = true;
	return fetch->session->over ? ERR_CLOSED : ERR_OK;
}

/* Exactly `size` octets, or an error: the blob is as long as its summary says, or damaged. */
static enum err read_exactly(struct fetch *fetch, uint64_t offset, uint64_t size, struct buf *out)
{
	size_t before = out->size;
	enum err err = view_read(fetch->session->view, fetch->sequence, offset, size, out);

	if (err == ERR_OK)
		err = out->err;
	if (err == ERR_OK && out->size - before != size)
		err = ERR_CORRUPT;
	return err;
}

static enum err put_octets(struct fetch *fetch, uint64_t offset, uint64_t size)
{
	struct buf *out = &fetch->session->out;

	put_literal_size(out, size);
	while (size != 0) {
		uint64_t piece = size < FETCH_PIECE ? size : FETCH_PIECE;
		enum err err = read_exactly(fetch, offset, piece, out);

		if (err != ERR_OK)
			return err;
		render_mask_nul(out, (size_t)piece);
		err = fetch_send_piece(fetch);
		if (err != ERR_OK)
			return err;
		offset += piece;
		size -= piece;
	}
	return ERR_OK;
}

/* What <offset.size> leaves of `*size` octets. */
static void clamp(const struct fetch_item *item, uint64_t *offset, uint64_t *size)
{
	*offset = item->partial_offset < *size ? item->partial_offset : *size;
	*size -= *offset;
	if (*size > item->partial_size)
		*size = item->partial_size;
}

/* ---- HEADER.FIELDS and HEADER.FIELDS.NOT ---- */

struct selection {
	const struct fetch_item *item;
	uint64_t total;	     /* octets selected so far */
	uint64_t from, size; /* the window of them that goes to `out` */
	struct buf *out;
	bool selected; /* the field in progress */
};

static void put_selected(struct selection *selection, struct bytes raw)
{
	uint64_t start = selection->total, end = selection->from + selection->size;

	selection->total += raw.size;
	if (start < selection->from) {
		uint64_t skip = selection->from - start;

		raw = bytes_slice(raw, skip < raw.size ? (size_t)skip : raw.size, raw.size);
		start = selection->from;
	}
	if (raw.size != 0 && start < end) {
		raw = bytes_slice(raw, 0,
				  end - start < raw.size ? (size_t)(end - start) : raw.size);
		buf_put_bytes(selection->out, raw);
		render_mask_nul(selection->out, raw.size);
	}
}

static void select_piece(void *context, const struct header_piece *piece)
{
	struct selection *selection = context;
	const struct fetch_item *item = selection->item;

	if (piece->first) {
		bool named = false;

		for (size_t i = 0; i < item->name_count && !named && piece->name.size != 0; i++)
			named = bytes_equal_nocase(piece->name, item->names[i]);
		selection->selected = named != (item->section.kind == SECTION_HEADER_FIELDS_NOT);
	}
	if (selection->selected)
		put_selected(selection, piece->raw);
}

/* Runs the header through the selection; `send` when its output is the session's. */
static enum err select_fields(struct fetch *fetch, const struct section_range *range,
			      struct selection *selection, bool send)
{
	struct header_stream stream = HEADER_STREAM(select_piece, selection);
	struct buf chunk = {0};
	enum err err = ERR_OK;

	for (uint64_t done = 0; done < range->size && err == ERR_OK;) {
		uint64_t size = range->size - done < HEADER_READ ? range->size - done : HEADER_READ;

		buf_clear(&chunk);
		err = read_exactly(fetch, range->offset + done, size, &chunk);
		if (err != ERR_OK)
			break;
		header_stream_feed(&stream, bytes_of_buf(&chunk));
		done += size;
		if (send)
			err = fetch_send_piece(fetch);
	}
	if (err == ERR_OK)
		err = header_stream_end(&stream);
	put_selected(selection, bytes_string("\r\n"));
	header_stream_finish(&stream);
	buf_finish(&chunk);
	return err != ERR_OK ? err : selection->out->err;
}

/*
 * A literal's size comes before it: the fields are counted first. What is small, nearly always, is
 * kept meanwhile; a huge header is read twice rather than held.
 */
static enum err put_streamed_fields(struct fetch *fetch, const struct fetch_item *item,
				    const struct section_range *range)
{
	struct selection selection = {
		.item = item, .size = SELECTED_KEPT_MAX, .out = &fetch->scratch};
	uint64_t offset, size;
	enum err err;

	buf_clear(&fetch->scratch);
	err = select_fields(fetch, range, &selection, false);
	if (err != ERR_OK)
		return err;
	size = selection.total;
	clamp(item, &offset, &size);
	put_literal_size(&fetch->session->out, size);
	if (selection.total <= SELECTED_KEPT_MAX) {
		buf_put_bytes(&fetch->session->out, bytes_slice(bytes_of_buf(&fetch->scratch),
								(size_t)offset, (size_t)size));
		return ERR_OK;
	}
	selection = (struct selection){
		.item = item, .from = offset, .size = size, .out = &fetch->session->out};
	return select_fields(fetch, range, &selection, true);
}

static bool summary_has_fields(const struct fetch *fetch, const struct fetch_item *item)
{
	if (item->section.number_count != 0 || item->section.kind != SECTION_HEADER_FIELDS ||
	    (fetch->summary.flags & SUMMARY_FIELDS_CUT) != 0)
		return false;
	for (size_t i = 0; i < item->name_count; i++)
		if (!summary_keeps_field(item->names[i]))
			return false;
	return true;
}

static enum err put_kept_fields(struct fetch *fetch, const struct fetch_item *item)
{
	struct buf *out = &fetch->session->out;
	uint64_t offset, size;

	buf_clear(&fetch->scratch);
	header_select(fetch->summary.fields, item->names, item->name_count, false, true,
		      &fetch->scratch);
	if (fetch->scratch.err != ERR_OK)
		return fetch->scratch.err;
	size = fetch->scratch.size;
	clamp(item, &offset, &size);
	put_literal_size(out, size);
	buf_put_bytes(out,
		      bytes_slice(bytes_of_buf(&fetch->scratch), (size_t)offset, (size_t)size));
	render_mask_nul(out, (size_t)size);
	return ERR_OK;
}

/* ---- sections ---- */

enum err fetch_put_section(struct fetch *fetch, const struct fetch_item *item)
{
	bool whole = item->section.kind == SECTION_ALL && item->section.number_count == 0;
	struct section_range range = {.size = fetch->message.size};
	uint64_t offset, size;

	if (!whole && section_locate(&fetch->summary, &item->section, &range) != ERR_OK) {
		buf_put_string(&fetch->session->out, "NIL");
		return ERR_OK;
	}
	if (item->section.kind == SECTION_HEADER_FIELDS ||
	    item->section.kind == SECTION_HEADER_FIELDS_NOT)
		return summary_has_fields(fetch, item) ? put_kept_fields(fetch, item)
						       : put_streamed_fields(fetch, item, &range);
	size = range.size;
	clamp(item, &offset, &size);
	return put_octets(fetch, range.offset + offset, size);
}
