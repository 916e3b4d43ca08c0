/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/hex.h"

#include <string.h>

#include "engine/base/memory.h"

static const char digits[] = "0123456789abcdef";

void hex_put(struct buf *out, struct bytes octets)
{
	for (size_t i = 0; i < octets.size; i++) {
		buf_put_u8(out, (uint8_t)digits[octets.data[i] >> 4]);
		buf_put_u8(out, (uint8_t)digits[octets.data[i] & 15]);
	}
}

static int digit_value(uint8_t digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

enum err hex_parse(struct bytes text, struct buf *out)
{
	if (text.size % 2 != 0)
		return ERR_INVALID;
	for (size_t i = 0; i < text.size; i += 2) {
		int high = digit_value(text.data[i]), low = digit_value(text.data[i + 1]);

		if (high < 0 || low < 0)
			return ERR_INVALID;
		buf_put_u8(out, (uint8_t)(high << 4 | low));
	}
	return out->err;
}

enum err hex_parse_exact(const char *text, void *out, size_t size)
{
	struct buf octets = {0};
	enum err err = hex_parse(bytes_string(text), &octets);

	if (err == ERR_OK && octets.size != size)
		err = ERR_INVALID;
	if (err == ERR_OK)
		memcpy(out, octets.data, size);
	buf_finish(&octets);
	return err;
}

void hex_id(struct id128 id, char out[HEX_ID_SIZE])
{
	for (size_t i = 0; i < sizeof(id.octets); i++) {
		out[2 * i] = digits[id.octets[i] >> 4];
		out[2 * i + 1] = digits[id.octets[i] & 15];
	}
	out[HEX_ID_SIZE - 1] = '\0';
}
