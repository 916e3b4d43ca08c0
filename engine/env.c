/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/env.h"

#include <stdarg.h>
#include <stdio.h>

void env_log(struct env *env, const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	env->ops->log(env, line);
}

struct id128 env_random_id(struct env *env)
{
	struct id128 id;

	env_random(env, id.octets, sizeof(id.octets));
	return id;
}
