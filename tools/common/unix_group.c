/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/unix_group.h"

#include <grp.h>
#include <stddef.h>

bool unix_group_find(const char *name, uint32_t *id)
{
	const struct group *group = getgrnam(name);

	if (group != NULL)
		*id = group->gr_gid;
	return group != NULL;
}
