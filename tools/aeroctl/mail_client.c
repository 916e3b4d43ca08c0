/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aeroctl/mail_client.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"

#define TIMEOUT_MS (60u * 1000)
#define LINE_MAX_SIZE (16u * 1024)
#define MESSAGE_MAX (64u * 1024 * 1024)

static bool starts_with(struct bytes line, const char *with)
{
	struct bytes wanted = bytes_string(with);

	return bytes_equal(bytes_slice(line, 0, wanted.size), wanted);
}

/* Keeps the line for a report, without its end and without what a terminal might obey. */
static void remember(struct mail_client *client, struct bytes line)
{
	size_t size = 0;

	for (size_t i = 0; i < line.size && size + 1 < MAIL_CLIENT_SAID; i++)
		if (line.data[i] >= ' ' && line.data[i] != 0x7f)
			client->said[size++] = (char)line.data[i];
	client->said[size] = '\0';
}

static WAITS enum err read_line(struct mail_client *client, struct bytes *line)
{
	return stream_line(client->stream, LINE_MAX_SIZE, env_now_ms(client->env) + TIMEOUT_MS,
			   line);
}

static WAITS enum err send_text(struct mail_client *client, const char *text)
{
	enum err err = stream_write(client->stream, bytes_string(text));

	return err == ERR_OK ? stream_flush(client->stream) : err;
}

/* Reads a reply, of several lines perhaps, that must begin with `wanted`. */
static WAITS enum err expect(struct mail_client *client, const char *wanted)
{
	struct bytes line;
	enum err err;

	do {
		err = read_line(client, &line);
		if (err != ERR_OK)
			return err;
		remember(client, line);
		if (!starts_with(line, wanted))
			return ERR_DENIED;
	} while (line.size > 3 && line.data[3] == '-');
	return ERR_OK;
}

enum err mail_client_open(struct sched *sched, const char *address, const char *trust,
			  const char *greeting, struct mail_client *out)
{
	enum err err;

	*out = (struct mail_client){.env = sched_env(sched)};
	err = stream_connect(sched, address, trust, env_now_ms(out->env) + TIMEOUT_MS,
			     &out->stream);
	return err == ERR_OK ? expect(out, greeting) : err;
}

void mail_client_close(struct mail_client *client)
{
	stream_close(&client->stream);
	buf_finish(&client->untagged);
	buf_finish(&client->literal);
}

/* ---- LMTP (RFC 2033) ---- */

static WAITS enum err __attribute__((format(printf, 3, 4)))
lmtp_command(struct mail_client *client, const char *wanted, const char *format, ...)
{
	struct buf line = {0};
	char text[512];
	va_list arguments;
	enum err err;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buf_printf(&line, "%s\r\n", text);
	buf_put_u8(&line, '\0');
	err = line.err == ERR_OK ? send_text(client, (const char *)line.data) : line.err;
	buf_finish(&line);
	return err == ERR_OK ? expect(client, wanted) : err;
}

/* A dot at the start of a line gets another one (RFC 5321, 4.5.2). */
static void stuff_dots(struct bytes message, struct buf *out)
{
	for (size_t i = 0; i < message.size; i++) {
		bool line_start = i == 0 || (i >= 2 && message.data[i - 1] == '\n' &&
					     message.data[i - 2] == '\r');

		if (line_start && message.data[i] == '.')
			buf_put_u8(out, '.');
		buf_put_u8(out, message.data[i]);
	}
	buf_put_string(out, ".\r\n");
}

enum err lmtp_client_deliver(struct mail_client *client, const char *recipient,
			     struct bytes message)
{
	struct buf stuffed = {0};
	enum err err = lmtp_command(client, "250", "LHLO localhost");

	if (err == ERR_OK)
		err = lmtp_command(client, "250", "MAIL FROM:<> BODY=8BITMIME");
	if (err == ERR_OK)
		err = lmtp_command(client, "250", "RCPT TO:<%s>", recipient);
	if (err == ERR_OK)
		err = lmtp_command(client, "354", "DATA");
	if (err == ERR_OK) {
		stuff_dots(message, &stuffed);
		err = stuffed.err;
	}
	if (err == ERR_OK)
		err = stream_write(client->stream, bytes_of_buf(&stuffed));
	if (err == ERR_OK)
		err = stream_flush(client->stream);
	if (err == ERR_OK)
		err = expect(client, "250");
	/* The message is in; what becomes of the goodbye changes nothing. */
	if (err == ERR_OK)
		(void)!send_text(client, "QUIT\r\n");
	buf_finish(&stuffed);
	return err;
}

/* ---- IMAP (RFC 3501) ---- */

/* The size that a line ending in "{123}" announces. */
static bool announces_literal(struct bytes line, size_t *size)
{
	const uint8_t *brace = NULL;
	char digits[24];
	size_t count;

	while (line.size != 0 &&
	       (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
		line.size--;
	if (line.size == 0 || line.data[line.size - 1] != '}')
		return false;
	for (size_t i = line.size; i > 0 && brace == NULL; i--)
		if (line.data[i - 1] == '{')
			brace = line.data + i - 1;
	if (brace == NULL)
		return false;
	count = (size_t)(line.data + line.size - brace) - 2;
	if (count == 0 || count >= sizeof(digits))
		return false;
	memcpy(digits, brace + 1, count);
	digits[count] = '\0';
	*size = strtoul(digits, NULL, 10);
	return true;
}

static WAITS enum err read_literal(struct mail_client *client, size_t size)
{
	if (size > MESSAGE_MAX)
		return ERR_LIMIT;
	while (size > 0) {
		struct bytes input = bytes_slice(stream_input(client->stream), 0, size);
		enum err err;

		if (input.size != 0) {
			buf_put_bytes(&client->literal, input);
			size -= input.size;
			stream_consume(client->stream, input.size);
			continue;
		}
		err = stream_fill(client->stream, env_now_ms(client->env) + TIMEOUT_MS);
		if (err != ERR_OK)
			return err;
	}
	return client->literal.err;
}

static WAITS enum err read_replies(struct mail_client *client)
{
	char tag[24], good[32];

	snprintf(tag, sizeof(tag), "A%u ", client->tag);
	snprintf(good, sizeof(good), "A%u OK", client->tag);
	buf_clear(&client->untagged);
	buf_clear(&client->literal);
	for (;;) {
		struct bytes line;
		size_t size;
		enum err err = read_line(client, &line);

		if (err != ERR_OK)
			return err;
		if (starts_with(line, tag)) {
			remember(client, line);
			return starts_with(line, good) ? client->untagged.err : ERR_DENIED;
		}
		buf_put_bytes(&client->untagged, line);
		if (announces_literal(line, &size)) {
			err = read_literal(client, size);
			if (err != ERR_OK)
				return err;
		}
	}
}

enum err imap_client_command(struct mail_client *client, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	int size = snprintf(text, sizeof(text), "A%u ", ++client->tag);
	enum err err;

	va_start(arguments, format);
	vsnprintf(text + size, sizeof(text) - 2 - (size_t)size, format, arguments);
	va_end(arguments);
	memcpy(text + strlen(text), "\r\n", 3);
	err = send_text(client, text);
	return err == ERR_OK ? read_replies(client) : err;
}

enum err imap_client_login(struct mail_client *client, const char *address, struct bytes password)
{
	size_t plain_size = 2 + strlen(address) + password.size;
	size_t encoded_size = 4 * ((plain_size + 2) / 3);
	struct buf plain = {0}, line = {0};
	uint8_t *encoded;
	enum err err = buf_reserve(&plain, plain_size);

	if (err == ERR_OK)
		err = buf_reserve(&line, encoded_size + 64);
	if (err == ERR_OK) {
		buf_put_u8(&plain, '\0');
		buf_put_string(&plain, address);
		buf_put_u8(&plain, '\0');
		buf_put_bytes(&plain, password);
		buf_printf(&line, "A%u AUTHENTICATE PLAIN ", ++client->tag);
		encoded = buf_extend(&line, encoded_size + 1);
		if (encoded != NULL) {
			EVP_EncodeBlock(encoded, plain.data, (int)plain.size);
			line.size--; /* the NUL that EVP_EncodeBlock() adds */
		}
		buf_put_string(&line, "\r\n");
		err = line.err;
	}
	if (err == ERR_OK)
		err = stream_write(client->stream, bytes_of_buf(&line));
	if (err == ERR_OK)
		err = stream_flush(client->stream);
	if (err == ERR_OK)
		err = read_replies(client);
	buf_finish(&plain);
	buf_finish(&line);
	return err;
}

unsigned long imap_client_found(const struct mail_client *client)
{
	static const char prefix[] = "* SEARCH ";
	struct bytes lines = bytes_of_buf(&client->untagged);
	unsigned long last = 0;

	for (size_t i = 0; i < lines.size; i++) {
		struct bytes line = bytes_slice(lines, i, lines.size);

		if ((i != 0 && lines.data[i - 1] != '\n') || !starts_with(line, prefix))
			continue;
		line = bytes_slice(line, sizeof(prefix) - 1, line.size);
		for (unsigned long number = 0; line.size != 0;
		     line = bytes_slice(line, 1, line.size)) {
			if (line.data[0] >= '0' && line.data[0] <= '9') {
				number = number * 10 + (unsigned long)(line.data[0] - '0');
				last = number;
			} else if (line.data[0] == ' ') {
				number = 0;
			} else {
				break;
			}
		}
	}
	return last;
}
