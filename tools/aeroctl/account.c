/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl account: what is shown, and what the admin key signs. */
#include <bsd/readpassphrase.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "tools/aeroctl/admin_key.h"
#include "tools/aeroctl/client.h"
#include "tools/aeroctl/output.h"
#include "tools/common/secret_input.h"
#include "tools/common/admin_protocol.h"
#include "tools/common/hex.h"

#define FIRST_SLOT 1u
/* Of the newest key record; a birth has 0. */
#define FIRST_COUNTER 1u

/* The address in its normal form, as text. */
static enum program_exit normal_address(struct control *control, struct buf *out)
{
	const char *typed = control->arguments[0];

	if (address_normalise(bytes_string(typed), out) != ERR_OK)
		return control_fail(PROGRAM_USAGE, "\"%s\" is not an address", typed);
	buf_put_u8(out, '\0');
	return out->err == ERR_OK ? PROGRAM_OK : control_fail(PROGRAM_USAGE, "out of memory");
}

static json_t *show_request(const char *address)
{
	json_t *request = request_make("account-show");

	json_put_text(request, "address", address);
	return request;
}

/* Asks for the account of the first argument; on success answer.reply has "account". */
static WAITS enum program_exit show(struct control *control, struct answer *answer)
{
	struct buf address = {0};
	enum program_exit status = normal_address(control, &address);

	*answer = (struct answer){.status = status};
	if (status == PROGRAM_OK)
		status = client_must(control, show_request((const char *)address.data), answer);
	buf_finish(&address);
	return status;
}

/* ---- showing ---- */

static const char *readable_by_operator(const json_t *account)
{
	return json_is_true(json_object_get(account, "enrolled")) ? "no" : "yes, until first login";
}

static void print_list_page(const json_t *accounts, struct output_table *table)
{
	const json_t *account;
	size_t i;

	json_array_foreach(accounts, i, account)
	{
		const char *status = json_text(account, "status");

		/* Kept for ever as tombstones, and of no interest to people. */
		if (status == NULL || strcmp(status, admin_status_name(ACCOUNT_DELETED)) == 0)
			continue;
		output_cell(table, "%s", json_text(account, "address"));
		output_cell(table, "%s", status);
		output_cell(table, "%s", readable_by_operator(account));
		output_cell(table, "%s", output_time(json_number(account, "created_ms")));
	}
}

/* Adds all pages to `all`, which is the caller's. */
static WAITS enum program_exit collect_accounts(struct control *control, json_t *all)
{
	struct buf after = {0};
	bool more = true;
	enum program_exit status = PROGRAM_OK;

	while (status == PROGRAM_OK && more) {
		json_t *request = request_make("account-list");
		struct answer answer;
		const json_t *page;

		if (after.size != 0)
			json_put_text(request, "after", (const char *)after.data);
		status = client_must(control, request, &answer);
		page = json_object_get(answer.reply, "accounts");
		more = json_is_true(json_object_get(answer.reply, "more")) &&
		       json_array_size(page) != 0;
		if (more) {
			const char *last =
				json_text(json_array_get(page, json_array_size(page) - 1), "id");

			buf_clear(&after);
			buf_put(&after, last, last != NULL ? strlen(last) + 1 : 0);
			more = after.size != 0;
		}
		if (status == PROGRAM_OK &&
		    json_array_extend(all, json_object_get(answer.reply, "accounts")) != 0)
			status = control_fail(PROGRAM_REFUSED, "out of memory");
		answer_finish(&answer);
	}
	buf_finish(&after);
	return status;
}

enum program_exit command_account_list(struct control *control)
{
	struct output_table table = {.column_count = 4};
	json_t *all = json_array();
	enum program_exit status = collect_accounts(control, all);

	if (status == PROGRAM_OK && control->options.json)
		return output_json(all);
	if (status == PROGRAM_OK) {
		output_cell(&table, "ADDRESS");
		output_cell(&table, "STATUS");
		output_cell(&table, "OPERATOR CAN READ");
		output_cell(&table, "CREATED (UTC)");
		print_list_page(all, &table);
		output_table_print(&table);
	}
	json_decref(all);
	return status;
}

static void print_reading(const json_t *account)
{
	if (json_number(account, "slot_count") == 0)
		puts("Nobody can open this account: its creation was interrupted. Delete it and "
		     "create it again.");
	else if (json_is_true(json_object_get(account, "enrolled")))
		puts("Its user has logged in: the operator cannot read what is stored without one "
		     "of its secrets.");
	else
		puts("Its user has not logged in yet: whoever has the first password or the "
		     "invitation, and\nthe operator with them, can read it until then.");
}

enum program_exit command_account_show(struct control *control)
{
	struct output_table table = {.column_count = 2};
	struct answer answer;
	enum program_exit status = show(control, &answer);
	const json_t *account = json_object_get(answer.reply, "account");

	if (status == PROGRAM_OK && control->options.json) {
		status = output_json(json_deep_copy(account));
	} else if (status == PROGRAM_OK) {
		output_cell(&table, "address");
		output_cell(&table, "%s", json_text(account, "address"));
		output_cell(&table, "status");
		output_cell(&table, "%s", json_text(account, "status"));
		output_cell(&table, "operator can read");
		output_cell(&table, "%s", readable_by_operator(account));
		output_cell(&table, "ways in");
		output_cell(&table, "%llu (account slots lists them)",
			    (unsigned long long)json_number(account, "slot_count"));
		output_cell(&table, "created (UTC)");
		output_cell(&table, "%s", output_time(json_number(account, "created_ms")));
		output_cell(&table, "id");
		output_cell(&table, "%s", json_text(account, "id"));
		output_table_print(&table);
		print_reading(account);
	}
	answer_finish(&answer);
	return status;
}

static void print_slots(const json_t *account)
{
	struct output_table table = {.column_count = 3};
	const json_t *slot;
	size_t i;

	output_cell(&table, "SLOT");
	output_cell(&table, "OPENED BY");
	output_cell(&table, "MADE (UTC)");
	json_array_foreach(json_object_get(account, "slots"), i, slot)
	{
		const char *kind = json_text(slot, "kind");
		bool first = kind != NULL && strcmp(kind, "enrolment") == 0;

		output_cell(&table, "%llu", (unsigned long long)json_number(slot, "slot"));
		output_cell(&table, "%s",
			    !first ? kind
			    : json_is_true(json_object_get(slot, "invitation"))
				    ? "invitation (once)"
				    : "first password (until first login)");
		output_cell(&table, "%s", output_time(json_number(slot, "created_ms")));
	}
	output_table_print(&table);
}

enum program_exit command_account_slots(struct control *control)
{
	struct answer answer;
	enum program_exit status = show(control, &answer);
	const json_t *account = json_object_get(answer.reply, "account");

	if (status == PROGRAM_OK && control->options.json) {
		json_t *result = json_object();

		json_put(result, "enrolled", json_deep_copy(json_object_get(account, "enrolled")));
		json_put(result, "slots", json_deep_copy(json_object_get(account, "slots")));
		status = output_json(result);
	} else if (status == PROGRAM_OK) {
		print_slots(account);
		print_reading(account);
	}
	answer_finish(&answer);
	return status;
}

/* ---- publishing ---- */

static void add_record(json_t *request, const struct buf *record)
{
	json_t *records = json_object_get(request, "records");
	struct buf text = {0};

	if (records == NULL) {
		records = json_array();
		json_put(request, "records", records);
	}
	hex_put(&text, bytes_of_buf(record));
	json_add(records, json_stringn((const char *)text.data, text.size));
	buf_finish(&text);
}

static WAITS enum program_exit publish(struct control *control, json_t *request)
{
	struct answer answer;
	enum program_exit status = client_must(control, request, &answer);

	answer_finish(&answer);
	return status;
}

/* ---- status ---- */

static WAITS enum program_exit publish_status(struct control *control, const json_t *shown,
					      enum account_status wanted)
{
	struct account_record account = {.status_ms = json_number(shown, "status_ms")};
	json_t *request = request_make("publish");
	struct key *admin = NULL;
	struct buf record = {0};
	enum program_exit status = PROGRAM_OK;
	const char *id = json_text(shown, "id");

	if (id == NULL || hex_parse_exact(id, &account.id, sizeof(account.id)) != ERR_OK)
		status = control_fail(PROGRAM_UNREACHABLE, "aerod's reply has no account id");
	if (status == PROGRAM_OK)
		status = admin_key_load(control, &admin);
	if (status == PROGRAM_OK &&
	    account_make_status(admin, control->config.cluster, &account, wanted,
				env_wall_ms(control->env), &record) != ERR_OK)
		status = control_fail(PROGRAM_REFUSED, "out of memory");
	if (status == PROGRAM_OK) {
		add_record(request, &record);
		status = publish(control, json_incref(request));
	}
	json_decref(request);
	buf_finish(&record);
	key_release(&admin);
	return status;
}

static WAITS enum program_exit change_status(struct control *control, enum account_status wanted,
					     const char *done)
{
	struct answer answer;
	enum program_exit status = show(control, &answer);
	const json_t *account = json_object_get(answer.reply, "account");
	const char *now = json_text(account, "status");

	if (status == PROGRAM_OK && now != NULL && strcmp(now, admin_status_name(wanted)) == 0)
		status = control_fail(PROGRAM_REFUSED, "the account is %s already", now);
	if (status == PROGRAM_OK)
		status = publish_status(control, account, wanted);
	if (status == PROGRAM_OK && !control->options.json)
		printf("%s is %s.\n", json_text(account, "address"), done);
	answer_finish(&answer);
	return status;
}

enum program_exit command_account_disable(struct control *control)
{
	return change_status(control, ACCOUNT_DISABLED, "disabled");
}

enum program_exit command_account_enable(struct control *control)
{
	return change_status(control, ACCOUNT_ACTIVE, "enabled");
}

static enum program_exit confirm_deletion(struct control *control)
{
	char typed[ADDRESS_MAX + 2];

	if (control->options.yes)
		return PROGRAM_OK;
	fprintf(stderr, "This deletes %s and all its mail, and cannot be undone.\n",
		control->arguments[0]);
	if (readpassphrase("Type the address to go on: ", typed, sizeof(typed),
			   RPP_ECHO_ON | RPP_REQUIRE_TTY) == NULL)
		return control_fail(PROGRAM_USAGE, "no terminal to ask: give --yes");
	return strcmp(typed, control->arguments[0]) == 0
		       ? PROGRAM_OK
		       : control_fail(PROGRAM_REFUSED, "nothing was deleted");
}

enum program_exit command_account_delete(struct control *control)
{
	enum program_exit status = confirm_deletion(control);

	return status == PROGRAM_OK ? change_status(control, ACCOUNT_DELETED, "deleted") : status;
}

/* ---- birth ---- */

/* What opens the account until its user's first login. */
struct enrolment {
	bool is_invitation, print;
	struct buf secret;
};

static WAITS enum err make_records(struct control *control, const struct key *admin,
				   const char *address, const struct enrolment *enrolment,
				   json_t *request)
{
	struct slot_info info = {
		.kind = SLOT_ENROLMENT,
		.slot_id = FIRST_SLOT,
		.created_ms = env_wall_ms(control->env),
		.is_invitation = enrolment->is_invitation,
		.parameters = {ARGON2_OPERATIONS_DEFAULT, ARGON2_MEMORY_DEFAULT / 1024}};
	struct id128 cluster = control->config.cluster, account;
	struct buf birth = {0}, slot = {0}, slots = {0};
	struct account_keys keys = {0};
	struct key *master = NULL;
	struct bytes slot_bytes;
	enum err err = key_random(control->env, &master);

	if (err == ERR_OK)
		err = account_keys_derive(master, &keys);
	if (err == ERR_OK)
		err = account_make_birth(control->env, admin, cluster, bytes_string(address), &keys,
					 &account, &birth);
	if (err == ERR_OK)
		err = slot_create(control->env, &info, cluster, account,
				  bytes_of_buf(&enrolment->secret), master, &slot);
	slot_bytes = bytes_of_buf(&slot);
	if (err == ERR_OK)
		err = account_make_slots(keys.identity, cluster, account, FIRST_COUNTER, false,
					 &slot_bytes, 1, &slots);
	if (err == ERR_OK) {
		add_record(request, &birth);
		add_record(request, &slots);
	}
	buf_finish(&birth);
	buf_finish(&slot);
	buf_finish(&slots);
	account_keys_release(&keys);
	key_release(&master);
	return err;
}

static WAITS enum program_exit sign_and_publish(struct control *control, const char *address,
						const struct enrolment *enrolment)
{
	struct key *admin = NULL;
	json_t *request = request_make("publish");
	enum program_exit status = admin_key_load(control, &admin);
	enum err err;

	if (status == PROGRAM_OK) {
		err = make_records(control, admin, address, enrolment, request);
		if (err != ERR_OK)
			status = control_fail(PROGRAM_REFUSED, "cannot make the account: %s",
					      err_text(err));
	}
	if (status == PROGRAM_OK)
		status = publish(control, json_incref(request));
	json_decref(request);
	key_release(&admin);
	return status;
}

static WAITS enum program_exit must_not_exist(struct control *control, const char *address)
{
	struct answer answer;
	enum program_exit status;

	client_ask(control, show_request(address), &answer);
	if (answer.status == PROGRAM_OK)
		status = control_fail(PROGRAM_REFUSED, "%s exists already", address);
	else if (answer.status == PROGRAM_REFUSED && answer.err == ERR_NOTFOUND)
		status = PROGRAM_OK;
	else
		status = answer_report(&answer);
	answer_finish(&answer);
	return status;
}

static enum program_exit print_birth(struct control *control, const char *address,
				     const struct enrolment *enrolment)
{
	const struct buf *secret = &enrolment->secret;

	if (control->options.json) {
		json_t *result = json_object();

		json_put_text(result, "address", address);
		if (enrolment->print)
			json_put(result, enrolment->is_invitation ? "invitation" : "password",
				 json_stringn((const char *)secret->data, secret->size));
		return output_json(result);
	}
	printf("%s is created.\n", address);
	if (enrolment->print)
		printf("%s: %.*s\nIt is shown once and stored nowhere.\n",
		       enrolment->is_invitation ? "invitation" : "password", (int)secret->size,
		       (const char *)secret->data);
	if (enrolment->is_invitation)
		printf("With it the user sets a password: aeroctl account password %s\n", address);
	puts("Until the user has logged in, the operator can read this account.");
	return PROGRAM_OK;
}

static WAITS enum program_exit create(struct control *control, struct enrolment *enrolment)
{
	struct buf normal = {0};
	enum program_exit status = normal_address(control, &normal);
	const char *address = (const char *)normal.data;

	if (status == PROGRAM_OK)
		status = must_not_exist(control, address);
	if (status == PROGRAM_OK && enrolment->is_invitation)
		secret_generate_invitation(control->env, &enrolment->secret);
	else if (status == PROGRAM_OK && control->options.generate)
		secret_generate_password(control->env, &enrolment->secret);
	else if (status == PROGRAM_OK)
		status = secret_input(control->options.password_file, "--password-file",
				      "first password", SECRET_NEW, &enrolment->secret);
	if (status == PROGRAM_OK && enrolment->secret.err != ERR_OK)
		status = control_fail(PROGRAM_REFUSED, "out of memory");
	if (status == PROGRAM_OK)
		status = sign_and_publish(control, address, enrolment);
	if (status == PROGRAM_OK)
		status = print_birth(control, address, enrolment);
	buf_finish(&normal);
	buf_finish(&enrolment->secret);
	return status;
}

enum program_exit command_account_create(struct control *control)
{
	struct enrolment enrolment = {.print = control->options.generate};

	if (control->options.generate && control->options.password_file != NULL)
		return control_fail(PROGRAM_USAGE, "--generate or --password-file, not both");
	return create(control, &enrolment);
}

enum program_exit command_account_invite(struct control *control)
{
	struct enrolment enrolment = {.is_invitation = true, .print = true};

	return create(control, &enrolment);
}
