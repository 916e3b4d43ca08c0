/* SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "imap/render.h"
#include "imap/session.h"
#include "mail/utf7.h"

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
		size < 0		      ? 0
		: (size_t)size < sizeof(line) ? (size_t)size
					      : sizeof(line) - 1);
	buf_put_string(&session->out, "\r\n");
}

void imap_put_string(struct imap_session *session, struct bytes string)
{
	render_string(&session->out, string);
}

void imap_put_mailbox(struct imap_session *session, struct bytes name)
{
	struct buf encoded = {0};

	if (utf7_encode(name, &encoded) == ERR_OK)
		imap_put_string(session, bytes_of_buf(&encoded));
	else
		imap_put_string(session, name);
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
