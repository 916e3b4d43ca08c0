/* SPDX-License-Identifier: MPL-2.0 */
/* APPEND: a message from a session, straight into a folder. */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/memory.h"

#define FEED_SIZE (512u * 1024)

struct appending {
	struct mailbox *mailbox;
	struct id128 folder;
	struct blob_sealer *sealer;
	struct blob_upload *upload;
	struct buf frames;
	void *parser;
};

enum err append_begin(struct mailbox *mailbox, struct bytes folder_name, struct appending **out)
{
	struct home *home = mailbox->home;
	const struct folder *folder = mailbox_folder_named(mailbox, folder_name);
	struct sealed_name name = {
		.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
		.type = SEALED_MESSAGE,
		.account_tag = mailbox->tag,
		.blob = env_random_id(home->env),
	};
	struct appending *appending;
	enum err err;

	if (!folder)
		return ERR_NOTFOUND;
	appending = memory_allocate(sizeof(*appending));
	if (!appending)
		return ERR_NOMEM;
	appending->mailbox = mailbox;
	appending->folder = folder->id;
	mailbox->users++;
	err = home->options.summary.create(&appending->parser);
	if (!err)
		err = blob_sealer_create(home->env, &name, &appending->sealer);
	if (!err)
		err = blob_upload_open(home->options.blobs, name.blob, mailbox->tag,
				       &appending->upload);
	if (err) {
		append_end(&appending);
		return err;
	}
	*out = appending;
	return ERR_OK;
}

static WAITS enum err send_frames(struct appending *appending)
{
	enum err err = blob_upload_write(appending->upload, bytes_of_buf(&appending->frames));

	buf_clear(&appending->frames);
	return err;
}

enum err append_write(struct appending *appending, struct bytes message)
{
	const struct summary_hook *hook = &appending->mailbox->home->options.summary;
	enum err err = hook->feed(appending->parser, message);

	for (size_t offset = 0; offset < message.size && !err; offset += FEED_SIZE) {
		err = blob_sealer_update(appending->sealer, bytes_slice(message, offset, FEED_SIZE),
					 &appending->frames);
		if (!err && appending->frames.size)
			err = send_frames(appending);
	}
	return err;
}

static WAITS enum err finish_upload(struct appending *appending, struct blob_ref *blob)
{
	enum err err = blob_sealer_finish(appending->sealer, &appending->frames);

	if (!err)
		err = send_frames(appending);
	return err ? err : blob_upload_finish(appending->upload, blob);
}

/* Keys, UID and all into the queue; holds the UID gate. */
static WAITS enum err stamp(struct appending *appending, struct operation *operation,
			    struct change *change)
{
	struct mailbox *mailbox = appending->mailbox;
	const struct folder *folder;
	enum err err = mailbox_uids_enter(mailbox);

	if (err)
		return err;
	err = mailbox_reserve(mailbox, appending->folder, 1);
	folder = mailbox_folder_state(mailbox, appending->folder);
	if (!err && !folder)
		err = ERR_NOTFOUND;
	if (!err)
		err = message_key_wrap(mailbox, folder, blob_sealer_key(appending->sealer),
				       &operation->add);
	if (!err)
		err = change_name_blob(change, &operation->add.blob);
	if (!err) {
		operation->add.uid = mailbox_take_uid(mailbox, appending->folder, change);
		change_put(change, operation);
		err = change->operations.err;
	}
	if (!err)
		mailbox_enqueue(mailbox, change);
	mailbox_uids_leave(mailbox);
	return err;
}

static WAITS enum err commit_append(struct appending *appending, struct operation *operation,
				    uint32_t *uidvalidity, uint32_t *uid)
{
	struct mailbox *mailbox = appending->mailbox;
	struct change *change = change_create();
	const struct folder *folder;
	enum err err = change ? ERR_OK : ERR_NOMEM;

	if (!err)
		err = stamp(appending, operation, change);
	if (!err)
		err = mailbox_await(mailbox, change);
	change_release(&change);
	folder = mailbox_folder_state(mailbox, appending->folder);
	if (!err && !folder)
		err = ERR_NOTFOUND;
	if (err)
		return err;
	*uidvalidity = folder->uidvalidity;
	*uid = operation->add.uid;
	return ERR_OK;
}

enum err append_finish(struct appending *appending, uint8_t system, const struct bytes *keywords,
		       size_t keyword_count, uint64_t arrival_ms, int16_t zone_minutes,
		       uint32_t *uidvalidity, uint32_t *uid)
{
	struct mailbox *mailbox = appending->mailbox;
	const struct folder *folder = mailbox_folder_state(mailbox, appending->folder);
	struct operation operation = {.kind = OPERATION_ADD, .folder = appending->folder};
	struct bytes nothing = {NULL, 0};
	struct buf summary = {0}, names = {0};
	enum err err =
		folder ? mailbox_check_keywords(folder, keywords, keyword_count) : ERR_NOTFOUND;

	if (!err)
		err = finish_upload(appending, &operation.add.blob);
	if (!err)
		err = mailbox->home->options.summary.finish(appending->parser, nothing, &summary);
	if (err)
		goto out;
	operation.add.id = operation.add.blob.id;
	operation.add.size = blob_sealer_plain_size(appending->sealer);
	operation.add.arrival_ms = arrival_ms ? arrival_ms : env_wall_ms(mailbox->home->env);
	operation.add.zone_minutes = zone_minutes;
	operation.add.system = system;
	operation.add.summary = bytes_of_buf(&summary);
	name_list_make(keywords, keyword_count, &names, &operation.add.keywords);
	err = summary.err ? summary.err : names.err;
	if (!err)
		err = commit_append(appending, &operation, uidvalidity, uid);
out:
	buf_finish(&summary);
	buf_finish(&names);
	return err;
}

void append_end(struct appending **appending)
{
	struct appending *ended = *appending;

	*appending = NULL;
	if (!ended)
		return;
	if (ended->parser)
		ended->mailbox->home->options.summary.destroy(ended->parser);
	blob_sealer_destroy(&ended->sealer);
	blob_upload_release(&ended->upload);
	buf_finish(&ended->frames);
	mailbox_leave(ended->mailbox);
	memory_free(ended);
}
