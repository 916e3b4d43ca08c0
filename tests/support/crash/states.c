/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/crash/states.h"

#include "engine/base/assert.h"
#include "engine/base/map.h"
#include "tests/sim/allocate.h"

#define STATES_STREAM 803
#define SECTOR_SIZE 512u
#define PAGE_SIZE 4096u

struct walk {
	const struct recorder *recorder;
	const struct states_options *options;
	bool (*visit)(void *context, const struct crash_state *state);
	void *context;
	struct states_report *report;
	struct sim_random random;
	struct map seen; /* hash of a state and of what was promised */
	struct image image;
	struct fate *fates;
	uint64_t cut, promise; /* promise: the last note before the cut */
	size_t *undecided;
	size_t undecided_count;
	bool ended;
};

/* ---- one state ---- */

static bool is_new(struct walk *walk, struct hash128 hash)
{
	uint64_t key[3] = {hash.low, hash.high, walk->promise};
	enum err err;

	if (map_get(&walk->seen, key) != NULL)
		return false;
	err = map_put(&walk->seen, key, walk);
	ASSERT(err == ERR_OK);
	return true;
}

static void offer(struct walk *walk)
{
	struct crash_state state = {.cut = walk->cut, .image = &walk->image};

	if (walk->ended)
		return;
	image_build(&walk->image, walk->recorder, walk->cut, walk->fates);
	state.hash = image_hash(&walk->image);
	walk->report->states++;
	if (!is_new(walk, state.hash))
		return;
	state.number = walk->report->distinct++;
	if (!sim_random_chance(&walk->random, walk->options->visit_per_million))
		return;
	walk->report->visited++;
	walk->ended = !walk->visit(walk->context, &state);
}

static void set(struct walk *walk, size_t n, enum fate_kind kind)
{
	walk->fates[walk->undecided[n]] = (struct fate){.kind = kind};
}

static void set_all(struct walk *walk, enum fate_kind kind)
{
	for (size_t i = 0; i < walk->undecided_count; i++)
		set(walk, i, kind);
}

/* ---- subsets ---- */

static void all_subsets(struct walk *walk)
{
	for (uint64_t bits = 0; bits < (uint64_t)1 << walk->undecided_count; bits++) {
		for (size_t i = 0; i < walk->undecided_count; i++)
			set(walk, i, bits >> i & 1 ? FATE_KEPT : FATE_DROPPED);
		offer(walk);
	}
}

static void some_subsets(struct walk *walk)
{
	size_t count = walk->undecided_count;

	for (size_t first = 0; first <= count; first++) {
		for (size_t i = 0; i < count; i++)
			set(walk, i, i < first ? FATE_KEPT : FATE_DROPPED);
		offer(walk);
	}
	for (size_t one = 0; one < count; one++) {
		set_all(walk, FATE_KEPT);
		set(walk, one, FATE_DROPPED);
		offer(walk);
		set_all(walk, FATE_DROPPED);
		set(walk, one, FATE_KEPT);
		offer(walk);
	}
	for (size_t n = 0; n < walk->options->random_count; n++) {
		for (size_t i = 0; i < count; i++)
			set(walk, i, sim_random_below(&walk->random, 2) ? FATE_KEPT : FATE_DROPPED);
		offer(walk);
	}
}

/* ---- torn writes ---- */

static struct fate draw_tear(struct walk *walk, const struct effect *write)
{
	static const enum fate_kind kinds[] = {FATE_HEAD, FATE_HEAD, FATE_TAIL, FATE_ZEROS};
	uint64_t unit = sim_random_below(&walk->random, 2) ? SECTOR_SIZE : PAGE_SIZE;
	/* Units of the disk, not of the write. */
	uint64_t lead = unit - write->offset % unit;
	struct fate fate = {.kind = kinds[sim_random_below(&walk->random, 4)]};

	fate.size = lead + unit * sim_random_below(&walk->random, write->size / unit + 1);
	return fate;
}

/* What was posted before it is there, or any of it; what came after it is not, or any of it. */
static void tear(struct walk *walk, size_t n)
{
	size_t effect = walk->undecided[n];

	for (size_t turn = 0; turn < walk->options->torn_count; turn++) {
		for (size_t i = 0; i < walk->undecided_count; i++) {
			bool keep = turn % 2 == 0 ? i < n : sim_random_below(&walk->random, 2);

			set(walk, i, keep ? FATE_KEPT : FATE_DROPPED);
		}
		walk->fates[effect] = draw_tear(walk, &walk->recorder->effects[effect]);
		offer(walk);
	}
}

/* ---- one cut ---- */

static void look_at_effects(struct walk *walk)
{
	walk->undecided_count = 0;
	for (size_t i = 0; i < walk->recorder->effect_count; i++) {
		const struct effect *effect = &walk->recorder->effects[i];

		walk->fates[i] = (struct fate){.kind = FATE_KEPT};
		if (effect->posted <= walk->cut && effect->withdrawn > walk->cut &&
		    effect->durable > walk->cut)
			walk->undecided[walk->undecided_count++] = i;
	}
	if (walk->undecided_count > walk->report->undecided_max)
		walk->report->undecided_max = walk->undecided_count;
}

static void cut_at(struct walk *walk, uint64_t cut)
{
	walk->cut = cut;
	look_at_effects(walk);
	walk->report->cuts++;
	if (walk->undecided_count <= walk->options->all_subsets_max)
		all_subsets(walk);
	else
		some_subsets(walk);
	for (size_t i = 0; i < walk->undecided_count; i++) {
		if (walk->recorder->effects[walk->undecided[i]].kind == EFFECT_WRITE)
			tear(walk, i);
	}
}

void states_enumerate(const struct recorder *recorder, const struct states_options *options,
		      bool (*visit)(void *context, const struct crash_state *state), void *context,
		      struct states_report *report)
{
	struct walk walk = {.recorder = recorder,
			    .options = options,
			    .visit = visit,
			    .context = context,
			    .report = report};

	*report = (struct states_report){0};
	sim_random_init(&walk.random, options->seed, STATES_STREAM);
	map_init(&walk.seen, 3 * sizeof(uint64_t));
	walk.fates = sim_allocate((recorder->effect_count + 1) * sizeof(*walk.fates));
	walk.undecided = sim_allocate((recorder->effect_count + 1) * sizeof(*walk.undecided));
	for (size_t i = 0; i < recorder->cut_count && !walk.ended; i++) {
		if (recorder->cuts[i].is_note)
			walk.promise = recorder->cuts[i].event;
		if (recorder->cuts[i].event >= options->first_cut)
			cut_at(&walk, recorder->cuts[i].event);
	}
	map_finish(&walk.seen);
	image_finish(&walk.image);
	sim_free(walk.fates);
	sim_free(walk.undecided);
}

void states_build_last(const struct recorder *recorder, struct image *image)
{
	struct fate *fates = sim_allocate((recorder->effect_count + 1) * sizeof(*fates));

	image_build(image, recorder, recorder->event, fates);
	sim_free(fates);
}
