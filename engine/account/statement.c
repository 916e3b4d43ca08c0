/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/account/statement.h"

#include <string.h>

#include "engine/base/memory.h"

#define STATEMENT_VERSION 1u

/* Damage is the cursor's to remember; only ERR_NOMEM is returned. */
static enum err parse_slots(struct cursor *cursor, struct statement *statement)
{
	size_t count = cursor_u16(cursor);

	if (count > ACCOUNT_SLOT_MAX)
		cursor_fail(cursor);
	if (cursor->err != ERR_OK || count == 0)
		return ERR_OK;
	statement->slots = memory_array(count, sizeof(*statement->slots));
	if (statement->slots == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		statement->slots[i].encoded = cursor_take(cursor, cursor_u16(cursor));
	statement->slot_count = count;
	return ERR_OK;
}

/* Parameters that this program refuses make a slot useless, but a record no less readable. */
static enum err inspect_slots(struct statement *statement)
{
	for (size_t i = 0; i < statement->slot_count; i++) {
		struct account_slot *slot = &statement->slots[i];
		enum err err = slot_inspect(slot->encoded, &slot->info);

		if (err != ERR_OK)
			return err == ERR_INVALID ? ERR_CORRUPT : err;
		for (size_t j = 0; j < i; j++)
			if (statement->slots[j].info.slot_id == slot->info.slot_id)
				return ERR_CORRUPT;
	}
	return ERR_OK;
}

static void parse_birth(struct cursor *cursor, struct statement *statement)
{
	statement->tag = cursor_id(cursor);
	statement->stream = cursor_id(cursor);
	cursor_copy(cursor, statement->identity, PUBLIC_SIZE);
	cursor_copy(cursor, statement->delivery, X25519_SIZE);
	statement->address = cursor_take(cursor, cursor_u16(cursor));
}

static void parse_status(struct cursor *cursor, struct statement *statement)
{
	uint8_t status = cursor_u8(cursor);

	cursor_zeros(cursor, 7);
	if (status < ACCOUNT_ACTIVE || status > ACCOUNT_DELETED)
		cursor_fail(cursor);
	statement->status = status;
}

static enum err parse_keys(struct cursor *cursor, struct statement *statement)
{
	cursor_copy(cursor, statement->signer, PUBLIC_SIZE);
	if (statement->type == STATEMENT_KEYS) {
		cursor_copy(cursor, statement->identity, PUBLIC_SIZE);
		cursor_copy(cursor, statement->delivery, X25519_SIZE);
	}
	/* 0 is the birth's: nothing follows it with 0. */
	if (statement->number == 0)
		cursor_fail(cursor);
	return parse_slots(cursor, statement);
}

/* The signatures at the end; what they cover is what was read so far. */
static void take_signatures(struct cursor *cursor, size_t count, const uint8_t **signatures)
{
	for (size_t i = 0; i < count; i++)
		signatures[i] = cursor_take(cursor, SIGNATURE_SIZE).data;
}

static enum err verify(const struct statement *statement, const uint8_t admin_public[PUBLIC_SIZE],
		       size_t signed_size, const uint8_t *const *signatures)
{
	struct bytes message = bytes_make(statement->record.data, signed_size);
	enum err err = ERR_CORRUPT;

	switch (statement->type) {
	case STATEMENT_BIRTH:
		return sign_verify(admin_public, LABEL_BIRTH, message, signatures[0]);
	case STATEMENT_STATUS:
		return sign_verify(admin_public, LABEL_STATUS, message, signatures[0]);
	case STATEMENT_SLOTS:
		return sign_verify(statement->signer, LABEL_SLOTS, message, signatures[0]);
	case STATEMENT_KEYS:
		err = sign_verify(statement->signer, LABEL_KEYS, message, signatures[0]);
		if (err == ERR_OK)
			err = sign_verify(statement->identity, LABEL_NEXT_KEYS, message,
					  signatures[1]);
		break;
	}
	return err;
}

static enum err check_address(struct bytes address)
{
	struct buf normal = {0};
	enum err err = address_normalise(address, &normal);

	if (err == ERR_INVALID || (err == ERR_OK && !bytes_equal(bytes_of_buf(&normal), address)))
		err = ERR_CORRUPT;
	buf_finish(&normal);
	return err;
}

static enum err parse_body(struct statement *statement, struct cursor *cursor,
			   const uint8_t *admin_public)
{
	const uint8_t *signatures[2] = {NULL, NULL};
	size_t signed_size;
	enum err err = ERR_OK;

	if (statement->type == STATEMENT_BIRTH)
		parse_birth(cursor, statement);
	else if (statement->type == STATEMENT_STATUS)
		parse_status(cursor, statement);
	else
		err = parse_keys(cursor, statement);
	if (err != ERR_OK)
		return err;
	signed_size = cursor->offset;
	take_signatures(cursor, statement->type == STATEMENT_KEYS ? 2 : 1, signatures);
	err = cursor_end(cursor);
	if (err == ERR_OK && admin_public != NULL)
		err = verify(statement, admin_public, signed_size, signatures);
	if (err == ERR_OK)
		err = inspect_slots(statement);
	if (err == ERR_OK && statement->type == STATEMENT_BIRTH)
		err = check_address(statement->address);
	return err;
}

static enum err parse(struct statement *statement, struct id128 cluster,
		      const uint8_t *admin_public)
{
	struct cursor cursor = cursor_make(bytes_of_buf(&statement->record));
	uint8_t version = cursor_u8(&cursor), suite = cursor_u8(&cursor);
	uint8_t type = cursor_u8(&cursor), flags = cursor_u8(&cursor);
	struct id128 of_cluster;

	if (cursor.err == ERR_OK &&
	    (version > STATEMENT_VERSION || suite > SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519))
		return ERR_NEWER;
	cursor_zeros(&cursor, 4);
	statement->number = cursor_u64(&cursor);
	of_cluster = cursor_id(&cursor);
	statement->account = cursor_id(&cursor);
	if (id128_is_zero(statement->account) || version != STATEMENT_VERSION ||
	    suite != SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519 || type < STATEMENT_BIRTH ||
	    type > STATEMENT_SLOTS ||
	    (flags & ~(type >= STATEMENT_KEYS ? STATEMENT_FLAG_ENROLLED : 0u)) != 0)
		cursor_fail(&cursor);
	if (cursor.err != ERR_OK)
		return cursor.err;
	if (!id128_equal(of_cluster, cluster))
		return ERR_AUTH;
	statement->type = type;
	statement->enrolled = flags & STATEMENT_FLAG_ENROLLED;
	return parse_body(statement, &cursor, admin_public);
}

enum err statement_create(struct id128 cluster, const uint8_t *admin_public, struct bytes record,
			  struct statement **out)
{
	struct statement *statement = memory_allocate(sizeof(*statement));
	enum err err;

	if (statement == NULL)
		return ERR_NOMEM;
	buf_put_bytes(&statement->record, record);
	err = statement->record.err;
	if (err == ERR_OK)
		err = parse(statement, cluster, admin_public);
	if (err != ERR_OK) {
		statement_destroy(&statement);
		return err;
	}
	digest_256(record, statement->digest);
	*out = statement;
	return ERR_OK;
}

void statement_destroy(struct statement **statement)
{
	struct statement *destroyed = *statement;

	*statement = NULL;
	if (destroyed == NULL)
		return;
	memory_free(destroyed->slots);
	buf_finish(&destroyed->record);
	memory_free(destroyed);
}

bool statement_is_greater(const struct statement *a, const struct statement *b)
{
	bool a_deletes = a->status == ACCOUNT_DELETED, b_deletes = b->status == ACCOUNT_DELETED;

	if (a_deletes != b_deletes)
		return a_deletes;
	if (a->number != b->number)
		return a->number > b->number;
	return memcmp(a->digest, b->digest, DIGEST_SIZE) > 0;
}

enum err statement_check_slots(const struct bytes *slots, size_t slot_count)
{
	uint32_t ids[ACCOUNT_SLOT_MAX];

	if (slot_count > ACCOUNT_SLOT_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < slot_count; i++) {
		struct slot_info info;
		enum err err = slot_inspect(slots[i], &info);

		if (err != ERR_OK)
			return err;
		ids[i] = info.slot_id;
		for (size_t j = 0; j < i; j++)
			if (ids[j] == ids[i])
				return ERR_INVALID;
	}
	return ERR_OK;
}
