/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/crash/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "tests/sim/allocate.h"
#include "tests/sim/workload/message.h"
#include "tests/sim/workload/uid_ledger.h"

#define MAIL_STREAM 804
#define ADDRESS "user@example.org"
#define PASSWORD "correct horse"
#define SHELF "Shelf"
#define COLUMN_SIZE (48u * 1024)
#define SEGMENT_SIZE (24u * 1024)
#define SNAPSHOT_ENTRIES 6u

void mail_init(struct mail *mail, uint64_t seed)
{
	*mail = (struct mail){.post = {.column_size = COLUMN_SIZE,
				       .segment_size = SEGMENT_SIZE,
				       .snapshot_entries = SNAPSHOT_ENTRIES,
				       .cache_ms = 60000}};
	sim_random_init(&mail->random, seed, MAIL_STREAM);
	assert_int_equal(key_library_init(), ERR_OK);
}

void mail_finish(struct mail *mail)
{
	for (size_t i = 0; i < MAIL_MESSAGES; i++)
		buf_finish(&mail->messages[i]);
	sim_free(mail->facts);
	key_release(&mail->post.admin);
	key_release(&mail->post.node);
	assert_int_equal(key_count(), 0);
}

/* ---- facts ---- */

static struct fact *tell(struct mail *mail, enum fact_kind kind, size_t message)
{
	struct fact *fact;

	mail->facts =
		sim_grow(mail->facts, mail->fact_count, &mail->fact_capacity, sizeof(*mail->facts));
	fact = &mail->facts[mail->fact_count++];
	*fact = (struct fact){.kind = kind, .message = message};
	fact->event = mail->recorder != NULL ? recorder_note(mail->recorder) : mail->cut;
	return fact;
}

uint64_t mail_formatted(const struct mail *mail)
{
	for (size_t i = 0; i < mail->fact_count; i++) {
		if (mail->facts[i].kind == FACT_FORMATTED)
			return mail->facts[i].event;
	}
	return RECORDER_NEVER;
}

unsigned mail_tolerated(const struct mail *mail, uint64_t cut)
{
	unsigned count = 0;

	for (size_t i = 0; i < mail->fact_count && mail->facts[i].event <= cut; i++) {
		if (mail->facts[i].kind == FACT_TOLERATED)
			count = mail->facts[i].count;
	}
	return count;
}

static bool knows(const struct mail *mail, enum fact_kind kind, size_t message)
{
	for (size_t i = 0; i < mail->fact_count; i++) {
		const struct fact *fact = &mail->facts[i];

		if (fact->event <= mail->cut && fact->kind == kind && fact->message == message)
			return true;
	}
	return false;
}

/* ---- messages ---- */

static size_t compose(struct mail *mail, size_t size_limit)
{
	size_t number = mail->message_count++;

	assert_true(number < MAIL_MESSAGES);
	buf_clear(&mail->messages[number]);
	message_make(&mail->messages[number], number, size_limit, &mail->random);
	tell(mail, FACT_SENT, number);
	return number;
}

static WAITS enum err deliver(struct mail *mail, size_t number)
{
	struct engine *engine = mail->post.engine;
	const struct account_record *account =
		accounts_find(engine_accounts(engine), bytes_string(ADDRESS));
	struct delivery *delivery = NULL;
	size_t index = 0;
	enum err err = account != NULL ? delivery_begin(engine_delivery_agent(engine),
							bytes_string("s@example.org"), &delivery)
				       : ERR_NOTFOUND;

	if (err != ERR_OK)
		return err;
	err = delivery_recipient(delivery, account, bytes_string(""), bytes_string(""), &index);
	if (err == ERR_OK)
		err = delivery_write(delivery, bytes_of_buf(&mail->messages[number]));
	if (err == ERR_OK) {
		delivery_finish(delivery);
		err = delivery_result(delivery, index);
	}
	delivery_end(&delivery);
	return err;
}

/* What the engine says may be lost. */
static void tell_tolerated(struct mail *mail)
{
	struct engine_status *status = sim_allocate(sizeof(*status));

	engine_get_status(mail->post.engine, status);
	tell(mail, FACT_TOLERATED, 0)->count = status->volumes_tolerated;
	sim_free(status);
}

static WAITS void receive(struct mail *mail, size_t size_limit)
{
	size_t number = compose(mail, size_limit);

	if (deliver(mail, number) == ERR_OK) {
		tell(mail, FACT_ACKNOWLEDGED, number);
		mail->did.acknowledged++;
	}
	tell_tolerated(mail);
}

struct courier {
	struct mail *mail;
	struct group *group;
};

static WAITS void carry(void *argument)
{
	const struct courier *courier = argument;

	receive(courier->mail, 12000);
	group_leave(courier->group);
}

static WAITS void receive_at_once(struct mail *mail, size_t count)
{
	struct group group = {0};
	struct courier courier = {mail, &group};

	for (size_t i = 0; i < count; i++) {
		group_enter(&group);
		assert_int_equal(task_spawn(task_sched(), "courier", carry, &courier, NULL),
				 ERR_OK);
	}
	group_wait(&group);
}

/* ---- a session ---- */

struct visit {
	struct mailbox *mailbox;
	struct view *view;
};

static WAITS enum err visit_folder(struct visit *visit, const char *name)
{
	struct folder_info info;
	struct folder_status status;
	enum err err;

	if (visit->view != NULL)
		view_close(&visit->view);
	err = mailbox_folder(visit->mailbox, bytes_string(name), &info);
	/* Drains all that was delivered. */
	if (err == ERR_OK)
		err = mailbox_status(visit->mailbox, info.id, &status);
	return err == ERR_OK ? view_open(visit->mailbox, info.id, false, &visit->view) : err;
}

static WAITS enum err visit_begin(struct mail *mail, struct visit *visit)
{
	enum err err = home_login(engine_home(mail->post.engine), bytes_string(ADDRESS),
				  bytes_string(PASSWORD), "198.51.100.1", &visit->mailbox);

	return err == ERR_OK ? visit_folder(visit, "INBOX") : err;
}

static void visit_end(struct visit *visit)
{
	if (visit->view != NULL)
		view_close(&visit->view);
	if (visit->mailbox != NULL)
		mailbox_release(&visit->mailbox);
}

/* Which message it is, by its bytes; MAIL_MESSAGES: none that was sent. */
static WAITS enum err identify(const struct mail *mail, struct view *view, uint32_t sequence,
			       size_t *number)
{
	struct buf text = {0};
	enum err err = view_read(view, sequence, 0, UINT32_MAX, &text);

	*number = MAIL_MESSAGES;
	if (err == ERR_OK && message_number(bytes_of_buf(&text), number) &&
	    (*number >= mail->message_count ||
	     !bytes_equal(bytes_of_buf(&text), bytes_of_buf(&mail->messages[*number]))))
		*number = MAIL_MESSAGES;
	buf_finish(&text);
	return err;
}

/* The client asks for all UIDs. */
static WAITS void list(struct mail *mail, struct visit *visit)
{
	for (uint32_t i = 1; i <= view_count(visit->view); i++) {
		struct message message;
		struct fact *fact;

		if (view_message(visit->view, i, &message) != ERR_OK)
			continue;
		fact = tell(mail, FACT_TOLD, 0);
		fact->folder = view_folder(visit->view);
		fact->uidvalidity = view_uidvalidity(visit->view);
		fact->uid = message.uid;
		fact->email = message.email_id;
	}
}

static WAITS void flag(struct mail *mail, struct visit *visit, uint32_t sequence)
{
	size_t number;

	if (identify(mail, visit->view, sequence, &number) == ERR_OK && number < MAIL_MESSAGES &&
	    view_store(visit->view, &sequence, 1, STORE_ADD, FLAG_SEEN, NULL, 0, true) == ERR_OK)
		tell(mail, FACT_SEEN, number);
}

static WAITS void expunge(struct mail *mail, struct visit *visit, uint32_t sequence)
{
	size_t number, count = 0;

	if (identify(mail, visit->view, sequence, &number) != ERR_OK || number >= MAIL_MESSAGES ||
	    view_store(visit->view, &sequence, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true) != ERR_OK)
		return;
	tell(mail, FACT_DELETING, number);
	if (view_expunge(visit->view, &sequence, 1, &count) == ERR_OK && count == 1)
		tell(mail, FACT_DELETED, number);
}

static WAITS void move(struct mail *mail, struct visit *visit, uint32_t sequence)
{
	struct copy_result result = {0};

	(void)mail;
	(void)!mailbox_create_folder(visit->mailbox, bytes_string(SHELF), SPECIAL_NONE);
	(void)!view_copy(visit->view, &sequence, 1, bytes_string(SHELF), true, &result);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
}

static WAITS void append(struct mail *mail, struct visit *visit)
{
	struct appending *appending = NULL;
	size_t number = compose(mail, 6000);
	uint32_t uidvalidity = 0, uid = 0;
	enum err err = append_begin(visit->mailbox, bytes_string("INBOX"), &appending);

	if (err == ERR_OK)
		err = append_write(appending, bytes_of_buf(&mail->messages[number]));
	if (err == ERR_OK)
		err = append_finish(appending, FLAG_SEEN, NULL, 0, 0, 0, &uidvalidity, &uid);
	if (appending != NULL)
		append_end(&appending);
	if (err == ERR_OK) {
		tell(mail, FACT_ACKNOWLEDGED, number);
		tell(mail, FACT_SEEN, number);
		mail->did.acknowledged++;
	}
}

/* ---- lives ---- */

static WAITS void count(struct mail *mail)
{
	struct engine_status *status = sim_allocate(sizeof(*status));

	engine_get_status(mail->post.engine, status);
	mail->did.seals += status->blobs.seals;
	mail->did.evacuations += status->blobs.evacuations;
	mail->did.truncated += status->journal.truncated;
	mail->did.manifests += home_counters(engine_home(mail->post.engine)).manifests;
	sim_free(status);
}

static WAITS void close_engine(struct mail *mail)
{
	count(mail);
	post_close(&mail->post);
}

static WAITS void first_life(void *argument)
{
	struct mail *mail = argument;
	struct env *env = sched_env(task_sched());
	struct visit visit = {NULL, NULL};

	assert_int_equal(key_random(env, &mail->post.admin), ERR_OK);
	assert_int_equal(key_random(env, &mail->post.node), ERR_OK);
	post_format(&mail->post);
	tell(mail, FACT_FORMATTED, 0);
	post_open(&mail->post);
	post_add_account(&mail->post, ADDRESS, PASSWORD, true, false);
	tell(mail, FACT_ACCOUNT, 0);
	receive(mail, 300);
	receive(mail, 9000);
	receive_at_once(mail, 2);
	if (visit_begin(mail, &visit) == ERR_OK) {
		list(mail, &visit);
		flag(mail, &visit, 1);
		expunge(mail, &visit, 2);
		append(mail, &visit);
		move(mail, &visit, 3);
	}
	visit_end(&visit);
	receive_at_once(mail, 2);
	close_engine(mail);
}

/* Fills sets until they are sealed; the process dies in the midst of deliveries. */
static WAITS void second_life(void *argument)
{
	struct mail *mail = argument;
	struct visit visit = {NULL, NULL};
	const char *why;

	if (post_try_open(&mail->post, &why) != ERR_OK)
		return;
	if (visit_begin(mail, &visit) == ERR_OK)
		list(mail, &visit);
	visit_end(&visit);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 1)
			mail->recorder->fail_commit_in = mail->fail_commit_in;
		receive(mail, 60000);
	}
	/* A set that has lost a member is evacuated in the background. */
	if (mail->fail_commit_in != 0)
		(void)!task_sleep(60000);
	mail->recorder->kill_after = 15;
	receive_at_once(mail, 3);
	close_engine(mail);
}

static WAITS void third_life(void *argument)
{
	struct mail *mail = argument;
	struct visit visit = {NULL, NULL};
	const char *why;

	if (post_try_open(&mail->post, &why) != ERR_OK)
		return;
	receive(mail, 3000);
	if (visit_begin(mail, &visit) == ERR_OK) {
		list(mail, &visit);
		expunge(mail, &visit, 1);
		flag(mail, &visit, 2);
	}
	visit_end(&visit);
	home_flush_cache(engine_home(mail->post.engine));
	/* What the start left to the background. */
	(void)!task_sleep(60000);
	close_engine(mail);
}

void mail_live(struct mail *mail, struct recorder *recorder)
{
	mail->recorder = recorder;
	recorder_run(recorder, first_life, mail);
	recorder_run(recorder, second_life, mail);
	recorder_run(recorder, third_life, mail);
	mail->recorder = NULL;
}

/* ---- the oracle ---- */

struct reading {
	struct mail *mail;
	unsigned found[MAIL_MESSAGES];
	bool seen[MAIL_MESSAGES];
	struct uid_ledger uids;
};

static void wrong(struct mail *mail, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void wrong(struct mail *mail, const char *format, ...)
{
	va_list arguments;

	if (mail->wrong[0] != '\0')
		return;
	va_start(arguments, format);
	(void)vsnprintf(mail->wrong, sizeof(mail->wrong), format, arguments);
	va_end(arguments);
}

static void check_uid(struct reading *reading, struct view *view, const struct message *message)
{
	const struct uid_name name = {view_folder(view), view_uidvalidity(view), message->uid,
				      message->email_id};

	if (uid_ledger_tell(&reading->uids, &name, NULL) != VERDICT_FINE)
		wrong(reading->mail, "UID %u names another message", message->uid);
}

static WAITS void read_folder(struct reading *reading, struct visit *visit, const char *name)
{
	struct mail *mail = reading->mail;
	enum err err = visit_folder(visit, name);

	if (err != ERR_OK)
		wrong(mail, "folder %s: %s", name, err_name(err));
	for (uint32_t i = 1; err == ERR_OK && i <= view_count(visit->view); i++) {
		struct message message;
		size_t number;

		err = view_message(visit->view, i, &message);
		if (err == ERR_OK)
			err = identify(mail, visit->view, i, &number);
		if (err != ERR_OK) {
			wrong(mail, "message %u of %s is not readable: %s", i, name, err_name(err));
			return;
		}
		if (number == MAIL_MESSAGES) {
			wrong(mail, "message %u of %s has other bytes than were sent", i, name);
			return;
		}
		reading->found[number]++;
		reading->seen[number] |= message.flags.system & FLAG_SEEN;
		check_uid(reading, visit->view, &message);
	}
}

static void judge(const struct reading *reading, size_t number)
{
	struct mail *mail = reading->mail;
	unsigned found = reading->found[number];

	if (found > 1)
		wrong(mail, "message %zu is there %u times", number, found);
	if (found != 0 && !knows(mail, FACT_SENT, number))
		wrong(mail, "message %zu is there before it was sent", number);
	if (found != 0 && knows(mail, FACT_DELETED, number))
		wrong(mail, "message %zu was deleted and is back", number);
	if (found == 0 && knows(mail, FACT_ACKNOWLEDGED, number) &&
	    !knows(mail, FACT_DELETING, number))
		wrong(mail, "message %zu was acknowledged and is gone", number);
	if (found != 0 && knows(mail, FACT_SEEN, number) && !reading->seen[number])
		wrong(mail, "message %zu has lost its flag", number);
}

static WAITS void read_all(struct reading *reading, struct visit *visit)
{
	struct mail *mail = reading->mail;
	struct folder_info shelf;

	memset(reading->found, 0, sizeof(reading->found));
	memset(reading->seen, 0, sizeof(reading->seen));
	read_folder(reading, visit, "INBOX");
	if (mailbox_folder(visit->mailbox, bytes_string(SHELF), &shelf) == ERR_OK)
		read_folder(reading, visit, SHELF);
	for (size_t i = 0; i < mail->message_count; i++)
		judge(reading, i);
}

static void remember_uids(struct reading *reading)
{
	const struct mail *mail = reading->mail;

	for (size_t i = 0; i < mail->fact_count; i++) {
		const struct fact *fact = &mail->facts[i];
		const struct uid_name name = {fact->folder, fact->uidvalidity, fact->uid,
					      fact->email};

		if (fact->kind == FACT_TOLD && fact->event <= mail->cut)
			(void)uid_ledger_tell(&reading->uids, &name, NULL);
	}
}

static WAITS void check_counters(struct mail *mail)
{
	struct engine_status *status = sim_allocate(sizeof(*status));
	struct mailbox_counters counters = home_counters(engine_home(mail->post.engine));

	engine_get_status(mail->post.engine, status);
	if (status->blobs.records_lost != 0)
		wrong(mail, "%llu records were given up",
		      (unsigned long long)status->blobs.records_lost);
	if (counters.broken_entries != 0)
		wrong(mail, "%llu entries are broken", (unsigned long long)counters.broken_entries);
	if (counters.uidvalidity_bumps != 0)
		wrong(mail, "UIDVALIDITY was moved");
	sim_free(status);
}

/* Reads, takes a message more, and reads again; forgets that message afterwards. */
static WAITS void use(struct mail *mail, struct reading *reading)
{
	struct visit visit = {NULL, NULL};
	enum err err = visit_begin(mail, &visit);

	if (err != ERR_OK) {
		wrong(mail, "login: %s", err_name(err));
	} else {
		read_all(reading, &visit);
		receive(mail, 2000);
		if (!knows(mail, FACT_ACKNOWLEDGED, mail->message_count - 1))
			wrong(mail, "a new message is refused");
		read_all(reading, &visit);
	}
	visit_end(&visit);
	check_counters(mail);
}

static WAITS void open_and_use(struct mail *mail, struct reading *reading)
{
	const char *why = "";

	if (post_try_open(&mail->post, &why) != ERR_OK) {
		wrong(mail, "does not open: %s", why);
		return;
	}
	if (knows(mail, FACT_ACCOUNT, 0))
		use(mail, reading);
	post_close(&mail->post);
}

void mail_check(void *argument)
{
	struct mail *mail = argument;
	struct reading *reading = sim_allocate(sizeof(*reading));
	size_t message_count = mail->message_count, fact_count = mail->fact_count;
	uint64_t acknowledged = mail->did.acknowledged;

	mail->wrong[0] = '\0';
	*reading = (struct reading){.mail = mail};
	remember_uids(reading);
	open_and_use(mail, reading);
	if (mail->again)
		open_and_use(mail, reading);
	uid_ledger_finish(&reading->uids);
	sim_free(reading);
	mail->message_count = message_count;
	mail->fact_count = fact_count;
	mail->did.acknowledged = acknowledged;
}
