/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/date.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The seconds are timegm(3)'s; test_every_day() checks the calendar by counting. */
static const struct {
	const char *text;
	int64_t seconds;
	int zone_minutes;
} dates[] = {
	{"Thu, 1 Jan 1970 00:00:00 +0000", 0, 0},
	{"Wed, 17 Jul 1996 02:44:25 -0700", 837596665, -420},
	{"17 Jul 1996 02:44:25 -0700", 837596665, -420},
	{"Wed, 17 Jul 1996 02:44 -0700", 837596640, -420},
	{"Wed, 17 Jul 96 02:44:25 PDT", 837596665, -420},
	{"Wed (a (nested) day), 17 (seventeenth) Jul 1996\r\n 02 : 44 : 25 -0700 (PDT)", 837596665,
	 -420},
	{"Wednesday, 17-Jul-96 02:44:25 -0700", 837596665, -420},
	{"Wed Jul 17 1996 02:44:25 GMT-0700 (Pacific)", 837596665, -420},
	{"1996-07-17T09:44:25Z", 837596665, 0},
	{"1996-07-17 09:44:25.123 +00:00", 837596665, 0},
	{"17 Jul 1996 09:44:25", 837596665, 0},
	{"17 July 1996 09:44:25 nonsense", 837596665, 0},
	{"17 Jul 1996 09:44:25 A", 837596665, 0},
	{"17 Jul 1996 09.44.25 +0000", 837596665, 0},
	{"1 Jan 00 00:00:00 +0000", 946684800, 0},
	{"1 Jan 49 00:00:00 +0000", 2493072000, 0},
	{"1 Jan 50 00:00:00 +0000", -631152000, 0},
	{"1 Jan 100 00:00:00 +0000", 946684800, 0},
	{"29 Feb 2000 23:59:60 +0000", 951868799, 0},
	{"1 Jan 1970", 0, 0},
	{"1 Jan 1970 00:00:00 +2359", -86340, 1439},
};

static const char *const no_dates[] = {
	"",
	" ",
	"(",
	"Mon",
	"32 Jan 2000 00:00:00 +0000",
	"29 Feb 1900 00:00:00 +0000",
	"1 Foo 2000 00:00:00 +0000",
	"1 Jan 10000 00:00:00 +0000",
	"1 Jan 2000 24:00:00 +0000",
	"1 Jan 2000 00:60:00 +0000",
	"1 Jan 2000 00:00:61 +0000",
	"1 Jan 2000 00 +0000",
	"99999999999999999999 Jan 2000 00:00:00",
	"tomorrow",
	"1 2 3",
	"\x80\xff",
};

static void test_mail_dates(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(dates); i++) {
		struct date date;

		if (date_parse(bytes_string(dates[i].text), &date) != ERR_OK)
			fail_msg("%s: refused", dates[i].text);
		if (date.seconds != dates[i].seconds || date.zone_minutes != dates[i].zone_minutes)
			fail_msg("%s: %lld %d", dates[i].text, (long long)date.seconds,
				 date.zone_minutes);
	}
	for (size_t i = 0; i < COUNT(no_dates); i++) {
		struct date date;

		if (date_parse(bytes_string(no_dates[i]), &date) != ERR_INVALID)
			fail_msg("%s: accepted", no_dates[i]);
	}
}

/* Every day of 800 years, counted one by one against the two conversions. */
static void test_every_day(void **state)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t days = date_days_from_civil(1600, 1, 1);

	(void)state;
	assert_int_equal(date_days_from_civil(1970, 1, 1), 0);
	assert_int_equal(days, -135140);
	for (int year = 1600; year < 2400; year++) {
		for (int month = 1; month <= 12; month++) {
			bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
			int last = month_days[month - 1] + (month == 2 && leap);

			for (int day = 1; day <= last; day++, days++) {
				struct date_civil civil =
					date_civil((struct date){days * 86400 + 3661, 0});

				assert_int_equal(date_days_from_civil(year, month, day), days);
				assert_int_equal(civil.year, year);
				assert_int_equal(civil.month, month);
				assert_int_equal(civil.day, day);
				assert_int_equal(civil.weekday, ((days + 4) % 7 + 7) % 7);
				assert_int_equal(civil.hour, 1);
				assert_int_equal(civil.minute, 1);
				assert_int_equal(civil.second, 1);
			}
		}
	}
}

static void test_imap(void **state)
{
	static const char *const bad[] = {
		"",
		"17-Jul-1996 02:44:25 -070",
		"17-Jul-1996 02:44:25 -07000",
		"17-Jul-1996 02:44:25 0700",
		"7-Jul-1996 02:44:25 -0700",
		"17-Jul-96 02:44:25 -0700",
		"17 Jul 1996 02:44:25 -0700",
		"31-Jun-1996 02:44:25 -0700",
		"17-Jul-1996 02:44:25 -2460",
		"17-Jul-1996 2:44:25 -0700",
	};
	char text[DATE_IMAP_SIZE];
	struct date date;
	int64_t day;

	(void)state;
	assert_int_equal(date_parse_imap(bytes_string("17-Jul-1996 02:44:25 -0700"), &date),
			 ERR_OK);
	assert_true(date.seconds == 837596665 && date.zone_minutes == -420);
	date_format_imap(date, text);
	assert_string_equal(text, "17-Jul-1996 02:44:25 -0700");
	assert_int_equal(date_parse_imap(bytes_string(" 1-feb-2020 00:00:00 +0530"), &date),
			 ERR_OK);
	date_format_imap(date, text);
	assert_string_equal(text, "01-Feb-2020 00:00:00 +0530");
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(date_parse_imap(bytes_string(bad[i]), &date), ERR_INVALID);
	assert_int_equal(date_parse_imap_day(bytes_string("1-Jan-1970"), &day), ERR_OK);
	assert_int_equal(day, 0);
	assert_int_equal(date_parse_imap_day(bytes_string("31-Dec-1969"), &day), ERR_OK);
	assert_int_equal(day, -1);
	assert_int_equal(date_parse_imap_day(bytes_string("1-Jan-70"), &day), ERR_INVALID);
	assert_int_equal(date_parse_imap_day(bytes_string(" 1-Jan-1970"), &day), ERR_INVALID);
}

/* SEARCH compares the day in the message's own zone. */
static void test_day_is_local(void **state)
{
	(void)state;
	assert_int_equal(date_day((struct date){0, -60}), -1);
	assert_int_equal(date_day((struct date){0, 60}), 0);
	assert_int_equal(date_day((struct date){86399, 60}), 1);
	assert_int_equal(date_day((struct date){86399, 0}), 0);
}

static void test_formatting_extremes(void **state)
{
	char imap[DATE_IMAP_SIZE], mail[DATE_RFC5322_SIZE];

	(void)state;
	date_format_imap((struct date){INT64_MIN, INT16_MIN}, imap);
	assert_int_equal(strlen(imap), DATE_IMAP_SIZE - 1);
	assert_memory_equal(imap, "01-Jan-0000 00:00:00", 20);
	date_format_rfc5322((struct date){INT64_MAX, 1439}, mail);
	assert_string_equal(mail, "Fri, 31 Dec 9999 23:59:59 +2359");
	date_format_rfc5322((struct date){837596665, -420}, mail);
	assert_string_equal(mail, "Wed, 17 Jul 1996 02:44:25 -0700");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail_dates),
		cmocka_unit_test(test_every_day),
		cmocka_unit_test(test_imap),
		cmocka_unit_test(test_day_is_local),
		cmocka_unit_test(test_formatting_extremes),
	};

	return cmocka_run_group_tests_name("mail/date", tests, NULL, NULL);
}
