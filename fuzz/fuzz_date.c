/* SPDX-License-Identifier: MPL-2.0 */
/* Dates of all three forms: what was read can be written and read again. */
#include "fuzz/fuzz.h"
#include "mail/date.h"

static void check(struct date date)
{
	char imap[DATE_IMAP_SIZE], rfc5322[DATE_RFC5322_SIZE];
	struct date_civil civil = date_civil(date);
	struct date again;
	int64_t day;

	ASSERT(date.zone_minutes > -1440 && date.zone_minutes < 1440);
	ASSERT(civil.month >= 1 && civil.month <= 12 && civil.day >= 1 && civil.day <= 31);
	ASSERT(civil.hour >= 0 && civil.hour < 24 && civil.minute >= 0 && civil.minute < 60);
	ASSERT(civil.second >= 0 && civil.second < 60 && civil.weekday >= 0 && civil.weekday < 7);
	ASSERT(date_days_from_civil(civil.year, civil.month, civil.day) == date_day(date));
	date_format_imap(date, imap);
	date_format_rfc5322(date, rfc5322);
	ASSERT(strlen(imap) == DATE_IMAP_SIZE - 1 && strlen(rfc5322) == DATE_RFC5322_SIZE - 1);
	if (civil.year < 0 || civil.year > 9999)
		return;
	ASSERT(date_parse_imap(bytes_string(imap), &again) == ERR_OK);
	ASSERT(again.seconds == date.seconds && again.zone_minutes == date.zone_minutes);
	ASSERT(date_parse_imap_day(bytes_slice(bytes_string(imap), imap[0] == ' ' ? 1 : 0,
					       imap[0] == ' ' ? 10 : 11),
				   &day) == ERR_OK);
	ASSERT(day == date_day(date));
	ASSERT(date_parse(bytes_string(rfc5322), &again) == ERR_OK);
	ASSERT(again.seconds == date.seconds && again.zone_minutes == date.zone_minutes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_make(data, size);
	struct date date;
	int64_t day;

	if (date_parse(text, &date) == ERR_OK)
		check(date);
	if (date_parse_imap(text, &date) == ERR_OK)
		check(date);
	if (date_parse_imap_day(text, &day) == ERR_OK)
		check((struct date){day * 86400, 0});
	return 0;
}
