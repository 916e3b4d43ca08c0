/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "engine/account/account.h"

#define LOCAL_MAX 64u	/* RFC 5321 section 4.5.3.1.1 */
#define DOMAIN_MAX 253u /* 255 octets on the DNS's wire */
#define LABEL_MAX 63u

static bool is_letter_or_digit(uint8_t character)
{
	return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
	       (character >= '0' && character <= '9');
}

/* RFC 5322 section 3.2.3; RFC 6531 adds everything beyond ASCII. */
static bool is_atom_character(uint8_t character)
{
	return is_letter_or_digit(character) || character >= 0x80 ||
	       (character != 0 && strchr("!#$%&'*+-/=?^_`{|}~", character) != NULL);
}

static enum err put_domain(struct bytes domain, struct buf *out)
{
	size_t label = 0;

	if (domain.size == 0 || domain.size > DOMAIN_MAX)
		return ERR_INVALID;
	for (size_t i = 0; i < domain.size; i++) {
		uint8_t character = domain.data[i];
		bool is_edge = label == 0 || i + 1 == domain.size || domain.data[i + 1] == '.';

		if (character == '.'
			    ? label == 0 || i + 1 == domain.size
			    : !is_letter_or_digit(character) && (character != '-' || is_edge))
			return ERR_INVALID;
		label = character == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return ERR_INVALID;
		if (character >= 'A' && character <= 'Z')
			character = (uint8_t)(character - 'A' + 'a');
		buf_put_u8(out, character);
	}
	return out->err;
}

/* Where the local part ends: at the '@' that no quotes contain. SIZE_MAX: nowhere. */
static size_t local_size(struct bytes address)
{
	bool is_quoted = address.size > 0 && address.data[0] == '"';

	for (size_t i = is_quoted; i < address.size; i++) {
		if (is_quoted && address.data[i] == '\\')
			i++;
		else if (is_quoted && address.data[i] == '"')
			is_quoted = false;
		else if (!is_quoted && address.data[i] == '@')
			return i;
	}
	return SIZE_MAX;
}

/* What the quotes contain, or the text itself. */
static enum err unquote(struct bytes local, struct buf *out)
{
	if (local.size == 0)
		return ERR_INVALID;
	if (local.data[0] != '"') {
		buf_put_bytes(out, local);
		return out->err;
	}
	for (size_t i = 1; i < local.size; i++) {
		if (local.data[i] == '"')
			return i + 1 == local.size ? out->err : ERR_INVALID;
		if (local.data[i] == '\\' && ++i == local.size)
			return ERR_INVALID;
		buf_put_u8(out, local.data[i]);
	}
	return ERR_INVALID;
}

static bool is_dot_atom(struct bytes text)
{
	bool at_edge = true;

	for (size_t i = 0; i < text.size; i++) {
		bool is_dot = text.data[i] == '.';

		if (is_dot ? at_edge : !is_atom_character(text.data[i]))
			return false;
		at_edge = is_dot;
	}
	return !at_edge;
}

/* Nothing that is invisible, breaks lines, or turns what is beside it around. */
static bool is_allowed(struct bytes text)
{
	size_t i = 0;

	while (i < text.size) {
		ucs4_t character;
		int size = u8_mbtouc(&character, text.data + i, text.size - i);

		if (uc_is_general_category_withtable(
			    character, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Zl |
					       UC_CATEGORY_MASK_Zp | UC_CATEGORY_MASK_Cs) ||
		    uc_is_property_bidi_control(character) ||
		    uc_is_property_not_a_character(character))
			return false;
		if (character != ' ' &&
		    uc_is_general_category_withtable(character, UC_CATEGORY_MASK_Zs))
			return false;
		i += (size_t)size;
	}
	return true;
}

/* Canonical caseless form (Unicode 15, D145), composed: malloc'ed by the library. */
static uint8_t *fold_once(struct bytes text, size_t *size)
{
	size_t decomposed_size;
	uint8_t *decomposed =
		u8_normalize(UNINORM_NFD, text.data, text.size, NULL, &decomposed_size);
	uint8_t *folded;

	if (decomposed == NULL)
		return NULL;
	folded = u8_casefold(decomposed, decomposed_size, NULL, UNINORM_NFC, NULL, size);
	free(decomposed);
	return folded;
}

/* Folds until nothing changes, so that a normal form is its own: two rounds at most. */
static enum err fold(struct buf *local)
{
	for (unsigned round = 0; round < 3; round++) {
		size_t size;
		uint8_t *folded = fold_once(bytes_of_buf(local), &size);
		bool is_same;

		if (folded == NULL)
			return ERR_NOMEM;
		is_same = bytes_equal(bytes_of_buf(local), bytes_make(folded, size));
		buf_clear(local);
		buf_put(local, folded, size);
		free(folded);
		if (is_same || local->err != ERR_OK)
			return local->err;
	}
	return ERR_INVALID;
}

static void put_local(struct bytes local, struct buf *out)
{
	if (is_dot_atom(local)) {
		buf_put_bytes(out, local);
		return;
	}
	buf_put_u8(out, '"');
	for (size_t i = 0; i < local.size; i++) {
		if (local.data[i] == '"' || local.data[i] == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, local.data[i]);
	}
	buf_put_u8(out, '"');
}

static enum err normalise_local(struct bytes local, struct buf *out)
{
	struct buf text = {0};
	size_t start = out->size;
	enum err err;

	err = unquote(local, &text);
	if (err != ERR_OK)
		goto out;
	err = ERR_INVALID;
	if (u8_check(text.data, text.size) != NULL ||
	    (local.data[0] != '"' && !is_dot_atom(bytes_of_buf(&text))))
		goto out;
	err = text.size != 0 ? fold(&text) : ERR_OK;
	if (err != ERR_OK)
		goto out;
	put_local(bytes_of_buf(&text), out);
	err = out->err;
	if (err == ERR_OK && (out->size - start > LOCAL_MAX || !is_allowed(bytes_of_buf(&text))))
		err = ERR_INVALID;
out:
	buf_finish(&text);
	return err;
}

enum err address_normalise(struct bytes address, struct buf *out)
{
	struct buf normal = {0};
	size_t at;
	enum err err;

	if (address.size > ADDRESS_MAX)
		return ERR_INVALID;
	at = local_size(address);
	if (at == SIZE_MAX)
		return ERR_INVALID;
	err = normalise_local(bytes_slice(address, 0, at), &normal);
	if (err == ERR_OK) {
		buf_put_u8(&normal, '@');
		err = put_domain(bytes_slice(address, at + 1, address.size), &normal);
	}
	if (err == ERR_OK) {
		buf_put_bytes(out, bytes_of_buf(&normal));
		err = out->err;
	}
	buf_finish(&normal);
	return err;
}
