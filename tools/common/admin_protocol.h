/* SPDX-License-Identifier: MPL-2.0 */
/*
 * admin_protocol - what aeroctl says to aerod over the admin socket.
 *
 * A unix socket, mode 0600; the server also checks the kernel's word that the
 * peer is root or its own user. One JSON object a line each way, in turn:
 *
 *	{"command": NAME, ...}
 *	{"ok": true, ...}  or  {"ok": false, "error": ERR, "message": TEXT}
 *
 * ERR is the name of an enum err without "ERR_". Binary values are hexadecimal.
 *
 *	command		arguments			result
 *	status						see aeroctl(1), "status --json"
 *	usage						see aeroctl(1), "volume usage --json"
 *	scrub-start, scrub-pause, scrub-resume		(nothing)
 *	reclaim						reclaim, as in the status; after a pass
 *	account-list	after (address or absent)	accounts: [ACCOUNT without slots],
 *							more: whether to ask again
 *	account-show	address				account: ACCOUNT
 *	publish		records: [signed record]	(nothing)
 *	password	address, current, next		(nothing)
 *	add-slot	address, current, kind		secret
 *	remove-slot	address, current, slot		(nothing)
 *
 *	ACCOUNT  {"id", "address", "status": "active" | "disabled" | "deleted", "enrolled": bool,
 *		  "counter", "created_ms", "slot_count", "slots": [SLOT]}
 *	SLOT	 {"slot", "kind": "password" | "recovery" | "app" | "enrolment" | "member",
 *		  "invitation": bool, "created_ms"}
 *
 * No command gives out a key, and none opens a mailbox: records are signed by who
 * holds the admin key, and slots change only for a secret that opens the account.
 */
#ifndef AEROSTORE_TOOLS_COMMON_ADMIN_PROTOCOL_H
#define AEROSTORE_TOOLS_COMMON_ADMIN_PROTOCOL_H

#include "engine/account/account.h"

#define ADMIN_REQUEST_MAX (60u * 1024)
#define ADMIN_REPLY_MAX (4u * 1024 * 1024)

/* "active"; "unknown" for a value this program does not know. Static. */
const char *admin_status_name(enum account_status status);
const char *admin_slot_kind_name(enum slot_kind kind);
/* ERR_INVALID: no such name. */
MUST_USE enum err admin_status_parse(const char *name, enum account_status *out);
MUST_USE enum err admin_slot_kind_parse(const char *name, enum slot_kind *out);
/* The error named "NOTFOUND"; ERR_IO for a name this program does not know. */
enum err admin_err_parse(const char *name);

#endif
