/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool is_refused(const struct cut_link *link, struct wire_call *call)
{
	if (link->state == CUT_MUTE)
		return call->operation == JOURNAL_APPEND;
	return link->state == CUT_SILENT;
}

static void serve(void *context, struct wire_call *call)
{
	struct cut_link *link = context;

	if (is_refused(link, call))
		wire_reply(call, ERR_UNAVAILABLE);
	else
		wire_post(link->cut->real, call);
}

void cut_init(struct cut *cut, struct journal *journal)
{
	*cut = (struct cut){.journal = journal, .real = journal->wire};
	assert_int_equal(journal->layout->volume_count, CUT_VOLUMES);
	assert_int_equal(wire_create(journal->sched, &cut->own), ERR_OK);
	for (size_t i = 0; i < CUT_VOLUMES; i++) {
		cut->links[i].cut = cut;
		assert_int_equal(wire_serve(cut->own, journal->layout->volumes[i].volume,
					    WIRE_JOURNAL, serve, &cut->links[i]),
				 ERR_OK);
	}
	journal->wire = cut->own;
}

void cut_all_but(struct cut *cut, size_t kept, enum cut_state state)
{
	for (size_t i = 0; i < CUT_VOLUMES; i++)
		cut->links[i].state = i == kept ? CUT_NOT : state;
}

void cut_only(struct cut *cut, size_t volume, enum cut_state state)
{
	for (size_t i = 0; i < CUT_VOLUMES; i++)
		cut->links[i].state = i == volume ? state : CUT_NOT;
}

void cut_finish(struct cut *cut)
{
	cut->journal->wire = cut->real;
	/* What is in the old one goes on its way. */
	assert_int_equal(task_sleep(1), ERR_OK);
	wire_destroy(&cut->own);
}
