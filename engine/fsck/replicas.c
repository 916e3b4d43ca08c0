/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Pass 4: the journal's replicas against each other. What all of them together
 * hold of a stream (fsck->streams) is what each designated one should hold.
 */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"

struct lacks {
	uint64_t entries, manifests, streams;
};

static bool covers(const struct stream_incarnation *incarnation, uint64_t seq)
{
	return incarnation != NULL && seq <= incarnation->dropped;
}

/* Entries that the union holds and the replica neither holds nor covers. */
static uint64_t lacking_entries(const struct stream *all, const struct stream *own)
{
	uint64_t lacking = 0;

	for (size_t i = 0; i < all->incarnation_count; i++) {
		const struct stream_incarnation *theirs = &all->incarnations[i];
		const struct stream_incarnation *ours =
			own != NULL ? stream_find(own, theirs->id) : NULL;

		for (size_t j = 0; j < theirs->count; j++) {
			uint64_t seq = theirs->first + j;

			if (stream_entry(theirs, seq) != NULL && !covers(ours, seq) &&
			    (ours == NULL || stream_entry(ours, seq) == NULL))
				lacking++;
		}
	}
	return lacking;
}

static uint64_t lacking_manifests(const struct stream *all, const struct stream *own)
{
	uint64_t lacking = 0;

	for (size_t i = 0; i < all->manifest_count; i++) {
		const struct stream_manifest *theirs = &all->manifests[i];
		const struct stream_manifest *ours =
			own != NULL ? stream_manifest(own, theirs->id) : NULL;

		lacking += theirs->complete && (ours == NULL || !ours->complete);
	}
	return lacking;
}

static void compare(struct fsck *fsck, const struct stream *all, const struct id128 *replicas,
		    size_t replica_count, struct lacks *lacks)
{
	for (size_t i = 0; i < replica_count; i++) {
		size_t volume = fsck_volume_index(fsck, replicas[i]);
		const struct stream *own = map_get(&fsck->volumes[volume].streams, &all->id);
		uint64_t entries = lacking_entries(all, own);
		uint64_t manifests = lacking_manifests(all, own);

		lacks[volume].entries += entries;
		lacks[volume].manifests += manifests;
		lacks[volume].streams += entries + manifests != 0;
	}
}

static void name_stream(const struct fsck *fsck, struct id128 stream, struct fsck_problem *problem)
{
	const char *address = map_get(&fsck->addresses, &stream);

	if (address != NULL) {
		snprintf(problem->account, sizeof(problem->account), "%s", address);
		return;
	}
	for (size_t i = 0; i < 16; i++)
		snprintf(problem->account + 2 * i, 3, "%02x", stream.octets[i]);
}

/* What no replica can give to another. */
static void look_for_losses(struct fsck *fsck, const struct stream *all)
{
	struct fsck_problem problem = {.code = FSCK_PAGES_LOST};
	uint64_t missing = 0;

	name_stream(fsck, all->id, &problem);
	for (size_t i = 0; i < all->manifest_count; i++)
		if (!all->manifests[i].complete &&
		    !stream_dominates(all, &all->manifests[i].vector, all->manifests[i].epoch,
				      all->manifests[i].id))
			(void)fsck_report(fsck, &problem, NULL);
	for (size_t i = 0; i < all->incarnation_count; i++) {
		const struct stream_incarnation *incarnation = &all->incarnations[i];

		for (size_t j = 0; j < incarnation->count; j++) {
			uint64_t seq = incarnation->first + j;

			missing += seq > incarnation->contiguous &&
				   stream_entry(incarnation, seq) == NULL;
		}
		if (incarnation->count != 0 && incarnation->first > incarnation->contiguous + 1)
			missing += incarnation->first - incarnation->contiguous - 1;
	}
	if (missing == 0)
		return;
	problem.code = FSCK_ENTRIES_LOST;
	fsck_problem_detail(&problem, "%" PRIu64 " entries", missing);
	(void)fsck_report(fsck, &problem, NULL);
}

static enum err make_layout(const struct fsck *fsck, struct layout *layout)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++) {
		const struct volume_identity *identity = &fsck->volumes[i].identity;
		struct layout_volume entry = {
			.volume = identity->volume, .node = identity->node, .weight = 1};

		if (!fsck->volumes[i].usable)
			continue;
		memcpy(entry.zone, identity->zone, sizeof(entry.zone));
		err = layout_put(layout, &entry);
	}
	return err;
}

static int compare_streams(const void *a, const void *b)
{
	const struct stream *const *left = a, *const *right = b;

	return id128_compare((*left)->id, (*right)->id);
}

static void report_lacks(struct fsck *fsck, const struct lacks *lacks)
{
	for (size_t i = 0; i < fsck->volume_count; i++) {
		struct fsck_problem problem =
			fsck_problem_at(fsck, FSCK_REPLICA_LACKS, i, "journal");

		if (lacks[i].streams != 0) {
			fsck_problem_detail(&problem,
					    "%" PRIu64 " entries and %" PRIu64
					    " manifests in %" PRIu64 " streams",
					    lacks[i].entries, lacks[i].manifests, lacks[i].streams);
			(void)fsck_report(fsck, &problem, &fsck->settle);
		} else if (fsck->volumes[i].marked && !fsck->volumes[i].marks.counted &&
			   !fsck->settle.wanted) {
			problem.code = FSCK_REPLICA_NOT_COUNTED;
			(void)fsck_report(fsck, &problem, &fsck->settle);
		}
	}
}

enum err fsck_replicas(struct fsck *fsck)
{
	struct lacks lacks[FSCK_VOLUME_MAX] = {{0}};
	struct id128 replicas[LAYOUT_REPLICAS];
	struct stream **streams = memory_array(fsck->streams.count, sizeof(struct stream *));
	struct layout layout = {0};
	size_t position = 0, count = 0;
	enum err err = streams != NULL ? make_layout(fsck, &layout) : ERR_NOMEM;

	while (err == ERR_OK && count < fsck->streams.count)
		streams[count++] = map_next(&fsck->streams, &position, NULL);
	if (count != 0)
		qsort(streams, count, sizeof(struct stream *), compare_streams);
	for (size_t i = 0; i < count; i++) {
		size_t found = layout_replicas(&layout, layout_group(streams[i]->id), replicas);

		compare(fsck, streams[i], replicas, found, lacks);
		look_for_losses(fsck, streams[i]);
	}
	if (err == ERR_OK)
		report_lacks(fsck, lacks);
	layout_finish(&layout);
	memory_free(streams);
	return err;
}
