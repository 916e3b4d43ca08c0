/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void report_add(struct report *sum, const struct report *one)
{
#define X(name) sum->name += one->name;
	REPORT_LIST(X)
#undef X
	for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
		sum->faults[i] += one->faults[i];
	sum->trace_hash = one->trace_hash;
	if (sum->oracle[0] == '\0')
		memcpy(sum->oracle, one->oracle, sizeof(sum->oracle));
}

void report_print(const struct report *report)
{
#define X(name) printf("  %-20s %12" PRIu64 "\n", #name, report->name);
	REPORT_LIST(X)
#undef X
	for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
		printf("  fault %-18s %8" PRIu64 "  %8.1f a simulated hour\n",
		       sim_fault_name((enum sim_fault)i), report->faults[i],
		       (double)report->faults[i] * 3.6e6 / (double)(report->virtual_ms + 1));
}

void report_broken(struct report *report, struct sim *sim, const char *oracle, const char *format,
		   ...)
{
	char text[256];
	va_list arguments;

	if (report->oracle[0] == '\0')
		(void)snprintf(report->oracle, sizeof(report->oracle), "%s", oracle);
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	sim_fail(sim, "%s: %s", oracle, text);
}
