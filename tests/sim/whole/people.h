/* SPDX-License-Identifier: MPL-2.0 */
/*
 * people - the accounts of a simulated store: how they are made, addressed and
 * logged in, and how their messages are parsed.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_PEOPLE_H
#define AEROSTORE_TESTS_SIM_WHOLE_PEOPLE_H

#include "engine/engine.h"

#define PEOPLE_ADDRESS_SIZE 32

/* What opening a slot costs: as little as it may. */
extern const struct slot_parameters people_slot;

/*
 * A summary of nothing but the size. It takes seconds now and then, as if the process had been
 * stopped there: an APPEND has uploaded its blob by then, and has not named it.
 */
extern const struct summary_hook people_summary;

/* "user3@example.org" */
void people_address(uint32_t account, char out[PEOPLE_ADDRESS_SIZE]);
const struct account_record *people_find(struct engine *engine, uint32_t account);
WAITS MUST_USE enum err people_login(struct engine *engine, uint32_t account, struct mailbox **out);
/* Of the cluster of parts.h. */
WAITS MUST_USE enum err people_add(struct engine *engine, struct key *admin, uint32_t account);
WAITS MUST_USE enum err people_delete(struct engine *engine, struct key *admin, uint32_t account);

#endif
