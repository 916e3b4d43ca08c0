/* SPDX-License-Identifier: MPL-2.0 */
/*
 * stripe - Reed-Solomon arithmetic over ISA-L for one profile.
 *
 * The generator is gf_gen_cauchy1_matrix: MDS for every k and m, which
 * gf_gen_rs_matrix is not. Octet x of every parity column depends on octet x of
 * the data columns alone, so any byte range can be encoded and decoded by itself.
 *
 * A parity column can also be made up record by record: a row holds its
 * coefficients, and adds what any data column has at some place.
 *
 * Columns are numbered 0..k-1 data, k..k+m-1 parity. Pure; no I/O. ISA-L's
 * expanded tables live in memory only.
 */
#ifndef AEROSTORE_ENGINE_SET_STRIPE_H
#define AEROSTORE_ENGINE_SET_STRIPE_H

#include "engine/base/bytes.h"
#include "engine/layout/layout.h"

/* parity[j][0..size) of row k + j for one parity column, from k data ranges. */
void stripe_encode_row(struct profile profile, uint8_t column, const uint8_t *const *data,
		       size_t size, uint8_t *parity);
/* A parity column's row of the generator, as ISA-L wants it. */
struct stripe_row {
	uint8_t k;
	uint8_t tables[32u * PROFILE_MEMBER_MAX];
};

void stripe_row_init(struct stripe_row *row, struct profile profile, uint8_t column);
/* parity += what `data` of this data column contributes to it. */
void stripe_row_add(const struct stripe_row *row, uint8_t data_column, struct bytes data,
		    uint8_t *parity);
/*
 * Column `wanted` over [0, size) from k others: source[i] is the range of column from[i]. `from`
 * holds k distinct columns. ERR_INVALID when it does not.
 */
MUST_USE enum err stripe_decode(struct profile profile, uint8_t wanted, const uint8_t *from,
				const uint8_t *const *source, size_t size, uint8_t *out);

#endif
