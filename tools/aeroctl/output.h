/* SPDX-License-Identifier: MPL-2.0 */
/*
 * output - results as tables for people, or as JSON for programs.
 */
#ifndef AEROSTORE_TOOLS_AEROCTL_OUTPUT_H
#define AEROSTORE_TOOLS_AEROCTL_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "tools/aeroctl/control.h"
#include "tools/common/json.h"

#define OUTPUT_COLUMN_MAX 8u

/* Collects rows, then prints them with columns as wide as their widest cell. Zero but for columns.
 */
struct output_table {
	size_t column_count;
	struct buf cells; /* NUL-terminated texts, row by row */
	size_t widths[OUTPUT_COLUMN_MAX];
	size_t cell_count;
};

/* Fills the next cell from left to right, top to bottom. */
void output_cell(struct output_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void output_table_print(struct output_table *table);

/* Prints an indented JSON text and drops the reference. */
enum program_exit output_json(json_t *value);
/* "1.5 GiB"; static buffers, four calls long. */
const char *output_size(uint64_t size);
/* "2026-11-22 16:40" UTC, likewise. */
const char *output_time(uint64_t wall_ms);

#endif
