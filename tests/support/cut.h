/* SPDX-License-Identifier: MPL-2.0 */
/*
 * cut - stands between a journal's client and its volumes, and lets some of
 * them not be reached: all calls to them, or only appends, fail with
 * ERR_UNAVAILABLE, as if nobody served them. What is replicated between
 * volumes goes the same way.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_CUT_H
#define AEROSTORE_TESTS_SUPPORT_CUT_H

#include "engine/journal/journal_private.h"

#define CUT_VOLUMES 3u

enum cut_state {
	CUT_NOT,
	CUT_MUTE,  /* takes nothing, and says what it has */
	CUT_SILENT /* answers nothing */
};

struct cut {
	struct journal *journal;
	struct wire *real, *own;
	struct cut_link {
		struct cut *cut;
		enum cut_state state;
	} links[CUT_VOLUMES]; /* in the order of the layout */
};

/* The caller's, until cut_finish(); nothing is cut yet. The journal has CUT_VOLUMES volumes. */
void cut_init(struct cut *cut, struct journal *journal);
/* All but `kept`, which is not cut; the first one is 0. */
void cut_all_but(struct cut *cut, size_t kept, enum cut_state state);
/* That one alone; nothing is cut with CUT_NOT. */
void cut_only(struct cut *cut, size_t volume, enum cut_state state);
WAITS void cut_finish(struct cut *cut);

#endif
