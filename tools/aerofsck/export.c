/* SPDX-License-Identifier: MPL-2.0 */
/*
 * --export: the engine, opened over the overlay with its sets left alone, logs
 * in as the user would, and every message it shows becomes a file. Whatever the
 * engine writes on the way (recovery, deliveries that get their UIDs, even the
 * keys of a first login) stays in memory.
 *
 * Maildir++: INBOX is DIR, another folder DIR/.A.B; within a name "." and "%"
 * and controls are written as %XX; the rest is UTF-8 as it is. Keywords are
 * letters in the file's name, which dovecot-keywords explains.
 */
#include "tools/aerofsck/aerofsck.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "mail/summary.h"
#include "tools/common/node_keys.h"
#include "tools/common/secret_input.h"

#define MAILDIR_KEYWORD_MAX 26u

struct export
{
	struct invocation *invocation;
	struct engine *engine;
	struct node_keys keys;
	uint64_t messages, failed;
};

/* Nothing is delivered or appended here: no summary is ever asked for. */
static enum err no_summary(void **parser)
{
	*parser = NULL;
	return ERR_UNAVAILABLE;
}

static void nothing(void *parser)
{
	(void)parser;
}

/* ---- files ---- */

static bool make_directory(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return true;
	complain("%s: %s", path, strerror(errno));
	return false;
}

static bool make_maildir(const char *path, bool is_folder)
{
	static const char *const parts[] = {"cur", "new", "tmp"};
	char part[FSCK_PATH_SIZE];
	int file;

	if (!make_directory(path))
		return false;
	for (size_t i = 0; i < 3; i++) {
		snprintf(part, sizeof(part), "%.1000s/%s", path, parts[i]);
		if (!make_directory(part))
			return false;
	}
	if (!is_folder)
		return true;
	snprintf(part, sizeof(part), "%.1000s/maildirfolder", path);
	file = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return file >= 0 && close(file) == 0;
}

static bool write_all(int file, struct bytes content)
{
	while (content.size != 0) {
		ssize_t written = write(file, content.data, content.size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		content = bytes_slice(content, (size_t)written, SIZE_MAX);
	}
	return true;
}

/* The time of a Maildir's file is the message's arrival. */
static bool write_file(const char *path, struct bytes content, uint64_t time_ms)
{
	const struct timespec time = {.tv_sec = (time_t)(time_ms / 1000),
				      .tv_nsec = (long)(time_ms % 1000) * 1000000};
	int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool written = file >= 0 && write_all(file, content) &&
		       futimens(file, (const struct timespec[]){time, time}) == 0;

	if (!written)
		complain("%s: %s", path, strerror(errno));
	if (file >= 0 && close(file) != 0)
		return false;
	return written;
}

/* ---- names ---- */

static void put_folder_name(const char *name, struct buf *out)
{
	buf_put_string(out, "/.");
	for (; *name != '\0'; name++) {
		uint8_t octet = (uint8_t)*name;

		if (octet == '/')
			buf_put_u8(out, '.');
		else if (octet == '.' || octet == '%' || octet < 0x20 || octet == 0x7f)
			buf_printf(out, "%%%02X", octet);
		else
			buf_put_u8(out, octet);
	}
}

static void put_flags(const struct message *message, struct buf *out)
{
	static const struct {
		uint8_t flag;
		char letter;
	} letters[] = {{FLAG_DRAFT, 'D'},
		       {FLAG_FLAGGED, 'F'},
		       {FLAG_ANSWERED, 'R'},
		       {FLAG_SEEN, 'S'},
		       {FLAG_DELETED, 'T'}};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if ((message->flags.system & letters[i].flag) != 0)
			buf_put_u8(out, (uint8_t)letters[i].letter);
	for (unsigned i = 0; i < MAILDIR_KEYWORD_MAX; i++)
		if ((message->flags.keywords[0] >> i & 1) != 0)
			buf_put_u8(out, (uint8_t)('a' + i));
}

/* ---- folders ---- */

static WAITS bool export_message(struct export *export, struct view *view, uint32_t sequence,
				 const char *directory)
{
	struct buf content = {0}, path = {0};
	struct message message;
	bool written = false;
	enum err err = view_message(view, sequence, &message);

	if (err == ERR_OK)
		err = view_read(view, sequence, 0, UINT64_MAX, &content);
	if (err == ERR_OK && content.size == message.size) {
		buf_printf(&path, "%s/cur/%" PRIu64 ".U%" PRIu32 ".aerostore,S=%" PRIu64 ":2,",
			   directory, message.arrival_ms / 1000, message.uid, message.size);
		put_flags(&message, &path);
		buf_put_u8(&path, '\0');
		written = path.err == ERR_OK &&
			  write_file((const char *)path.data, bytes_of_buf(&content),
				     message.arrival_ms);
	} else {
		complain("%s: message %" PRIu32 ": %s", directory, view_uid(view, sequence),
			 err_text(err == ERR_OK ? ERR_CORRUPT : err));
	}
	if (written)
		export->messages++;
	else
		export->failed++;
	buf_finish(&content);
	buf_finish(&path);
	return written;
}

static void export_keywords(const struct view *view, const char *directory)
{
	struct buf text = {0};
	char path[FSCK_PATH_SIZE];
	size_t count;
	const char *const *keywords = view_keywords(view, &count);

	for (size_t i = 0; i < count && i < MAILDIR_KEYWORD_MAX; i++)
		buf_printf(&text, "%zu %s\n", i, keywords[i]);
	snprintf(path, sizeof(path), "%.1000s/dovecot-keywords", directory);
	if (text.size != 0)
		(void)write_file(path, bytes_of_buf(&text), 0);
	buf_finish(&text);
}

static WAITS enum err export_folder(struct export *export, struct mailbox *mailbox, struct id128 id,
				    const char *name)
{
	struct buf directory = {0};
	struct view *view = NULL;
	bool inbox = strcmp(name, "INBOX") == 0;
	enum err err;

	buf_put_string(&directory, export->invocation->export_to);
	if (!inbox)
		put_folder_name(name, &directory);
	buf_put_u8(&directory, '\0');
	err = directory.err;
	if (err == ERR_OK && !make_maildir((const char *)directory.data, !inbox))
		err = ERR_IO;
	/* Every delivery that waits gets its place first. */
	if (err == ERR_OK)
		err = mailbox_status(mailbox, id, &(struct folder_status){0});
	if (err == ERR_OK)
		err = view_open(mailbox, id, true, &view);
	if (err == ERR_OK) {
		export_keywords(view, (const char *)directory.data);
		for (uint32_t i = 1; err == ERR_OK && i <= view_count(view); i++) {
			(void)export_message(export, view, i, (const char *)directory.data);
			err = task_canceled() ? ERR_CANCELED : ERR_OK;
		}
		view_close(&view);
	}
	buf_finish(&directory);
	return err;
}

static WAITS enum err export_all(struct export *export, struct mailbox *mailbox)
{
	const struct folder_info *folders;
	struct buf names = {0};
	size_t count;
	enum err err = mailbox_folders(mailbox, &folders, &count);

	/* What is borrowed does not outlive a wait. */
	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		if (!folders[i].exists)
			continue;
		buf_put_id(&names, folders[i].id);
		buf_put(&names, folders[i].name, strlen(folders[i].name) + 1);
	}
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		struct id128 id;

		memcpy(id.octets, names.data + at, sizeof(id.octets));
		at += sizeof(id.octets);
		err = export_folder(export, mailbox, id, (const char *)names.data + at);
		at += strlen((const char *)names.data + at) + 1;
	}
	if (names.err != ERR_OK)
		err = names.err;
	buf_finish(&names);
	return err;
}

/* ---- opening ---- */

static WAITS enum err open_store(struct export *export, const char **why)
{
	const struct config *config = &export->invocation->config;
	struct engine_options options = {
		.sched = export->invocation->sched,
		.cluster = config->cluster,
		.node = config->node,
		.node_signing = export->keys.signing,
		.fake_salt = bytes_make(export->keys.fake_salt, sizeof(export->keys.fake_salt)),
		.volumes = export->invocation->volumes,
		.volume_count = export->invocation->volume_count,
		.index_directory = config->index,
		.summary = {.create = no_summary, .destroy = nothing},
		.passive = true,
	};

	memcpy(options.admin_public, config->admin_public, sizeof(options.admin_public));
	return engine_open(&options, &export->engine, why);
}

static WAITS enum err log_in(struct export *export, struct mailbox **mailbox)
{
	const struct invocation *invocation = export->invocation;
	struct buf address = {0}, secret = {0};
	enum err err = address_normalise(bytes_string(invocation->account), &address);

	if (err != ERR_OK) {
		complain("%s: not an address", invocation->account);
	} else if (secret_input(invocation->password_file, "--password-file",
				"password or recovery code", SECRET_EXISTING,
				&secret) != PROGRAM_OK) {
		err = ERR_INVALID;
	} else {
		err = home_login(engine_home(export->engine), bytes_of_buf(&address),
				 bytes_of_buf(&secret), "", mailbox);
		if (err != ERR_OK)
			complain("%s: %s", invocation->account,
				 err == ERR_AUTH ? "no such account, or not its password or "
						   "recovery code"
						 : err_text(err));
	}
	buf_finish(&secret);
	buf_finish(&address);
	return err;
}

static WAITS enum err export_account(struct export *export)
{
	struct mailbox *mailbox = NULL;
	enum err err = log_in(export, &mailbox);

	if (err != ERR_OK)
		return err;
	err = export_all(export, mailbox);
	mailbox_release(&mailbox);
	if (err != ERR_OK)
		complain("%s: %s", export->invocation->export_to, err_text(err));
	return err;
}

static enum err load_keys(struct export *export, char why[CONFIG_WHY_SIZE])
{
	enum err err = node_keys_load(export->invocation->config.keys, &export->keys, why);

	if (err != ERR_NOTFOUND)
		return err;
	complain("warning: %s; mail that no client has fetched yet cannot be verified without it, "
		 "and is left out",
		 why);
	return node_keys_invent(sched_env(export->invocation->sched), &export->keys);
}

void run_export(struct invocation *invocation)
{
	struct export export = {.invocation = invocation};
	char reason[CONFIG_WHY_SIZE];
	const char *why = reason;
	enum err err = load_keys(&export, reason);

	if (err == ERR_OK)
		err = open_store(&export, &why);
	if (err != ERR_OK) {
		complain("%s", why);
	} else {
		err = export_account(&export);
		printf("%" PRIu64 " messages are in %s\n", export.messages, invocation->export_to);
	}
	if (export.failed != 0) {
		complain("%" PRIu64 " messages could not be written", export.failed);
		invocation->exit |= FSCK_EXIT_UNCORRECTED;
	}
	if (export.engine != NULL)
		engine_close(&export.engine);
	node_keys_release(&export.keys);
	if (err != ERR_OK && !invocation->canceled)
		invocation->exit |= FSCK_EXIT_FAILED;
}
