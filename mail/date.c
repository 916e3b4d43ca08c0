/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/date.h"

#include <stdio.h>
#include <string.h>

#define DAY_SECONDS 86400

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char weekday_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

static int64_t floor_div(int64_t value, int64_t divisor)
{
	return value / divisor - (value % divisor < 0);
}

/* Howard Hinnant, chrono-Compatible Low-Level Date Algorithms: years start in March. */
int64_t date_days_from_civil(int year, int month, int day)
{
	int64_t shifted = (int64_t)year - (month <= 2);
	int64_t era = floor_div(shifted, 400);
	int64_t year_of_era = shifted - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, struct date_civil *out)
{
	int64_t shifted = days + 719468;
	int64_t era = floor_div(shifted, 146097);
	int64_t day_of_era = shifted - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153;

	out->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	out->month = (int)(month < 10 ? month + 3 : month - 9);
	out->year = (int)(year_of_era + era * 400 + (out->month <= 2));
	/* 1970-01-01 was a Thursday. */
	out->weekday = (int)((days % 7 + 7 + 4) % 7);
}

static int64_t local_seconds(struct date date)
{
	/* Years 0 to 9999, so that a clock from a damaged source can be shown too. */
	static const int64_t first = -62167219200, last = 253402300799;
	int64_t seconds = date.seconds < first ? first : date.seconds > last ? last : date.seconds;

	seconds += (int64_t)date.zone_minutes * 60;
	return seconds < first ? first : seconds > last ? last : seconds;
}

struct date_civil date_civil(struct date date)
{
	int64_t seconds = local_seconds(date);
	int64_t days = floor_div(seconds, DAY_SECONDS);
	int rest = (int)(seconds - days * DAY_SECONDS);
	struct date_civil civil = {
		.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60};

	civil_from_days(days, &civil);
	return civil;
}

int64_t date_day(struct date date)
{
	return floor_div(local_seconds(date), DAY_SECONDS);
}

static bool is_digit(uint8_t octet)
{
	return octet >= '0' && octet <= '9';
}

static bool is_letter(uint8_t octet)
{
	return (octet | 0x20) >= 'a' && (octet | 0x20) <= 'z';
}

static int month_days(int year, int month)
{
	static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* The instant of a clock reading; false when there is no such day or time. */
static bool instant(const struct date_civil *civil, int zone_minutes, struct date *out)
{
	int second = civil->second == 60 ? 59 : civil->second;
	int64_t days;

	if (civil->year < 0 || civil->year > 9999 || civil->month < 1 || civil->month > 12 ||
	    civil->day < 1 || civil->day > month_days(civil->year, civil->month) ||
	    civil->hour > 23 || civil->minute > 59 || second > 59)
		return false;
	days = date_days_from_civil(civil->year, civil->month, civil->day);
	*out = (struct date){
		days * DAY_SECONDS + civil->hour * 3600 + civil->minute * 60 + second -
			(int64_t)zone_minutes * 60,
		(int16_t)zone_minutes,
	};
	return true;
}

/* The month whose name the word starts with, 0 when none. */
static int month_of(struct bytes word)
{
	for (int i = 0; i < 12; i++)
		if (bytes_equal_nocase(bytes_slice(word, 0, 3), bytes_string(month_names[i])))
			return i + 1;
	return 0;
}

/* "+hhmm" in four digits; false when out of range. */
static bool zone_of_digits(struct bytes digits, bool west, int *out)
{
	int hours, minutes;

	if (digits.size != 4)
		return false;
	for (size_t i = 0; i < 4; i++)
		if (!is_digit(digits.data[i]))
			return false;
	hours = (digits.data[0] - '0') * 10 + digits.data[1] - '0';
	minutes = (digits.data[2] - '0') * 10 + digits.data[3] - '0';
	if (hours > 23 || minutes > 59)
		return false;
	*out = (west ? -1 : 1) * (hours * 60 + minutes);
	return true;
}

/* Named zones of RFC 5322 section 4.3 and a few often seen; the military ones say nothing. */
static bool zone_of_name(struct bytes word, int *out)
{
	static const struct {
		const char *name;
		int minutes;
	} zones[] = {
		{"UT", 0},     {"GMT", 0},    {"UTC", 0},    {"Z", 0},	    {"EST", -300},
		{"EDT", -240}, {"CST", -360}, {"CDT", -300}, {"MST", -420}, {"MDT", -360},
		{"PST", -480}, {"PDT", -420}, {"BST", 60},   {"WEST", 60},  {"CET", 60},
		{"MET", 60},   {"CEST", 120}, {"MEST", 120}, {"EET", 120},  {"EEST", 180},
		{"MSK", 180},  {"JST", 540},  {"AEST", 600},
	};

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		if (bytes_equal_nocase(word, bytes_string(zones[i].name))) {
			*out = zones[i].minutes;
			return true;
		}
	}
	return false;
}

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_MARK };

struct token {
	enum token_kind kind;
	struct bytes text;
	/* Of TOKEN_NUMBER. */
	int number;
	/* Of TOKEN_MARK. */
	uint8_t mark;
};

static void skip_comment(struct bytes *text)
{
	size_t depth = 0, i = 0;

	do {
		uint8_t octet = text->data[i];

		if (octet == '\\')
			i++;
		else if (octet == '(')
			depth++;
		else if (octet == ')')
			depth--;
		i++;
	} while (depth != 0 && i < text->size);
	*text = bytes_slice(*text, i, text->size);
}

static struct token next_token(struct bytes *text)
{
	struct token token = {TOKEN_END, {NULL, 0}, 0, 0};
	size_t size = 0;

	while (text->size != 0) {
		if (text->data[0] == '(')
			skip_comment(text);
		else if (text->data[0] <= ' ' || text->data[0] == ',')
			*text = bytes_slice(*text, 1, text->size);
		else
			break;
	}
	if (text->size == 0)
		return token;
	if (is_digit(text->data[0])) {
		token.kind = TOKEN_NUMBER;
		for (; size < text->size && is_digit(text->data[size]); size++)
			if (token.number < 100000)
				token.number = token.number * 10 + text->data[size] - '0';
	} else if (is_letter(text->data[0])) {
		token.kind = TOKEN_WORD;
		while (size < text->size && is_letter(text->data[size]))
			size++;
	} else {
		token.kind = TOKEN_MARK;
		token.mark = text->data[0];
		size = 1;
	}
	token.text = bytes_slice(*text, 0, size);
	*text = bytes_slice(*text, size, text->size);
	return token;
}

static int full_year(struct token token)
{
	if (token.text.size >= 4)
		return token.number;
	/* RFC 5322 section 4.3 */
	if (token.text.size == 2 && token.number < 50)
		return 2000 + token.number;
	return 1900 + token.number;
}

/* hh:mm[:ss[.fraction]]; `token` is the hour already read and becomes what follows the time. */
static bool parse_time(struct bytes *text, struct token *token, struct date_civil *civil)
{
	int *const fields[] = {&civil->hour, &civil->minute, &civil->second};

	for (int i = 0; i < 3; i++) {
		if (token->kind != TOKEN_NUMBER || token->text.size > 2)
			return false;
		*fields[i] = token->number;
		*token = next_token(text);
		if (token->kind != TOKEN_MARK || (token->mark != ':' && token->mark != '.'))
			return i >= 1;
		if (i < 2 || token->mark == '.')
			*token = next_token(text);
	}
	if (token->kind == TOKEN_NUMBER)
		*token = next_token(text);
	return true;
}

/* A zone, or nothing that can be read as one: UTC. "GMT+0200" counts by its digits. */
static int parse_zone(struct bytes *text, struct token token)
{
	int minutes = 0;

	if (token.kind == TOKEN_WORD) {
		bool am = bytes_equal_nocase(token.text, bytes_string("am"));

		if (!am && zone_of_name(token.text, &minutes) && minutes != 0)
			return minutes;
		token = next_token(text);
	}
	if (token.kind == TOKEN_MARK && (token.mark == '+' || token.mark == '-')) {
		bool west = token.mark == '-';
		struct bytes rest = *text;
		struct token hours = next_token(text);

		if (hours.kind == TOKEN_NUMBER && hours.text.size == 2 && rest.size > 5 - 1 &&
		    rest.data[2] == ':') {
			uint8_t digits[4] = {rest.data[0], rest.data[1], rest.data[3],
					     rest.data[4]};

			if (zone_of_digits(bytes_make(digits, 4), west, &minutes))
				return minutes;
		} else if (hours.kind == TOKEN_NUMBER &&
			   zone_of_digits(hours.text, west, &minutes)) {
			return minutes;
		}
	}
	return 0;
}

/* day month year, month day year, or year-month-day; separated by blanks or "-" or "/". */
static bool parse_day(struct bytes *text, struct token *token, struct date_civil *civil)
{
	struct token parts[3];

	for (int i = 0; i < 3; i++) {
		while (token->kind == TOKEN_MARK &&
		       (token->mark == '-' || token->mark == '/' || token->mark == '.'))
			*token = next_token(text);
		parts[i] = *token;
		*token = next_token(text);
	}
	if (parts[0].kind == TOKEN_NUMBER && parts[1].kind == TOKEN_WORD &&
	    parts[2].kind == TOKEN_NUMBER) {
		civil->day = parts[0].number;
		civil->month = month_of(parts[1].text);
		civil->year = full_year(parts[2]);
	} else if (parts[0].kind == TOKEN_WORD && parts[1].kind == TOKEN_NUMBER &&
		   parts[2].kind == TOKEN_NUMBER && parts[2].text.size == 4) {
		civil->month = month_of(parts[0].text);
		civil->day = parts[1].number;
		civil->year = parts[2].number;
	} else if (parts[0].kind == TOKEN_NUMBER && parts[0].text.size == 4 &&
		   parts[1].kind == TOKEN_NUMBER && parts[2].kind == TOKEN_NUMBER) {
		civil->year = parts[0].number;
		civil->month = parts[1].number;
		civil->day = parts[2].number;
	} else {
		return false;
	}
	return true;
}

enum err date_parse(struct bytes text, struct date *out)
{
	struct date_civil civil = {0};
	struct token token = next_token(&text);
	int zone = 0;

	/* A weekday, in whatever language: any word that is no month. */
	if (token.kind == TOKEN_WORD && month_of(token.text) == 0) {
		token = next_token(&text);
		if (token.kind == TOKEN_MARK && token.mark == '.')
			token = next_token(&text);
	}
	if (!parse_day(&text, &token, &civil))
		return ERR_INVALID;
	/* ISO 8601 puts a T between. */
	if (token.kind == TOKEN_WORD && token.text.size == 1 && (token.text.data[0] | 0x20) == 't')
		token = next_token(&text);
	if (token.kind == TOKEN_NUMBER) {
		if (!parse_time(&text, &token, &civil))
			return ERR_INVALID;
		zone = parse_zone(&text, token);
	}
	return instant(&civil, zone, out) ? ERR_OK : ERR_INVALID;
}

/* Exactly `count` digits. */
static int fixed_digits(struct cursor *cursor, size_t count)
{
	struct bytes digits = cursor_take(cursor, count);
	int value = 0;

	for (size_t i = 0; i < digits.size; i++) {
		if (!is_digit(digits.data[i]))
			cursor_fail(cursor);
		value = value * 10 + (digits.data[i] - '0');
	}
	return value;
}

static void fixed_mark(struct cursor *cursor, char mark)
{
	if (cursor_u8(cursor) != (uint8_t)mark)
		cursor_fail(cursor);
}

/* dd-Mon-yyyy; `day_size` digits, or a space and a digit when `padded`. */
static void fixed_day(struct cursor *cursor, size_t day_size, bool padded, struct date_civil *civil)
{
	struct bytes month;

	if (padded && cursor->size != 0 && cursor->data[0] == ' ') {
		fixed_mark(cursor, ' ');
		day_size = 1;
	}
	civil->day = fixed_digits(cursor, day_size);
	fixed_mark(cursor, '-');
	month = cursor_take(cursor, 3);
	civil->month = month.size == 3 ? month_of(month) : 0;
	fixed_mark(cursor, '-');
	civil->year = fixed_digits(cursor, 4);
}

enum err date_parse_imap(struct bytes text, struct date *out)
{
	struct cursor cursor = cursor_make(text);
	struct date_civil civil = {0};
	int zone = 0;
	uint8_t sign;

	fixed_day(&cursor, 2, true, &civil);
	fixed_mark(&cursor, ' ');
	civil.hour = fixed_digits(&cursor, 2);
	fixed_mark(&cursor, ':');
	civil.minute = fixed_digits(&cursor, 2);
	fixed_mark(&cursor, ':');
	civil.second = fixed_digits(&cursor, 2);
	fixed_mark(&cursor, ' ');
	sign = cursor_u8(&cursor);
	if (sign != '+' && sign != '-')
		cursor_fail(&cursor);
	if (!zone_of_digits(cursor_take(&cursor, 4), sign == '-', &zone))
		cursor_fail(&cursor);
	if (cursor_end(&cursor) != ERR_OK || !instant(&civil, zone, out))
		return ERR_INVALID;
	return ERR_OK;
}

enum err date_parse_imap_day(struct bytes text, int64_t *out)
{
	struct cursor cursor = cursor_make(text);
	struct date_civil civil = {0};
	struct date date;

	fixed_day(&cursor, text.size >= 2 && text.data[1] == '-' ? 1 : 2, false, &civil);
	if (cursor_end(&cursor) != ERR_OK || !instant(&civil, 0, &date))
		return ERR_INVALID;
	*out = date_day(date);
	return ERR_OK;
}

static void format(struct date date, bool imap, char *out, size_t size)
{
	struct date_civil civil = date_civil(date);
	int zone = date.zone_minutes < 0 ? -date.zone_minutes : date.zone_minutes;
	char sign = date.zone_minutes < 0 ? '-' : '+';
	int zone_digits = zone / 60 % 100 * 100 + zone % 60;

	if (imap)
		snprintf(out, size, "%02d-%s-%04d %02d:%02d:%02d %c%04d", civil.day,
			 month_names[civil.month - 1], civil.year, civil.hour, civil.minute,
			 civil.second, sign, zone_digits);
	else
		snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d %c%04d",
			 weekday_names[civil.weekday], civil.day, month_names[civil.month - 1],
			 civil.year, civil.hour, civil.minute, civil.second, sign, zone_digits);
}

void date_format_imap(struct date date, char out[static DATE_IMAP_SIZE])
{
	format(date, true, out, DATE_IMAP_SIZE);
}

void date_format_rfc5322(struct date date, char out[static DATE_RFC5322_SIZE])
{
	format(date, false, out, DATE_RFC5322_SIZE);
}
