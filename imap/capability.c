/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/capability.h"

/* RFC 3501 asks for no others before login than what a client needs to log in. */
#define ALWAYS "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE"
#define AFTER_LOGIN " NAMESPACE IDLE UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE"

bool imap_login_allowed(const struct imap_session *session)
{
	return stream_is_tls(session->stream) || stream_is_local(session->stream);
}

const char *imap_capabilities(const struct imap_session *session)
{
	bool starttls = session->server->tls != NULL && !stream_is_tls(session->stream);

	if (session->state != IMAP_GREETED)
		return ALWAYS AFTER_LOGIN;
	if (!imap_login_allowed(session))
		return starttls ? ALWAYS " STARTTLS LOGINDISABLED" : ALWAYS " LOGINDISABLED";
	return starttls ? ALWAYS " STARTTLS AUTH=PLAIN" : ALWAYS " AUTH=PLAIN";
}
