/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/account/account.h"
#include "engine/base/assert.h"
#include "engine/base/memory.h"

/* Copies, because the table may change while Argon2 runs on another thread. */
struct candidate {
	struct slot_info info;
	size_t size;
	uint8_t encoded[SLOT_ENCODED_MAX];
};

struct unlocking {
	struct id128 cluster, account;
	struct bytes secret;
	struct candidate *candidates;
	size_t candidate_count;
	size_t stretched; /* how many slots cost an Argon2 */
};

static bool is_stretched(const struct slot_info *info)
{
	return info->kind == SLOT_PASSWORD || info->kind == SLOT_ENROLMENT;
}

static enum err copy_slots(const struct account_record *account, struct unlocking *out)
{
	out->candidates = memory_array(account->slot_count, sizeof(*out->candidates));
	if (out->candidates == NULL)
		return ERR_NOMEM;
	out->candidate_count = account->slot_count;
	for (size_t i = 0; i < account->slot_count; i++) {
		const struct account_slot *slot = &account->slots[i];

		ASSERT(slot->encoded.size <= SLOT_ENCODED_MAX);
		out->candidates[i].info = slot->info;
		out->candidates[i].size = slot->encoded.size;
		memcpy(out->candidates[i].encoded, slot->encoded.data, slot->encoded.size);
	}
	return ERR_OK;
}

/* Tries every slot of that kind; ERR_AUTH when none opens. */
WAITS static enum err try_kind(struct unlocking *unlocking, enum slot_kind kind, bool invitations,
			       struct key **master, uint32_t *slot_id)
{
	for (size_t i = 0; i < unlocking->candidate_count; i++) {
		const struct candidate *candidate = &unlocking->candidates[i];
		enum err err;

		if (candidate->info.kind != kind || candidate->info.is_invitation != invitations)
			continue;
		unlocking->stretched += is_stretched(&candidate->info);
		err = slot_open(bytes_make(candidate->encoded, candidate->size), unlocking->cluster,
				unlocking->account, unlocking->secret, master);
		if (err == ERR_OK)
			*slot_id = candidate->info.slot_id;
		if (err != ERR_AUTH)
			return err;
	}
	return ERR_AUTH;
}

/* The parameters of the account's own slots, so that having none to try does not show. */
WAITS static enum err try_nothing(const struct unlocking *unlocking)
{
	struct slot_parameters parameters = {ARGON2_OPERATIONS_DEFAULT,
					     ARGON2_MEMORY_DEFAULT / 1024};

	for (size_t i = 0; i < unlocking->candidate_count; i++)
		if (is_stretched(&unlocking->candidates[i].info))
			parameters = unlocking->candidates[i].info.parameters;
	return slot_open_nothing(&parameters, unlocking->secret,
				 bytes_make(unlocking->account.octets, 16));
}

/* slot_open() refuses an app password that names another slot before any work. */
WAITS static enum err try_code(struct unlocking *unlocking, struct bytes normal,
			       struct key **master, uint32_t *slot_id)
{
	if (normal.data[0] == 'A')
		return try_kind(unlocking, SLOT_APP, false, master, slot_id);
	if (normal.data[0] == 'R')
		return try_kind(unlocking, SLOT_RECOVERY, false, master, slot_id);
	return ERR_AUTH;
}

enum err account_unlock_code(struct id128 cluster, const struct account_record *account,
			     struct bytes secret, struct key **master, uint32_t *slot_id)
{
	struct unlocking unlocking = {.cluster = cluster, .account = account->id, .secret = secret};
	struct buf normal = {0};
	enum err err = secret_normalise_code(secret, &normal);

	if (err == ERR_INVALID)
		err = ERR_AUTH;
	else if (err == ERR_OK)
		err = copy_slots(account, &unlocking);
	if (err == ERR_OK)
		err = try_code(&unlocking, bytes_of_buf(&normal), master, slot_id);
	ASSERT(unlocking.stretched == 0);
	buf_finish(&normal);
	memory_free(unlocking.candidates);
	return err;
}

static enum err is_invitation(struct bytes secret, bool *out)
{
	struct buf normal = {0};
	enum err err = secret_normalise_code(secret, &normal);

	*out = err == ERR_OK && normal.data[0] != 'A' && normal.data[0] != 'R';
	buf_finish(&normal);
	return err == ERR_INVALID ? ERR_OK : err;
}

enum err account_unlock_password(struct id128 cluster, const struct account_record *account,
				 struct bytes secret, bool allow_invitation, struct key **master,
				 uint32_t *slot_id)
{
	struct unlocking unlocking = {.cluster = cluster, .account = account->id, .secret = secret};
	bool invitation;
	enum err err = is_invitation(secret, &invitation);

	if (err == ERR_OK)
		err = copy_slots(account, &unlocking);
	if (err != ERR_OK)
		return err;
	err = ERR_AUTH;
	if (invitation && allow_invitation)
		err = try_kind(&unlocking, SLOT_ENROLMENT, true, master, slot_id);
	/* A password may look like a code. */
	if (err == ERR_AUTH)
		err = try_kind(&unlocking, SLOT_PASSWORD, false, master, slot_id);
	if (err == ERR_AUTH)
		err = try_kind(&unlocking, SLOT_ENROLMENT, false, master, slot_id);
	if (err == ERR_AUTH && unlocking.stretched == 0)
		err = try_nothing(&unlocking);
	memory_free(unlocking.candidates);
	return err;
}
