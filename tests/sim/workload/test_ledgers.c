/* SPDX-License-Identifier: MPL-2.0 */
/* Each oracle says FINE to what is promised, and finds each way to break the promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/workload/mail_ledger.h"
#include "tests/sim/workload/poller.h"
#include "tests/sim/workload/uid_ledger.h"

static struct id128 id(uint8_t value)
{
	return (struct id128){{value}};
}

static void test_mail_ledger(void **state)
{
	struct mail_ledger ledger = {0};
	const struct bytes a = bytes_string("a"), b = bytes_string("b"), other = bytes_string("c");
	size_t missing = 99;

	(void)state;
	assert_int_equal(mail_ledger_send(&ledger, 7, a), 0);
	assert_int_equal(mail_ledger_send(&ledger, 7, b), 1);
	assert_int_equal(mail_ledger_send(&ledger, 8, b), 2);
	mail_ledger_acknowledge(&ledger, 0);

	mail_ledger_begin(&ledger, 7);
	assert_int_equal(mail_ledger_read(&ledger, 1, b), VERDICT_FINE);
	assert_int_equal(mail_ledger_read(&ledger, 0, other), VERDICT_WRONG_BYTES);
	assert_int_equal(mail_ledger_read(&ledger, 2, b), VERDICT_UNKNOWN);
	assert_int_equal(mail_ledger_read(&ledger, 3, b), VERDICT_UNKNOWN);
	assert_int_equal(mail_ledger_end(&ledger, &missing), VERDICT_MISSING);
	assert_int_equal(missing, 0);
	assert_int_equal(mail_ledger_read(&ledger, 0, a), VERDICT_FINE);
	assert_int_equal(mail_ledger_read(&ledger, 0, a), VERDICT_TWICE);
	assert_int_equal(mail_ledger_end(&ledger, &missing), VERDICT_FINE);

	/* While its deletion is not acknowledged a message may be there or not. */
	mail_ledger_delete(&ledger, 0);
	mail_ledger_begin(&ledger, 7);
	assert_int_equal(mail_ledger_end(&ledger, &missing), VERDICT_FINE);
	assert_int_equal(mail_ledger_read(&ledger, 0, a), VERDICT_FINE);
	mail_ledger_deleted(&ledger, 0);
	mail_ledger_begin(&ledger, 7);
	assert_int_equal(mail_ledger_read(&ledger, 0, a), VERDICT_RETURNED);

	/* Seen and deleted before its delivery was answered. */
	mail_ledger_delete(&ledger, 1);
	mail_ledger_acknowledge(&ledger, 1);
	mail_ledger_deleted(&ledger, 1);
	mail_ledger_begin(&ledger, 7);
	assert_int_equal(mail_ledger_end(&ledger, &missing), VERDICT_FINE);
	assert_int_equal(ledger.acknowledged_count, 2);
	assert_int_equal(ledger.deleted_count, 2);
	mail_ledger_finish(&ledger);
}

static void test_uid_ledger(void **state)
{
	struct uid_ledger ledger = {0};
	struct uid_name name = {.mailbox = id(1), .uidvalidity = 5, .uid = 10, .message = id(100)};
	struct listing listing = {.uidvalidity = 5};
	struct id128 before = ID128_ZERO;

	(void)state;
	assert_int_equal(uid_ledger_tell(&ledger, &name, NULL), VERDICT_FINE);
	assert_int_equal(uid_ledger_tell(&ledger, &name, NULL), VERDICT_FINE);
	assert_int_equal(ledger.count, 1);
	name.message = id(101);
	assert_int_equal(uid_ledger_tell(&ledger, &name, &before), VERDICT_UID_REUSED);
	assert_true(id128_equal(before, id(100)));
	/* Another UID, validity or mailbox is another name; and a message may have many. */
	name.uid = 9;
	assert_int_equal(uid_ledger_tell(&ledger, &name, NULL), VERDICT_FINE);
	name.uidvalidity = 4;
	name.uid = 10;
	assert_int_equal(uid_ledger_tell(&ledger, &name, NULL), VERDICT_FINE);
	name.mailbox = id(2);
	assert_int_equal(uid_ledger_tell(&ledger, &name, NULL), VERDICT_FINE);
	assert_int_equal(ledger.count, 4);

	listing_add(&listing, (struct listed){.uid = 10, .message = id(100)});
	listing_add(&listing, (struct listed){.uid = 12, .message = id(102)});
	assert_int_equal(uid_ledger_tell_listing(&ledger, id(1), &listing), VERDICT_FINE);
	assert_int_equal(uid_ledger_tell_listing(&ledger, id(3), &listing), VERDICT_FINE);
	listing.items[1].message = id(103);
	assert_int_equal(uid_ledger_tell_listing(&ledger, id(1), &listing), VERDICT_UID_REUSED);
	listing.items[1].uid = 10;
	assert_int_equal(uid_ledger_tell_listing(&ledger, id(1), &listing), VERDICT_UID_DISORDER);
	listing_finish(&listing);
	uid_ledger_finish(&ledger);
}

/* ---- pollers ---- */

struct scene {
	struct poller poller;
	struct listing full;
	struct poll_changes changes;
};

/* A poller that knows the UIDs 1 and 3 of a mailbox whose UIDNEXT is 4. */
static void set_scene(struct scene *scene)
{
	*scene = (struct scene){.full = {.uidvalidity = 5, .uidnext = 4, .highestmodseq = 20}};
	listing_add(&scene->full, (struct listed){.uid = 1, .message = id(1), .modseq = 10});
	listing_add(&scene->full, (struct listed){.uid = 3, .message = id(3), .modseq = 20});
	assert_int_equal(poller_poll(&scene->poller, &scene->full, NULL), VERDICT_FINE);
}

static enum verdict poll(struct scene *scene)
{
	return poller_poll(&scene->poller, &scene->full, &scene->changes);
}

static void clear_scene(struct scene *scene)
{
	poller_finish(&scene->poller);
	listing_finish(&scene->full);
	listing_finish(&scene->changes.changed);
}

static void arrive(struct scene *scene, struct listed item)
{
	listing_set(&scene->full, item);
	listing_add(&scene->changes.changed, item);
	scene->full.uidnext = item.uid + 1;
	scene->full.highestmodseq = item.modseq;
}

static void test_poller_is_told_all(void **state)
{
	struct scene scene;
	uint32_t vanished[] = {1};

	(void)state;
	set_scene(&scene);
	assert_int_equal(poll(&scene), VERDICT_FINE);
	arrive(&scene, (struct listed){.uid = 4, .message = id(4), .modseq = 21});
	listing_remove(&scene.full, 1);
	scene.changes.vanished = vanished;
	scene.changes.vanished_count = 1;
	assert_int_equal(poll(&scene), VERDICT_FINE);
	clear_scene(&scene);
}

static void test_poller_finds_what_it_missed(void **state)
{
	struct scene scene;

	(void)state;
	/* A message comes below UIDNEXT. */
	set_scene(&scene);
	listing_set(&scene.full, (struct listed){.uid = 2, .message = id(2), .modseq = 20});
	assert_int_equal(poll(&scene), VERDICT_UID_BELOW);
	assert_int_equal(poll(&scene), VERDICT_FINE);
	clear_scene(&scene);
	/* A UID names another message. */
	set_scene(&scene);
	scene.full.items[0].message = id(9);
	assert_int_equal(poll(&scene), VERDICT_UID_REUSED);
	clear_scene(&scene);
	/* Expunged, and not reported VANISHED. */
	set_scene(&scene);
	listing_remove(&scene.full, 1);
	assert_int_equal(poll(&scene), VERDICT_CHANGE_MISSED);
	clear_scene(&scene);
	/* Flags changed, and not reported. */
	set_scene(&scene);
	scene.full.items[1].flags = 1;
	assert_int_equal(poll(&scene), VERDICT_CHANGE_MISSED);
	clear_scene(&scene);
	/* Arrived with a modseq that CHANGEDSINCE did not cover. */
	set_scene(&scene);
	arrive(&scene, (struct listed){.uid = 4, .message = id(4), .modseq = 21});
	listing_clear(&scene.changes.changed);
	assert_int_equal(poll(&scene), VERDICT_CHANGE_MISSED);
	clear_scene(&scene);
}

static void test_poller_watches_the_numbers(void **state)
{
	struct scene scene;

	(void)state;
	set_scene(&scene);
	scene.full.uidnext = 3;
	assert_int_equal(poll(&scene), VERDICT_UID_BELOW);
	clear_scene(&scene);
	set_scene(&scene);
	listing_remove(&scene.full, 3);
	scene.full.uidnext = 3;
	assert_int_equal(poll(&scene), VERDICT_UID_BELOW);
	clear_scene(&scene);
	set_scene(&scene);
	scene.full.highestmodseq = 19;
	assert_int_equal(poll(&scene), VERDICT_MODSEQ_BELOW);
	clear_scene(&scene);
	set_scene(&scene);
	listing_remove(&scene.full, 3);
	scene.full.highestmodseq = 19;
	assert_int_equal(poll(&scene), VERDICT_MODSEQ_BELOW);
	clear_scene(&scene);
	set_scene(&scene);
	scene.full.uidvalidity = 6;
	assert_int_equal(poll(&scene), VERDICT_VALIDITY_MOVED);
	clear_scene(&scene);
	set_scene(&scene);
	listing_add(&scene.full, (struct listed){.uid = 2});
	assert_int_equal(poll(&scene), VERDICT_UID_DISORDER);
	clear_scene(&scene);
}

static void test_listing(void **state)
{
	struct listing a = {0}, b = {0};

	(void)state;
	listing_set(&a, (struct listed){.uid = 5});
	listing_set(&a, (struct listed){.uid = 2});
	listing_set(&a, (struct listed){.uid = 9});
	listing_set(&a, (struct listed){.uid = 5, .flags = 3, .modseq = 1});
	assert_int_equal(a.count, 3);
	assert_true(listing_ascends(&a));
	assert_int_equal(listing_find(&a, 5)->flags, 3);
	assert_null(listing_find(&a, 6));
	listing_copy(&b, &a);
	b.items[0].modseq = 77;
	assert_true(listing_agrees(&a, &b));
	b.items[0].flags = 1;
	assert_false(listing_agrees(&a, &b));
	listing_remove(&b, 2);
	listing_remove(&b, 3);
	assert_int_equal(b.count, 2);
	assert_false(listing_agrees(&a, &b));
	listing_finish(&a);
	listing_finish(&b);
}

static void test_verdict_names(void **state)
{
	(void)state;
	assert_string_equal(verdict_name(VERDICT_UID_REUSED), "UID_REUSED");
	assert_string_equal(verdict_text(VERDICT_UID_REUSED), "one UID named two messages");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail_ledger),
		cmocka_unit_test(test_uid_ledger),
		cmocka_unit_test(test_poller_is_told_all),
		cmocka_unit_test(test_poller_finds_what_it_missed),
		cmocka_unit_test(test_poller_watches_the_numbers),
		cmocka_unit_test(test_listing),
		cmocka_unit_test(test_verdict_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
