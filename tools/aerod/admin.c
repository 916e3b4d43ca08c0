/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aerod/admin.h"

#include <string.h>
#include <unistd.h>

#include "engine/base/memory.h"
#include "tools/aerod/status.h"
#include "tools/common/admin_protocol.h"
#include "tools/common/hex.h"
#include "tools/common/json.h"

#define LIST_BATCH 500u
#define IDLE_TIMEOUT_MS (10u * 60 * 1000)

/* One request: reads `request`, adds to `reply`; *why (static) is the reason of a failure. */
struct exchange {
	struct admin_server *server;
	const json_t *request;
	json_t *reply;
	const char *why;
};

typedef WAITS enum err admin_handler(struct exchange *exchange);

static enum err fail(struct exchange *exchange, enum err err, const char *why)
{
	exchange->why = why;
	return err;
}

/* ---- accounts, shown ---- */

static json_t *slots_json(const struct account_record *account)
{
	json_t *slots = json_array();

	for (size_t i = 0; i < account->slot_count; i++) {
		const struct slot_info *info = &account->slots[i].info;
		json_t *slot = json_object();

		json_put_number(slot, "slot", info->slot_id);
		json_put_text(slot, "kind", admin_slot_kind_name(info->kind));
		json_put_bool(slot, "invitation", info->is_invitation);
		json_put_number(slot, "created_ms", info->created_ms);
		json_add(slots, slot);
	}
	return slots;
}

static json_t *account_json(const struct account_record *account, bool with_slots)
{
	json_t *object = json_object();

	json_put_id(object, "id", account->id);
	json_put_text(object, "address", account->address);
	json_put_text(object, "status", admin_status_name(account->status));
	json_put_number(object, "status_ms", account->status_ms);
	json_put_bool(object, "enrolled", account->enrolled);
	json_put_number(object, "counter", account->counter);
	json_put_number(object, "created_ms", account->created_ms);
	json_put_number(object, "slot_count", account->slot_count);
	if (with_slots)
		json_put(object, "slots", slots_json(account));
	return object;
}

static enum err handle_account_list(struct exchange *exchange)
{
	const struct account_table *table =
		accounts_table(engine_accounts(exchange->server->engine));
	const char *after = json_text(exchange->request, "after");
	const struct account_record *account = NULL;
	json_t *list = json_array();

	if (after != NULL) {
		struct id128 id;

		if (hex_parse_exact(after, &id, sizeof(id)) == ERR_OK)
			account = account_table_by_id(table, id);
		if (account == NULL) {
			json_decref(list);
			return fail(exchange, ERR_INVALID, "after: no such account");
		}
	}
	account = account_table_next(table, account);
	while (account != NULL && json_array_size(list) < LIST_BATCH) {
		json_add(list, account_json(account, false));
		account = account_table_next(table, account);
	}
	json_put(exchange->reply, "accounts", list);
	json_put_bool(exchange->reply, "more", account != NULL);
	return ERR_OK;
}

static enum err handle_account_show(struct exchange *exchange)
{
	struct accounts *accounts = engine_accounts(exchange->server->engine);
	const char *address = json_text(exchange->request, "address");
	const struct account_record *account = NULL;
	struct buf normal = {0};
	enum err err;

	if (address == NULL)
		return fail(exchange, ERR_INVALID, "address is missing");
	err = address_normalise(bytes_string(address), &normal);
	if (err == ERR_OK)
		account = accounts_find(accounts, bytes_of_buf(&normal));
	buf_finish(&normal);
	if (err != ERR_OK)
		return fail(exchange, err, "not an address");
	if (account == NULL)
		return fail(exchange, ERR_NOTFOUND, "no account has this address");
	json_put(exchange->reply, "account", account_json(account, true));
	return ERR_OK;
}

/* ---- changes ---- */

static enum err publish_one(struct exchange *exchange, const char *text)
{
	struct buf record = {0};
	enum err err = text == NULL ? ERR_INVALID : hex_parse(bytes_string(text), &record);

	if (err == ERR_OK)
		err = accounts_publish(engine_accounts(exchange->server->engine),
				       bytes_of_buf(&record));
	buf_finish(&record);
	if (err == ERR_AUTH)
		return fail(exchange, err,
			    "not signed with this cluster's admin key, or not by the account");
	return err == ERR_OK
		       ? ERR_OK
		       : fail(exchange, err,
			      err == ERR_UNAVAILABLE || err == ERR_NOSPACE
				      ? "the record cannot be stored now; aeroctl status says why"
				      : "the record was refused");
}

static enum err handle_publish(struct exchange *exchange)
{
	const json_t *records = json_object_get(exchange->request, "records");
	enum err err = ERR_OK;

	if (json_array_size(records) == 0)
		return fail(exchange, ERR_INVALID, "records are missing");
	for (size_t i = 0; err == ERR_OK && i < json_array_size(records); i++)
		err = publish_one(exchange, json_string_value(json_array_get(records, i)));
	return err;
}

static const char *why_unlock_failed(enum err err)
{
	switch ((unsigned)err) {
	case ERR_AUTH:
		return "wrong password, or no such account";
	case ERR_NOTFOUND:
		return "no such slot";
	case ERR_LIMIT:
		return "too many slots, or a secret that is too long";
	case ERR_DENIED:
		return "not with this secret";
	case ERR_UNAVAILABLE:
	case ERR_NOSPACE:
		return "not possible now; try again, aeroctl status may say why";
	default:
		return err_text(err);
	}
}

/* The arguments that all changes of slots have. */
static enum err take_credentials(struct exchange *exchange, struct bytes *address,
				 struct bytes *current)
{
	const char *address_text = json_text(exchange->request, "address");
	const char *current_text = json_text(exchange->request, "current");

	if (address_text == NULL || current_text == NULL)
		return fail(exchange, ERR_INVALID, "address or current is missing");
	*address = bytes_string(address_text);
	*current = bytes_string(current_text);
	return ERR_OK;
}

static enum err handle_password(struct exchange *exchange)
{
	const char *next = json_text(exchange->request, "next");
	struct bytes address, current;
	enum err err = take_credentials(exchange, &address, &current);

	if (err != ERR_OK)
		return err;
	if (next == NULL || *next == '\0')
		return fail(exchange, ERR_INVALID, "next is missing");
	err = home_change_password(engine_home(exchange->server->engine), address, current,
				   bytes_string(next));
	return err == ERR_OK ? ERR_OK : fail(exchange, err, why_unlock_failed(err));
}

static enum err handle_add_slot(struct exchange *exchange)
{
	struct bytes address, current;
	struct buf secret = {0};
	enum slot_kind kind = SLOT_PASSWORD;
	enum err err = take_credentials(exchange, &address, &current);

	if (err != ERR_OK)
		return err;
	if (admin_slot_kind_parse(json_text(exchange->request, "kind"), &kind) != ERR_OK ||
	    (kind != SLOT_APP && kind != SLOT_RECOVERY))
		return fail(exchange, ERR_INVALID, "kind is neither app nor recovery");
	err = home_add_slot(engine_home(exchange->server->engine), address, current, kind, &secret);
	if (err == ERR_OK)
		json_put(exchange->reply, "secret",
			 json_stringn((const char *)secret.data, secret.size));
	buf_finish(&secret);
	return err == ERR_OK ? ERR_OK : fail(exchange, err, why_unlock_failed(err));
}

static enum err handle_remove_slot(struct exchange *exchange)
{
	uint64_t slot = json_number(exchange->request, "slot");
	struct bytes address, current;
	enum err err = take_credentials(exchange, &address, &current);

	if (err != ERR_OK)
		return err;
	if (slot == 0 || slot > UINT32_MAX)
		return fail(exchange, ERR_INVALID, "slot is missing");
	err = home_remove_slot(engine_home(exchange->server->engine), address, current,
			       (uint32_t)slot);
	return err == ERR_OK ? ERR_OK : fail(exchange, err, why_unlock_failed(err));
}

static enum err handle_status(struct exchange *exchange)
{
	status_put(exchange->server, exchange->reply);
	return ERR_OK;
}

static enum err handle_usage(struct exchange *exchange)
{
	status_put_usage(exchange->server->engine, exchange->reply);
	return ERR_OK;
}

/* What keeps it from ending its work is in the reply, and no failure of the command. */
static enum err handle_reclaim(struct exchange *exchange)
{
	struct reclaim *reclaim = engine_reclaim(exchange->server->engine);
	struct reclaim_status status;
	bool freed;
	enum err err = reclaim_run(reclaim, &freed);

	if (err != ERR_OK && err != ERR_UNAVAILABLE)
		return fail(exchange, err, err_text(err));
	reclaim_get_status(reclaim, &status);
	status_put_reclaim(&status, exchange->reply);
	return ERR_OK;
}

static enum err order_scrub(struct exchange *exchange, enum scrub_order order)
{
	blobs_scrub(engine_blobs(exchange->server->engine), order);
	return ERR_OK;
}

static enum err handle_scrub_start(struct exchange *exchange)
{
	return order_scrub(exchange, SCRUB_START);
}

static enum err handle_scrub_pause(struct exchange *exchange)
{
	return order_scrub(exchange, SCRUB_PAUSE);
}

static enum err handle_scrub_resume(struct exchange *exchange)
{
	return order_scrub(exchange, SCRUB_RESUME);
}

static const struct {
	const char *name;
	admin_handler *handle;
} handlers[] = {
	{"status", handle_status},
	{"usage", handle_usage},
	{"reclaim", handle_reclaim},
	{"scrub-start", handle_scrub_start},
	{"scrub-pause", handle_scrub_pause},
	{"scrub-resume", handle_scrub_resume},
	{"account-list", handle_account_list},
	{"account-show", handle_account_show},
	{"publish", handle_publish},
	{"password", handle_password},
	{"add-slot", handle_add_slot},
	{"remove-slot", handle_remove_slot},
};

/* ---- the conversation ---- */

static enum err dispatch(struct exchange *exchange)
{
	const char *command = json_text(exchange->request, "command");

	for (size_t i = 0; command != NULL && i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (strcmp(handlers[i].name, command) == 0)
			return handlers[i].handle(exchange);
	return fail(exchange, ERR_INVALID, "no such command");
}

static enum err answer(struct admin_server *server, struct bytes line, struct buf *out)
{
	json_t *request =
		json_loadb((const char *)line.data, line.size, JSON_REJECT_DUPLICATES, NULL);
	struct exchange exchange = {.server = server, .request = request, .reply = json_object()};
	enum err err = request == NULL ? fail(&exchange, ERR_INVALID, "not a JSON object")
				       : dispatch(&exchange);

	if (err != ERR_OK) {
		json_object_clear(exchange.reply);
		json_put_text(exchange.reply, "error", err_name(err));
		json_put_text(exchange.reply, "message", exchange.why);
	}
	json_put_bool(exchange.reply, "ok", err == ERR_OK);
	err = json_line(exchange.reply, out);
	json_decref(exchange.reply);
	json_decref(request);
	return err;
}

static bool is_allowed(struct admin_server *server, struct stream *stream)
{
	uint32_t user = 0;
	enum err err = stream_peer_user(stream, &user);

	if (err == ERR_OK && (user == 0 || user == geteuid()))
		return true;
	env_log(server->env, "event=admin-refused error=%s user=%u", err_name(err), user);
	return false;
}

void admin_serve(struct stream *stream, void *context)
{
	struct admin_server *server = context;
	enum err err = is_allowed(server, stream) ? ERR_OK : ERR_DENIED;

	stream_set_secret(stream, true);
	while (err == ERR_OK) {
		struct buf out = {0};
		struct bytes line;

		err = stream_line(stream, ADMIN_REQUEST_MAX,
				  env_now_ms(server->env) + IDLE_TIMEOUT_MS, &line);
		if (err == ERR_OK)
			err = answer(server, line, &out);
		if (err == ERR_OK)
			err = stream_write(stream, bytes_of_buf(&out));
		if (err == ERR_OK)
			err = stream_flush(stream);
		buf_finish(&out);
	}
	stream_close(&stream);
}
