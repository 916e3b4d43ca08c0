/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/verdict.h"

#include <stddef.h>

#include "engine/base/assert.h"

static const struct {
	const char *name, *text;
} verdicts[] = {
#define X(name, text) {#name, text},
	VERDICT_LIST(X)
#undef X
};

const char *verdict_name(enum verdict verdict)
{
	ASSERT((size_t)verdict < sizeof(verdicts) / sizeof(verdicts[0]));
	return verdicts[verdict].name;
}

const char *verdict_text(enum verdict verdict)
{
	ASSERT((size_t)verdict < sizeof(verdicts) / sizeof(verdicts[0]));
	return verdicts[verdict].text;
}
