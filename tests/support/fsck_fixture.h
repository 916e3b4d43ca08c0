/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fsck_fixture - a small store at rest, for the tests of aerofsck: three volumes
 * in a simulated node, one account, a sealed set, an unsealed one, a journal with
 * a manifest and its pages.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_FSCK_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_FSCK_FIXTURE_H

#include "tests/support/mailbox_fixture.h"

#define FSCK_FIXTURE_VOLUMES 3
#define FSCK_FIXTURE_ADDRESS "alice@example.org"
#define FSCK_FIXTURE_PASSWORD "correct horse"

/* Messages in the sealed set, and in the open one; a session that leaves a manifest in between. */
struct fsck_fixture_size {
	unsigned sealed, open;
	bool session;
};

/* In a task of the post's node: formats, fills, closes. */
WAITS void fsck_fixture_fill(struct post *post, const struct fsck_fixture_size *size);

#endif
