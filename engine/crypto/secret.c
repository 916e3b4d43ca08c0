/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Secrets that are generated, and the codes among them that people type back.
 * Their text forms are in slot.h.
 */
#include <string.h>

#include <sodium.h>

#include "engine/base/memory.h"
#include "engine/crypto/slot.h"

#define PASSWORD_DIGITS 20u
#define CHECK_DIGITS 3u
#define DIGITS_MAX 35u
#define PREFIX_MAX 13u /* APP and ten decimal digits */
#define NORMAL_MAX (PREFIX_MAX + DIGITS_MAX)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Digits include the checksum. */
struct code_form {
	const char *prefix;
	size_t digits;
	bool has_slot;
};

static const struct code_form recovery = {"RC", 35, false};
static const struct code_form invitation = {"INV", 25, false};
static const struct code_form app = {"APP", 30, true};

static uint8_t upper(uint8_t character)
{
	return character >= 'a' && character <= 'z' ? (uint8_t)(character - 'a' + 'A') : character;
}

static uint8_t lower(uint8_t character)
{
	return character >= 'A' && character <= 'Z' ? (uint8_t)(character - 'A' + 'a') : character;
}

/* What people write for what they read; 0 when it is no digit. */
static uint8_t digit_of(uint8_t character)
{
	character = upper(character);
	if (character == 'O')
		character = '0';
	if (character == 'I' || character == 'L')
		character = '1';
	return character != 0 && strchr(alphabet, character) != NULL ? character : 0;
}

static void random_digits(struct env *env, uint8_t *out, size_t count)
{
	env_random(env, out, count);
	for (size_t i = 0; i < count; i++)
		out[i] = (uint8_t)alphabet[out[i] & 31];
}

static void checksum(const uint8_t *normal, size_t size, uint8_t out[CHECK_DIGITS])
{
	uint8_t digest[DIGEST_SIZE];
	unsigned bits;

	digest_256(bytes_make(normal, size), digest);
	bits = (unsigned)(digest[0] << 8 | digest[1]) >> 1;
	out[0] = (uint8_t)alphabet[bits >> 10];
	out[1] = (uint8_t)alphabet[bits >> 5 & 31];
	out[2] = (uint8_t)alphabet[bits & 31];
	sodium_memzero(digest, sizeof(digest));
}

void secret_generate_password(struct env *env, struct buf *out)
{
	uint8_t *at = buf_extend(out, PASSWORD_DIGITS);

	if (at == NULL)
		return;
	random_digits(env, at, PASSWORD_DIGITS);
	for (size_t i = 0; i < PASSWORD_DIGITS; i++)
		at[i] = lower(at[i]);
}

/* `prefix` in upper case; shown in lower case when `is_lower`, as app passwords are. */
static void generate(struct env *env, const char *prefix, size_t digits, bool is_lower,
		     struct buf *out)
{
	size_t prefix_size = strlen(prefix), size = prefix_size + digits;
	uint8_t normal[NORMAL_MAX];

	memcpy(normal, prefix, prefix_size);
	random_digits(env, normal + prefix_size, digits - CHECK_DIGITS);
	checksum(normal, size - CHECK_DIGITS, normal + size - CHECK_DIGITS);
	/* At once, so that growing leaves no copy behind. */
	if (buf_reserve(out, size + digits / 5) != ERR_OK)
		goto out;
	for (size_t i = 0; i < size; i++) {
		if (i >= prefix_size && (i - prefix_size) % 5 == 0)
			buf_put_u8(out, '-');
		buf_put_u8(out, is_lower ? lower(normal[i]) : normal[i]);
	}
out:
	sodium_memzero(normal, sizeof(normal));
}

void secret_generate_recovery(struct env *env, struct buf *out)
{
	generate(env, recovery.prefix, recovery.digits, false, out);
}

void secret_generate_invitation(struct env *env, struct buf *out)
{
	generate(env, invitation.prefix, invitation.digits, false, out);
}

void secret_generate_app(struct env *env, uint32_t slot_id, struct buf *out)
{
	struct buf prefix = {0};

	buf_put_string(&prefix, app.prefix);
	buf_printf(&prefix, "%u", slot_id);
	buf_put_u8(&prefix, 0);
	if (prefix.err == ERR_OK)
		generate(env, (const char *)prefix.data, app.digits, true, out);
	else
		out->err = prefix.err;
	buf_finish(&prefix);
}

/* Upper case, without spaces and dashes. 0: longer than any code. */
static size_t squeeze(struct bytes typed, uint8_t out[NORMAL_MAX])
{
	size_t size = 0;

	for (size_t i = 0; i < typed.size; i++) {
		uint8_t character = typed.data[i];

		if (character == ' ' || character == '-' || character == '\t' ||
		    character == '\r' || character == '\n')
			continue;
		if (size == NORMAL_MAX)
			return 0;
		out[size++] = upper(character);
	}
	return size;
}

/* The decimal slot id between prefix and digits, which it must fill without leading zeros. */
static bool parse_slot(const uint8_t *text, size_t size, uint32_t *slot_id)
{
	uint64_t value = 0;

	if (size == 0 || size > 10 || (size > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*slot_id = (uint32_t)value;
	return value <= UINT32_MAX;
}

/* Turns squeezed text into the normal form in place, if it is a code of that form. */
static bool parse_as(const struct code_form *form, uint8_t *text, size_t size, uint32_t *slot_id)
{
	size_t prefix = strlen(form->prefix), head;
	uint8_t check[CHECK_DIGITS];

	if (size < prefix + form->digits || memcmp(text, form->prefix, prefix) != 0)
		return false;
	head = size - form->digits;
	if (form->has_slot ? !parse_slot(text + prefix, head - prefix, slot_id) : head != prefix)
		return false;
	for (size_t i = head; i < size; i++) {
		text[i] = digit_of(text[i]);
		if (text[i] == 0)
			return false;
	}
	checksum(text, size - CHECK_DIGITS, check);
	return sodium_memcmp(check, text + size - CHECK_DIGITS, CHECK_DIGITS) == 0;
}

enum err secret_normalise_code(struct bytes typed, struct buf *out)
{
	uint8_t text[NORMAL_MAX];
	size_t size = squeeze(typed, text);
	enum err err = ERR_INVALID;
	uint32_t slot_id;

	/* The prefixes differ in their first letter, so at most one form touches the text. */
	if (parse_as(&recovery, text, size, &slot_id) ||
	    parse_as(&invitation, text, size, &slot_id) || parse_as(&app, text, size, &slot_id)) {
		buf_put(out, text, size);
		err = out->err;
	}
	sodium_memzero(text, sizeof(text));
	return err;
}

enum err secret_app_slot(struct bytes secret, uint32_t *slot_id)
{
	uint8_t text[NORMAL_MAX];
	size_t size = squeeze(secret, text);
	uint32_t parsed;
	bool is_app = parse_as(&app, text, size, &parsed);

	sodium_memzero(text, sizeof(text));
	if (!is_app)
		return ERR_INVALID;
	*slot_id = parsed;
	return ERR_OK;
}
