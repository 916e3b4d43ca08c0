/* SPDX-License-Identifier: MPL-2.0 */
/*
 * date - dates as mail writes them, without the C library's time zones.
 *
 * A date is an instant and the zone it was written in: SEARCH SENTON and its
 * kin compare the day in the message's own zone (RFC 9051 section 6.4.4), so
 * the zone must survive. Days are counted from 1970-01-01 in the proleptic
 * Gregorian calendar; years 0 to 9999. Leap seconds (:60) count as :59.
 */
#ifndef AEROSTORE_MAIL_DATE_H
#define AEROSTORE_MAIL_DATE_H

#include "engine/base/bytes.h"

struct date {
	/* Since 1970-01-01 00:00:00 UTC. */
	int64_t seconds;
	/* Minutes east of UTC, -1439..1439. */
	int16_t zone_minutes;
};

struct date_civil {
	/* month 1..12, day 1..31, weekday 0 = Sunday. */
	int year, month, day, hour, minute, second, weekday;
};

/* "17-Jul-1996 02:44:25 -0700" and its terminating NUL. */
#define DATE_IMAP_SIZE 27
/* "Wed, 17 Jul 1996 02:44:25 -0700" and its terminating NUL. */
#define DATE_RFC5322_SIZE 32

int64_t date_days_from_civil(int year, int month, int day);
/* The fields as a clock in the date's own zone shows them. */
struct date_civil date_civil(struct date date);
/* Day number of the date in its own zone: what SEARCH compares. */
int64_t date_day(struct date date);

/*
 * The value of a Date field, with the obsolete syntax of RFC 5322 section 4.3
 * (comments, two-digit years, named and military zones) and what else is seen:
 * missing weekday, seconds or zone (then UTC), "GMT+0200", "2002-1-31",
 * month names in full. ERR_INVALID when no date can be read.
 */
MUST_USE enum err date_parse(struct bytes text, struct date *out);
/* RFC 9051 date-time without its quotes: " 1-Feb-2020 00:00:00 +0000". ERR_INVALID. */
MUST_USE enum err date_parse_imap(struct bytes text, struct date *out);
/* RFC 9051 date without quotes: "1-Feb-2020"; gives the day number. ERR_INVALID. */
MUST_USE enum err date_parse_imap_day(struct bytes text, int64_t *out);
/* Years outside 0..9999 are clamped to the first or last instant that can be written. */
void date_format_imap(struct date date, char out[static DATE_IMAP_SIZE]);
void date_format_rfc5322(struct date date, char out[static DATE_RFC5322_SIZE]);

#endif
