/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/mailbox_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/volume/volume.h"

#define CLUSTER POST_CLUSTER
#define NODE ((struct id128){{4, 5, 6}})
#define COLUMN_SIZE (4u << 20)
#define SEGMENT_SIZE (4u << 20)
#define PATH_SIZE 128u

static const struct slot_parameters cheap = {1, 8};

/* ---- a summary that says how long the message is, and how it starts ---- */

struct parser {
	uint64_t size;
	struct buf start;
};

static enum err parser_create(void **out)
{
	*out = memory_allocate(sizeof(struct parser));
	return *out ? ERR_OK : ERR_NOMEM;
}

static enum err parser_feed(void *context, struct bytes message)
{
	struct parser *parser = context;

	parser->size += message.size;
	if (parser->start.size < 64)
		buf_put_bytes(&parser->start, bytes_slice(message, 0, 64 - parser->start.size));
	return parser->start.err;
}

static enum err parser_finish(void *context, struct bytes prefix, struct buf *out)
{
	struct parser *parser = context;

	buf_printf(out, "size=%llu ", (unsigned long long)(parser->size + prefix.size));
	buf_put_bytes(out, prefix);
	buf_put_bytes(out, bytes_of_buf(&parser->start));
	return out->err;
}

static void parser_destroy(void *context)
{
	struct parser *parser = context;

	buf_finish(&parser->start);
	memory_free(parser);
}

const struct summary_hook post_summary = {parser_create, parser_feed, parser_finish,
					  parser_destroy};

/* ---- the world ---- */

void post_init(struct post *post)
{
	*post = (struct post){.sim = sim_simple(), .cache_ms = 60000};
	assert_int_equal(key_library_init(), ERR_OK);
	sim_add_disk(post->sim->nodes[0], "/index", NULL);
	post->disks[0] = sim_add_disk(post->sim->nodes[0], "/d0", NULL);
	post->disks[1] = sim_add_disk(post->sim->nodes[0], "/d1", NULL);
	post->disks[2] = sim_add_disk(post->sim->nodes[0], "/d2", NULL);
	assert_int_equal(key_random(sim_simple_env(post->sim), &post->admin), ERR_OK);
	assert_int_equal(key_random(sim_simple_env(post->sim), &post->node), ERR_OK);
}

void post_finish(struct post *post)
{
	key_release(&post->admin);
	key_release(&post->node);
	assert_int_equal(key_count(), 0);
	sim_finish(&post->sim);
}

void post_run(struct post *post, void (*run)(void *post))
{
	assert_int_equal(sim_run_task(post->sim, run, post), ERR_OK);
}

/* The paths of the volumes, and last that of the index. */
struct paths {
	char text[POST_VOLUMES + 1][PATH_SIZE];
	const char *volumes[POST_VOLUMES];
};

static void make_paths(const struct post *post, struct paths *out)
{
	const char *root = post->root != NULL ? post->root : "";

	for (size_t i = 0; i < POST_VOLUMES; i++) {
		(void)snprintf(out->text[i], PATH_SIZE, "%s/d%zu/v", root, i);
		out->volumes[i] = out->text[i];
	}
	(void)snprintf(out->text[POST_VOLUMES], PATH_SIZE, "%s/index", root);
}

void post_format(struct post *post)
{
	struct paths paths;

	make_paths(post, &paths);
	for (size_t i = 0; i < POST_VOLUMES; i++) {
		const struct volume_identity identity = {
			.cluster = CLUSTER, .node = NODE, .volume = {{7, (uint8_t)(i + 1)}}};

		assert_int_equal(volume_format(paths.volumes[i], &identity), ERR_OK);
	}
}

enum err post_try_open(struct post *post, const char **why)
{
	struct engine_options options = {
		.sched = task_sched(),
		.cluster = CLUSTER,
		.node = NODE,
		.node_signing = post->node,
		.fake_salt = bytes_string("0123456789abcdef"),
		.volume_count = POST_VOLUMES,
		.summary = post->summary != NULL ? *post->summary : post_summary,
		.column_size = post->column_size != 0 ? post->column_size : COLUMN_SIZE,
		.segment_size = post->segment_size != 0 ? post->segment_size : SEGMENT_SIZE,
		.snapshot_entries = post->snapshot_entries,
		.table_snapshot_after = post->table_snapshot_after,
		.quarantine_ms = post->quarantine_ms,
		.unknown_user = cheap,
		.unlocked_cache_ms = post->cache_ms,
	};
	struct paths paths;

	make_paths(post, &paths);
	options.volumes = paths.volumes;
	options.index_directory = paths.text[POST_VOLUMES];
	sign_public(post->admin, options.admin_public);
	return engine_open(&options, &post->engine, why);
}

void post_open(struct post *post)
{
	const char *why;
	enum err err = post_try_open(post, &why);

	if (err)
		print_error("engine_open: %s\n", why);
	assert_int_equal(err, ERR_OK);
}

void post_close(struct post *post)
{
	engine_close(&post->engine);
}

/* ---- accounts ---- */

static const struct account_record *find(struct post *post, const char *address)
{
	return accounts_find(engine_accounts(post->engine), bytes_string(address));
}

void post_add_account(struct post *post, const char *address, const char *password, bool enrolled,
		      bool invitation)
{
	struct env *env = sched_env(task_sched());
	struct slot_info info = {
		.kind = enrolled ? SLOT_PASSWORD : SLOT_ENROLMENT,
		.slot_id = 1,
		.parameters = cheap,
		.created_ms = 1,
		.is_invitation = invitation,
	};
	struct accounts *accounts = engine_accounts(post->engine);
	struct account_keys keys;
	struct key *master;
	struct buf record = {0}, slot = {0};
	struct bytes slots[1];
	struct id128 id;

	assert_int_equal(key_random(env, &master), ERR_OK);
	assert_int_equal(account_keys_derive(master, &keys), ERR_OK);
	assert_int_equal(account_make_birth(env, post->admin, CLUSTER, bytes_string(address), &keys,
					    &id, &record),
			 ERR_OK);
	assert_int_equal(accounts_publish(accounts, bytes_of_buf(&record)), ERR_OK);
	assert_int_equal(
		slot_create(env, &info, CLUSTER, id, bytes_string(password), master, &slot),
		ERR_OK);
	slots[0] = bytes_of_buf(&slot);
	buf_clear(&record);
	assert_int_equal(account_make_slots(keys.identity, CLUSTER, id,
					    find(post, address)->counter + 1, enrolled, slots, 1,
					    &record),
			 ERR_OK);
	assert_int_equal(accounts_publish(accounts, bytes_of_buf(&record)), ERR_OK);
	buf_finish(&record);
	buf_finish(&slot);
	account_keys_release(&keys);
	key_release(&master);
}

/* ---- mail ---- */

enum err post_deliver_to(struct post *post, const char *address, const char *folder,
			 const char *message)
{
	struct delivery *delivery;
	size_t index;
	enum err err;

	assert_int_equal(delivery_begin(engine_delivery_agent(post->engine),
					bytes_string("sender@example.org"), &delivery),
			 ERR_OK);
	assert_int_equal(delivery_recipient(delivery, find(post, address), bytes_string("P: p\r\n"),
					    bytes_string(folder), &index),
			 ERR_OK);
	err = delivery_write(delivery, bytes_string(message));
	delivery_finish(delivery);
	err = err ? err : delivery_result(delivery, index);
	delivery_end(&delivery);
	return err;
}

void post_deliver(struct post *post, const char *address, const char *message)
{
	assert_int_equal(post_deliver_to(post, address, "", message), ERR_OK);
}

struct mailbox *post_login(struct post *post, const char *address, const char *password)
{
	struct mailbox *mailbox = NULL;

	assert_int_equal(home_login(engine_home(post->engine), bytes_string(address),
				    bytes_string(password), "198.51.100.1", &mailbox),
			 ERR_OK);
	return mailbox;
}

struct view *post_view(struct mailbox *mailbox, const char *folder)
{
	struct folder_info info;
	struct view *view = NULL;

	assert_int_equal(mailbox_folder(mailbox, bytes_string(folder), &info), ERR_OK);
	assert_int_equal(view_open(mailbox, info.id, false, &view), ERR_OK);
	return view;
}

void post_assert_message(struct view *view, uint32_t sequence, const char *text)
{
	struct buf message = {0};

	assert_int_equal(view_read(view, sequence, 0, UINT32_MAX, &message), ERR_OK);
	if (!bytes_equal(bytes_of_buf(&message), bytes_string(text)))
		print_error("message is: %.*s\n", (int)message.size, (const char *)message.data);
	assert_true(bytes_equal(bytes_of_buf(&message), bytes_string(text)));
	buf_finish(&message);
}

uint32_t post_append(struct mailbox *mailbox, const char *folder, const char *message,
		     uint8_t system)
{
	struct appending *appending;
	uint32_t uidvalidity = 0, uid = 0;

	assert_int_equal(append_begin(mailbox, bytes_string(folder), &appending), ERR_OK);
	assert_int_equal(append_write(appending, bytes_string(message)), ERR_OK);
	assert_int_equal(append_finish(appending, system, NULL, 0, 0, 0, &uidvalidity, &uid),
			 ERR_OK);
	append_end(&appending);
	assert_true(uidvalidity && uid);
	return uid;
}

/* ---- events ---- */

static void on_expunged(void *context, uint32_t sequence, uint32_t uid)
{
	(void)uid;
	buf_printf(context, "-%u ", sequence);
}

static void on_exists(void *context, uint32_t count, uint32_t recent)
{
	buf_printf(context, "*%u/%u ", count, recent);
}

static void on_flags(void *context, uint32_t sequence, uint32_t uid, uint64_t modseq)
{
	(void)uid;
	(void)modseq;
	buf_printf(context, "!%u ", sequence);
}

void post_sync(struct view *view, bool expunges, struct buf *out)
{
	struct view_events events = {on_expunged, on_exists, on_flags, out};

	view_sync(view, expunges, &events);
}

void post_assert_sync(struct view *view, bool expunges, const char *expected)
{
	struct buf text = {0};

	post_sync(view, expunges, &text);
	buf_put_u8(&text, 0);
	assert_string_equal((const char *)text.data, expected);
	buf_finish(&text);
}
