/* SPDX-License-Identifier: MPL-2.0 */
/*
 * status - the state of the store as JSON, truthful about what can be lost now.
 * The fields are described in aeroctl(1).
 */
#ifndef AEROSTORE_TOOLS_AEROD_STATUS_H
#define AEROSTORE_TOOLS_AEROD_STATUS_H

#include "tools/aerod/admin.h"
#include "tools/common/json.h"
#include "tools/common/program.h"

void status_put(const struct admin_server *server, json_t *reply);

/* "reclaim" alone. */
void status_put_reclaim(const struct reclaim_status *reclaim, json_t *reply);

/*
 * What each volume's directory occupies, by kind. Apart from the above, because it looks at every
 * file: a disk that hangs must not keep anybody from the status. One that is slow
 * is left out.
 */
WAITS void status_put_usage(struct engine *engine, json_t *reply);

#endif
