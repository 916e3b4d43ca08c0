/* SPDX-License-Identifier: MPL-2.0 */
/*
 * ASCII is folded octet by octet; only what stands between ASCII goes through
 * libunistring. That is exact: an ASCII character is a starter that folds and
 * decomposes to one starter, so nothing is ever reordered across it. In a stream
 * a long run without ASCII is cut before another starter, which is as exact.
 */
#include "mail/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>
#include <unictype.h>
#include <unistr.h>

#include "engine/base/memory.h"

/* A folded needle may be longer than the needle: one character can become 18. */
#define FOLDED_MAX 65536
/* A run without ASCII is looked at for a place to cut from this size on. */
#define RUN_CUT 512
/* A run with no starter in so many octets is cut all the same, to bound memory. */
#define RUN_MAX 4096

struct fold_matcher {
	struct buf needle;
	/* Of each prefix of the needle: its longest proper suffix that is a prefix too (KMP). */
	uint32_t *borders;
	size_t matched;
	bool found;
	/* Octets that wait for the end of their run; a scratch for folded text. */
	struct buf run, folded;
};

static uint8_t lower(uint8_t octet)
{
	return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet | 0x20) : octet;
}

/* Appends the folded form of valid UTF-8, as one piece. */
static enum err fold_piece(struct bytes text, struct buf *out)
{
	uint8_t room[1024];
	size_t size = sizeof(room);
	uint8_t *folded = u8_casefold(text.data, text.size, NULL, UNINORM_NFKD, room, &size);

	if (folded == NULL)
		return errno == ENOMEM ? ERR_NOMEM : ERR_INVALID;
	buf_put(out, folded, size);
	if (folded != room)
		free(folded);
	return out->err;
}

static size_t run_size(struct bytes text, bool ascii)
{
	size_t i = 0;

	while (i < text.size && (text.data[i] < 0x80) == ascii)
		i++;
	return i;
}

enum err fold_text(struct bytes utf8, struct buf *out)
{
	enum err err = ERR_OK;

	while (utf8.size != 0 && err == ERR_OK) {
		size_t size = run_size(utf8, true);

		for (size_t i = 0; i < size; i++)
			buf_put_u8(out, lower(utf8.data[i]));
		utf8 = bytes_slice(utf8, size, utf8.size - size);
		size = run_size(utf8, false);
		if (size != 0 && u8_check(utf8.data, size) != NULL)
			return ERR_INVALID;
		err = size != 0 ? fold_piece(bytes_slice(utf8, 0, size), out) : out->err;
		utf8 = bytes_slice(utf8, size, utf8.size - size);
	}
	return err;
}

static void find_borders(struct bytes needle, uint32_t *borders)
{
	uint32_t border = 0;

	for (size_t i = 1; i < needle.size; i++) {
		while (border != 0 && needle.data[i] != needle.data[border])
			border = borders[border - 1];
		if (needle.data[i] == needle.data[border])
			border++;
		borders[i] = border;
	}
}

enum err fold_matcher_create(struct bytes needle, struct fold_matcher **out)
{
	struct fold_matcher *matcher;
	enum err err;

	if (needle.size > FOLD_NEEDLE_MAX)
		return ERR_LIMIT;
	matcher = memory_allocate(sizeof(*matcher));
	if (matcher == NULL)
		return ERR_NOMEM;
	err = fold_text(needle, &matcher->needle);
	if (err == ERR_OK && matcher->needle.size > FOLDED_MAX)
		err = ERR_LIMIT;
	if (err != ERR_OK)
		goto out;
	matcher->borders = memory_array(matcher->needle.size, sizeof(*matcher->borders));
	if (matcher->borders == NULL) {
		err = ERR_NOMEM;
		goto out;
	}
	find_borders(bytes_of_buf(&matcher->needle), matcher->borders);
	fold_matcher_reset(matcher);
	*out = matcher;
out:
	if (err != ERR_OK)
		fold_matcher_destroy(&matcher);
	return err;
}

void fold_matcher_destroy(struct fold_matcher **matcher)
{
	if (*matcher == NULL)
		return;
	memory_free((*matcher)->borders);
	buf_finish(&(*matcher)->needle);
	buf_finish(&(*matcher)->run);
	buf_finish(&(*matcher)->folded);
	memory_free(*matcher);
	*matcher = NULL;
}

static void match_octet(struct fold_matcher *matcher, uint8_t octet)
{
	const uint8_t *needle = matcher->needle.data;

	while (matcher->matched != 0 && needle[matcher->matched] != octet)
		matcher->matched = matcher->borders[matcher->matched - 1];
	if (needle[matcher->matched] == octet)
		matcher->matched++;
	if (matcher->matched == matcher->needle.size) {
		matcher->found = true;
		matcher->matched = 0;
	}
}

/* ASCII, not folded yet. Where nothing has matched, most octets are not the needle's first. */
static void match_ascii(struct fold_matcher *matcher, struct bytes text)
{
	uint8_t first = matcher->needle.data[0];

	for (size_t i = 0; i < text.size && !matcher->found; i++) {
		uint8_t octet = lower(text.data[i]);

		if (matcher->matched != 0 || octet == first)
			match_octet(matcher, octet);
	}
}

/* Folds and matches the first `size` octets of the run. */
static enum err match_run(struct fold_matcher *matcher, size_t size)
{
	struct bytes text = bytes_make(matcher->run.data, size);
	enum err err = ERR_OK;

	buf_clear(&matcher->folded);
	while (text.size != 0 && err == ERR_OK) {
		const uint8_t *bad = u8_check(text.data, text.size);
		size_t good = bad == NULL ? text.size : (size_t)(bad - text.data);

		if (good != 0)
			err = fold_piece(bytes_slice(text, 0, good), &matcher->folded);
		/* 0xff is in no needle, for those are valid UTF-8. */
		if (bad != NULL)
			buf_put_u8(&matcher->folded, 0xff);
		text = bytes_slice(text, good + (bad != NULL), text.size);
	}
	if (err == ERR_OK)
		err = matcher->folded.err;
	for (size_t i = 0; err == ERR_OK && i < matcher->folded.size && !matcher->found; i++)
		match_octet(matcher, matcher->folded.data[i]);
	buf_drop_front(&matcher->run, size);
	return err;
}

/*
 * Whether text may be cut before this character: it and what it decomposes to
 * begin with a starter. (The three Tibetan vowel signs are starters that do not.)
 */
static bool is_cut(ucs4_t character)
{
	return uc_combining_class(character) == 0 && character != 0x0f73 && character != 0x0f75 &&
	       character != 0x0f81;
}

/* The size of the run up to its last cut; 0 when it has none. */
static size_t last_cut(struct bytes run)
{
	for (size_t i = run.size; i-- > 1;) {
		ucs4_t character;

		if ((run.data[i] & 0xc0) == 0x80)
			continue;
		if (u8_mbtoucr(&character, run.data + i, run.size - i) > 0 && is_cut(character))
			return i;
	}
	return 0;
}

static enum err feed_run(struct fold_matcher *matcher, struct bytes text)
{
	enum err err = ERR_OK;

	while (text.size != 0 && err == ERR_OK) {
		size_t room = RUN_MAX - matcher->run.size;
		size_t size = text.size < room ? text.size : room;

		buf_put(&matcher->run, text.data, size);
		if (matcher->run.err != ERR_OK)
			return matcher->run.err;
		text = bytes_slice(text, size, text.size);
		if (matcher->run.size >= RUN_CUT) {
			size_t cut = last_cut(bytes_of_buf(&matcher->run));

			if (cut == 0 && matcher->run.size == RUN_MAX)
				cut = RUN_MAX;
			err = match_run(matcher, cut);
		}
	}
	return err;
}

enum err fold_matcher_feed(struct fold_matcher *matcher, struct bytes utf8)
{
	enum err err = ERR_OK;

	while (utf8.size != 0 && !matcher->found && err == ERR_OK) {
		size_t size = run_size(utf8, true);

		if (size != 0) {
			err = match_run(matcher, matcher->run.size);
			if (err != ERR_OK)
				break;
			match_ascii(matcher, bytes_slice(utf8, 0, size));
		}
		utf8 = bytes_slice(utf8, size, utf8.size);
		size = run_size(utf8, false);
		err = feed_run(matcher, bytes_slice(utf8, 0, size));
		utf8 = bytes_slice(utf8, size, utf8.size);
	}
	return err;
}

enum err fold_matcher_end(struct fold_matcher *matcher)
{
	enum err err = ERR_OK;

	if (!matcher->found)
		err = match_run(matcher, matcher->run.size);
	matcher->run.size = 0;
	matcher->matched = 0;
	return err;
}

bool fold_matcher_found(const struct fold_matcher *matcher)
{
	return matcher->found;
}

void fold_matcher_reset(struct fold_matcher *matcher)
{
	buf_clear(&matcher->run);
	matcher->matched = 0;
	matcher->found = matcher->needle.size == 0;
}
