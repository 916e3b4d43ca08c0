/* SPDX-License-Identifier: MPL-2.0 */
/*
 * statement - one signed record of the account table: its bytes, its signatures.
 *
 * Every record begins (integers little-endian):
 *
 *	offset	size	field
 *	0	1	version, 1
 *	1	1	suite, 1
 *	2	1	type: 1 birth, 2 status, 3 keys, 4 slots
 *	3	1	flags: bit 0, enrolled (keys and slots only)
 *	4	4	zeros
 *	8	8	birth, status: milliseconds since 1970; keys, slots: counter, from 1
 *	16	16	cluster id
 *	32	16	account id, not zero
 *
 * and goes on with, for a birth:
 *
 *	48	16	account tag
 *	64	16	stream id
 *	80	32	first identity, Ed25519 public key
 *	112	32	first delivery key, X25519 public key
 *	144	2	n, size of the address, 1..320
 *	146	n	address, in its normal form
 *	146+n	64	signature of the admin key, "aerostore account birth"
 *
 * a status:
 *
 *	48	1	enum account_status
 *	49	7	zeros
 *	56	64	signature of the admin key, "aerostore account status"
 *
 * slots:
 *
 *	48	32	identity that signs
 *	80	2	number of slots, 0..64
 *	82	...	each slot: size u16, the slot (engine/crypto/slot.h); no id twice
 *	...	64	signature of the identity, "aerostore account slots"
 *
 * keys:
 *
 *	48	32	identity that signs
 *	80	32	next identity
 *	112	32	next delivery key
 *	144	2	number of slots, 0..64
 *	146	...	slots, as above
 *	...	64	signature of the identity, "aerostore account keys"
 *	...	64	signature of the next identity, "aerostore account next keys"
 *
 * A signature (key.h) covers everything before the first signature of its record.
 */
#ifndef AEROSTORE_ENGINE_ACCOUNT_STATEMENT_H
#define AEROSTORE_ENGINE_ACCOUNT_STATEMENT_H

#include "engine/account/account.h"

enum statement_type {
	STATEMENT_BIRTH = 1,
	STATEMENT_STATUS = 2,
	STATEMENT_KEYS = 3,
	STATEMENT_SLOTS = 4
};

#define STATEMENT_FLAG_ENROLLED 1u

#define LABEL_BIRTH "aerostore account birth"
#define LABEL_STATUS "aerostore account status"
#define LABEL_SLOTS "aerostore account slots"
#define LABEL_KEYS "aerostore account keys"
#define LABEL_NEXT_KEYS "aerostore account next keys"

/* Parsed and verified; what points, points into `record` or is owned. */
struct statement {
	struct buf record;
	uint8_t digest[DIGEST_SIZE]; /* of the record */
	enum statement_type type;
	bool enrolled;
	uint64_t number; /* counter, or milliseconds */
	struct id128 account;
	struct id128 tag, stream;      /* birth */
	struct bytes address;	       /* birth */
	enum account_status status;    /* status */
	uint8_t signer[PUBLIC_SIZE];   /* keys, slots */
	uint8_t identity[PUBLIC_SIZE]; /* birth, keys */
	uint8_t delivery[X25519_SIZE]; /* birth, keys */
	struct account_slot *slots;    /* keys, slots */
	size_t slot_count;
};

/*
 * Reads and verifies: births and statuses against the admin key, the others against the identity
 * that they name, whose place in the chain is for the caller to check. admin_public NULL: the
 * signatures were verified before, and are not again. ERR_AUTH, ERR_CORRUPT, ERR_NEWER, ERR_NOMEM.
 */
MUST_USE enum err statement_create(struct id128 cluster, const uint8_t *admin_public,
				   struct bytes record, struct statement **out);
void statement_destroy(struct statement **statement);
/* A total order over the statements that compete for one place. */
bool statement_is_greater(const struct statement *a, const struct statement *b);
/* ERR_LIMIT, ERR_INVALID: not a set of slots; else as slot_inspect(). */
MUST_USE enum err statement_check_slots(const struct bytes *slots, size_t slot_count);

#endif
