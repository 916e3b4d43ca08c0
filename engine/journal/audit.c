/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/audit.h"

#include "engine/base/memory.h"
#include "engine/journal/journal_private.h"
#include "engine/journal/manifest.h"
#include "engine/plant.h"

#define READ_BATCH 1024u

/* ---- what every volume holds ---- */

struct answers {
	struct id128 *volumes;
	struct stream_state *states;
	size_t count;
	const struct replica_set *set;
};

static void answers_finish(struct answers *answers)
{
	for (size_t i = 0; answers->states != NULL && i < answers->count; i++)
		state_finish(&answers->states[i]);
	memory_free(answers->states);
	memory_free(answers->volumes);
}

/* Whether it can be asked at all, and its answer is worth something. */
static bool is_silent(struct journal *journal, const struct layout_volume *volume)
{
	return volume->failed || !journal_is_counted(journal, volume->volume);
}

static enum err prepare(struct journal *journal, struct answers *answers, struct id128 *silent)
{
	const struct layout *layout = journal->layout;

	answers->count = layout->volume_count;
	answers->volumes = memory_array(answers->count, sizeof(*answers->volumes));
	answers->states = memory_array(answers->count, sizeof(*answers->states));
	if (answers->volumes == NULL || answers->states == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < answers->count; i++) {
		answers->volumes[i] = layout->volumes[i].volume;
		if (!is_silent(journal, &layout->volumes[i]))
			continue;
		*silent = answers->volumes[i];
		return ERR_UNAVAILABLE;
	}
	return answers->count != 0 ? ERR_OK : ERR_UNAVAILABLE;
}

static WAITS enum err ask_everybody(struct journal *journal, struct id128 stream,
				    struct answers *answers, struct id128 *silent)
{
	struct fanout *fanout =
		fanout_create(journal, answers->volumes, answers->count, JOURNAL_STATE);
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < fanout->count; i++)
		fanout->targets[i].call.state.stream = stream;
	fanout_post(fanout);
	err = fanout_wait(fanout, fanout->count, env_now_ms(journal->env) + JOURNAL_ANSWER_MS);
	for (size_t i = 0; err == ERR_OK && i < fanout->count; i++) {
		if (fanout_succeeded(&fanout->targets[i]))
			err = state_decode(shared_bytes(fanout->targets[i].call.state.state),
					   &answers->states[i]);
		else
			err = ERR_UNAVAILABLE;
		if (err == ERR_UNAVAILABLE)
			*silent = answers->volumes[i];
	}
	fanout_release(&fanout);
	return err;
}

static bool is_designated(const struct answers *answers, size_t index)
{
	for (size_t i = 0; i < answers->set->count; i++)
		if (id128_equal(answers->set->volumes[i], answers->volumes[index]))
			return true;
	return false;
}

static const struct stream_state *first_designated(const struct answers *answers)
{
	for (size_t i = 0; i < answers->count; i++)
		if (is_designated(answers, i))
			return &answers->states[i];
	return NULL;
}

/* A volume that held the stream in an earlier layout: it has nothing that the others lack. */
static bool adds_nothing(const struct stream_state *state, const struct stream_state *model)
{
	if (!vector_covers(&model->vector, &state->vector))
		return false;
	for (size_t i = 0; i < state->manifest_count; i++) {
		const struct state_manifest *manifest = &state->manifests[i];
		const struct state_manifest *top = model->manifests;

		if (model->manifest_count == 0)
			return false;
		if (!id128_equal(manifest->id, top->id) &&
		    !manifest_dominates(&top->vector, top->epoch, top->id, &manifest->vector,
					manifest->epoch, manifest->id))
			return false;
	}
	return true;
}

static bool holds_the_same(const struct stream_state *state, const struct stream_state *model)
{
	return adds_nothing(state, model) && vector_covers(&state->vector, &model->vector) &&
	       state->manifest_count == model->manifest_count &&
	       (model->manifest_count == 0 ||
		id128_equal(state->manifests[0].id, model->manifests[0].id));
}

static bool agrees(const struct answers *answers, const struct stream_state *model)
{
	if (model->manifest_count > 1 && !PLANTED(reclaim_ignores_siblings))
		return false;
	if (PLANTED(reclaim_ignores_unseen) || PLANTED(reclaim_ignores_siblings))
		return true;
	for (size_t i = 0; i < answers->count; i++)
		if (is_designated(answers, i) ? !holds_the_same(&answers->states[i], model)
					      : !adds_nothing(&answers->states[i], model))
			return false;
	return true;
}

enum err journal_agree(struct journal *journal, struct id128 stream, struct journal_agreement *out)
{
	const struct replica_set set = *journal_replicas(journal, stream);
	struct answers answers = {.set = &set};
	const struct stream_state *model = NULL;
	enum err err;

	*out = (struct journal_agreement){.silent = ID128_ZERO};
	err = prepare(journal, &answers, &out->silent);
	if (err == ERR_OK)
		err = ask_everybody(journal, stream, &answers, &out->silent);
	if (err == ERR_OK) {
		model = first_designated(&answers);
		err = model == NULL		? ERR_UNAVAILABLE
		      : agrees(&answers, model) ? ERR_OK
						: ERR_STALE;
	}
	if (err == ERR_OK)
		err = vector_copy(&model->vector, &out->vector);
	if (err == ERR_OK && model->manifest_count != 0)
		out->manifest = model->manifests[0].id;
	if (err == ERR_STALE)
		journal_want_resync(journal);
	answers_finish(&answers);
	return err;
}

void journal_agreement_finish(struct journal_agreement *agreement)
{
	vector_finish(&agreement->vector);
}

/* ---- references ---- */

struct visit {
	struct journal *journal;
	struct id128 stream;
	enum err (*each)(void *context, const struct blob_ref *blob);
	void *context;
	struct vector after; /* of the manifest; then of what was read */
};

/* From any designated replica. ERR_STALE: nobody has it any more, another one took its place. */
static WAITS enum err get(const struct visit *visit, enum record_type type, struct id128 id,
			  struct fanout **out)
{
	const struct replica_set set = *journal_replicas(visit->journal, visit->stream);
	bool absent = false;

	for (size_t i = 0; i < set.count; i++) {
		struct fanout *fanout =
			fanout_create(visit->journal, &set.volumes[i], 1, JOURNAL_GET);
		enum err err;

		if (fanout == NULL)
			return ERR_NOMEM;
		fanout->targets[0].call.get.stream = visit->stream;
		fanout->targets[0].call.get.type = type;
		fanout->targets[0].call.get.id = id;
		err = fanout_ask(fanout);
		if (err == ERR_OK) {
			*out = fanout;
			return ERR_OK;
		}
		fanout_release(&fanout);
		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
		absent |= err == ERR_NOTFOUND;
	}
	return absent ? ERR_STALE : ERR_UNAVAILABLE;
}

static WAITS enum err visit_page(const struct visit *visit, struct id128 page)
{
	struct fanout *fanout = NULL;
	enum err err = get(visit, RECORD_PAGE, page, &fanout);

	if (err != ERR_OK)
		return err;
	err = manifest_page_blobs(shared_bytes(fanout->targets[0].call.get.bytes), page,
				  visit->each, visit->context);
	fanout_release(&fanout);
	return err;
}

static WAITS enum err visit_manifest(struct visit *visit, struct id128 id)
{
	struct manifest manifest = {0};
	struct fanout *fanout = NULL;
	enum err err = get(visit, RECORD_MANIFEST, id, &fanout);

	if (err != ERR_OK)
		return err;
	err = manifest_decode(shared_bytes(fanout->targets[0].call.get.bytes), &manifest);
	for (size_t i = 0; err == ERR_OK && i < manifest.blob_count; i++)
		err = visit->each(visit->context, &manifest.blobs[i]);
	for (size_t i = 0; err == ERR_OK && i < manifest.page_count; i++)
		err = visit_page(visit, manifest.pages[i]);
	if (err == ERR_OK)
		err = vector_copy(&manifest.vector, &visit->after);
	manifest_finish(&manifest);
	fanout_release(&fanout);
	return err;
}

static enum err visit_entry(void *context, const struct entry *entry)
{
	const struct visit *visit = context;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < entry->blob_count; i++)
		err = visit->each(visit->context, &entry->blobs[i]);
	return err;
}

static WAITS enum err visit_entries(struct visit *visit)
{
	bool more = true;
	enum err err = ERR_OK;

	while (err == ERR_OK && more) {
		struct vector after = {0};
		bool complete;

		err = vector_copy(&visit->after, &after);
		if (err == ERR_OK)
			err = journal_read(visit->journal, visit->stream, &after, READ_BATCH,
					   visit_entry, visit, &visit->after, &complete, &more);
		if (err == ERR_OK && !complete)
			err = ERR_STALE;
		vector_finish(&after);
	}
	return err;
}

enum err journal_references(struct journal *journal, struct id128 stream,
			    enum err (*each)(void *context, const struct blob_ref *blob),
			    void *context, struct id128 *silent)
{
	struct visit visit = {
		.journal = journal, .stream = stream, .each = each, .context = context};
	struct journal_agreement agreement;
	enum err err = journal_agree(journal, stream, &agreement);

	*silent = agreement.silent;
	if (err == ERR_OK && !id128_is_zero(agreement.manifest))
		err = visit_manifest(&visit, agreement.manifest);
	if (err == ERR_OK && PLANTED(reclaim_ignores_siblings))
		err = vector_merge(&visit.after, &agreement.vector);
	if (err == ERR_OK && !PLANTED(reclaim_ignores_unseen))
		err = visit_entries(&visit);
	/* What all of them were said to hold was read: nothing of it went by unseen. */
	if (err == ERR_OK && !PLANTED(reclaim_ignores_unseen) &&
	    !vector_covers(&visit.after, &agreement.vector))
		err = ERR_STALE;
	vector_finish(&visit.after);
	journal_agreement_finish(&agreement);
	return err;
}

/* ---- emptying ---- */

/* Nothing in it but a manifest that refers to nothing, or not even that. */
static bool is_empty(const struct stream_state *state)
{
	return state->page_count == 0 && state->manifest_count <= 1 &&
	       vector_covers(&state->covered, &state->vector);
}

/* Everybody's vectors and, above all of theirs, an epoch. */
static enum err cover(const struct answers *answers, struct manifest *manifest)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < answers->count && err == ERR_OK; i++) {
		const struct stream_state *state = &answers->states[i];

		err = vector_merge(&manifest->vector, &state->vector);
		for (size_t j = 0; j < state->manifest_count && err == ERR_OK; j++) {
			const struct state_manifest *held = &state->manifests[j];

			err = vector_merge(&manifest->vector, &held->vector);
			if (held->epoch >= manifest->epoch)
				manifest->epoch = held->epoch + 1;
		}
		if (state->promise_epoch > manifest->epoch)
			manifest->epoch = state->promise_epoch;
	}
	return err;
}

enum err journal_empty(struct journal *journal, struct id128 stream, bool *emptied,
		       struct id128 *silent)
{
	const struct replica_set set = *journal_replicas(journal, stream);
	struct answers answers = {.set = &set};
	struct manifest manifest = {.stream = stream, .id = env_random_id(journal->env)};
	bool empty = true;
	enum err err;

	*emptied = false;
	*silent = ID128_ZERO;
	err = prepare(journal, &answers, silent);
	if (err == ERR_OK)
		err = ask_everybody(journal, stream, &answers, silent);
	for (size_t i = 0; err == ERR_OK && i < answers.count; i++)
		empty = empty && is_empty(&answers.states[i]);
	if (err == ERR_OK && !empty)
		err = cover(&answers, &manifest);
	if (err == ERR_OK && !empty)
		err = journal_put_manifest(journal, &manifest, NULL, 0);
	*emptied = err == ERR_OK && !empty;
	vector_finish(&manifest.vector);
	answers_finish(&answers);
	return err;
}
