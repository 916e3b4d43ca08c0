/* SPDX-License-Identifier: MPL-2.0 */
/*
 * blob_format - the layout of a sealed blob, shared by its writer and its reader.
 *
 * The padded plaintext, T bytes:
 *
 *	offset		size	field
 *	0		S	the chunks, end to end; chunk i is chunk i of the plaintext,
 *				as a zstd frame, or as it is when its size in the table is
 *				that of its plaintext
 *	S		...	zeros
 *	T - 16 - 4n	4n	chunk table: for each chunk its size here, u32, never 0 and
 *				never above that of its plaintext
 *	T - 16		8	P, size of the plaintext, u64
 *	T - 8		1	layout, 1
 *	T - 7		1	compression, 1: zstd (RFC 8878)
 *	T - 6		6	zeros
 *
 * n = ceil(P / 65536): every chunk but the last has 65536 bytes of plaintext.
 * T = max(4096, Padme(S + 4n + 16)).
 *
 * The padded plaintext is cut into frames of 65536 bytes, the last one short or
 * whole, never empty. Sealed frames are 16 bytes longer and lie end to end, so
 * that T + 16 * ceil(T / 65536) is the size of the blob. Frame i is
 * XChaCha20-Poly1305 under the blob's key; nonce:
 *
 *	0	15	"aerostore frame"
 *	15	8	i, u64
 *	23	1	1 for the last frame, else 0
 *
 * and associated data:
 *
 *	0	1	suite, 1
 *	1	1	type, enum sealed_type
 *	2	6	zeros
 *	8	16	account tag
 *	24	8	epoch, u64
 *	32	16	blob id
 *
 * Integers are little-endian. The zeros in the trailer are checked; those of the
 * padding cannot be, by a reader that reads a part.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_BLOB_FORMAT_H
#define AEROSTORE_ENGINE_CRYPTO_BLOB_FORMAT_H

#include "engine/crypto/sealed.h"

#define BLOB_TRAILER_SIZE 16u
#define BLOB_TABLE_ENTRY_SIZE 4u
#define BLOB_LAYOUT 1u
#define BLOB_COMPRESSION_ZSTD 1u
#define BLOB_ASSOCIATED_SIZE 48u
#define BLOB_PADDED_MIN 4096u
/* 1 TiB: far above any message, far below where a counter could wrap. */
#define BLOB_PLAIN_MAX (UINT64_C(1) << 40)

void blob_associated(const struct sealed_name *name, uint8_t out[BLOB_ASSOCIATED_SIZE]);
void blob_nonce(uint64_t frame_index, bool is_last, uint8_t out[NONCE_SIZE]);
/* Chunks in a plaintext of that size. */
uint64_t blob_chunk_count(uint64_t plain_size);

#endif
