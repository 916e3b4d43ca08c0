/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aeroctl/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/assert.h"

#define CELL_SIZE 512u
#define TEXT_COUNT 4u
#define TEXT_SIZE 32u

/* Characters of UTF-8, near enough to columns of a terminal for addresses and paths. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void output_cell(struct output_table *table, const char *format, ...)
{
	char text[CELL_SIZE];
	size_t *widest = &table->widths[table->cell_count++ % table->column_count];
	va_list arguments;

	ASSERT(table->column_count <= OUTPUT_COLUMN_MAX);
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (width_of(text) > *widest)
		*widest = width_of(text);
	buf_put(&table->cells, text, strlen(text) + 1);
}

void output_table_print(struct output_table *table)
{
	const char *cell = (const char *)table->cells.data;
	size_t blanks = 0; /* put off until something follows them */

	if (table->cells.err != ERR_OK)
		control_fail(PROGRAM_REFUSED, "out of memory");
	for (size_t i = 0; table->cells.err == ERR_OK && i < table->cell_count; i++) {
		size_t column = i % table->column_count, width = width_of(cell);

		if (width != 0) {
			printf("%*s%s", (int)blanks, "", cell);
			blanks = 0;
		}
		blanks += table->widths[column] - width + 2;
		if (column + 1 == table->column_count) {
			putchar('\n');
			blanks = 0;
		}
		cell += strlen(cell) + 1;
	}
	buf_finish(&table->cells);
}

enum program_exit output_json(json_t *value)
{
	bool printed = value != NULL && json_dumpf(value, stdout, JSON_INDENT(2)) == 0 &&
		       putchar('\n') != EOF;

	json_decref(value);
	return printed ? PROGRAM_OK : control_fail(PROGRAM_REFUSED, "cannot print the result");
}

static char *next_text(void)
{
	static char texts[TEXT_COUNT][TEXT_SIZE];
	static size_t next;

	return texts[next++ % TEXT_COUNT];
}

const char *output_size(uint64_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	char *text = next_text();
	double value = (double)size;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, TEXT_SIZE, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
	return text;
}

const char *output_time(uint64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char *text = next_text();
	struct tm utc;

	if (gmtime_r(&seconds, &utc) == NULL ||
	    strftime(text, TEXT_SIZE, "%Y-%m-%d %H:%M", &utc) == 0)
		snprintf(text, TEXT_SIZE, "?");
	return text;
}
