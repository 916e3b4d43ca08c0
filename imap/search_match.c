/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/search.h"

#include "mail/header.h"

/* ---- binding to a view ---- */

static size_t find_keyword(const struct view *view, struct bytes name)
{
	size_t count;
	const char *const *keywords = view_keywords(view, &count);

	for (size_t i = 0; i < count; i++)
		if (bytes_equal_nocase(name, bytes_string(keywords[i])))
			return i;
	return SIZE_MAX;
}

static enum err bind(struct search_key *key, const struct view *view)
{
	uint32_t count = view_count(view);

	for (; key != NULL; key = key->next) {
		enum err err = bind(key->child, view);

		if (err != ERR_OK)
			return err;
		if (key->kind == SEARCH_KEYWORD)
			key->keyword = find_keyword(view, key->name);
		if (key->kind == SEARCH_UIDS)
			imap_set_resolve(&key->set, view_uid(view, count));
		if (key->kind == SEARCH_NUMBERS) {
			imap_set_resolve(&key->set, count);
			if (key->set.ranges[key->set.count - 1].last > count)
				return ERR_INVALID;
		}
	}
	return ERR_OK;
}

enum err search_begin(struct search *search, struct imap_session *session)
{
	search->session = session;
	return bind(search->root, session->view);
}

void search_finish(struct search *search)
{
	for (size_t i = 0; i < search->text_count; i++)
		fold_matcher_destroy(&search->texts[i]->matcher);
	buf_finish(&search->encoded);
	buf_finish(&search->chunk);
	buf_finish(&search->decoded);
	buf_finish(&search->text);
}

/* ---- single criteria ---- */

static enum search_answer answer_of(bool matches)
{
	return matches ? SEARCH_TRUE : SEARCH_FALSE;
}

enum err search_offer(struct search_key *key, struct bytes utf8, bool end)
{
	enum err err = ERR_OK;

	if (key->matcher != NULL) {
		err = fold_matcher_feed(key->matcher, utf8);
		if (err == ERR_OK && end)
			err = fold_matcher_end(key->matcher);
	}
	if (err == ERR_OK && (key->matcher == NULL || fold_matcher_found(key->matcher)))
		key->answer = SEARCH_TRUE;
	return err;
}

/* From the kept fields, when the one looked for is among them. */
static enum err answer_header(struct search *search, struct search_key *key)
{
	struct bytes fields = search->summary->fields;
	struct header_field field;
	enum err err = ERR_OK;

	while (err == ERR_OK && key->answer != SEARCH_TRUE && header_next(&fields, &field)) {
		if (!bytes_equal_nocase(field.name, key->name))
			continue;
		buf_clear(&search->text);
		header_decode(field.value, &search->text);
		err = search->text.err;
		if (err == ERR_OK)
			err = search_offer(key, bytes_of_buf(&search->text), true);
	}
	if (key->answer == SEARCH_UNKNOWN && summary_keeps_field(key->name) &&
	    (search->summary->flags & SUMMARY_FIELDS_CUT) == 0)
		key->answer = SEARCH_FALSE;
	return err;
}

/* The texts of the message before are forgotten, those of this one's summary answered. */
static enum err answer_texts(struct search *search)
{
	for (size_t i = 0; i < search->text_count; i++) {
		struct search_key *key = search->texts[i];
		enum err err;

		key->answer = SEARCH_UNKNOWN;
		if (key->matcher != NULL)
			fold_matcher_reset(key->matcher);
		err = key->kind == SEARCH_HEADER ? answer_header(search, key) : ERR_OK;
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

static enum search_answer answer_day(const struct search_key *key, struct date date)
{
	int64_t day = date_day(date);

	return answer_of(day >= key->first_day && day <= key->last_day);
}

static enum search_answer evaluate_one(struct search *search, struct search_key *key)
{
	const struct message *message = &search->message;

	switch (key->kind) {
	case SEARCH_ALL:
		return SEARCH_TRUE;
	case SEARCH_NUMBERS:
		return answer_of(imap_set_contains(&key->set, search->sequence));
	case SEARCH_UIDS:
		return answer_of(imap_set_contains(&key->set, message->uid));
	case SEARCH_FLAG:
		return answer_of((message->flags.system & key->flag) != 0);
	case SEARCH_RECENT:
		return answer_of(message->recent);
	case SEARCH_KEYWORD:
		return answer_of(
			key->keyword < KEYWORD_MAX &&
			(message->flags.keywords[key->keyword / 64] >> key->keyword % 64 & 1) != 0);
	case SEARCH_ARRIVAL:
		return answer_day(key,
				  (struct date){.seconds = (int64_t)(message->arrival_ms / 1000),
						.zone_minutes = message->arrival_zone_minutes});
	case SEARCH_LARGER:
		return answer_of(message->size > key->size);
	case SEARCH_SMALLER:
		return answer_of(message->size < key->size);
	case SEARCH_SENT:
		if (search->summary == NULL)
			return SEARCH_UNKNOWN;
		/* Without a date that can be read it was sent at no time. */
		return search->summary->has_sent ? answer_day(key, search->summary->sent)
						 : SEARCH_FALSE;
	case SEARCH_HEADER:
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return search->summary == NULL ? SEARCH_UNKNOWN : key->answer;
	case SEARCH_AND:
	case SEARCH_OR:
	case SEARCH_NOT:
		break;
	}
	return SEARCH_UNKNOWN;
}

/* AND is decided by one that is false, OR by one that is true. */
static enum search_answer evaluate_many(struct search *search, struct search_key *first,
					enum search_answer decisive)
{
	enum search_answer answer = decisive == SEARCH_TRUE ? SEARCH_FALSE : SEARCH_TRUE;

	for (struct search_key *key = first; key != NULL; key = key->next) {
		enum search_answer one = search_evaluate(search, key);

		if (one == decisive)
			return decisive;
		if (one == SEARCH_UNKNOWN)
			answer = SEARCH_UNKNOWN;
	}
	return answer;
}

enum search_answer search_evaluate(struct search *search, struct search_key *key)
{
	enum search_answer child;

	switch ((unsigned)key->kind) {
	case SEARCH_AND:
		return evaluate_many(search, key->child, SEARCH_FALSE);
	case SEARCH_OR:
		return evaluate_many(search, key->child, SEARCH_TRUE);
	case SEARCH_NOT:
		child = search_evaluate(search, key->child);
		return child == SEARCH_UNKNOWN ? SEARCH_UNKNOWN : answer_of(child == SEARCH_FALSE);
	default:
		return evaluate_one(search, key);
	}
}

/* ---- one message ---- */

/* Asks the summary, then the blob. */
static enum err search_deeper(struct search *search, enum search_answer *answer)
{
	struct summary summary;
	enum err err;

	buf_clear(&search->encoded);
	err = view_summary(search->session->view, search->sequence, &search->encoded);
	if (err == ERR_OK)
		err = search->encoded.err;
	if (err == ERR_OK)
		err = summary_decode(bytes_of_buf(&search->encoded), &summary);
	if (err != ERR_OK)
		return err;
	search->summary = &summary;
	err = answer_texts(search);
	if (err == ERR_OK && search_evaluate(search, search->root) == SEARCH_UNKNOWN)
		err = search_blob(search);
	*answer = search_evaluate(search, search->root);
	search->summary = NULL;
	summary_finish(&summary);
	return err;
}

enum err search_message(struct search *search, uint32_t sequence, bool *matches)
{
	enum search_answer answer;
	enum err err;

	search->sequence = sequence;
	err = view_message(search->session->view, sequence, &search->message);
	if (err != ERR_OK)
		return err;
	answer = search_evaluate(search, search->root);
	if (answer == SEARCH_UNKNOWN)
		err = search_deeper(search, &answer);
	*matches = err == ERR_OK && answer == SEARCH_TRUE;
	return err;
}
