/* SPDX-License-Identifier: MPL-2.0 */
/* Each planted bug is found within so many seeds; prints a table of how many it took, and by what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/plant.h"
#include "tests/sim/whole/log_run.h"
#include "tests/sim/whole/mailbox_run.h"
#include "tests/sim/whole/mending_run.h"
#include "tests/sim/whole/seeds.h"
#include "tests/sim/whole/store_run.h"

struct hunt {
	enum plant plant;
	const char *name;
	seed_run *run;
	uint64_t limit; /* seeds */
};

static const struct hunt hunts[] = {
	{PLANT_ack_before_sync, "log", log_run, 20},
	{PLANT_ack_before_sync, "store", store_run, 20},
	{PLANT_torn_tail_as_corruption, "log", log_run, 20},
	{PLANT_corruption_as_torn_tail, "log", log_run, 20},
	{PLANT_fsync_retried, "log", log_run, 20},
	{PLANT_failed_sync_forgotten, "log", log_run, 60},
	{PLANT_directory_entry_unsynced, "log", log_run, 20},
	{PLANT_mirror_dropped_before_votes, "store", store_run, 20},
	{PLANT_parity_over_stale_bytes, "store", store_run, 60},
	{PLANT_wrong_matrix_row, "store", store_run, 20},
	{PLANT_repair_from_rotten, "mending", mending_run, 60},
	{PLANT_rebuild_wrong_row, "mending", mending_run, 20},
	{PLANT_stale_volume_trusted, "mending", mending_run, 60},
	{PLANT_journal_ack_one_replica, "mending", mending_run, 60},
	{PLANT_uid_reused_after_restart, "mailbox", mailbox_run, 20},
	{PLANT_successor_unfinished, "mailbox", mailbox_run, 20},
	{PLANT_reclaim_ignores_writers, "mailbox", mailbox_run, 20},
	{PLANT_reclaim_ignores_unseen, "mailbox", mailbox_run, 20},
	{PLANT_reclaim_ignores_siblings, "mailbox", mailbox_run, 20},
	{PLANT_closed_reused, "mailbox", mailbox_run, 60},
	{PLANT_orphans_kept, "mailbox", mailbox_run, 60},
	{PLANT_removed_column_stays, "mailbox", mailbox_run, 60},
	{PLANT_deleted_stream_stays, "mailbox", mailbox_run, 60},
};

/* NULL: all of them. */
static const char *only;

static void test_each_is_found(void **state)
{
	size_t missed = 0;

	(void)state;
	print_message("%-30s %-8s %6s  %s\n", "bug", "run", "seeds", "oracle");
	for (size_t i = 0; i < sizeof(hunts) / sizeof(hunts[0]); i++) {
		const struct hunt *hunt = &hunts[i];
		struct report sum = {0};
		uint64_t needed;

		if (only != NULL && strcmp(only, plant_name(hunt->plant)) != 0)
			continue;
		plant_reset();
		plant_set(hunt->plant, true);
		seeds_hunt(hunt->run, hunt->limit, &needed, &sum);
		print_message("%-30s %-8s %6llu  %s\n", plant_name(hunt->plant), hunt->name,
			      (unsigned long long)needed, needed != 0 ? sum.oracle : "NOT FOUND");
		missed += needed == 0;
	}
	plant_reset();
	assert_int_equal(missed, 0);
}

/* With an argument: that bug alone. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_found),
	};

	only = argc == 2 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
