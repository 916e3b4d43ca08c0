/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/stripe.h"

#include <isa-l.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/plant.h"

#define TABLE_SIZE (32u * PROFILE_MEMBER_MAX)

/* ISA-L takes lengths as int. */
#define STEP_SIZE (1u << 20)

static void generator(struct profile profile,
		      uint8_t matrix[PROFILE_MEMBER_MAX * PROFILE_MEMBER_MAX])
{
	ASSERT(profile.k + profile.m <= (int)PROFILE_MEMBER_MAX);
	gf_gen_cauchy1_matrix(matrix, profile.k + profile.m, profile.k);
}

/* out = sum of row[i] * source[i]. */
static void combine(uint8_t k, const uint8_t *row, const uint8_t *const *source, size_t size,
		    uint8_t *out)
{
	uint8_t coefficients[PROFILE_MEMBER_MAX], tables[TABLE_SIZE];

	memcpy(coefficients, row, k);
	ec_init_tables(k, 1, coefficients, tables);
	for (size_t done = 0; done < size; done += STEP_SIZE) {
		size_t step = size - done < STEP_SIZE ? size - done : STEP_SIZE;
		unsigned char *from[PROFILE_MEMBER_MAX], *to = out + done;

		/* The library's prototype lacks the const; it only reads them. */
		for (size_t i = 0; i < k; i++)
			from[i] = (unsigned char *)(uintptr_t)(source[i] + done);
		ec_encode_data((int)step, k, 1, tables, from, &to);
	}
}

static void coefficients_of(struct profile profile, uint8_t column,
			    uint8_t coefficients[PROFILE_MEMBER_MAX])
{
	uint8_t matrix[PROFILE_MEMBER_MAX * PROFILE_MEMBER_MAX];
	size_t row = column;

	ASSERT(column >= profile.k && column < profile.k + profile.m);
	if (PLANTED(wrong_matrix_row) && row + 1 < (size_t)profile.k + profile.m)
		row++;
	generator(profile, matrix);
	memcpy(coefficients, matrix + row * profile.k, profile.k);
}

void stripe_encode_row(struct profile profile, uint8_t column, const uint8_t *const *data,
		       size_t size, uint8_t *parity)
{
	uint8_t coefficients[PROFILE_MEMBER_MAX];

	coefficients_of(profile, column, coefficients);
	combine(profile.k, coefficients, data, size, parity);
}

void stripe_row_init(struct stripe_row *row, struct profile profile, uint8_t column)
{
	uint8_t coefficients[PROFILE_MEMBER_MAX];

	coefficients_of(profile, column, coefficients);
	row->k = profile.k;
	ec_init_tables(profile.k, 1, coefficients, row->tables);
}

void stripe_row_add(const struct stripe_row *row, uint8_t data_column, struct bytes data,
		    uint8_t *parity)
{
	for (size_t done = 0; done < data.size; done += STEP_SIZE) {
		size_t step = data.size - done < STEP_SIZE ? data.size - done : STEP_SIZE;
		unsigned char *to = parity + done;

		/* The library's prototype lacks the const; it only reads them. */
		ec_encode_data_update((int)step, row->k, 1, data_column,
				      (unsigned char *)(uintptr_t)row->tables,
				      (unsigned char *)(uintptr_t)(data.data + done), &to);
	}
}

static bool distinct(struct profile profile, const uint8_t *from)
{
	uint32_t seen = 0;

	for (size_t i = 0; i < profile.k; i++) {
		if (from[i] >= profile.k + profile.m || (seen >> from[i] & 1) != 0)
			return false;
		seen |= 1u << from[i];
	}
	return true;
}

enum err stripe_decode(struct profile profile, uint8_t wanted, const uint8_t *from,
		       const uint8_t *const *source, size_t size, uint8_t *out)
{
	uint8_t matrix[PROFILE_MEMBER_MAX * PROFILE_MEMBER_MAX];
	uint8_t chosen[PROFILE_MEMBER_MAX * PROFILE_MEMBER_MAX];
	uint8_t inverse[PROFILE_MEMBER_MAX * PROFILE_MEMBER_MAX];
	uint8_t row[PROFILE_MEMBER_MAX] = {0};
	size_t k = profile.k;

	if (wanted >= profile.k + profile.m || !distinct(profile, from))
		return ERR_INVALID;
	generator(profile, matrix);
	for (size_t i = 0; i < k; i++)
		memcpy(chosen + i * k, matrix + from[i] * k, k);
	if (gf_invert_matrix(chosen, inverse, profile.k) != 0)
		return ERR_INVALID;
	/* wanted row of the generator, times what brings the sources back to the data */
	for (size_t i = 0; i < k; i++)
		for (size_t j = 0; j < k; j++)
			row[i] ^= gf_mul(matrix[wanted * k + j], inverse[j * k + i]);
	combine(profile.k, row, source, size, out);
	return ERR_OK;
}
