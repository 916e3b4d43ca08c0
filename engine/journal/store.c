/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/store.h"

#include <string.h>

#include "engine/attempt.h"
#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/journal/closings.h"
#include "engine/journal/journal_private.h"

/* ---- who holds what ---- */

const struct replica_set *journal_replicas(struct journal *journal, struct id128 stream)
{
	uint8_t group = layout_group(stream);
	struct replica_set *set = &journal->sets[group];

	if (!journal->set_known[group]) {
		set->count = layout_replicas(journal->layout, group, set->volumes);
		for (size_t i = 0; i < set->count; i++)
			set->nodes[i] = layout_find(journal->layout, set->volumes[i])->node;
		journal->set_known[group] = true;
	}
	return set;
}

struct member *journal_member(struct journal *journal, struct id128 volume)
{
	struct member *member = map_get(&journal->members, &volume);

	if (member != NULL)
		return member;
	member = memory_allocate(sizeof(*member));
	if (member == NULL)
		return NULL;
	member->volume = volume;
	if (map_put(&journal->members, &volume, member) != ERR_OK) {
		memory_free(member);
		return NULL;
	}
	return member;
}

bool journal_is_counted(struct journal *journal, struct id128 volume)
{
	const struct member *member = map_get(&journal->members, &volume);

	return member != NULL && member->counted;
}

size_t journal_quorum(const struct journal *journal, const struct replica_set *set)
{
	size_t quorum = layout_write_quorum(journal->layout);

	if (quorum > set->count)
		quorum = set->count;
	return quorum < 2 ? 2 : quorum;
}

/*
 * An entry lies on W of R replicas. R counts failed volumes, too: the entry may lie on one of
 * those and on one that lives.
 */
size_t journal_read_quorum(const struct journal *journal)
{
	size_t replicas = journal->layout->volume_count < LAYOUT_REPLICAS
				  ? journal->layout->volume_count
				  : LAYOUT_REPLICAS;
	size_t quorum = layout_write_quorum(journal->layout);

	return replicas + 1 > quorum + 1 ? replicas + 1 - quorum : 1;
}

void journal_layout_changed(struct journal *journal)
{
	memset(journal->set_known, 0, sizeof(journal->set_known));
	journal_want_resync(journal);
}

/* ---- marks ---- */

void journal_learn_position(struct journal *journal, struct id128 volume,
			    struct journal_position position)
{
	if (marks_raise(&journal->marks, volume, position))
		shared_release(&journal->encoded_marks);
}

struct shared *journal_marks(struct journal *journal)
{
	struct buf encoded = {0};

	if (journal->encoded_marks == NULL) {
		marks_encode(&journal->marks, &encoded);
		if (encoded.err == ERR_OK)
			journal->encoded_marks = shared_create(encoded.size);
		if (journal->encoded_marks != NULL)
			memcpy(journal->encoded_marks->data, encoded.data, encoded.size);
		buf_finish(&encoded);
	}
	return journal->encoded_marks != NULL ? shared_reference(journal->encoded_marks) : NULL;
}

/* ---- watches ---- */

void journal_watch_start(struct journal *journal, struct journal_watch *watch)
{
	watch->next = map_get(&journal->watches, &watch->stream);
	/* Without memory there is no notice: a watcher also looks from time to time. */
	if (map_put(&journal->watches, &watch->stream, watch) != ERR_OK)
		watch->next = NULL;
}

void journal_watch_stop(struct journal *journal, struct journal_watch *watch)
{
	struct journal_watch *first = map_remove(&journal->watches, &watch->stream);
	struct journal_watch **link = &first;

	while (*link != NULL && *link != watch)
		link = &(*link)->next;
	if (*link != NULL)
		*link = watch->next;
	/* There was one, so there is room. */
	if (first != NULL)
		ASSERT(map_put(&journal->watches, &first->stream, first) == ERR_OK);
}

void journal_notify(struct journal *journal, struct id128 stream)
{
	struct journal_watch *watch = map_get(&journal->watches, &stream);

	while (watch != NULL) {
		struct journal_watch *next = watch->next;

		watch->notify(watch);
		watch = next;
	}
}

static void replica_changed(void *context, struct id128 stream)
{
	journal_notify(context, stream);
}

static void replica_damaged(void *context, struct id128 volume)
{
	struct journal *journal = context;
	struct member *member = journal_member(journal, volume);

	if (member != NULL)
		member->counted = false;
	journal_want_resync(journal);
}

/* ---- tables, status ---- */

struct id128 table_stream(enum table table)
{
	struct id128 id = ID128_ZERO;

	id.octets[15] = (uint8_t)table;
	return id;
}

/*
 * How many volumes more the entries of a group survive. What is acknowledged lies on W of its
 * replicas, and on all that count once the resync has nothing to do; until then those that are gone
 * or do not count may be among the W.
 */
static unsigned tolerated_in(const struct journal *journal, uint8_t group, size_t quorum)
{
	struct id128 volumes[LAYOUT_REPLICAS];
	size_t live = layout_replicas(journal->layout, group, volumes);
	size_t all = journal->layout->volume_count < LAYOUT_REPLICAS ? journal->layout->volume_count
								     : LAYOUT_REPLICAS;
	size_t counted = 0, copies;

	for (size_t i = 0; i < live; i++) {
		const struct member *member = map_get(&journal->members, &volumes[i]);

		counted += member != NULL && member->counted;
	}
	copies = counted < quorum ? counted : quorum;
	if (journal->lagging != 0)
		copies = copies + counted > all ? copies + counted - all : 0;
	return copies > 0 ? (unsigned)copies - 1 : 0;
}

static unsigned tolerated_everywhere(const struct journal *journal, size_t quorum)
{
	unsigned least = UINT32_MAX;

	for (unsigned group = 0; group < LAYOUT_GROUP_COUNT; group++) {
		unsigned tolerated = tolerated_in(journal, (uint8_t)group, quorum);

		least = tolerated < least ? tolerated : least;
	}
	return least;
}

void journal_get_status(const struct journal *journal, struct journal_status *out)
{
	struct journal_status status = {.lagging = journal->lagging};
	size_t quorum = layout_write_quorum(journal->layout);

	for (size_t i = 0; i < journal->replica_count; i++) {
		struct replica_counters counters = replica_get_counters(journal->replicas[i]);

		status.entries += counters.entries;
		status.appended += counters.appended;
		status.segments += counters.segments;
		status.bytes += counters.bytes;
		status.truncated += counters.truncated;
	}
	for (size_t i = 0; i < journal->layout->volume_count; i++)
		status.replicas_live += !journal->layout->volumes[i].failed;
	status.write_quorum = (unsigned)quorum;
	status.volumes_tolerated = tolerated_everywhere(journal, quorum);
	*out = status;
}

/* ---- life ---- */

/* A replica that is being opened: its segments are read, and the disk may hang over that. */
struct opening {
	struct journal *journal;
	struct volume *volume;
	struct buf index_path;
	struct replica *replica;
};

static WAITS enum err opening_run(void *argument)
{
	struct opening *opening = argument;
	struct journal *journal = opening->journal;
	const struct replica_options options = {.sched = journal->sched,
						.wire = journal->wire,
						.volume = opening->volume,
						.index_path =
							(const char *)opening->index_path.data,
						.segment_size = journal->segment_size,
						.changed = replica_changed,
						.damaged = replica_damaged,
						.closed = &journal->closed,
						.context = journal};

	return replica_open(&options, &opening->replica);
}

static void opening_destroy(struct opening *opening)
{
	group_leave(&opening->journal->tasks);
	buf_finish(&opening->index_path);
	memory_free(opening);
}

/* Too late: the volume has failed. */
static WAITS void opening_late(void *argument, enum err err)
{
	struct opening *opening = argument;

	if (err == ERR_OK)
		replica_close(&opening->replica);
	opening_destroy(opening);
}

static enum err opening_create(struct journal *journal, struct volume *volume, struct opening **out)
{
	struct id128 id = volume_id(volume);
	struct opening *opening = memory_allocate(sizeof(*opening));
	enum err err;

	if (opening == NULL)
		return ERR_NOMEM;
	*opening = (struct opening){.journal = journal, .volume = volume};
	group_enter(&journal->tasks);
	buf_put_string(&opening->index_path, journal->index_directory);
	buf_put_string(&opening->index_path, "/journal-");
	for (size_t i = 0; i < sizeof(id.octets); i++)
		buf_printf(&opening->index_path, "%02x", id.octets[i]);
	buf_put_u8(&opening->index_path, '\0');
	err = opening->index_path.err;
	if (err != ERR_OK)
		opening_destroy(opening);
	else
		*out = opening;
	return err;
}

/* ERR_TIMEOUT: the disk hangs. */
static WAITS enum err open_replica(struct journal *journal, struct volume *volume)
{
	struct replica **replicas = memory_resize(
		journal->replicas, (journal->replica_count + 1) * sizeof(struct replica *));
	struct attempt attempt = {.name = "journal-open",
				  .run = opening_run,
				  .late = opening_late,
				  .patience_ms = JOURNAL_APPEND_MS};
	struct opening *opening;
	enum err err;

	if (replicas == NULL)
		return ERR_NOMEM;
	journal->replicas = replicas;
	err = opening_create(journal, volume, &opening);
	if (err != ERR_OK)
		return err;
	attempt.argument = opening;
	err = attempt_run(journal->sched, &attempt);
	if (err == ERR_TIMEOUT)
		return err;
	if (err == ERR_OK)
		journal->replicas[journal->replica_count++] = opening->replica;
	opening_destroy(opening);
	return err;
}

static WAITS enum err open_replicas(struct journal *journal, const struct journal_options *options)
{
	for (size_t i = 0; i < options->volume_count; i++) {
		enum err err = open_replica(journal, options->volumes[i]);

		if (err == ERR_CANCELED || err == ERR_NOMEM || err == ERR_NEWER ||
		    err == ERR_FOREIGN)
			return err;
		if (err != ERR_OK) {
			env_log(journal->env, "event=journal-not-opened error=%s", err_name(err));
			volume_fail(options->volumes[i], err);
		}
	}
	return journal->replica_count != 0 ? ERR_OK : ERR_UNAVAILABLE;
}

static enum err copy_string(const char *text, char **out)
{
	size_t size = strlen(text) + 1;

	*out = memory_allocate(size);
	if (*out == NULL)
		return ERR_NOMEM;
	memcpy(*out, text, size);
	return ERR_OK;
}

enum err journal_open(const struct journal_options *options, struct journal **out)
{
	struct journal *journal = memory_allocate(sizeof(*journal));
	enum err err;

	if (journal == NULL)
		return ERR_NOMEM;
	journal->sched = options->sched;
	journal->env = sched_env(options->sched);
	journal->wire = options->wire;
	journal->layout = options->layout;
	map_init(&journal->members, sizeof(struct id128));
	map_init(&journal->watches, sizeof(struct id128));
	map_init(&journal->closed, sizeof(struct id128));
	journal->segment_size =
		options->segment_size != 0 ? options->segment_size : JOURNAL_SEGMENT_SIZE;
	err = copy_string(options->index_directory, &journal->index_directory);
	if (err == ERR_OK)
		err = open_replicas(journal, options);
	if (err == ERR_OK) {
		err = journal_resync(journal);
		/* It goes on in the background; what is there already serves. */
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
	}
	/* What cannot be read now is read again before anything relies on it. */
	if (err == ERR_OK) {
		err = journal_read_closings(journal);
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
	}
	if (err == ERR_OK) {
		group_enter(&journal->tasks);
		err = task_spawn(journal->sched, "journal-resync", journal_resync_task, journal,
				 NULL);
		if (err != ERR_OK)
			group_leave(&journal->tasks);
	}
	if (err != ERR_OK)
		journal_close(&journal);
	else
		*out = journal;
	return err;
}

enum err journal_add_volume(struct journal *journal, struct volume *volume)
{
	enum err err = open_replica(journal, volume);

	if (err == ERR_OK)
		journal_layout_changed(journal);
	return err;
}

void journal_close(struct journal **out)
{
	struct journal *journal = *out;
	struct member *member;
	size_t position = 0;

	if (journal == NULL)
		return;
	*out = NULL;
	ASSERT(journal->writer_count == 0 && journal->watches.count == 0);
	journal->stopping = true;
	cond_broadcast(&journal->resync_wanted);
	group_wait(&journal->tasks);
	group_wait(&journal->calls);
	for (size_t i = 0; i < journal->replica_count; i++)
		replica_close(&journal->replicas[i]);
	memory_free(journal->replicas);
	memory_free(journal->index_directory);
	while ((member = map_next(&journal->members, &position, NULL)) != NULL)
		memory_free(member);
	map_finish(&journal->members);
	map_finish(&journal->watches);
	map_finish(&journal->closed);
	vector_finish(&journal->closings_seen);
	marks_finish(&journal->marks);
	shared_release(&journal->encoded_marks);
	memory_free(journal);
}
