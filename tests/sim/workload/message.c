/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/message.h"

#include <string.h>

#define HEADER "X-Number: "
#define DIGITS 12
#define LINE_SIZE 72

void message_make(struct buf *message, size_t number, size_t size_limit, struct sim_random *random)
{
	/* Small ones are much more frequent than large ones, as with real mail. */
	uint64_t scale = 1 + sim_random_below(random, size_limit);
	uint64_t size = sim_random_below(random, scale);

	buf_printf(message, HEADER "%0*zu\r\nSubject: a test\r\n\r\n", DIGITS, number);
	while (size != 0) {
		size_t part = size < LINE_SIZE ? (size_t)size : LINE_SIZE;

		for (size_t i = 0; i < part; i++)
			buf_put_u8(message, (uint8_t)(' ' + sim_random_below(random, 95)));
		buf_put_string(message, "\r\n");
		size -= part;
	}
}

bool message_number(struct bytes message, size_t *number)
{
	size_t start = strlen(HEADER), value = 0;

	if (message.size < start + DIGITS || memcmp(message.data, HEADER, start) != 0)
		return false;
	for (size_t i = start; i < start + DIGITS; i++) {
		if (message.data[i] < '0' || message.data[i] > '9')
			return false;
		value = value * 10 + (size_t)(message.data[i] - '0');
	}
	*number = value;
	return true;
}
