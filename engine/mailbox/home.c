/* SPDX-License-Identifier: MPL-2.0 */
/* Logging in, and the cache of unlocked accounts. */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

/* How long a disabled account's sessions may go on. */
#define CACHE_CHECK_MS 5000u
#define KNOWN_PEERS_MAX 65536u
#define LABEL_SECRET_HASH "aerostore home secret hash 1"
#define LABEL_PEER_HASH "aerostore home peer hash 1"

static void check_cache(struct env_timer *timer);

enum err home_create(const struct home_options *options, struct home **out)
{
	struct home *home = memory_allocate(sizeof(*home));
	enum err err;

	if (!home)
		return ERR_NOMEM;
	home->options = *options;
	home->env = sched_env(options->sched);
	home->argon = (struct argon_gate){.parallel = options->argon2_parallel,
					  .queue = options->argon2_queue};
	home->enrol_gate.limit = 1;
	map_init(&home->known_peers, 32);
	sign_public(options->node_signing, home->node_public);
	err = key_random(home->env, &home->secret_hash);
	if (!err)
		err = journal_writer_create(options->journal, options->node_signing, options->node,
					    &home->writer);
	if (err) {
		key_release(&home->secret_hash);
		memory_free(home);
		return err;
	}
	home->cache_timer = (struct env_timer){.fire = check_cache, .context = home};
	env_timer_start(home->env, &home->cache_timer, CACHE_CHECK_MS);
	*out = home;
	return ERR_OK;
}

enum err home_renew_writer(struct home *home, const struct journal_writer *fenced)
{
	struct journal_writer *writer;
	enum err err;

	if (home->writer != fenced)
		return ERR_OK;
	err = ARRAY_GROW(home->fenced, home->fenced_capacity, home->fenced_count);
	if (!err)
		err = journal_writer_create(home->options.journal, home->options.node_signing,
					    home->options.node, &writer);
	if (err)
		return err;
	home->fenced[home->fenced_count++] = home->writer;
	home->writer = writer;
	return ERR_OK;
}

/* ---- a mailbox's life ---- */

static void free_folder_homes(struct mailbox *mailbox)
{
	struct folder_home *folder;
	size_t position = 0;

	while ((folder = map_next(&mailbox->folder_homes, &position, NULL))) {
		key_release(&folder->key);
		uid_stock_finish(&folder->own);
		memory_free(folder);
	}
	map_finish(&mailbox->folder_homes);
}

static void finish_state(struct mailbox *mailbox)
{
	account_state_finish(&mailbox->state);
	summaries_destroy(&mailbox->summaries);
	free_folder_homes(mailbox);
	vector_finish(&mailbox->skip);
	vector_finish(&mailbox->unvouched);
	mailbox_forget_list(mailbox);
}

static void release_keys(struct mailbox *mailbox)
{
	for (size_t i = 0; i < mailbox->old_count; i++) {
		envelope_opener_destroy(&mailbox->old[i].opener);
		key_release(&mailbox->old[i].directory);
		key_release(&mailbox->old[i].delivery);
	}
	memory_free(mailbox->old);
	if (mailbox->opener)
		envelope_opener_destroy(&mailbox->opener);
	account_keys_release(&mailbox->keys);
}

static void mailbox_destroy(struct mailbox *mailbox)
{
	struct mailbox **link = &mailbox->home->mailboxes;

	ASSERT(!mailbox->users && !mailbox->views && !mailbox->queue);
	while (*link != mailbox)
		link = &(*link)->next;
	*link = mailbox->next;
	if (mailbox->ready)
		journal_watch_stop(mailbox->home->options.journal, &mailbox->watch);
	finish_state(mailbox);
	release_keys(mailbox);
	memory_free(mailbox);
}

void mailbox_leave(struct mailbox *mailbox)
{
	struct home *home = mailbox->home;

	ASSERT(mailbox->users);
	if (--mailbox->users)
		return;
	mailbox->idle_since_ms = env_now_ms(home->env);
	if (!mailbox->ready || mailbox->broken || mailbox->retired || !home->options.cache_ms)
		mailbox_destroy(mailbox);
}

void mailbox_release(struct mailbox **mailbox)
{
	struct mailbox *released = *mailbox;

	*mailbox = NULL;
	if (!released)
		return;
	released->sessions--;
	mailbox_consider_snapshot(released);
	mailbox_leave(released);
}

struct spawned {
	struct mailbox *mailbox;
	void (*run)(void *mailbox);
};

static void run_spawned(void *argument)
{
	struct spawned *spawned = argument;
	struct home *home = spawned->mailbox->home;

	spawned->run(spawned->mailbox);
	mailbox_leave(spawned->mailbox);
	memory_free(spawned);
	group_leave(&home->tasks);
}

enum err mailbox_spawn(struct mailbox *mailbox, const char *name, void (*run)(void *mailbox))
{
	struct home *home = mailbox->home;
	struct spawned *spawned = memory_allocate(sizeof(*spawned));
	enum err err;

	if (!spawned)
		return ERR_NOMEM;
	*spawned = (struct spawned){mailbox, run};
	mailbox->users++;
	group_enter(&home->tasks);
	err = task_spawn(home->options.sched, name, run_spawned, spawned, NULL);
	if (err) {
		mailbox->users--;
		group_leave(&home->tasks);
		memory_free(spawned);
	}
	return err;
}

static void drop_idle(struct home *home, uint64_t older_than_ms)
{
	uint64_t now = env_now_ms(home->env);
	struct mailbox *next;

	for (struct mailbox *mailbox = home->mailboxes; mailbox; mailbox = next) {
		next = mailbox->next;
		if (!mailbox->users && now - mailbox->idle_since_ms >= older_than_ms)
			mailbox_destroy(mailbox);
	}
}

void mailbox_watch_start(struct mailbox *mailbox, struct mailbox_watch *watch)
{
	watch->next = mailbox->session_watches;
	mailbox->session_watches = watch;
}

void mailbox_watch_stop(struct mailbox *mailbox, struct mailbox_watch *watch)
{
	struct mailbox_watch **link = &mailbox->session_watches;

	while (*link && *link != watch)
		link = &(*link)->next;
	if (*link)
		*link = watch->next;
}

static void dismiss_sessions(struct mailbox *mailbox, enum err why)
{
	while (mailbox->session_watches) {
		struct mailbox_watch *watch = mailbox->session_watches;

		mailbox->session_watches = watch->next;
		watch->dismissed(watch->context, why);
	}
}

void mailbox_break(struct mailbox *mailbox)
{
	mailbox->broken = true;
	dismiss_sessions(mailbox, ERR_UNAVAILABLE);
}

static bool is_active(const struct mailbox *mailbox)
{
	const struct account_source *accounts = &mailbox->home->options.accounts;
	const struct account_record *record =
		accounts->find(accounts->context, bytes_string(mailbox->address));

	return record && id128_equal(record->id, mailbox->account) &&
	       record->status == ACCOUNT_ACTIVE;
}

/* No new session gets it, those that use it are told, and its keys go with the last of them. */
static void revoke_inactive(struct home *home)
{
	struct mailbox *next;

	for (struct mailbox *mailbox = home->mailboxes; mailbox; mailbox = next) {
		next = mailbox->next;
		if (mailbox->retired || !mailbox->ready || is_active(mailbox))
			continue;
		mailbox->retired = true;
		dismiss_sessions(mailbox, ERR_DENIED);
		if (!mailbox->users)
			mailbox_destroy(mailbox);
	}
}

static void check_cache(struct env_timer *timer)
{
	struct home *home = timer->context;

	/* In a stopped env timers fire at once. */
	if (home->env->stopped)
		return;
	revoke_inactive(home);
	drop_idle(home, home->options.cache_ms);
	env_timer_start(home->env, &home->cache_timer, CACHE_CHECK_MS);
}

void home_flush_cache(struct home *home)
{
	drop_idle(home, 0);
}

void home_destroy(struct home **home)
{
	struct home *destroyed = *home;

	if (!destroyed)
		return;
	destroyed->closing = true;
	env_timer_stop(destroyed->env, &destroyed->cache_timer);
	group_wait(&destroyed->tasks);
	drop_idle(destroyed, 0);
	ASSERT(!destroyed->mailboxes);
	for (size_t i = 0; i < destroyed->fenced_count; i++)
		journal_writer_destroy(&destroyed->fenced[i]);
	memory_free(destroyed->fenced);
	journal_writer_destroy(&destroyed->writer);
	key_release(&destroyed->secret_hash);
	map_finish(&destroyed->known_peers);
	memory_free(destroyed);
	*home = NULL;
}

size_t home_unlocked_count(const struct home *home)
{
	size_t count = 0;

	for (const struct mailbox *mailbox = home->mailboxes; mailbox; mailbox = mailbox->next)
		count++;
	return count;
}

struct mailbox_counters home_counters(const struct home *home)
{
	return home->counters;
}

const char *mailbox_address(const struct mailbox *mailbox)
{
	return mailbox->address;
}

struct id128 mailbox_account_id(const struct mailbox *mailbox)
{
	return mailbox->account;
}

/* ---- loading ---- */

static void on_watch(struct journal_watch *watch)
{
	mailbox_pull(watch->context);
}

static enum err make_mailbox(struct home *home, const struct account_record *record,
			     struct key **master, struct mailbox **out)
{
	struct mailbox *mailbox = memory_allocate(sizeof(*mailbox));
	enum err err;

	if (!mailbox)
		return ERR_NOMEM;
	mailbox->home = home;
	mailbox->id = env_random_id(home->env);
	mailbox->account = record->id;
	mailbox->tag = record->tag;
	mailbox->stream = record->stream;
	mailbox->created_ms = record->created_ms;
	memcpy(mailbox->address, record->address, sizeof(mailbox->address));
	mailbox->term_gate.limit = mailbox->uid_gate.limit = mailbox->drain_gate.limit = 1;
	mailbox->queue_end = &mailbox->queue;
	map_init(&mailbox->folder_homes, sizeof(struct id128));
	err = summaries_create(home->env, home->options.blobs, record->tag, &mailbox->summaries);
	account_state_init(&mailbox->state,
			   &(struct account_listener){summaries_added, summaries_removed,
						      summaries_block, mailbox->summaries});
	if (!err)
		err = account_keys_derive(*master, &mailbox->keys);
	if (!err)
		err = envelope_opener_create(mailbox->keys.delivery, &mailbox->opener);
	if (err) {
		finish_state(mailbox);
		release_keys(mailbox);
		memory_free(mailbox);
		return err;
	}
	mailbox->next = home->mailboxes;
	home->mailboxes = mailbox;
	*out = mailbox;
	return ERR_OK;
}

static WAITS enum err load_mailbox(struct mailbox *mailbox)
{
	enum err err;

	mailbox->loading = true;
	mailbox->users++;
	err = mailbox_load(mailbox);
	if (!err)
		err = mailbox_mend(mailbox);
	if (!err)
		err = mailbox_make_first_folders(mailbox);
	mailbox->loading = false;
	if (!err) {
		mailbox->watch = (struct journal_watch){
			.stream = mailbox->stream, .notify = on_watch, .context = mailbox};
		journal_watch_start(mailbox->home->options.journal, &mailbox->watch);
		mailbox->ready = true;
	}
	cond_broadcast(&mailbox->home->loaded);
	if (err)
		mailbox_leave(mailbox);
	return err;
}

static struct mailbox *find_mailbox(struct home *home, struct id128 account)
{
	for (struct mailbox *mailbox = home->mailboxes; mailbox; mailbox = mailbox->next) {
		if (id128_equal(mailbox->account, account) && !mailbox->retired && !mailbox->broken)
			return mailbox;
	}
	return NULL;
}

/* The keys of the master key just opened, when the mailbox in the cache has others. */
static bool same_keys(struct mailbox *mailbox, const struct key *master)
{
	return key_equal(mailbox->keys.master, master);
}

enum err home_attach(struct home *home, struct bytes address, struct key **master,
		     struct mailbox **out)
{
	const struct account_record *record;
	struct mailbox *mailbox;
	enum err err = ERR_OK;

	for (;;) {
		record = home->options.accounts.find(home->options.accounts.context, address);
		mailbox = record ? find_mailbox(home, record->id) : NULL;
		if (!mailbox || !mailbox->loading)
			break;
		err = cond_wait(&home->loaded, TASK_FOREVER);
		if (err)
			goto out;
	}
	if (mailbox && !same_keys(mailbox, *master)) {
		mailbox->retired = true;
		if (!mailbox->users)
			mailbox_destroy(mailbox);
		mailbox = NULL;
	}
	if (mailbox) {
		mailbox->users++;
	} else {
		err = record ? make_mailbox(home, record, master, &mailbox) : ERR_AUTH;
		if (!err)
			err = load_mailbox(mailbox);
	}
	if (!err) {
		mailbox->sessions++;
		*out = mailbox;
	}
out:
	key_release(master);
	return err;
}

/* ---- checking secrets ---- */

static void hash_secret(struct home *home, struct id128 account, struct bytes secret,
			uint8_t out[32])
{
	struct buf input = {0};

	buf_put_id(&input, account);
	buf_put_bytes(&input, secret);
	if (input.err)
		env_random(home->env, out, 32);
	else
		key_derive_octets(home->secret_hash, LABEL_SECRET_HASH, bytes_of_buf(&input), out);
	buf_finish(&input);
}

static void hash_peer(struct home *home, struct bytes address, const char *peer, uint8_t out[32])
{
	struct buf input = {0};

	buf_put_block(&input, address);
	buf_put_string(&input, peer ? peer : "");
	key_derive_octets(home->secret_hash, LABEL_PEER_HASH, bytes_of_buf(&input), out);
	buf_finish(&input);
}

static void remember_peer(struct home *home, struct bytes address, const char *peer)
{
	uint8_t hash[32];

	hash_peer(home, address, peer, hash);
	if (home->known_peers.count >= KNOWN_PEERS_MAX) {
		map_finish(&home->known_peers);
		map_init(&home->known_peers, sizeof(hash));
	}
	/* Out of memory: it only waits in the other queue next time. */
	if (map_put(&home->known_peers, hash, home))
		return;
}

static void find_slot(const struct account_record *record, uint32_t slot_id, struct slot_info *out)
{
	*out = (struct slot_info){0};
	for (size_t i = 0; record && i < record->slot_count; i++) {
		if (record->slots[i].info.slot_id == slot_id)
			*out = record->slots[i].info;
	}
}

static const struct account_record *find_active(const struct home *home, struct bytes address)
{
	const struct account_source *accounts = &home->options.accounts;
	const struct account_record *record = accounts->find(accounts->context, address);

	return record && record->status == ACCOUNT_ACTIVE ? record : NULL;
}

/*
 * In the gate, whether there is such an account or not, and whatever the secret looks like:
 * otherwise anybody could have passwords stretched without limit, or see who waits and who does not.
 */
static WAITS enum err unlock_in_gate(struct home *home, struct bytes address, struct bytes secret,
				     bool known, struct key **master, uint32_t *slot_id)
{
	const struct account_record *record;
	enum err err = argon_enter(&home->argon, known);

	if (err)
		return err;
	record = find_active(home, address);
	err = record ? account_unlock_password(home->options.cluster, record, secret, true, master,
					       slot_id)
		     : slot_open_nothing(&home->options.unknown_user, secret,
					 home->options.fake_salt);
	argon_leave(&home->argon);
	return err;
}

enum err home_unlock(struct home *home, struct bytes address, struct bytes secret, const char *peer,
		     struct key **master, struct slot_info *info)
{
	const struct account_source *accounts = &home->options.accounts;
	const struct account_record *record = find_active(home, address);
	uint8_t hash[32];
	uint32_t slot_id;
	bool known;
	enum err err = ERR_AUTH;

	hash_peer(home, address, peer, hash);
	known = map_get(&home->known_peers, hash) != NULL;
	if (record)
		err = account_unlock_code(home->options.cluster, record, secret, master, &slot_id);
	if (err == ERR_AUTH)
		err = unlock_in_gate(home, address, secret, known, master, &slot_id);
	if (err)
		return err;
	find_slot(accounts->find(accounts->context, address), slot_id, info);
	remember_peer(home, address, peer);
	return ERR_OK;
}

void home_forget_secret(struct home *home, struct id128 account)
{
	struct mailbox *mailbox = find_mailbox(home, account);

	if (mailbox)
		mailbox->knows_secret = false;
}

/* An account in the cache, and the secret that opened it: no Argon2. */
static struct mailbox *login_from_cache(struct home *home, struct bytes address,
					struct bytes secret)
{
	const struct account_source *accounts = &home->options.accounts;
	const struct account_record *record = accounts->find(accounts->context, address);
	struct mailbox *mailbox = record ? find_mailbox(home, record->id) : NULL;
	struct key *given = NULL, *known = NULL;
	uint8_t hash[32];
	bool same = false;

	if (!mailbox || !mailbox->ready || !mailbox->knows_secret ||
	    mailbox->secret_counter != record->counter || record->status != ACCOUNT_ACTIVE)
		return NULL;
	hash_secret(home, record->id, secret, hash);
	if (!key_import(hash, &given) && !key_import(mailbox->known_secret, &known))
		same = key_equal(given, known);
	memory_wipe(hash, sizeof(hash));
	key_release(&given);
	key_release(&known);
	if (!same)
		return NULL;
	mailbox->users++;
	mailbox->sessions++;
	return mailbox;
}

static void remember_secret(struct mailbox *mailbox, struct bytes secret)
{
	const struct account_source *accounts = &mailbox->home->options.accounts;
	const struct account_record *record =
		accounts->find(accounts->context, bytes_string(mailbox->address));

	if (!record)
		return;
	hash_secret(mailbox->home, mailbox->account, secret, mailbox->known_secret);
	mailbox->secret_counter = record->counter;
	mailbox->knows_secret = true;
}

enum err home_enrol(struct home *home, struct bytes address, struct bytes secret,
		    struct key **master, struct mailbox **out)
{
	const struct account_source *accounts = &home->options.accounts;
	const struct account_record *record;
	struct mailbox *mailbox = NULL;
	enum err err = gate_enter(&home->enrol_gate, TASK_FOREVER);

	if (err) {
		key_release(master);
		return err;
	}
	record = accounts->find(accounts->context, address);
	if (!record || record->enrolled) {
		key_release(master);
		err = ERR_STALE;
	} else {
		err = home_attach(home, address, master, &mailbox);
	}
	if (!err)
		err = mailbox_rotate(mailbox, secret);
	gate_leave(&home->enrol_gate);
	if (err)
		mailbox_release(&mailbox);
	else
		*out = mailbox;
	return err;
}

/* A first login publishes its new slot before its mailbox has the new keys: who used that slot waits. */
static WAITS enum err attach_enrolled(struct home *home, struct bytes address, struct key **master,
				      struct mailbox **out)
{
	if (home->enrol_gate.held) {
		enum err err = gate_enter(&home->enrol_gate, TASK_FOREVER);

		if (err) {
			key_release(master);
			return err;
		}
		gate_leave(&home->enrol_gate);
	}
	return home_attach(home, address, master, out);
}

static WAITS enum err login(struct home *home, struct bytes address, struct bytes secret,
			    const char *peer, struct mailbox **out)
{
	struct key *master = NULL;
	struct slot_info slot;
	struct mailbox *mailbox = login_from_cache(home, address, secret);
	enum err err;

	if (mailbox) {
		*out = mailbox;
		return ERR_OK;
	}
	err = home_unlock(home, address, secret, peer, &master, &slot);
	if (err)
		return err;
	if (slot.kind == SLOT_ENROLMENT && slot.is_invitation) {
		key_release(&master);
		return ERR_DENIED;
	}
	if (slot.kind == SLOT_ENROLMENT)
		err = home_enrol(home, address, secret, &master, &mailbox);
	else
		err = attach_enrolled(home, address, &master, &mailbox);
	/* Another session was the first: the secret opens a slot of the user's own by now, or none. */
	if (err == ERR_STALE && slot.kind == SLOT_ENROLMENT)
		return login(home, address, secret, peer, out);
	if (err)
		return err;
	remember_secret(mailbox, secret);
	*out = mailbox;
	return ERR_OK;
}

enum err home_login(struct home *home, struct bytes address, struct bytes password,
		    const char *peer, struct mailbox **out)
{
	struct buf normal = {0};
	enum err err = home->closing ? ERR_UNAVAILABLE : address_normalise(address, &normal);

	/* What is no address is an address that nobody has. */
	if (err == ERR_INVALID) {
		buf_clear(&normal);
		err = ERR_OK;
	}
	if (!err)
		err = login(home, bytes_of_buf(&normal), password, peer, out);
	if (err == ERR_AUTH)
		env_log(home->env, "event=login-failed peer=%s", peer ? peer : "-");
	buf_finish(&normal);
	return err;
}
