/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/search.h"

#include "imap/header_stream.h"
#include "mail/charset.h"
#include "mail/encoding.h"
#include "mail/header.h"

#define READ_SIZE (64u * 1024)

static bool decided(struct search *search)
{
	return search_evaluate(search, search->root) != SEARCH_UNKNOWN;
}

/* Some octets of the message into search->chunk; others are served meanwhile. */
static enum err read_chunk(struct search *search, uint64_t offset, uint64_t size)
{
	enum err err;

	buf_clear(&search->chunk);
	err = view_read(search->session->view, search->sequence, offset, size, &search->chunk);
	if (err == ERR_OK)
		err = search->chunk.err;
	if (err == ERR_OK && search->chunk.size != size)
		err = ERR_CORRUPT;
	task_yield();
	return err == ERR_OK && task_canceled() ? ERR_CANCELED : err;
}

/* To all texts of the kind that are not found yet. */
static enum err offer_all(struct search *search, enum search_kind kind, struct bytes utf8, bool end)
{
	for (size_t i = 0; i < search->text_count; i++) {
		struct search_key *key = search->texts[i];
		enum err err;

		if (key->kind != kind || key->answer != SEARCH_UNKNOWN)
			continue;
		err = search_offer(key, utf8, end);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* ---- headers ---- */

struct header_search {
	struct search *search;
	bool own; /* the message's own header: HEADER looks at it, BODY does not */
	enum err err;
};

static enum err offer_fields(struct search *search, const struct header_piece *piece,
			     struct bytes value)
{
	for (size_t i = 0; i < search->text_count; i++) {
		struct search_key *key = search->texts[i];
		enum err err;

		if (key->kind != SEARCH_HEADER || key->answer != SEARCH_UNKNOWN ||
		    piece->name.size == 0 || !bytes_equal_nocase(piece->name, key->name))
			continue;
		err = search_offer(key, value, piece->last);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

static void search_piece(void *context, const struct header_piece *piece)
{
	struct header_search *state = context;
	struct search *search = state->search;
	size_t name_size;

	if (state->err != ERR_OK)
		return;
	buf_clear(&search->decoded);
	if (piece->first && piece->name.size != 0) {
		header_decode(piece->name, &search->decoded);
		buf_put_string(&search->decoded, ": ");
	}
	name_size = search->decoded.size;
	header_decode(piece->value, &search->decoded);
	state->err = search->decoded.err;
	if (state->err == ERR_OK && state->own)
		state->err = offer_fields(search, piece,
					  bytes_slice(bytes_of_buf(&search->decoded), name_size,
						      search->decoded.size));
	if (state->err == ERR_OK)
		state->err =
			offer_all(search, SEARCH_TEXT, bytes_of_buf(&search->decoded), piece->last);
	if (state->err == ERR_OK && !state->own)
		state->err =
			offer_all(search, SEARCH_BODY, bytes_of_buf(&search->decoded), piece->last);
}

static enum err search_header(struct search *search, const struct part *part)
{
	struct header_search state = {.search = search, .own = part->parent == NULL};
	struct header_stream stream = HEADER_STREAM(search_piece, &state);
	enum err err = ERR_OK;

	for (uint64_t done = 0; done < part->header_size && err == ERR_OK && !decided(search);) {
		uint64_t left = part->header_size - done;
		uint64_t size = left < READ_SIZE ? left : READ_SIZE;

		err = read_chunk(search, part->header_offset + done, size);
		if (err == ERR_OK)
			header_stream_feed(&stream, bytes_of_buf(&search->chunk));
		if (err == ERR_OK)
			err = state.err;
		done += size;
	}
	if (err == ERR_OK)
		err = header_stream_end(&stream);
	if (err == ERR_OK)
		err = state.err;
	header_stream_finish(&stream);
	return err;
}

/* What was not found in a header that has been read whole is not in it. */
static void settle_headers(struct search *search)
{
	for (size_t i = 0; i < search->text_count; i++)
		if (search->texts[i]->kind == SEARCH_HEADER &&
		    search->texts[i]->answer == SEARCH_UNKNOWN)
			search->texts[i]->answer = SEARCH_FALSE;
}

/* ---- bodies ---- */

static enum err open_charset(const struct part *part, struct charset_decoder **out)
{
	struct buf name = {0};
	enum err err;

	(void)header_parameter_decode(part->parameters, part->parameter_count,
				      bytes_string("charset"), &name);
	err = name.err;
	if (err == ERR_OK)
		err = charset_decoder_create(bytes_of_buf(&name), out);
	if (err == ERR_NOTFOUND)
		err = charset_decoder_create(bytes_string(""), out);
	buf_finish(&name);
	return err;
}

static enum err offer_bodies(struct search *search, bool end)
{
	enum err err = search->text.err;

	if (err == ERR_OK)
		err = offer_all(search, SEARCH_BODY, bytes_of_buf(&search->text), end);
	if (err == ERR_OK)
		err = offer_all(search, SEARCH_TEXT, bytes_of_buf(&search->text), end);
	return err;
}

/* search->chunk, or at the end what was held back, to UTF-8 in search->text. */
static void decode_chunk(struct search *search, struct encoding_decoder *encoding,
			 struct charset_decoder *charset, bool end)
{
	buf_clear(&search->decoded);
	buf_clear(&search->text);
	if (end)
		encoding_decode_end(encoding, &search->decoded);
	else
		encoding_decode(encoding, bytes_of_buf(&search->chunk), &search->decoded);
	charset_decoder_feed(charset, bytes_of_buf(&search->decoded), &search->text);
	if (end)
		charset_decoder_end(charset, &search->text);
	if (search->decoded.err != ERR_OK)
		search->text.err = search->decoded.err;
}

static enum err search_body(struct search *search, const struct part *part)
{
	struct encoding_decoder encoding = ENCODING_DECODER(encoding_named(part->encoding));
	struct charset_decoder *charset;
	enum err err = open_charset(part, &charset);

	if (err != ERR_OK)
		return err;
	for (uint64_t done = 0; done < part->body_size && err == ERR_OK && !decided(search);) {
		uint64_t left = part->body_size - done;
		uint64_t size = left < READ_SIZE ? left : READ_SIZE;

		err = read_chunk(search, part->body_offset + done, size);
		if (err == ERR_OK) {
			decode_chunk(search, &encoding, charset, false);
			err = offer_bodies(search, false);
		}
		done += size;
	}
	if (err == ERR_OK) {
		decode_chunk(search, &encoding, charset, true);
		err = offer_bodies(search, true);
	}
	charset_decoder_destroy(&charset);
	return err;
}

static bool is_text(const struct part *part)
{
	return part->kind == PART_LEAF && (bytes_equal_nocase(part->type, bytes_string("text")) ||
					   bytes_equal_nocase(part->type, bytes_string("message")));
}

/* In the order in which the parts stand in the message. */
static const struct part *part_after(const struct part *part)
{
	if (part->child != NULL)
		return part->child;
	while (part != NULL && part->next == NULL)
		part = part->parent;
	return part != NULL ? part->next : NULL;
}

static bool wanted(const struct search *search, bool own_header)
{
	for (size_t i = 0; i < search->text_count; i++) {
		const struct search_key *key = search->texts[i];

		if (key->answer == SEARCH_UNKNOWN &&
		    (key->kind == SEARCH_TEXT || (key->kind == SEARCH_HEADER) == own_header))
			return true;
	}
	return false;
}

/* Nothing more to read: what was not found is not there. */
static void settle_all(struct search *search)
{
	for (size_t i = 0; i < search->text_count; i++)
		if (search->texts[i]->answer == SEARCH_UNKNOWN)
			search->texts[i]->answer = SEARCH_FALSE;
}

enum err search_blob(struct search *search)
{
	const struct part *root = search->summary->root;
	enum err err = ERR_OK;

	if (wanted(search, true))
		err = search_header(search, root);
	if (err != ERR_OK || decided(search))
		return err;
	settle_headers(search);
	for (const struct part *part = root;
	     part != NULL && err == ERR_OK && wanted(search, false) && !decided(search);
	     part = part_after(part)) {
		if (part != root)
			err = search_header(search, part);
		if (err == ERR_OK && is_text(part))
			err = search_body(search, part);
	}
	if (err == ERR_OK && !decided(search))
		settle_all(search);
	return err;
}
