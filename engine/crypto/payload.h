/* SPDX-License-Identifier: MPL-2.0 */
/*
 * payload - the padded body inside journal payloads and envelopes.
 *
 *	offset	size	field
 *	0	4	n, size of the plaintext, u32
 *	4	4	s, size as stored, u32; s <= n
 *	8	s	the plaintext as a zstd frame, or as it is when s = n
 *	8+s	...	zeros, up to a power of two from 512 B to 64 KiB, or to a multiple of
 *			64 KiB; not one step more than needed
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_PAYLOAD_H
#define AEROSTORE_ENGINE_CRYPTO_PAYLOAD_H

#include "engine/crypto/sealed.h"

#define PAYLOAD_HEADER_SIZE 8u
/* Far above any page or entry; keeps the sizes in their fields. */
#define PAYLOAD_PLAIN_MAX (UINT32_C(1) << 30)

/* Size of a body that holds `size` bytes, header included. */
size_t payload_padded_size(size_t size);
/* `body` starts empty, is plaintext and the caller's to wipe. ERR_LIMIT above PAYLOAD_PLAIN_MAX. */
MUST_USE enum err payload_pack(struct bytes plain, struct buf *body);
/* Appends to `plain`. ERR_LIMIT when more than `limit`; ERR_CORRUPT. */
MUST_USE enum err payload_unpack(struct bytes body, size_t limit, struct buf *plain);

#endif
