/* SPDX-License-Identifier: MPL-2.0 */
/*
 * unix_group - a group of the system by its name. Apart from all others because
 * <grp.h> and engine/task.h both have a struct group.
 */
#ifndef AEROSTORE_TOOLS_COMMON_UNIX_GROUP_H
#define AEROSTORE_TOOLS_COMMON_UNIX_GROUP_H

#include <stdbool.h>
#include <stdint.h>

/* False when there is none of that name. */
bool unix_group_find(const char *name, uint32_t *id);

#endif
