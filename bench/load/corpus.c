/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/load/corpus.h"

#include "engine/base/assert.h"

#define KB 1000u
#define MB (1000u * KB)

/* splitmix64: any peer, any machine, the same mails. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Some 4000 words, the square of a uniform number makes the low ones frequent. */
static void put_word(struct buf *out, uint64_t *state)
{
	static const char *const SYLLABLES[] = {"ta",  "re",  "ni", "so",  "mel", "kar",
						"du",  "lin", "vo", "pes", "chi", "ga",
						"tor", "en",  "ba", "qui"};
	uint64_t uniform = draw(state) % 4096;
	uint64_t word = uniform * uniform / 4096;

	buf_put_string(out, SYLLABLES[word % 16]);
	for (word /= 16; word != 0; word /= 16)
		buf_put_string(out, SYLLABLES[word % 16]);
}

static void put_text(struct buf *out, uint64_t *state, size_t size, const char *line_end)
{
	size_t end = out->size + size, line = out->size;

	while (out->size < end) {
		put_word(out, state);
		if (out->size - line > 66) {
			buf_put_string(out, line_end);
			line = out->size;
		} else {
			buf_put_u8(out, ' ');
		}
	}
	buf_put_string(out, "\r\n");
}

static void put_base64(struct buf *out, uint64_t *state, size_t size)
{
	static const char DIGITS[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const size_t line_size = 76;

	for (size_t done = 0; done < size; done += line_size + 2) {
		uint8_t *line = buf_extend(out, line_size);
		uint64_t bits = 0;

		ASSERT(line != NULL);
		for (size_t i = 0; i < line_size; i++, bits >>= 6) {
			if (i % 10 == 0)
				bits = draw(state);
			line[i] = (uint8_t)DIGITS[bits & 63];
		}
		buf_put_string(out, "\r\n");
	}
}

static void put_header(struct buf *out, uint64_t *state, const char *content_type)
{
	for (unsigned hop = 0; hop < 3; hop++)
		buf_printf(
			out,
			"Received: from relay%u.example.net (relay%u.example.net [192.0.2.%u])\r\n"
			"\tby mx%u.example.org with ESMTPS id %016llx\r\n"
			"\tfor <user@example.org>; Mon, 2 Mar 2026 10:%02u:07 +0100\r\n",
			hop, hop, hop + 7, hop, (unsigned long long)draw(state), 10 + hop);
	buf_put_string(out, "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=k1;\r\n\tb=");
	put_base64(out, state, 300);
	out->size -= 2;
	buf_put_string(out, "\r\nFrom: \"");
	put_word(out, state);
	buf_printf(out, "\" <sender%u@example.net>\r\nTo: \"", (unsigned)(draw(state) % 500));
	put_word(out, state);
	buf_put_string(out, "\" <user@example.org>\r\nSubject: ");
	for (unsigned word = 0; word < 6; word++) {
		put_word(out, state);
		buf_put_u8(out, ' ');
	}
	buf_printf(out,
		   "\r\nDate: Mon, 2 Mar 2026 10:%02u:%02u +0100\r\nMIME-Version: 1.0\r\n"
		   "Content-Type: %s; boundary=\"=_part\"\r\n\r\n",
		   (unsigned)(draw(state) % 60), (unsigned)(draw(state) % 60), content_type);
}

static void put_part(struct buf *out, const char *type)
{
	buf_printf(out, "--=_part\r\nContent-Type: %s\r\n\r\n", type);
}

static void make_mail(struct buf *out, uint64_t seed, size_t size)
{
	uint64_t state = seed;
	bool attachment = size > 20 * KB;
	size_t text = attachment ? 4 * KB : (size - 2 * KB) / 3;

	put_header(out, &state, attachment ? "multipart/mixed" : "multipart/alternative");
	put_part(out, "text/plain; charset=utf-8");
	put_text(out, &state, text, "\r\n");
	if (attachment) {
		put_part(out, "application/pdf; name=\"report.pdf\"\r\n"
			      "Content-Disposition: attachment; filename=\"report.pdf\"\r\n"
			      "Content-Transfer-Encoding: base64");
		put_base64(out, &state, size - out->size);
	} else {
		put_part(out, "text/html; charset=utf-8");
		put_text(out, &state, size - out->size, "</p>\r\n<p class=\"body\">");
	}
	buf_put_string(out, "--=_part--\r\n");
	ASSERT(out->err == ERR_OK);
}

/* Evenly spread over [low, high), in an order without a trend. */
static size_t spread(uint64_t number, size_t low, size_t high)
{
	return low + (high - low) * (number * 89 % CORPUS_COUNT) / CORPUS_COUNT;
}

static size_t mail_size(enum corpus_mix mix, uint64_t number)
{
	if (mix == CORPUS_REAL && number % 20 == 10)
		return spread(number / 20 * 20, 1 * MB, 5 * MB);
	if (mix == CORPUS_REAL && number % 4 == 1)
		return spread(number, 50 * KB, 200 * KB);
	return spread(number, 5 * KB, 20 * KB);
}

void corpus_make(struct corpus *corpus, enum corpus_mix mix)
{
	*corpus = (struct corpus){0};
	for (uint64_t number = 0; number < CORPUS_COUNT; number++)
		make_mail(&corpus->mails[number], number + 1, mail_size(mix, number));
}

void corpus_finish(struct corpus *corpus)
{
	for (size_t i = 0; i < CORPUS_COUNT; i++)
		buf_finish(&corpus->mails[i]);
}

struct bytes corpus_mail(const struct corpus *corpus, uint64_t number)
{
	return bytes_of_buf(&corpus->mails[number % CORPUS_COUNT]);
}
