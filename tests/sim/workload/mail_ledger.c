/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/mail_ledger.h"

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

void mail_ledger_finish(struct mail_ledger *ledger)
{
	sim_free(ledger->records);
	*ledger = (struct mail_ledger){0};
}

size_t mail_ledger_send(struct mail_ledger *ledger, uint32_t account, struct bytes bytes)
{
	ledger->records = sim_grow(ledger->records, ledger->count, &ledger->capacity,
				   sizeof(*ledger->records));
	ledger->records[ledger->count] =
		(struct mail_record){.account = account, .hash = hash_128(bytes.data, bytes.size)};
	return ledger->count++;
}

static struct mail_record *record_of(struct mail_ledger *ledger, size_t number)
{
	ASSERT(number < ledger->count);
	return &ledger->records[number];
}

void mail_ledger_acknowledge(struct mail_ledger *ledger, size_t number)
{
	struct mail_record *record = record_of(ledger, number);

	ledger->acknowledged_count++;
	/* A session may have seen and deleted it before the answer reached the sender. */
	if (record->state == MAIL_SENT)
		record->state = MAIL_ACKNOWLEDGED;
}

void mail_ledger_delete(struct mail_ledger *ledger, size_t number)
{
	struct mail_record *record = record_of(ledger, number);

	if (record->state != MAIL_DELETED)
		record->state = MAIL_DELETING;
}

void mail_ledger_deleted(struct mail_ledger *ledger, size_t number)
{
	struct mail_record *record = record_of(ledger, number);

	ASSERT(record->state == MAIL_DELETING || record->state == MAIL_DELETED);
	ledger->deleted_count += record->state == MAIL_DELETING;
	record->state = MAIL_DELETED;
}

void mail_ledger_begin(struct mail_ledger *ledger, uint32_t account)
{
	ledger->reading++;
	ledger->account = account;
}

enum verdict mail_ledger_read(struct mail_ledger *ledger, size_t number, struct bytes bytes)
{
	struct mail_record *record;

	if (number >= ledger->count || ledger->records[number].account != ledger->account)
		return VERDICT_UNKNOWN;
	record = &ledger->records[number];
	if (!hash128_equal(record->hash, hash_128(bytes.data, bytes.size)))
		return VERDICT_WRONG_BYTES;
	if (record->found_in == ledger->reading)
		return VERDICT_TWICE;
	record->found_in = ledger->reading;
	return record->state == MAIL_DELETED ? VERDICT_RETURNED : VERDICT_FINE;
}

enum verdict mail_ledger_end(const struct mail_ledger *ledger, size_t *missing)
{
	for (size_t i = 0; i < ledger->count; i++) {
		const struct mail_record *record = &ledger->records[i];

		if (record->account == ledger->account && record->state == MAIL_ACKNOWLEDGED &&
		    record->found_in != ledger->reading) {
			*missing = i;
			return VERDICT_MISSING;
		}
	}
	return VERDICT_FINE;
}
