/* SPDX-License-Identifier: MPL-2.0 */
/*
 * client - asks aerod over the admin socket (tools/common/admin_protocol.h).
 */
#ifndef AEROSTORE_TOOLS_AEROCTL_CLIENT_H
#define AEROSTORE_TOOLS_AEROCTL_CLIENT_H

#include "tools/aeroctl/control.h"
#include "tools/common/json.h"

struct answer {
	enum program_exit status; /* PROGRAM_OK, PROGRAM_REFUSED, PROGRAM_UNREACHABLE */
	enum err err;		  /* why aerod refused */
	char message[256];	  /* in words */
	json_t *reply;		  /* NULL when unreachable; answer_finish() drops it */
};

/* {"command": name}. */
json_t *request_make(const char *command);
/* One request and its reply, over a connection of its own. Takes the request over. Prints nothing.
 */
WAITS void client_ask(struct control *control, json_t *request, struct answer *answer);
/* As client_ask(); prints the message of a failure. */
WAITS enum program_exit client_must(struct control *control, json_t *request,
				    struct answer *answer);
/* Prints the message of a failure; returns the status. */
enum program_exit answer_report(const struct answer *answer);
void answer_finish(struct answer *answer);

#endif
