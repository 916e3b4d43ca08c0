/* SPDX-License-Identifier: MPL-2.0 */
/*
 * account - the cluster's table of accounts: addresses, public keys, slots.
 *
 * A stream of clear, signed records in the replicated journal; every node
 * holds all of it and indexes it by normalised address. Chain of trust: the
 * cluster's admin key (pinned in the configuration) signs an account's birth
 * and status; the birth names the account's first identity (Ed25519); each
 * further identity is signed by the one before; the identity signs delivery
 * keys and slots, with a counter that only grows. A record that does not verify
 * along this chain is ignored and logged, so a lying store cannot plant an
 * account, a slot or a delivery key. Merging is by counter, then by digest.
 * The bytes of records: engine/account/statement.h.
 *
 * A pure state: account_table_apply() takes records in any order, any number of
 * times, with one result. I/O is the caller's (engine/account/accounts.h).
 *
 * INV, merging. For each signer the table keeps the greatest key record and the
 * greatest slots record, for each account the greatest birth and status, where
 * greater means (counter or time, digest of the record), and a deletion above
 * every other status. The state is a function of these maxima alone: from the
 * birth's identity the greatest key record of each identity names the next one,
 * as long as counters grow. What is off this chain is kept aside, because its
 * predecessor may be missing: at most ACCOUNT_PARKED_MAX signers an account and
 * TABLE_PARKED_MAX in all; above these the order can matter, and the caller
 * tries again.
 *
 * Not protected: whoever holds an identity's secret, be it an old one, can sign a
 * key record with a higher counter and so take the chain over from that point.
 *
 * Two live accounts with one address (created on two sides of a cut): the older
 * birth has it, then the smaller id; the other is found by id only.
 */
#ifndef AEROSTORE_ENGINE_ACCOUNT_ACCOUNT_H
#define AEROSTORE_ENGINE_ACCOUNT_ACCOUNT_H

#include "engine/crypto/sealed.h"
#include "engine/crypto/slot.h"

#define ACCOUNT_SLOT_MAX 64u
#define ADDRESS_MAX 320u
#define ACCOUNT_PARKED_MAX 16u
#define TABLE_PARKED_MAX 1024u

enum account_status { ACCOUNT_ACTIVE = 1, ACCOUNT_DISABLED = 2, ACCOUNT_DELETED = 3 };

struct account_slot {
	struct slot_info info;
	struct bytes encoded; /* within the record that it came in */
};

/* As merged so far. Borrowed from the table; valid until the next apply. */
struct account_record {
	struct id128 id;
	struct id128 tag;	       /* pseudonym in record headers */
	struct id128 stream;	       /* its journal stream */
	char address[ADDRESS_MAX + 1]; /* normalised */
	enum account_status status;    /* what it forbids is the caller's business */
	uint64_t status_ms;	       /* of the record that set it; 0: none did */
	uint8_t identity_public[PUBLIC_SIZE];
	uint8_t delivery_public[X25519_SIZE];
	uint64_t counter; /* of the newest key record */
	uint64_t created_ms;
	bool enrolled; /* its user has logged in; until then the operator can read */
	const struct account_slot *slots;
	size_t slot_count;
};

struct account_table;

MUST_USE enum err account_table_create(struct id128 cluster,
				       const uint8_t admin_public[PUBLIC_SIZE],
				       struct account_table **out);
void account_table_destroy(struct account_table **table);
/*
 * Merges one record. ERR_AUTH: not signed along the chain (it is kept aside when only its
 * predecessor is missing so far, and tried again later), or of another cluster; ERR_LIMIT: too many
 * are kept aside; ERR_CORRUPT; ERR_NEWER; ERR_OK also when old news. ERR_NOMEM changed nothing.
 */
MUST_USE enum err account_table_apply(struct account_table *table, struct bytes record);
/* The same for a record whose signatures this node has verified before: they are not looked at. */
MUST_USE enum err account_table_apply_verified(struct account_table *table, struct bytes record);
/* Whether it is among what account_table_export() gives: what is kept aside is, too. */
bool account_table_keeps(const struct account_table *table, struct bytes record);
/* NULL when no account has the address, or only deleted ones. */
const struct account_record *account_table_find(const struct account_table *table,
						struct bytes normalised_address);
const struct account_record *account_table_by_id(const struct account_table *table,
						 struct id128 id);
/* All with a birth, deleted ones too, in address order; `after` NULL: the first. NULL at the end. */
const struct account_record *account_table_next(const struct account_table *table,
						const struct account_record *after);
size_t account_table_count(const struct account_table *table);
/*
 * All records that a snapshot must keep to rebuild this state, one call each, predecessors before
 * those whom they make identities: applied in this order none is kept aside that need not be.
 */
MUST_USE enum err account_table_export(const struct account_table *table,
				       enum err (*each)(void *context, struct bytes record),
				       void *context);

/*
 * local@domain, as RFC 5321 section 4.1.2 and RFC 6531 have it. The local part becomes NFC and
 * case-folded, loses quotes it does not need, and has at most 64 octets; the domain lower-case.
 * ERR_INVALID: not an address. Refused, too: domains that are not ASCII (give the IDNA A-label) and
 * address literals; controls, bidirectional controls, and spaces other than a quoted " ".
 */
MUST_USE enum err address_normalise(struct bytes address, struct buf *out);

/* ---- making records (aeroctl with the admin key; a session with the account's) ---- */

/* What a master key opens. Each derived with a label of its own. */
struct account_keys {
	struct key *master;
	struct key *directory; /* journal payloads, manifests, the wrapping of collection keys */
	struct key *identity;  /* Ed25519 seed */
	struct key *delivery;  /* X25519 secret */
};

MUST_USE enum err account_keys_derive(struct key *master, struct account_keys *out);
void account_keys_release(struct account_keys *keys);

/*
 * Appends the record that creates the account; `keys` are those of a fresh master key. ERR_INVALID:
 * the address is not in its normal form. Until an account has slots nobody can open it.
 */
MUST_USE enum err account_make_birth(struct env *env, const struct key *admin, struct id128 cluster,
				     struct bytes normalised_address,
				     const struct account_keys *keys, struct id128 *account_id,
				     struct buf *record);
/* It follows whatever set the status before, even if the clock went back. */
MUST_USE enum err account_make_status(const struct key *admin, struct id128 cluster,
				      const struct account_record *account,
				      enum account_status status, uint64_t now_ms,
				      struct buf *record);
/*
 * Slots replace the whole set; counter is the account's plus one. Signed by `identity`. ERR_LIMIT:
 * more than ACCOUNT_SLOT_MAX; ERR_INVALID: two with one id; errors of slot_inspect().
 */
MUST_USE enum err account_make_slots(const struct key *identity, struct id128 cluster,
				     struct id128 account, uint64_t counter, bool enrolled,
				     const struct bytes *slots, size_t slot_count,
				     struct buf *record);
/* New identity and delivery keys (rotation), signed by the old identity and by the new. */
MUST_USE enum err account_make_keys(const struct key *old_identity, struct id128 cluster,
				    struct id128 account, uint64_t counter,
				    const struct account_keys *next, bool enrolled,
				    const struct bytes *slots, size_t slot_count,
				    struct buf *record);

/*
 * Unlocking with a generated secret: an app password tries the slot that it names, a recovery code
 * those of its kind. Never stretches anything: whoever fails here goes on with
 * account_unlock_password(). ERR_AUTH: no slot opens. *slot_id is the slot that opened.
 */
WAITS MUST_USE enum err account_unlock_code(struct id128 cluster,
					    const struct account_record *account,
					    struct bytes secret, struct key **master,
					    uint32_t *slot_id);
/*
 * Unlocking with any secret, whatever it looks like: an invitation, when allowed, tries its slots;
 * then password and non-invitation enrolment slots. An Argon2 for each slot tried, and a failure
 * never costs none: an account without a slot to try costs what nobody costs (slot_open_nothing()).
 * So the caller bounds how many do this at once. Member slots are opened with slot_open().
 */
WAITS MUST_USE enum err account_unlock_password(struct id128 cluster,
						const struct account_record *account,
						struct bytes secret, bool allow_invitation,
						struct key **master, uint32_t *slot_id);

#endif
