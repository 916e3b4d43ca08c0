/* SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "imap/session.h"
#include "mail/date.h"
#include "mail/utf7.h"

/* What fits a quoted string; longer ones are literals, as some clients bound the line. */
#define QUOTED_MAX 1024u

void imap_flush(struct imap_session *session, bool now)
{
	enum err err = session->out.err;

	if (!now && session->out.size < IMAP_OUT_FLUSH)
		return;
	if (err == ERR_OK && !session->over && session->out.size != 0)
		err = stream_write(session->stream, bytes_of_buf(&session->out));
	buf_clear(&session->out);
	if (err == ERR_OK && now && !session->over)
		err = stream_flush(session->stream);
	if (err != ERR_OK)
		session->over = true;
}

void imap_untagged(struct imap_session *session, const char *format, ...)
{
	char line[512];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	buf_put_string(&session->out, "* ");
	buf_put(&session->out, line,
		size < 0 ? 0 : (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1);
	buf_put_string(&session->out, "\r\n");
}

static bool fits_quoted(const struct imap_session *session, struct bytes string)
{
	bool utf8 = (session->enabled & IMAP_ENABLED_UTF8) != 0;

	if (string.size > QUOTED_MAX)
		return false;
	for (size_t i = 0; i < string.size; i++) {
		uint8_t octet = string.data[i];

		if (octet < 0x20 || octet == 0x7f || (octet >= 0x80 && !utf8))
			return false;
	}
	return true;
}

void imap_put_string(struct imap_session *session, struct bytes string)
{
	struct buf *out = &session->out;

	if (!fits_quoted(session, string)) {
		buf_printf(out, "{%zu}\r\n", string.size);
		buf_put_bytes(out, string);
		return;
	}
	buf_put_u8(out, '"');
	for (size_t i = 0; i < string.size; i++) {
		if (string.data[i] == '"' || string.data[i] == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, string.data[i]);
	}
	buf_put_u8(out, '"');
}

void imap_put_nstring(struct imap_session *session, struct bytes string)
{
	if (string.data == NULL)
		buf_put_string(&session->out, "NIL");
	else
		imap_put_string(session, string);
}

void imap_put_mailbox(struct imap_session *session, struct bytes name)
{
	struct buf encoded = {0};

	if ((session->enabled & IMAP_ENABLED_UTF8) != 0 ||
	    utf7_encode(name, &encoded) != ERR_OK) {
		imap_put_string(session, name);
	} else {
		imap_put_string(session, bytes_of_buf(&encoded));
	}
	buf_finish(&encoded);
}

static const struct {
	uint8_t flag;
	const char *name;
} system_names[] = {
	{FLAG_ANSWERED, "\\Answered"}, {FLAG_FLAGGED, "\\Flagged"}, {FLAG_DELETED, "\\Deleted"},
	{FLAG_SEEN, "\\Seen"},	       {FLAG_DRAFT, "\\Draft"},
};

void imap_put_flags(struct imap_session *session, const struct flags *flags, bool recent)
{
	const char *separator = "";
	const char *const *keywords;
	size_t keyword_count;

	buf_put_u8(&session->out, '(');
	for (size_t i = 0; i < sizeof(system_names) / sizeof(system_names[0]); i++)
		if ((flags->system & system_names[i].flag) != 0) {
			buf_put_string(&session->out, separator);
			buf_put_string(&session->out, system_names[i].name);
			separator = " ";
		}
	if (recent) {
		buf_put_string(&session->out, separator);
		buf_put_string(&session->out, "\\Recent");
		separator = " ";
	}
	keywords = view_keywords(session->view, &keyword_count);
	for (size_t i = 0; i < keyword_count; i++)
		if ((flags->keywords[i / 64] >> i % 64 & 1) != 0) {
			buf_put_string(&session->out, separator);
			buf_put_string(&session->out, keywords[i]);
			separator = " ";
		}
	buf_put_u8(&session->out, ')');
}

void imap_put_date_time(struct imap_session *session, uint64_t ms, int16_t zone_minutes)
{
	char text[DATE_IMAP_SIZE];

	date_format_imap((struct date){.seconds = (int64_t)(ms / 1000), .zone_minutes = zone_minutes},
			 text);
	buf_printf(&session->out, "\"%s\"", text);
}
