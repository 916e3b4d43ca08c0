/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/set/column_check.h"
#include "engine/set/stripe.h"
#include "engine/volume/log.h"

struct comparison {
	const struct set_check_options *options;
	uint8_t *columns[PROFILE_MEMBER_MAX];
	uint8_t *computed;
	uint32_t readable; /* in this window */
	size_t size;
};

/*
 * Computes every column of `all` from the first k of `trusted`: those that come out otherwise than
 * they were read.
 */
static enum err find_different(struct comparison *comparison, uint32_t all, uint32_t trusted,
			       uint32_t *different)
{
	const struct profile profile = comparison->options->profile;
	uint8_t from[PROFILE_MEMBER_MAX];
	const uint8_t *source[PROFILE_MEMBER_MAX];
	uint32_t basis = 0;
	size_t count = 0;

	for (uint8_t i = 0; i < profile_members(profile) && count < profile.k; i++)
		if ((trusted >> i & 1) != 0) {
			source[count] = comparison->columns[i];
			from[count++] = i;
			basis |= 1u << i;
		}
	*different = 0;
	for (uint8_t i = 0; i < profile_members(profile); i++) {
		enum err err;

		if (((all & ~basis) >> i & 1) == 0)
			continue;
		err = stripe_decode(profile, i, from, source, comparison->size,
				    comparison->computed);
		if (err != ERR_OK)
			return err;
		if (memcmp(comparison->computed, comparison->columns[i], comparison->size) != 0)
			*different |= 1u << i;
	}
	return ERR_OK;
}

static unsigned count_bits(uint32_t bits)
{
	return (unsigned)__builtin_popcount(bits);
}

/*
 * The fewest columns without which all others agree, with at least one to spare for the proof.
 * *wrong = 0: none, or more than one choice.
 */
static enum err name_wrong(struct comparison *comparison, uint32_t all, uint32_t *wrong)
{
	const struct profile profile = comparison->options->profile;

	*wrong = 0;
	for (unsigned leave = 1; count_bits(all) >= profile.k + 1u + leave; leave++) {
		unsigned choices = 0;

		for (uint32_t out = 1; out <= all; out++) {
			uint32_t rest = all & ~out, different;
			enum err err;

			if ((out & ~all) != 0 || count_bits(out) != leave)
				continue;
			err = find_different(comparison, rest, rest, &different);
			if (err != ERR_OK)
				return err;
			if (different != 0)
				continue;
			*wrong = out;
			choices++;
		}
		if (choices != 0) {
			*wrong = choices == 1 ? *wrong : 0;
			return ERR_OK;
		}
	}
	return ERR_OK;
}

static enum err judge(struct comparison *comparison, uint64_t offset)
{
	const struct set_check_options *options = comparison->options;
	uint32_t all = comparison->readable, different = 0, wrong = 0;
	uint32_t unread = options->present & ~all;
	uint32_t trusted = all & ~options->suspects;
	enum err err = ERR_OK;

	if (count_bits(all) > options->profile.k)
		err = find_different(comparison, all, all, &different);
	if (err == ERR_OK && different != 0) {
		/* First by what speaks against them already, then by majority. */
		if (trusted != all && count_bits(trusted) >= options->profile.k)
			err = find_different(comparison, all, trusted, &wrong);
		if (err == ERR_OK && (wrong == 0 || (wrong & trusted) != 0))
			err = name_wrong(comparison, all, &wrong);
	}
	if (err == ERR_OK && (different != 0 || unread != 0))
		options->deviation(options->context, offset, comparison->size,
				   different != 0 ? wrong : 0, unread);
	return err;
}

static WAITS enum err read_window(struct comparison *comparison, uint64_t offset)
{
	const struct set_check_options *options = comparison->options;

	comparison->readable = 0;
	for (uint8_t i = 0; i < profile_members(options->profile); i++) {
		enum err err = ERR_OK;

		if ((options->present >> i & 1) == 0)
			continue;
		if (options->pace != NULL)
			err = options->pace(options->context, comparison->size);
		if (err != ERR_OK)
			return err;
		err = options->range(options->context, i, offset, comparison->size,
				     comparison->columns[i]);
		if (err == ERR_OK)
			comparison->readable |= 1u << i;
		else if (err == ERR_NOMEM || err == ERR_CANCELED)
			return err;
	}
	return ERR_OK;
}

static enum err allocate(struct comparison *comparison)
{
	const struct set_check_options *options = comparison->options;

	comparison->computed = memory_allocate(SET_CHECK_WINDOW);
	if (comparison->computed == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < profile_members(options->profile); i++) {
		if ((options->present >> i & 1) == 0)
			continue;
		comparison->columns[i] = memory_allocate(SET_CHECK_WINDOW);
		if (comparison->columns[i] == NULL)
			return ERR_NOMEM;
	}
	return ERR_OK;
}

enum err set_check(const struct set_check_options *options)
{
	struct comparison comparison = {.options = options};
	enum err err = allocate(&comparison);

	if (count_bits(options->present) <= options->profile.k)
		goto out;
	for (uint64_t at = 0; err == ERR_OK && at < options->size; at += SET_CHECK_WINDOW) {
		comparison.size = options->size - at < SET_CHECK_WINDOW
					  ? (size_t)(options->size - at)
					  : SET_CHECK_WINDOW;
		err = read_window(&comparison, at);
		if (err == ERR_OK)
			err = judge(&comparison, at);
	}
out:
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		memory_free(comparison.columns[i]);
	memory_free(comparison.computed);
	return err;
}

enum err set_check_read(struct env_file *file, uint64_t length, uint64_t offset, size_t size,
			uint8_t *out)
{
	size_t have = offset >= length	       ? 0
		      : length - offset < size ? (size_t)(length - offset)
					       : size;
	enum err err =
		have == 0 ? ERR_OK : io_read_exact(file, LOG_HEADER_SIZE + offset, out, have);

	memset(out + have, 0, size - have);
	return err == ERR_TORN ? ERR_IO : err;
}
