/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl account: what takes one of the account's own secrets. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/aeroctl/client.h"
#include "tools/aeroctl/output.h"
#include "tools/common/secret_input.h"

static void put_secret(json_t *request, const char *name, const struct buf *secret)
{
	json_put(request, name, json_stringn((const char *)secret->data, secret->size));
}

/* {"command", "address", "current"}; NULL when it could not be read, which is printed. */
static json_t *request_with_current(struct control *control, const char *command,
				    enum program_exit *status)
{
	struct buf current = {0};
	json_t *request = NULL;

	*status = secret_input(control->options.current_file, "--current-file",
			       "current password, invitation or recovery code", SECRET_EXISTING,
			       &current);
	if (*status == PROGRAM_OK) {
		request = request_make(command);
		json_put_text(request, "address", control->arguments[0]);
		put_secret(request, "current", &current);
	}
	buf_finish(&current);
	return request;
}

enum program_exit command_account_password(struct control *control)
{
	enum program_exit status;
	json_t *request = request_with_current(control, "password", &status);
	struct buf next = {0};
	struct answer answer = {0};

	if (status == PROGRAM_OK)
		status = secret_input(control->options.password_file, "--password-file",
				      "new password", SECRET_NEW, &next);
	if (status == PROGRAM_OK) {
		put_secret(request, "next", &next);
		status = client_must(control, json_incref(request), &answer);
	}
	if (status == PROGRAM_OK && !control->options.json)
		puts("The password is changed.");
	json_decref(request);
	buf_finish(&next);
	answer_finish(&answer);
	return status;
}

static WAITS enum program_exit add_slot(struct control *control, const char *kind,
					const char *explanation)
{
	enum program_exit status;
	json_t *request = request_with_current(control, "add-slot", &status);
	struct answer answer = {0};

	if (status != PROGRAM_OK)
		return status;
	json_put_text(request, "kind", kind);
	status = client_must(control, request, &answer);
	if (status == PROGRAM_OK && control->options.json) {
		json_t *result = json_object();

		json_put_text(result, "secret", json_text(answer.reply, "secret"));
		status = output_json(result);
	} else if (status == PROGRAM_OK) {
		printf("%s\n%s\n", json_text(answer.reply, "secret"), explanation);
	}
	answer_finish(&answer);
	return status;
}

enum program_exit command_account_add_app_password(struct control *control)
{
	return add_slot(control, "app",
			"A password for one device or program. It is shown once and stored "
			"nowhere.");
}

enum program_exit command_account_recovery_code(struct control *control)
{
	return add_slot(control, "recovery",
			"Opens the account when the password is lost. Keep it on paper: it is "
			"shown once and stored nowhere.");
}

enum program_exit command_account_remove_slot(struct control *control)
{
	char *end;
	unsigned long slot = strtoul(control->arguments[1], &end, 10);
	enum program_exit status;
	struct answer answer = {0};
	json_t *request;

	if (*end != '\0' || slot == 0 || slot > UINT32_MAX)
		return control_fail(PROGRAM_USAGE, "\"%s\" is not the number of a slot",
				    control->arguments[1]);
	request = request_with_current(control, "remove-slot", &status);
	if (status != PROGRAM_OK)
		return status;
	json_put_number(request, "slot", slot);
	status = client_must(control, request, &answer);
	if (status == PROGRAM_OK && !control->options.json)
		puts("The slot is gone.");
	answer_finish(&answer);
	return status;
}
