/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/fetch.h"

#include "imap/render.h"

static bool same_flags(const struct fetch *fetch)
{
	const struct flags *flags = &fetch->message.flags;

	return fetch->flags_text.size != 0 && fetch->flags_recent == fetch->message.recent &&
	       fetch->flags.system == flags->system &&
	       fetch->flags.keywords[0] == flags->keywords[0] &&
	       fetch->flags.keywords[1] == flags->keywords[1];
}

static void put_flags(struct fetch *fetch)
{
	struct buf *out = &fetch->session->out;
	size_t start = out->size;

	if (same_flags(fetch)) {
		buf_put_bytes(out, bytes_of_buf(&fetch->flags_text));
		return;
	}
	imap_put_flags(fetch->session, &fetch->message.flags, fetch->message.recent);
	buf_clear(&fetch->flags_text);
	if (out->err != ERR_OK)
		return;
	buf_put(&fetch->flags_text, out->data + start, out->size - start);
	if (fetch->flags_text.err != ERR_OK)
		buf_clear(&fetch->flags_text);
	fetch->flags = fetch->message.flags;
	fetch->flags_recent = fetch->message.recent;
}

static enum err put_item(struct fetch *fetch, const struct fetch_item *item)
{
	struct buf *out = &fetch->session->out;

	buf_put_bytes(out, item->label);
	buf_put_u8(out, ' ');
	switch (item->kind) {
	case FETCH_FLAGS:
		put_flags(fetch);
		break;
	case FETCH_UID:
		render_number(out, fetch->message.uid);
		break;
	case FETCH_INTERNALDATE:
		render_date_time(out, fetch->message.arrival_ms,
				 fetch->message.arrival_zone_minutes);
		break;
	case FETCH_SIZE:
		render_number(out, fetch->message.size);
		break;
	case FETCH_ENVELOPE:
		render_envelope(out, fetch->summary.root->envelope);
		break;
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		render_structure(out, fetch->summary.root, item->kind == FETCH_BODYSTRUCTURE);
		break;
	case FETCH_SECTION:
		return fetch_put_section(fetch, item);
	}
	return ERR_OK;
}

static enum err put_items(struct fetch *fetch)
{
	const struct fetch_request *request = fetch->request;
	struct buf *out = &fetch->session->out;
	enum err err;

	buf_put_string(out, "* ");
	render_number(out, fetch->sequence);
	buf_put_string(out, " FETCH (");
	for (size_t i = 0; i < request->count; i++) {
		if (i != 0)
			buf_put_u8(out, ' ');
		err = put_item(fetch, &request->items[i]);
		if (err == ERR_OK)
			err = fetch_send_piece(fetch);
		if (err != ERR_OK)
			return err;
	}
	if (fetch->marked && (request->kinds >> FETCH_FLAGS & 1) == 0) {
		buf_put_string(out, " FLAGS ");
		put_flags(fetch);
	}
	buf_put_string(out, ")\r\n");
	return out->err;
}

static enum err load_summary(struct fetch *fetch)
{
	enum err err;

	buf_clear(&fetch->encoded);
	err = view_summary(fetch->session->view, fetch->sequence, &fetch->encoded);
	if (err == ERR_OK)
		err = fetch->encoded.err;
	if (err == ERR_OK)
		err = summary_decode(bytes_of_buf(&fetch->encoded), &fetch->summary);
	return err;
}

enum err fetch_message(struct fetch *fetch, uint32_t sequence)
{
	struct imap_session *session = fetch->session;
	size_t start;
	enum err err;

	fetch->sequence = sequence;
	fetch->sent = false;
	err = view_message(session->view, sequence, &fetch->message);
	if (err == ERR_OK && fetch->request->needs_summary)
		err = load_summary(fetch);
	if (err != ERR_OK)
		return err;
	fetch->marked = fetch->marks && (fetch->message.flags.system & FLAG_SEEN) == 0;
	if (fetch->marked)
		fetch->message.flags.system |= FLAG_SEEN;
	imap_announce_keywords(session);
	start = session->out.size;
	err = put_items(fetch);
	if (fetch->request->needs_summary)
		summary_finish(&fetch->summary);
	if (err != ERR_OK && fetch->sent) {
		session->over = true;
	} else if (err != ERR_OK) {
		session->out.size = start;
		session->out.err = ERR_OK;
	}
	imap_flush(session, false);
	return err;
}

void fetch_finish(struct fetch *fetch)
{
	/* Plaintext of mail. */
	buf_finish(&fetch->encoded);
	buf_finish(&fetch->scratch);
	buf_finish(&fetch->flags_text);
}
