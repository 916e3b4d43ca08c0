/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

/*
 * A piece is put only so far ahead of the oldest that is not acknowledged, which bounds memory and
 * what has to be remembered of those acknowledged out of order. The one being filled comes on top.
 */
#define PIECES_IN_FLIGHT 2u

struct piece {
	struct put put;		    /* first: what done() is given */
	struct blob_upload *upload; /* NULL: released meanwhile */
	struct piece *next;
};

struct blob_upload {
	struct blobs *blobs;
	struct id128 id, tag;
	uint64_t number;
	struct buf filling;
	struct piece *pieces;		 /* under way */
	uint32_t next_piece;		 /* to be put; at most PIECES_IN_FLIGHT beyond `recorded` */
	uint32_t recorded;		 /* pieces that are in the extents */
	uint64_t sets[PIECES_IN_FLIGHT]; /* where acknowledged ones are, until it is their turn */
	bool acknowledged[PIECES_IN_FLIGHT];
	struct blob_ref ref;
	enum err err;
	struct cond changed;
	struct blob_upload *next; /* in blobs->uploads, by number */
};

/* ---- references ---- */

static enum err extend(struct blob_ref *ref, uint64_t set, uint32_t piece)
{
	struct blob_extent *last;

	if (ref->extent_count > 0) {
		last = &ref->extents[ref->extent_count - 1];
		if (last->set == set) {
			last->piece_count++;
			return ERR_OK;
		}
	}
	if (ref->extent_count == BLOB_EXTENT_MAX)
		return ERR_LIMIT;
	ref->extents[ref->extent_count++] =
		(struct blob_extent){.set = set, .first_piece = piece, .piece_count = 1};
	return ERR_OK;
}

/* Pieces may be acknowledged out of order; the extents name them in order. */
static void note_acknowledged(struct blob_upload *upload, uint32_t piece, uint64_t set)
{
	size_t slot = piece % PIECES_IN_FLIGHT;

	ASSERT(piece - upload->recorded < PIECES_IN_FLIGHT && !upload->acknowledged[slot]);
	upload->sets[slot] = set;
	upload->acknowledged[slot] = true;
	for (slot = upload->recorded % PIECES_IN_FLIGHT; upload->acknowledged[slot];
	     slot = upload->recorded % PIECES_IN_FLIGHT) {
		enum err err = extend(&upload->ref, upload->sets[slot], upload->recorded);

		if (upload->err == ERR_OK)
			upload->err = err;
		upload->acknowledged[slot] = false;
		upload->recorded++;
	}
}

/* ---- pieces ---- */

static void piece_destroy(struct piece *piece)
{
	shared_release(&piece->put.bytes);
	memory_free(piece);
}

static void unlink_piece(struct blob_upload *upload, struct piece *piece)
{
	struct piece **link = &upload->pieces;

	while (*link != piece)
		link = &(*link)->next;
	*link = piece->next;
}

static void piece_done(struct put *put, enum err err)
{
	struct piece *piece = (struct piece *)put;
	struct blob_upload *upload = piece->upload;

	if (upload == NULL) {
		piece_destroy(piece);
		return;
	}
	if (err == ERR_STALE) {
		/* A new writing, of which the first set knows nothing. */
		put->record.birth_set = 0;
		writer_put(upload->blobs, put);
		return;
	}
	if (err == ERR_OK)
		note_acknowledged(upload, put->record.piece, put->record.set);
	else if (upload->err == ERR_OK)
		upload->err = err;
	unlink_piece(upload, piece);
	piece_destroy(piece);
	cond_broadcast(&upload->changed);
}

static struct piece *make_piece(struct blob_upload *upload, bool last)
{
	struct bytes payload = bytes_of_buf(&upload->filling);
	uint64_t size = record_size((uint32_t)payload.size);
	struct piece *piece = memory_allocate(sizeof(*piece));
	struct shared *bytes = shared_create((size_t)size);
	struct record *record;

	if (piece == NULL || bytes == NULL) {
		memory_free(piece);
		shared_release(&bytes);
		return NULL;
	}
	if (payload.size > 0)
		memcpy(bytes->data + RECORD_HEADER_SIZE, payload.data, payload.size);
	memset(bytes->data + RECORD_HEADER_SIZE + payload.size, 0,
	       (size_t)size - RECORD_HEADER_SIZE - payload.size);
	piece->upload = upload;
	piece->put.bytes = bytes;
	piece->put.done = piece_done;
	record = &piece->put.record;
	record->type = RECORD_BLOB;
	record->flags = last ? RECORD_LAST_PIECE : 0;
	record->suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519;
	record->id = upload->id;
	record->tag = upload->tag;
	record->incarnation = upload->blobs->incarnation;
	record->number = upload->number;
	record->piece = upload->next_piece;
	record_hash_payload(record, payload);
	record->payload_size = (uint32_t)payload.size;
	return piece;
}

static enum err put_piece(struct blob_upload *upload, bool last)
{
	struct piece *piece = make_piece(upload, last);

	if (piece == NULL)
		return upload->err = ERR_NOMEM;
	upload->ref.size += upload->filling.size;
	buf_clear(&upload->filling);
	upload->next_piece++;
	piece->next = upload->pieces;
	upload->pieces = piece;
	writer_put(upload->blobs, &piece->put);
	return upload->err;
}

/* Until all pieces but the last `left` are acknowledged. */
static WAITS enum err wait_for_pieces(struct blob_upload *upload, unsigned left)
{
	while (upload->err == ERR_OK && upload->next_piece - upload->recorded > left) {
		enum err err = cond_wait(&upload->changed, TASK_FOREVER);

		if (err != ERR_OK)
			return err;
	}
	return upload->err;
}

/* ---- the interface ---- */

enum err blob_upload_open(struct blobs *blobs, struct id128 id, struct id128 account_tag,
			  struct blob_upload **out)
{
	struct blob_upload *upload, **link;

	if (writer_profile(blobs).k == 0)
		return writer_shortage(blobs);
	upload = memory_allocate(sizeof(*upload));
	if (upload == NULL)
		return ERR_NOMEM;
	upload->blobs = blobs;
	upload->id = upload->ref.id = id;
	upload->tag = account_tag;
	upload->number = blobs->next_number++;
	for (link = &blobs->uploads; *link != NULL; link = &(*link)->next)
		;
	*link = upload;
	*out = upload;
	return ERR_OK;
}

enum err blob_upload_write(struct blob_upload *upload, struct bytes ciphertext)
{
	size_t done = 0;
	enum err err = upload->err;

	while (err == ERR_OK && done < ciphertext.size) {
		size_t room = PIECE_SIZE - upload->filling.size, part = ciphertext.size - done;

		/* Only when more comes, or the last piece would not know that it is the last. */
		if (room == 0) {
			err = put_piece(upload, false);
			if (err == ERR_OK)
				err = wait_for_pieces(upload, PIECES_IN_FLIGHT - 1);
			continue;
		}
		if (part > room)
			part = room;
		buf_put(&upload->filling, ciphertext.data + done, part);
		err = upload->filling.err;
		done += part;
	}
	if (upload->err == ERR_OK)
		upload->err = err;
	return err;
}

enum err blob_upload_finish(struct blob_upload *upload, struct blob_ref *ref)
{
	enum err err = wait_for_pieces(upload, PIECES_IN_FLIGHT - 1);

	if (err == ERR_OK)
		err = put_piece(upload, true);
	if (err == ERR_OK)
		err = wait_for_pieces(upload, 0);
	if (upload->err == ERR_OK)
		upload->err = err;
	if (err == ERR_OK)
		*ref = upload->ref;
	return err;
}

static void abandon(struct blobs *blobs, struct piece *piece)
{
	piece->upload = NULL;
	/* In no set: then it waits for one, and nobody else will end it. */
	if (piece->put.set == NULL) {
		writer_cancel(blobs, &piece->put);
		piece_destroy(piece);
	}
}

void blob_upload_release(struct blob_upload **upload)
{
	struct blob_upload *released = *upload, **link;

	if (released == NULL)
		return;
	*upload = NULL;
	for (link = &released->blobs->uploads; *link != released; link = &(*link)->next)
		;
	*link = released->next;
	while (released->pieces != NULL) {
		struct piece *piece = released->pieces;

		released->pieces = piece->next;
		abandon(released->blobs, piece);
	}
	buf_finish(&released->filling);
	memory_free(released);
}

struct id128 blob_incarnation(const struct blobs *blobs)
{
	return blobs->incarnation;
}

uint64_t blob_floor(const struct blobs *blobs)
{
	return blobs->uploads != NULL ? blobs->uploads->number : blobs->next_number;
}
