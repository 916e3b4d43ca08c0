/* SPDX-License-Identifier: MPL-2.0 */
#include "lmtp/command.h"

#include <string.h>

#include <unistr.h>

#define PATH_MAX_OCTETS 320u

static const struct {
	const char *name;
	enum lmtp_verb verb;
} verbs[] = {
	{"LHLO", LMTP_LHLO}, {"HELO", LMTP_HELO}, {"EHLO", LMTP_HELO}, {"MAIL", LMTP_MAIL},
	{"RCPT", LMTP_RCPT}, {"DATA", LMTP_DATA}, {"RSET", LMTP_RSET}, {"NOOP", LMTP_NOOP},
	{"QUIT", LMTP_QUIT}, {"VRFY", LMTP_VRFY}, {"HELP", LMTP_HELP},
};

static struct bytes trim(struct bytes text)
{
	while (text.size != 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = bytes_slice(text, 1, text.size - 1);
	while (text.size != 0 &&
	       (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
		text.size--;
	return text;
}

/* Splits at the first blank: the word is returned, *rest is what follows. */
static struct bytes word(struct bytes text, struct bytes *rest)
{
	size_t size = 0;

	while (size < text.size && text.data[size] != ' ' && text.data[size] != '\t')
		size++;
	*rest = trim(bytes_slice(text, size, text.size - size));
	return bytes_slice(text, 0, size);
}

struct lmtp_command lmtp_command_parse(struct bytes line)
{
	struct lmtp_command command = {.verb = LMTP_UNKNOWN};
	struct bytes name = word(trim(line), &command.argument);

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (bytes_equal_nocase(name, bytes_string(verbs[i].name)))
			command.verb = verbs[i].verb;
	return command;
}

/* Consumes `prefix` in any case of letters. */
static bool take_prefix(struct bytes *text, const char *prefix)
{
	size_t size = strlen(prefix);

	if (!bytes_equal_nocase(bytes_slice(*text, 0, size), bytes_string(prefix)))
		return false;
	*text = bytes_slice(*text, size, text->size - size);
	return true;
}

/* Index of the '>' that ends a path starting behind '<', honouring quoted local parts. */
static bool path_end(struct bytes text, size_t *end)
{
	bool quoted = false, escaped = false;

	for (size_t i = 0; i < text.size; i++) {
		uint8_t octet = text.data[i];

		if (octet < 0x20 || octet == 0x7f)
			return false;
		if (escaped) {
			escaped = false;
		} else if (quoted && octet == '\\') {
			escaped = true;
		} else if (octet == '"') {
			quoted = !quoted;
		} else if (!quoted && octet == '>') {
			*end = i;
			return true;
		} else if (!quoted && (octet == '<' || octet == ' ')) {
			return false;
		}
	}
	return false;
}

/* "@a,@b:user@c" is user@c. */
static struct bytes drop_route(struct bytes path)
{
	const uint8_t *colon;

	if (path.size == 0 || path.data[0] != '@')
		return path;
	colon = memchr(path.data, ':', path.size);
	if (colon == NULL)
		return path;
	return bytes_slice(path, (size_t)(colon - path.data) + 1, path.size);
}

static enum err parse_size(struct bytes digits, uint64_t *out)
{
	uint64_t value = 0;

	if (digits.size == 0)
		return ERR_INVALID;
	for (size_t i = 0; i < digits.size; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return ERR_INVALID;
		if (value > (uint64_t)INT64_MAX / 10 - 1)
			return ERR_LIMIT;
		value = value * 10 + (uint64_t)(digits.data[i] - '0');
	}
	*out = value;
	return ERR_OK;
}

/* DSN parameters (RFC 3461) are accepted and have no effect: a delivery here is final. */
static const char *const from_ignored[] = {"RET=", "ENVID=", "AUTH=", "MT-PRIORITY="};
static const char *const to_ignored[] = {"NOTIFY=", "ORCPT=", "RRVS="};

static bool is_ignored(struct bytes parameter, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (take_prefix(&parameter, names[i]))
			return parameter.size != 0;
	return false;
}

static enum err parse_from_parameter(struct bytes parameter, struct lmtp_path *out)
{
	struct bytes value = parameter;

	if (take_prefix(&value, "SIZE="))
		return parse_size(value, &out->size);
	if (take_prefix(&value, "BODY="))
		return bytes_equal_nocase(value, bytes_string("7BIT")) ||
				       bytes_equal_nocase(value, bytes_string("8BITMIME"))
			       ? ERR_OK
			       : ERR_INVALID;
	if (bytes_equal_nocase(parameter, bytes_string("SMTPUTF8"))) {
		out->smtputf8 = true;
		return ERR_OK;
	}
	return is_ignored(parameter, from_ignored, sizeof(from_ignored) / sizeof(from_ignored[0]))
		       ? ERR_OK
		       : ERR_NOTFOUND;
}

static enum err parse_path(struct bytes *text, const char *prefix, struct lmtp_path *out)
{
	size_t end;

	*out = (struct lmtp_path){0};
	if (!take_prefix(text, prefix))
		return ERR_INVALID;
	*text = trim(*text);
	if (!take_prefix(text, "<") || !path_end(*text, &end))
		return ERR_INVALID;
	out->path = drop_route(bytes_slice(*text, 0, end));
	*text = bytes_slice(*text, end + 1, text->size);
	if (out->path.size > PATH_MAX_OCTETS)
		return ERR_LIMIT;
	if (out->path.size != 0 && u8_check(out->path.data, out->path.size) != NULL)
		return ERR_INVALID;
	/* Parameters are set off by a blank. */
	if (text->size != 0 && text->data[0] != ' ' && text->data[0] != '\t')
		return ERR_INVALID;
	*text = trim(*text);
	return ERR_OK;
}

enum err lmtp_parse_from(struct bytes argument, struct lmtp_path *out)
{
	enum err err = parse_path(&argument, "FROM:", out);

	while (err == ERR_OK && argument.size != 0)
		err = parse_from_parameter(word(argument, &argument), out);
	return err;
}

enum err lmtp_parse_to(struct bytes argument, struct lmtp_path *out)
{
	enum err err = parse_path(&argument, "TO:", out);

	if (err == ERR_OK && out->path.size == 0)
		err = ERR_INVALID;
	while (err == ERR_OK && argument.size != 0)
		if (!is_ignored(word(argument, &argument), to_ignored,
				sizeof(to_ignored) / sizeof(to_ignored[0])))
			err = ERR_NOTFOUND;
	return err;
}

bool lmtp_path_is_utf8(struct bytes path)
{
	for (size_t i = 0; i < path.size; i++)
		if (path.data[i] >= 0x80)
			return true;
	return false;
}

void lmtp_split_detail(struct bytes address, struct buf *base, struct bytes *detail)
{
	const uint8_t *at = address.size != 0 ? memrchr(address.data, '@', address.size) : NULL;
	size_t local_size = at != NULL ? (size_t)(at - address.data) : address.size;
	const uint8_t *plus = local_size != 0 ? memchr(address.data, '+', local_size) : NULL;
	size_t base_size = plus != NULL ? (size_t)(plus - address.data) : local_size;

	*detail = plus != NULL ? bytes_slice(address, base_size + 1, local_size - base_size - 1)
			       : bytes_make(NULL, 0);
	buf_put(base, address.data, base_size);
	buf_put_bytes(base, bytes_slice(address, local_size, address.size));
}
