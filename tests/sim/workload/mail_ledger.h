/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mail_ledger - what was promised about each message: the oracle of loss.
 *
 * Every delivery has bytes of its own, and a number, from 0. Its state says
 * what a reader may find: an unanswered delivery may have happened or not, an
 * acknowledged one must be there, byte for byte, once; an acknowledged deletion
 * stays. The ledger keeps a hash of the bytes, not the bytes.
 *
 *	sent ──▶ acknowledged ──▶ deleting ──▶ deleted
 *	  └────────────────────────▲
 *
 * A reading goes over everything that one account holds, once:
 * mail_ledger_begin(), mail_ledger_read() for each message found, and
 * mail_ledger_end(). What is sent, acknowledged or deleted while a reading
 * is under way counts as it was when that message is judged; hence readings are
 * made at rest, or their `missing` is looked at again.
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_MAIL_LEDGER_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_MAIL_LEDGER_H

#include "engine/base/hash.h"
#include "tests/sim/workload/verdict.h"

enum mail_state { MAIL_SENT, MAIL_ACKNOWLEDGED, MAIL_DELETING, MAIL_DELETED };

struct mail_record {
	uint32_t account;
	enum mail_state state;
	struct hash128 hash;
	uint64_t found_in; /* the last reading that found it */
};

struct mail_ledger {
	struct mail_record *records;
	size_t count, capacity;
	uint64_t reading;
	uint32_t account; /* being read */
	size_t acknowledged_count, deleted_count;
};

/* Starts as {0}. */
void mail_ledger_finish(struct mail_ledger *ledger);
/* Before the first byte goes out. Returns the number. */
size_t mail_ledger_send(struct mail_ledger *ledger, uint32_t account, struct bytes bytes);
void mail_ledger_acknowledge(struct mail_ledger *ledger, size_t number);
/* Before the deletion is asked for: from now on the message may be gone. */
void mail_ledger_delete(struct mail_ledger *ledger, size_t number);
/* The deletion was acknowledged. */
void mail_ledger_deleted(struct mail_ledger *ledger, size_t number);

void mail_ledger_begin(struct mail_ledger *ledger, uint32_t account);
/* One message found; `number` as read from its bytes. */
enum verdict mail_ledger_read(struct mail_ledger *ledger, size_t number, struct bytes bytes);
/* FINE, or MISSING with the number of the first that is. */
enum verdict mail_ledger_end(const struct mail_ledger *ledger, size_t *missing);

#endif
