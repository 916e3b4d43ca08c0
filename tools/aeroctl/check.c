/* SPDX-License-Identifier: MPL-2.0 */
/*
 * aeroctl check: a message with an attachment goes in by LMTP and must come
 * back by IMAP octet for octet, behind the two trace header fields.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "tools/aeroctl/mail_client.h"
#include "tools/aeroctl/output.h"
#include "tools/common/secret_input.h"
#include "tools/common/hex.h"

#define ATTACHMENT_SIZE 30000u
#define BASE64_LINE_OCTETS 57u /* 76 characters, RFC 2045, 6.8 */
#define TRACE "Return-Path: <>\r\nDelivered-To: %s\r\n"

struct check_run {
	struct control *control;
	const char *address;
	char id[HEX_ID_SIZE];
	const char *lmtp, *imap; /* addresses */
	bool tls;
	struct buf message, password;
	struct buf expected;
	uint64_t delivery_ms, reading_ms;
};

/* ---- the message ---- */

static void put_attachment(struct env *env, struct buf *out)
{
	uint8_t octets[BASE64_LINE_OCTETS];
	unsigned char text[4 * BASE64_LINE_OCTETS / 3 + 1];

	for (size_t done = 0; done < ATTACHMENT_SIZE; done += sizeof(octets)) {
		env_random(env, octets, sizeof(octets));
		EVP_EncodeBlock(text, octets, sizeof(octets));
		buf_printf(out, "%s\r\n", (const char *)text);
	}
}

/* With what gets lost on the way in lesser stores: dots, blanks at ends, tabs, 8-bit, long lines.
 */
static void put_text(struct buf *out)
{
	buf_put_string(out, "This message was sent by \"aeroctl check\".\r\n"
			    "\r\n"
			    ".a dot in front\r\n"
			    "..two of them\r\n"
			    ".\r\n"
			    "blanks at the end   \t\r\n"
			    "From the start of a line\r\n"
			    "8-bit: gr\xc3\xbc\xc3\x9f dich, \xe4\xbd\xa0\xe5\xa5\xbd\r\n");
	for (int i = 0; i < 90; i++)
		buf_put_string(out, "long line ");
	buf_put_string(out, "\r\n");
}

static void put_message(struct check_run *check)
{
	struct buf *out = &check->message;

	buf_printf(out,
		   "From: Aerostore <postmaster@localhost>\r\n"
		   "To: <%s>\r\n"
		   "Subject: =?UTF-8?Q?Aerostore_is_checked_=E2=9C=93?=\r\n"
		   "Date: Thu, 01 Jan 2026 12:00:00 +0000\r\n"
		   "Message-ID: <%s@check.aerostore>\r\n"
		   "MIME-Version: 1.0\r\n"
		   "Content-Type: multipart/mixed;\r\n"
		   "\tboundary=\"=_%s\"\r\n"
		   "\r\n"
		   "--=_%s\r\n"
		   "Content-Type: text/plain; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n"
		   "\r\n",
		   check->address, check->id, check->id, check->id);
	put_text(out);
	buf_printf(out,
		   "--=_%s\r\n"
		   "Content-Type: application/octet-stream\r\n"
		   "Content-Disposition: attachment; filename=\"random.bin\"\r\n"
		   "Content-Transfer-Encoding: base64\r\n"
		   "\r\n",
		   check->id);
	put_attachment(check->control->env, out);
	buf_printf(out, "--=_%s--\r\n", check->id);
	buf_printf(&check->expected, TRACE, check->address);
	buf_put_bytes(&check->expected, bytes_of_buf(out));
}

/* ---- there and back ---- */

static enum program_exit fail(const struct mail_client *client, enum err err, const char *what,
			      const char *address)
{
	if (err == ERR_UNAVAILABLE && client->stream == NULL)
		return control_fail(PROGRAM_UNREACHABLE, "nobody listens at %s", address);
	if (err == ERR_DENIED)
		return control_fail(PROGRAM_REFUSED, "%s at %s was refused: %s", what, address,
				    client->said);
	return control_fail(PROGRAM_REFUSED, "%s at %s failed: %s", what, address, err_text(err));
}

static WAITS enum program_exit deliver(struct check_run *check)
{
	uint64_t start_ms = env_now_ms(check->control->env);
	struct mail_client client;
	enum program_exit status = PROGRAM_OK;
	enum err err = mail_client_open(check->control->sched, check->lmtp, NULL, "220", &client);

	if (err == ERR_OK)
		err = lmtp_client_deliver(&client, check->address, bytes_of_buf(&check->message));
	if (err != ERR_OK)
		status = fail(&client, err, "delivery by LMTP", check->lmtp);
	mail_client_close(&client);
	check->delivery_ms = env_now_ms(check->control->env) - start_ms;
	return status;
}

static enum program_exit compare(const struct check_run *check, struct bytes got)
{
	struct bytes expected = bytes_of_buf(&check->expected);
	size_t at = 0;

	if (bytes_equal(got, expected))
		return PROGRAM_OK;
	while (at < got.size && at < expected.size && got.data[at] == expected.data[at])
		at++;
	return control_fail(PROGRAM_REFUSED,
			    "what came back is not what was sent: %zu octets for %zu, the first "
			    "difference at %zu",
			    got.size, expected.size, at);
}

static WAITS enum err find_and_fetch(struct check_run *check, struct mail_client *client,
				     unsigned long *uid)
{
	enum err err = imap_client_login(client, check->address, bytes_of_buf(&check->password));

	if (err == ERR_OK)
		err = imap_client_command(client, "SELECT INBOX");
	if (err == ERR_OK)
		err = imap_client_command(
			client, "UID SEARCH HEADER Message-ID \"<%s@check.aerostore>\"", check->id);
	if (err != ERR_OK)
		return err;
	*uid = imap_client_found(client);
	if (*uid == 0)
		return ERR_NOTFOUND;
	return imap_client_command(client, "UID FETCH %lu BODY.PEEK[]", *uid);
}

static WAITS enum err remove_message(struct mail_client *client, unsigned long uid)
{
	enum err err = imap_client_command(client, "UID STORE %lu +FLAGS.SILENT (\\Deleted)", uid);

	return err == ERR_OK ? imap_client_command(client, "UID EXPUNGE %lu", uid) : err;
}

static WAITS enum program_exit read_back(struct check_run *check)
{
	const char *trust = check->tls ? check->control->config.certificate : NULL;
	uint64_t start_ms = env_now_ms(check->control->env);
	struct mail_client client;
	unsigned long uid = 0;
	enum program_exit status = PROGRAM_OK;
	enum err err = mail_client_open(check->control->sched, check->imap, trust, "* OK", &client);

	if (err == ERR_OK)
		err = find_and_fetch(check, &client, &uid);
	check->reading_ms = env_now_ms(check->control->env) - start_ms;
	if (err == ERR_NOTFOUND)
		status = control_fail(PROGRAM_REFUSED, "the message was accepted, but is not in "
						       "the mailbox");
	else if (err != ERR_OK)
		status = fail(&client, err, "reading by IMAP", check->imap);
	else
		status = compare(check, bytes_of_buf(&client.literal));
	if (status == PROGRAM_OK && !check->control->options.keep) {
		err = remove_message(&client, uid);
		if (err != ERR_OK)
			status = fail(&client, err, "removing the message", check->imap);
	}
	if (err == ERR_OK)
		(void)!imap_client_command(&client, "LOGOUT");
	mail_client_close(&client);
	return status;
}

/* ---- the command ---- */

static enum program_exit choose_addresses(struct check_run *check)
{
	const struct config *config = &check->control->config;

	if (config->lmtp.count == 0)
		return control_fail(PROGRAM_USAGE, "%s has no lmtp address", config->path);
	if (config->imaps.count == 0 && config->imap.count == 0)
		return control_fail(PROGRAM_USAGE, "%s has no imaps or imap address", config->path);
	check->lmtp = config->lmtp.items[0];
	check->tls = config->imaps.count != 0;
	check->imap = check->tls ? config->imaps.items[0] : config->imap.items[0];
	return PROGRAM_OK;
}

static enum program_exit report(const struct check_run *check)
{
	if (check->control->options.json) {
		json_t *result = json_object();

		json_put_number(result, "octets", check->expected.size);
		json_put_number(result, "delivery_ms", check->delivery_ms);
		json_put_number(result, "reading_ms", check->reading_ms);
		json_put_text(result, "message_id", check->id);
		return output_json(result);
	}
	printf("delivered by LMTP at %s in %llu ms\n"
	       "read back by %s at %s in %llu ms, login included\n"
	       "%zu octets, Return-Path and Delivered-To in front, all others as sent\n",
	       check->lmtp, (unsigned long long)check->delivery_ms, check->tls ? "IMAPS" : "IMAP",
	       check->imap, (unsigned long long)check->reading_ms, check->expected.size);
	return PROGRAM_OK;
}

enum program_exit command_check(struct control *control)
{
	struct check_run check = {.control = control, .address = control->options.address};
	struct buf normal = {0};
	enum program_exit status;

	if (check.address == NULL)
		return control_fail(PROGRAM_USAGE, "--address ADDRESS is missing");
	if (address_normalise(bytes_string(check.address), &normal) != ERR_OK)
		return control_fail(PROGRAM_USAGE, "\"%s\" is not an address", check.address);
	buf_finish(&normal);
	hex_id(env_random_id(control->env), check.id);
	status = choose_addresses(&check);
	if (status == PROGRAM_OK)
		status = secret_input(control->options.password_file, "--password-file", "password",
				      SECRET_EXISTING, &check.password);
	if (status == PROGRAM_OK) {
		put_message(&check);
		if (check.message.err != ERR_OK || check.expected.err != ERR_OK)
			status = control_fail(PROGRAM_REFUSED, "out of memory");
	}
	if (status == PROGRAM_OK)
		status = deliver(&check);
	if (status == PROGRAM_OK)
		status = read_back(&check);
	if (status == PROGRAM_OK)
		status = report(&check);
	buf_finish(&check.message);
	buf_finish(&check.expected);
	buf_finish(&check.password);
	return status;
}
