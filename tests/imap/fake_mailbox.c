/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/imap/fake_mailbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/task.h"
#include "mail/summary.h"

struct fake_shown {
	struct fake_message *message;
	struct flags told;
	bool recent;
};

struct view {
	struct fake_folder *folder;
	bool read_only;
	struct fake_shown *shown;
	size_t count, capacity;
	size_t seen_count; /* of the folder's messages */
	void (*stale)(struct view *view, void *context);
	void *context;
};

struct appending {
	struct fake_folder *folder;
	struct home *home;
	struct buf data;
};

/* ---- what tests do ---- */

static struct fake_folder *fake_find(struct home *home, struct bytes name)
{
	for (size_t i = 0; i < home->folder_count; i++)
		if (bytes_equal(bytes_string(home->folders[i].name), name))
			return &home->folders[i];
	return NULL;
}

struct fake_folder *fake_folder(struct home *home, const char *name)
{
	struct fake_folder *folder = fake_find(home, bytes_string(name));

	if (folder != NULL)
		return folder;
	ASSERT(home->folder_count < FAKE_FOLDERS_MAX);
	folder = &home->folders[home->folder_count++];
	*folder = (struct fake_folder){.uidnext = 1, .keyword_max = KEYWORD_MAX};
	folder->uidvalidity = 1000 + (uint32_t)home->folder_count;
	snprintf(folder->name, sizeof(folder->name), "%s", name);
	return folder;
}

static void fake_soon(void *context)
{
	struct home *home = context;

	home->telling = false;
	for (size_t i = 0; i < FAKE_VIEWS_MAX; i++) {
		struct view *view = home->views[i];

		if (view != NULL && view->stale != NULL && view_stale(view)) {
			void (*stale)(struct view *, void *) = view->stale;

			view->stale = NULL;
			stale(view, view->context);
		}
	}
}

void fake_changed(struct home *home)
{
	if (home->telling)
		return;
	home->telling = true;
	env_soon(home->env, fake_soon, home);
}

struct fake_message *fake_add(struct home *home, struct fake_folder *folder, struct bytes data,
			      uint8_t system, uint64_t arrival_ms, int16_t zone_minutes)
{
	struct fake_message *message = memory_allocate(sizeof(*message));

	ASSERT(message != NULL);
	if (folder->count == folder->capacity) {
		folder->capacity = folder->capacity != 0 ? folder->capacity * 2 : 16;
		folder->messages = memory_resize(folder->messages,
						 folder->capacity * sizeof(*folder->messages));
		ASSERT(folder->messages != NULL);
	}
	message->uid = folder->uidnext++;
	message->flags.system = system;
	message->recent = true;
	message->arrival_ms = arrival_ms;
	message->zone_minutes = zone_minutes;
	buf_put_bytes(&message->data, data);
	ASSERT(summary_of_message(data, &message->summary) == ERR_OK);
	folder->messages[folder->count++] = message;
	fake_changed(home);
	return message;
}

void fake_init(struct home *home, struct env *env)
{
	*home = (struct home){.env = env};
	home->mailbox.home = home;
	fake_folder(home, "INBOX")->exists = true;
}

void fake_finish(struct home *home)
{
	ASSERT(home->mailbox.users == 0);
	for (size_t i = 0; i < home->folder_count; i++) {
		struct fake_folder *folder = &home->folders[i];

		for (size_t k = 0; k < folder->count; k++) {
			buf_finish(&folder->messages[k]->data);
			buf_finish(&folder->messages[k]->summary);
			memory_free(folder->messages[k]);
		}
		memory_free(folder->messages);
	}
}

/* ---- logging in ---- */

enum err home_login(struct home *home, struct bytes address, struct bytes password,
		    const char *peer, struct mailbox **out)
{
	ASSERT(peer != NULL);
	task_yield();
	if (!bytes_equal(address, bytes_string("joe@example.org")) ||
	    !bytes_equal(password, bytes_string("secret")))
		return ERR_AUTH;
	home->mailbox.users++;
	*out = &home->mailbox;
	return ERR_OK;
}

void mailbox_release(struct mailbox **mailbox)
{
	(*mailbox)->users--;
	*mailbox = NULL;
}

void mailbox_watch_start(struct mailbox *mailbox, struct mailbox_watch *watch)
{
	(void)mailbox;
	(void)watch;
}

void mailbox_watch_stop(struct mailbox *mailbox, struct mailbox_watch *watch)
{
	(void)mailbox;
	(void)watch;
}

/* ---- folders ---- */

static bool fake_has_children(const struct home *home, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < home->folder_count; i++)
		if (home->folders[i].exists && strncmp(home->folders[i].name, name, size) == 0 &&
		    home->folders[i].name[size] == '/')
			return true;
	return false;
}

static struct folder_info fake_info(const struct home *home, size_t index)
{
	const struct fake_folder *folder = &home->folders[index];

	return (struct folder_info){.id.octets[0] = (uint8_t)(index + 1),
				    .name = folder->name,
				    .uidvalidity = folder->uidvalidity,
				    .special_use = folder->special_use,
				    .subscribed = folder->subscribed,
				    .exists = folder->exists,
				    .has_children = fake_has_children(home, folder->name)};
}

/* As the real one: INBOX first, and what is below a folder follows it. */
static int fake_order(const void *a, const void *b)
{
	const char *left = ((const struct folder_info *)a)->name;
	const char *right = ((const struct folder_info *)b)->name;
	bool left_inbox = strncmp(left, "INBOX", 5) == 0;
	bool right_inbox = strncmp(right, "INBOX", 5) == 0;
	int l, r;

	if (left_inbox != right_inbox)
		return left_inbox ? -1 : 1;
	for (; *left != '\0' && *left == *right; right++)
		left++;
	l = *left == '/' ? 1 : (uint8_t)*left;
	r = *right == '/' ? 1 : (uint8_t)*right;
	return l - r;
}

enum err mailbox_folder_list(struct mailbox *mailbox, struct folder_list **out)
{
	struct home *home = mailbox->home;

	for (size_t i = 0; i < home->folder_count; i++)
		home->infos[i] = fake_info(home, i);
	qsort(home->infos, home->folder_count, sizeof(home->infos[0]), fake_order);
	home->list = (struct folder_list){home->infos, home->folder_count};
	*out = &home->list;
	return ERR_OK;
}

void folder_list_release(struct folder_list **list)
{
	*list = NULL;
}

enum err mailbox_folder(struct mailbox *mailbox, struct bytes name, struct folder_info *out)
{
	struct fake_folder *folder = fake_find(mailbox->home, name);

	if (folder == NULL)
		return ERR_NOTFOUND;
	*out = fake_info(mailbox->home, (size_t)(folder - mailbox->home->folders));
	return ERR_OK;
}

static bool fake_is_name(struct bytes name)
{
	return name.size != 0 && name.size < FAKE_NAME_MAX && name.data[0] != '/';
}

static struct fake_folder *fake_make(struct home *home, struct bytes name)
{
	char text[FAKE_NAME_MAX];
	struct fake_folder *folder;

	snprintf(text, sizeof(text), "%.*s", (int)name.size, (const char *)name.data);
	folder = fake_folder(home, text);
	folder->exists = true;
	return folder;
}

static void fake_make_parents(struct home *home, struct bytes name)
{
	for (size_t i = 1; i < name.size; i++)
		if (name.data[i] == '/')
			(void)fake_make(home, bytes_slice(name, 0, i));
}

enum err mailbox_create_folder(struct mailbox *mailbox, struct bytes name,
			       enum special_use special_use)
{
	struct fake_folder *folder = fake_find(mailbox->home, name);

	task_yield();
	if (folder != NULL && folder->exists)
		return ERR_EXISTS;
	if (!fake_is_name(name))
		return ERR_INVALID;
	fake_make_parents(mailbox->home, name);
	fake_make(mailbox->home, name)->special_use = special_use;
	return ERR_OK;
}

enum err mailbox_delete_folder(struct mailbox *mailbox, struct bytes name)
{
	struct fake_folder *folder = fake_find(mailbox->home, name);

	task_yield();
	if (bytes_equal(name, bytes_string("INBOX")))
		return ERR_DENIED;
	if (folder == NULL || !folder->exists)
		return ERR_NOTFOUND;
	folder->exists = false;
	for (size_t i = 0; i < folder->count; i++)
		folder->messages[i]->expunged = true;
	return ERR_OK;
}

/* INBOX itself stays (RFC 3501, 6.3.5). */
static void fake_empty_inbox(struct home *home, struct fake_folder *target)
{
	struct fake_folder *inbox = fake_folder(home, "INBOX");

	for (size_t i = 0; i < inbox->count; i++) {
		struct fake_message *message = inbox->messages[i];

		if (message->expunged)
			continue;
		(void)fake_add(home, target, bytes_of_buf(&message->data), message->flags.system,
			       message->arrival_ms, message->zone_minutes);
		message->expunged = true;
	}
}

/* "from/..." becomes "to/..." for all below. */
static void fake_rename_children(struct home *home, struct bytes from, struct bytes to)
{
	for (size_t i = 0; i < home->folder_count; i++) {
		struct bytes name = bytes_string(home->folders[i].name);
		char text[FAKE_NAME_MAX];

		if (name.size <= from.size || name.data[from.size] != '/' ||
		    !bytes_equal(bytes_slice(name, 0, from.size), from))
			continue;
		snprintf(text, sizeof(text), "%.*s%s", (int)to.size, (const char *)to.data,
			 home->folders[i].name + from.size);
		memcpy(home->folders[i].name, text, sizeof(text));
	}
}

enum err mailbox_rename_folder(struct mailbox *mailbox, struct bytes from, struct bytes to)
{
	struct home *home = mailbox->home;
	struct fake_folder *folder = fake_find(home, from);

	task_yield();
	if (folder == NULL || !folder->exists)
		return ERR_NOTFOUND;
	if (fake_find(home, to) != NULL)
		return ERR_EXISTS;
	if (!fake_is_name(to))
		return ERR_INVALID;
	fake_make_parents(home, to);
	if (bytes_equal(from, bytes_string("INBOX"))) {
		fake_empty_inbox(home, fake_make(home, to));
		return ERR_OK;
	}
	fake_rename_children(home, from, to);
	snprintf(folder->name, sizeof(folder->name), "%.*s", (int)to.size, (const char *)to.data);
	return ERR_OK;
}

enum err mailbox_subscribe(struct mailbox *mailbox, struct bytes name, bool subscribed)
{
	char text[FAKE_NAME_MAX];

	task_yield();
	if (name.size >= sizeof(text))
		return ERR_INVALID;
	snprintf(text, sizeof(text), "%.*s", (int)name.size, (const char *)name.data);
	fake_folder(mailbox->home, text)->subscribed = subscribed;
	return ERR_OK;
}

static struct fake_folder *fake_by_id(struct mailbox *mailbox, struct id128 id)
{
	ASSERT(id.octets[0] >= 1 && id.octets[0] <= mailbox->home->folder_count);
	return &mailbox->home->folders[id.octets[0] - 1];
}

enum err mailbox_status(struct mailbox *mailbox, struct id128 folder_id, struct folder_status *out)
{
	struct fake_folder *folder = fake_by_id(mailbox, folder_id);

	task_yield();
	*out = (struct folder_status){.uidnext = folder->uidnext,
				      .uidvalidity = folder->uidvalidity};
	for (size_t i = 0; i < folder->count; i++) {
		const struct fake_message *message = folder->messages[i];

		if (message->expunged)
			continue;
		out->messages++;
		out->recent += message->recent;
		out->unseen += (message->flags.system & FLAG_SEEN) == 0;
	}
	return ERR_OK;
}

/* ---- views ---- */

static void fake_show(struct view *view, struct fake_message *message)
{
	if (view->count == view->capacity) {
		view->capacity = view->capacity != 0 ? view->capacity * 2 : 16;
		view->shown = memory_resize(view->shown, view->capacity * sizeof(*view->shown));
		ASSERT(view->shown != NULL);
	}
	view->shown[view->count++] = (struct fake_shown){
		.message = message, .told = message->flags, .recent = message->recent};
	if (!view->read_only)
		message->recent = false;
}

static void fake_show_new(struct view *view)
{
	for (; view->seen_count < view->folder->count; view->seen_count++)
		if (!view->folder->messages[view->seen_count]->expunged)
			fake_show(view, view->folder->messages[view->seen_count]);
}

static struct home *fake_home_of; /* one at a time */

enum err view_open(struct mailbox *mailbox, struct id128 folder, bool read_only, struct view **out)
{
	struct view *view = memory_allocate(sizeof(*view));
	size_t slot = 0;

	task_yield();
	if (view == NULL)
		return ERR_NOMEM;
	view->folder = fake_by_id(mailbox, folder);
	view->read_only = read_only;
	fake_show_new(view);
	while (mailbox->home->views[slot] != NULL)
		slot++;
	ASSERT(slot < FAKE_VIEWS_MAX);
	mailbox->home->views[slot] = view;
	fake_home_of = mailbox->home;
	*out = view;
	return ERR_OK;
}

void view_close(struct view **view)
{
	for (size_t i = 0; i < FAKE_VIEWS_MAX; i++)
		if (fake_home_of->views[i] == *view)
			fake_home_of->views[i] = NULL;
	memory_free((*view)->shown);
	memory_free(*view);
	*view = NULL;
}

bool view_read_only(const struct view *view)
{
	return view->read_only;
}

uint32_t view_count(const struct view *view)
{
	return (uint32_t)view->count;
}

uint32_t view_recent_count(const struct view *view)
{
	uint32_t count = 0;

	for (size_t i = 0; i < view->count; i++)
		count += view->shown[i].recent;
	return count;
}

uint32_t view_uidvalidity(const struct view *view)
{
	return view->folder->uidvalidity;
}

uint32_t view_uidnext(const struct view *view)
{
	return view->folder->uidnext;
}

uint32_t view_first_unseen(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if ((view->shown[i].message->flags.system & FLAG_SEEN) == 0)
			return (uint32_t)i + 1;
	return 0;
}

uint32_t view_uid(const struct view *view, uint32_t sequence)
{
	ASSERT(sequence >= 1 && sequence <= view->count);
	return view->shown[sequence - 1].message->uid;
}

uint32_t view_find_uid(const struct view *view, uint32_t uid)
{
	uint32_t sequence = 1;

	while (sequence <= view->count && view_uid(view, sequence) < uid)
		sequence++;
	return sequence;
}

const char *const *view_keywords(const struct view *view, size_t *count)
{
	*count = view->folder->keyword_count;
	return view->folder->keywords;
}

enum err view_message(struct view *view, uint32_t sequence, struct message *out)
{
	const struct fake_shown *shown = &view->shown[sequence - 1];

	ASSERT(sequence >= 1 && sequence <= view->count);
	if (shown->message->expunged)
		return ERR_NOTFOUND;
	*out = (struct message){.uid = shown->message->uid,
				.flags = shown->message->flags,
				.recent = shown->recent,
				.arrival_ms = shown->message->arrival_ms,
				.arrival_zone_minutes = shown->message->zone_minutes,
				.size = shown->message->data.size};
	return ERR_OK;
}

enum err view_summary(struct view *view, uint32_t sequence, struct buf *out)
{
	struct fake_message *message = view->shown[sequence - 1].message;

	fake_home_of->summaries++;
	if (fake_home_of->vanishing == message)
		message->expunged = true;
	task_yield();
	if (message->expunged)
		return ERR_NOTFOUND;
	buf_put_bytes(out, bytes_of_buf(&message->summary));
	return out->err;
}

enum err view_read(struct view *view, uint32_t sequence, uint64_t offset, uint64_t size,
		   struct buf *out)
{
	const struct fake_message *message = view->shown[sequence - 1].message;
	struct bytes data = bytes_of_buf(&message->data);

	fake_home_of->reads++;
	task_yield();
	if (fake_home_of->read_delay_ms != 0)
		ASSERT(task_sleep(fake_home_of->read_delay_ms) == ERR_OK);
	if (fake_home_of->failing_read != 0 && --fake_home_of->failing_read == 0)
		return fake_home_of->read_error;
	if (message->expunged)
		return ERR_NOTFOUND;
	if (offset < data.size)
		buf_put_bytes(out, bytes_slice(data, (size_t)offset,
					       size < SIZE_MAX ? (size_t)size : SIZE_MAX));
	return out->err;
}

static bool fake_same_flags(const struct flags *a, const struct flags *b)
{
	return a->system == b->system && a->keywords[0] == b->keywords[0] &&
	       a->keywords[1] == b->keywords[1];
}

static bool fake_flags_changed(const struct fake_shown *shown)
{
	return !shown->message->expunged && !fake_same_flags(&shown->told, &shown->message->flags);
}

void view_sync(struct view *view, bool expunges, const struct view_events *events)
{
	size_t before;

	for (size_t i = view->count; expunges && i-- > 0;) {
		uint32_t uid = view->shown[i].message->uid;

		if (!view->shown[i].message->expunged)
			continue;
		memmove(view->shown + i, view->shown + i + 1,
			(view->count - i - 1) * sizeof(*view->shown));
		view->count--;
		events->expunged(events->context, (uint32_t)i + 1, uid);
	}
	before = view->count;
	fake_show_new(view);
	if (view->count != before)
		events->exists(events->context, (uint32_t)view->count, view_recent_count(view));
	for (size_t i = 0; i < view->count; i++)
		if (fake_flags_changed(&view->shown[i])) {
			view->shown[i].told = view->shown[i].message->flags;
			events->flags(events->context, (uint32_t)i + 1, view->shown[i].message->uid,
				      1);
		}
}

bool view_stale(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->shown[i].message->expunged || fake_flags_changed(&view->shown[i]))
			return true;
	for (size_t i = view->seen_count; i < view->folder->count; i++)
		if (!view->folder->messages[i]->expunged)
			return true;
	return false;
}

void view_notify(struct view *view, void (*stale)(struct view *view, void *context), void *context)
{
	view->stale = stale;
	view->context = context;
}

/* ---- changes ---- */

/* The keyword's bit, SIZE_MAX when there is no room for it. */
static size_t fake_keyword(struct fake_folder *folder, struct bytes name)
{
	for (size_t i = 0; i < folder->keyword_count; i++)
		if (bytes_equal_nocase(bytes_string(folder->keywords[i]), name))
			return i;
	if (folder->keyword_count == folder->keyword_max)
		return SIZE_MAX;
	snprintf(folder->keyword_text[folder->keyword_count], sizeof(folder->keyword_text[0]),
		 "%.*s", (int)name.size, (const char *)name.data);
	folder->keywords[folder->keyword_count] = folder->keyword_text[folder->keyword_count];
	return folder->keyword_count++;
}

static enum err fake_flags(struct fake_folder *folder, uint8_t system, const struct bytes *keywords,
			   size_t keyword_count, struct flags *out)
{
	*out = (struct flags){.system = system};
	for (size_t i = 0; i < keyword_count; i++) {
		size_t bit = fake_keyword(folder, keywords[i]);

		if (bit == SIZE_MAX)
			return ERR_LIMIT;
		out->keywords[bit / 64] |= (uint64_t)1 << bit % 64;
	}
	return ERR_OK;
}

static void fake_apply(struct flags *flags, enum store_mode mode, const struct flags *change)
{
	switch (mode) {
	case STORE_REPLACE:
		*flags = *change;
		break;
	case STORE_ADD:
		flags->system |= change->system;
		for (size_t i = 0; i < 2; i++)
			flags->keywords[i] |= change->keywords[i];
		break;
	case STORE_REMOVE:
		flags->system &= (uint8_t)~change->system;
		for (size_t i = 0; i < 2; i++)
			flags->keywords[i] &= ~change->keywords[i];
		break;
	}
}

enum err view_store(struct view *view, const uint32_t *sequences, size_t count,
		    enum store_mode mode, uint8_t system, const struct bytes *keywords,
		    size_t keyword_count, bool silent)
{
	struct flags change;
	enum err err = fake_flags(view->folder, system, keywords, keyword_count, &change);

	fake_home_of->stores++;
	task_yield();
	if (err == ERR_OK)
		err = fake_home_of->store_error;
	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		struct fake_shown *shown = &view->shown[sequences[i] - 1];

		if (shown->message->expunged)
			continue;
		fake_apply(&shown->message->flags, mode, &change);
		if (silent)
			shown->told = shown->message->flags;
	}
	fake_changed(fake_home_of);
	return err;
}

enum err view_expunge(struct view *view, const uint32_t *sequences, size_t count, size_t *expunged)
{
	size_t all = sequences == NULL ? view->count : count;

	task_yield();
	*expunged = 0;
	for (size_t i = 0; i < all; i++) {
		size_t index = sequences == NULL ? i : sequences[i] - 1;
		struct fake_message *message = view->shown[index].message;

		if (message->expunged || (message->flags.system & FLAG_DELETED) == 0)
			continue;
		message->expunged = true;
		++*expunged;
	}
	fake_changed(fake_home_of);
	return ERR_OK;
}

enum err view_copy(struct view *view, const uint32_t *sequences, size_t count, struct bytes target,
		   bool move, struct copy_result *out)
{
	struct fake_folder *folder = fake_find(fake_home_of, target);

	task_yield();
	if (folder == NULL || !folder->exists)
		return ERR_NOTFOUND;
	*out = (struct copy_result){.uidvalidity = folder->uidvalidity,
				    .from_uids = memory_array(count, sizeof(uint32_t)),
				    .to_uids = memory_array(count, sizeof(uint32_t))};
	ASSERT(out->from_uids != NULL && out->to_uids != NULL);
	for (size_t i = 0; i < count; i++) {
		struct fake_message *message = view->shown[sequences[i] - 1].message, *copy;

		if (message->expunged)
			continue;
		copy = fake_add(fake_home_of, folder, bytes_of_buf(&message->data),
				message->flags.system, message->arrival_ms, message->zone_minutes);
		out->from_uids[out->count] = message->uid;
		out->to_uids[out->count++] = copy->uid;
		message->expunged = move;
	}
	return ERR_OK;
}

/* ---- APPEND ---- */

enum err append_begin(struct mailbox *mailbox, struct bytes folder, struct appending **out)
{
	struct fake_folder *found = fake_find(mailbox->home, folder);

	task_yield();
	if (found == NULL || !found->exists)
		return ERR_NOTFOUND;
	*out = memory_allocate(sizeof(**out));
	if (*out == NULL)
		return ERR_NOMEM;
	(*out)->folder = found;
	(*out)->home = mailbox->home;
	return ERR_OK;
}

enum err append_write(struct appending *appending, struct bytes message)
{
	buf_put_bytes(&appending->data, message);
	return appending->data.err;
}

enum err append_finish(struct appending *appending, uint8_t system, const struct bytes *keywords,
		       size_t keyword_count, uint64_t arrival_ms, int16_t zone_minutes,
		       uint32_t *uidvalidity, uint32_t *uid)
{
	struct fake_message *message;
	struct flags flags;

	if (fake_flags(appending->folder, system, keywords, keyword_count, &flags) != ERR_OK)
		return ERR_LIMIT;
	task_yield();
	message = fake_add(appending->home, appending->folder, bytes_of_buf(&appending->data),
			   system, arrival_ms != 0 ? arrival_ms : FAKE_ARRIVAL_MS, zone_minutes);
	message->flags = flags;
	*uidvalidity = appending->folder->uidvalidity;
	*uid = message->uid;
	return ERR_OK;
}

void append_end(struct appending **appending)
{
	if (*appending == NULL)
		return;
	buf_finish(&(*appending)->data);
	memory_free(*appending);
	*appending = NULL;
}
