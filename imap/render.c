/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/render.h"

#include <string.h>

#include "mail/address.h"
#include "mail/date.h"

/* What fits a quoted string; longer ones are literals, as some clients bound the line. */
#define QUOTED_MAX 1024u
#define NUMBER_DIGITS_MAX 20u

/* ---- numbers and strings ---- */

void render_number(struct buf *out, uint64_t number)
{
	uint8_t digits[NUMBER_DIGITS_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	buf_put(out, digits + at, sizeof(digits) - at);
}

static bool fits_quoted(struct bytes string)
{
	if (string.size > QUOTED_MAX)
		return false;
	for (size_t i = 0; i < string.size; i++) {
		uint8_t octet = string.data[i];

		if ((octet < 0x20 && octet != '\t') || octet == 0x7f || octet >= 0x80)
			return false;
	}
	return true;
}

void render_mask_nul(struct buf *out, size_t size)
{
	uint8_t *at, *end;

	if (out->err != ERR_OK || size == 0)
		return;
	end = out->data + out->size;
	at = end - size;
	while ((at = memchr(at, '\0', (size_t)(end - at))) != NULL)
		*at = 0x80;
}

void render_string(struct buf *out, struct bytes string)
{
	size_t start = 0;

	if (!fits_quoted(string)) {
		buf_put_u8(out, '{');
		render_number(out, string.size);
		buf_put_string(out, "}\r\n");
		buf_put_bytes(out, string);
		render_mask_nul(out, string.size);
		return;
	}
	buf_put_u8(out, '"');
	for (size_t i = 0; i < string.size; i++) {
		if (string.data[i] != '"' && string.data[i] != '\\')
			continue;
		buf_put(out, string.data + start, i - start);
		buf_put_u8(out, '\\');
		start = i;
	}
	if (string.size != 0)
		buf_put(out, string.data + start, string.size - start);
	buf_put_u8(out, '"');
}

void render_nstring(struct buf *out, struct bytes string)
{
	if (string.data == NULL)
		buf_put_string(out, "NIL");
	else
		render_string(out, string);
}

void render_astring(struct buf *out, struct bytes string)
{
	bool atom = string.size != 0;

	for (size_t i = 0; i < string.size && atom; i++)
		atom = string.data[i] > ' ' && string.data[i] < 0x7f &&
		       strchr("(){%*\"\\]", string.data[i]) == NULL;
	if (atom)
		buf_put_bytes(out, string);
	else
		render_string(out, string);
}

static uint8_t *put_digits(uint8_t *at, int value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		at[i] = (uint8_t)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

void render_date_time(struct buf *out, uint64_t ms, int16_t zone_minutes)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct date_civil civil = date_civil(
		(struct date){.seconds = (int64_t)(ms / 1000), .zone_minutes = zone_minutes});
	int zone = zone_minutes < 0 ? -zone_minutes : zone_minutes;
	uint8_t text[] = "\"dd-Mon-yyyy hh:mm:ss +hhmm\"", *at = text + 1;

	at = put_digits(at, civil.day, 2) + 1;
	memcpy(at, months + 3 * (civil.month - 1), 3);
	at = put_digits(at + 4, civil.year, 4) + 1;
	at = put_digits(at, civil.hour, 2) + 1;
	at = put_digits(at, civil.minute, 2) + 1;
	at = put_digits(at, civil.second, 2) + 1;
	*at = zone_minutes < 0 ? '-' : '+';
	(void)put_digits(put_digits(at + 1, zone / 60, 2), zone % 60, 2);
	buf_put(out, text, sizeof(text) - 1);
}

/* ---- ENVELOPE (RFC 3501, 7.4.2) ---- */

static void put_unfolded(struct buf *out, struct bytes value)
{
	struct buf unfolded = {0};

	if (value.data == NULL) {
		buf_put_string(out, "NIL");
		return;
	}
	header_unfold(value, &unfolded);
	if (unfolded.err != ERR_OK)
		out->err = unfolded.err;
	else
		render_string(out, bytes_make(unfolded.size != 0 ? unfolded.data : value.data,
					      unfolded.size));
	buf_finish(&unfolded);
}

static void put_address(struct buf *out, const struct address *address)
{
	buf_put_u8(out, '(');
	render_nstring(out, address->name);
	buf_put_u8(out, ' ');
	render_nstring(out, address->route);
	buf_put_u8(out, ' ');
	render_nstring(out, address->mailbox);
	buf_put_u8(out, ' ');
	render_nstring(out, address->host);
	buf_put_u8(out, ')');
}

/* False when there is no address, and nothing was put. */
static bool put_addresses(struct buf *out, struct bytes value)
{
	struct address_list list;
	bool any;

	if (value.data == NULL)
		return false;
	if (address_parse(value, &list) != ERR_OK) {
		out->err = ERR_NOMEM;
		return true;
	}
	any = list.count != 0;
	if (any)
		buf_put_u8(out, '(');
	for (size_t i = 0; i < list.count; i++)
		put_address(out, &list.items[i]);
	if (any)
		buf_put_u8(out, ')');
	address_list_finish(&list);
	return any;
}

static void put_address_field(struct buf *out, struct bytes value, struct bytes otherwise)
{
	buf_put_u8(out, ' ');
	if (!put_addresses(out, value) && !put_addresses(out, otherwise))
		buf_put_string(out, "NIL");
}

void render_envelope(struct buf *out, const struct summary_envelope *envelope)
{
	const struct bytes none = {0};

	buf_put_u8(out, '(');
	put_unfolded(out, envelope->date);
	buf_put_u8(out, ' ');
	put_unfolded(out, envelope->subject);
	put_address_field(out, envelope->from, none);
	put_address_field(out, envelope->sender, envelope->from);
	put_address_field(out, envelope->reply_to, envelope->from);
	put_address_field(out, envelope->to, none);
	put_address_field(out, envelope->cc, none);
	put_address_field(out, envelope->bcc, none);
	buf_put_u8(out, ' ');
	put_unfolded(out, envelope->in_reply_to);
	buf_put_u8(out, ' ');
	put_unfolded(out, envelope->message_id);
	buf_put_u8(out, ')');
}

/* ---- BODY and BODYSTRUCTURE ---- */

static void put_parameters(struct buf *out, const struct header_parameter *parameters, size_t count)
{
	if (count == 0) {
		buf_put_string(out, "NIL");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		buf_put_u8(out, i == 0 ? '(' : ' ');
		render_string(out, parameters[i].name);
		buf_put_u8(out, ' ');
		render_string(out, parameters[i].value);
	}
	buf_put_u8(out, ')');
}

static void put_disposition(struct buf *out, const struct part *part)
{
	if (part->disposition.size == 0) {
		buf_put_string(out, "NIL");
		return;
	}
	buf_put_u8(out, '(');
	render_string(out, part->disposition);
	buf_put_u8(out, ' ');
	put_parameters(out, part->disposition_parameters, part->disposition_parameter_count);
	buf_put_u8(out, ')');
}

static bool is_language_octet(uint8_t octet)
{
	return octet > ' ' && octet != ',' && octet != 0x7f;
}

/* The field is a list with commas (RFC 3282). */
static void put_languages(struct buf *out, struct bytes value)
{
	bool any = false;

	for (size_t i = 0; i < value.size;) {
		size_t start = i;

		while (i < value.size && is_language_octet(value.data[i]))
			i++;
		if (i == start) {
			i++;
			continue;
		}
		buf_put_u8(out, any ? ' ' : '(');
		render_string(out, bytes_slice(value, start, i - start));
		any = true;
	}
	buf_put_string(out, any ? ")" : "NIL");
}

static void put_extension(struct buf *out, const struct part *part)
{
	buf_put_u8(out, ' ');
	put_disposition(out, part);
	buf_put_u8(out, ' ');
	put_languages(out, part->language);
	buf_put_u8(out, ' ');
	render_nstring(out, part->location);
}

static void put_multipart(struct buf *out, const struct part *part, bool extended)
{
	for (const struct part *child = part->child; child != NULL; child = child->next)
		render_structure(out, child, extended);
	buf_put_u8(out, ' ');
	render_string(out, part->subtype);
	if (!extended)
		return;
	buf_put_u8(out, ' ');
	put_parameters(out, part->parameters, part->parameter_count);
	put_extension(out, part);
}

static void put_single(struct buf *out, const struct part *part, bool extended)
{
	bool message = part->kind == PART_MESSAGE &&
		       bytes_equal_nocase(part->subtype, bytes_string("rfc822"));

	render_string(out, part->type);
	buf_put_u8(out, ' ');
	render_string(out, part->subtype);
	buf_put_u8(out, ' ');
	put_parameters(out, part->parameters, part->parameter_count);
	buf_put_u8(out, ' ');
	render_nstring(out, part->id);
	buf_put_u8(out, ' ');
	render_nstring(out, part->description);
	buf_put_u8(out, ' ');
	render_string(out, part->encoding.size != 0 ? part->encoding : bytes_string("7bit"));
	buf_put_u8(out, ' ');
	render_number(out, part->body_size);
	if (message) {
		buf_put_u8(out, ' ');
		render_envelope(out, part->child->envelope);
		buf_put_u8(out, ' ');
		render_structure(out, part->child, extended);
	}
	if (message || bytes_equal_nocase(part->type, bytes_string("text"))) {
		buf_put_u8(out, ' ');
		render_number(out, part->body_lines);
	}
	if (!extended)
		return;
	buf_put_u8(out, ' ');
	render_nstring(out, part->md5);
	put_extension(out, part);
}

void render_structure(struct buf *out, const struct part *part, bool extended)
{
	buf_put_u8(out, '(');
	if (part->kind == PART_MULTIPART)
		put_multipart(out, part, extended);
	else
		put_single(out, part, extended);
	buf_put_u8(out, ')');
}
