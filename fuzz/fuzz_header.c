/* SPDX-License-Identifier: MPL-2.0 */
/* The header of a message: fields, their text, their parameters, IMAP's selections. */
#include "fuzz/fuzz.h"
#include "mail/charset.h"
#include "mail/header.h"

static void check_value(struct bytes value)
{
	struct buf out = {0};

	header_unfold(value, &out);
	ASSERT(out.err == ERR_OK && out.size <= value.size);
	for (size_t i = 0; i < out.size; i++)
		ASSERT(out.data[i] != '\0' && out.data[i] != '\r' && out.data[i] != '\n');
	buf_clear(&out);
	header_decode(value, &out);
	ASSERT(out.err == ERR_OK && charset_utf8_valid(bytes_of_buf(&out)));
	for (size_t i = 0; i < out.size; i++)
		ASSERT(out.data[i] >= 0x20 || out.data[i] == '\t');
	buf_finish(&out);
}

static void check_structured(struct bytes value)
{
	struct header_structured structured;
	struct buf out = {0};

	ASSERT(header_structured_parse(value, &structured) == ERR_OK);
	ASSERT(structured.parameter_count <= HEADER_PARAMETERS_MAX);
	for (size_t i = 0; i < structured.parameter_count; i++) {
		const struct header_parameter *parameter = &structured.parameters[i];

		ASSERT(parameter->name.size != 0);
		for (size_t j = 0; j < i; j++)
			ASSERT(!bytes_equal_nocase(parameter->name, structured.parameters[j].name));
		buf_clear(&out);
		(void)header_parameter_decode(structured.parameters, structured.parameter_count,
					      parameter->name, &out);
		ASSERT(out.err == ERR_OK && charset_utf8_valid(bytes_of_buf(&out)));
	}
	buf_finish(&out);
	header_structured_finish(&structured);
}

/* The two selections have each field once. */
static void check_select(struct bytes block, struct bytes name, size_t raw_size)
{
	const struct bytes names[] = {name, bytes_string("subject")};
	struct buf yes = {0}, no = {0};

	header_select(block, names, 2, false, false, &yes);
	header_select(block, names, 2, true, false, &no);
	ASSERT(yes.err == ERR_OK && no.err == ERR_OK);
	ASSERT(yes.size + no.size == raw_size);
	buf_finish(&yes);
	buf_finish(&no);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = bytes_make(data, size), name = bytes_string("to");
	struct header_field field, found;
	size_t raw_size = 0;
	uint64_t colonless = 0;

	while (header_next(&rest, &field)) {
		ASSERT(field.raw.data >= data && field.raw.data + field.raw.size <= data + size);
		ASSERT(field.raw.size != 0);
		raw_size += field.raw.size;
		if (field.name.size == 0) {
			colonless++;
			continue;
		}
		ASSERT(header_find(bytes_make(data, size), field.name, &found));
		ASSERT(bytes_equal_nocase(found.name, field.name));
		check_value(field.value);
		check_structured(field.value);
		name = field.name;
	}
	ASSERT(raw_size + rest.size <= size);
	if (colonless == 0)
		check_select(bytes_make(data, size), name, raw_size);
	return 0;
}
