/* SPDX-License-Identifier: MPL-2.0 */
/*
 * deleted - what the journal holds of accounts that were deleted for good:
 * entries, manifests and pages, which nobody can read any more. It goes when the
 * deletion is known to every volume and has been in quarantine; what stays of
 * the account is its records in the account table and an empty manifest.
 *
 * The tombstone says so, and no key is needed.
 */
#ifndef AEROSTORE_ENGINE_RECLAIM_DELETED_H
#define AEROSTORE_ENGINE_RECLAIM_DELETED_H

#include "engine/reclaim/liveness.h"
#include "engine/reclaim/quarantine.h"

/*
 * Empties the streams whose time has come; raises *emptied by how many those were. Where one cannot
 * be emptied now, the judge's obstacle says why. ERR_NOMEM, ERR_CANCELED.
 */
WAITS MUST_USE enum err deleted_empty(struct liveness_judge *judge, struct quarantine *quarantine,
				      uint64_t *emptied);

#endif
