/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "event=assertion-failed file=%s line=%d expression=\"%s\"\n", file, line,
		expression);
	abort();
}
