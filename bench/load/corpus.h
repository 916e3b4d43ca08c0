/* SPDX-License-Identifier: MPL-2.0 */
/*
 * corpus - the mails that the load generators send, the same for every peer.
 *
 * From one seed, made before any clock starts: dot-stuffed, CRLF, ready to
 * follow DATA. Text is of words with a skewed frequency, attachments are base64
 * of random bytes, so that compression finds what it finds in real mail. Of 20
 * consecutive mails of CORPUS_REAL 14 have 5-20 KB, 5 have 50-200 KB and one has
 * 1-5 MB, in every stretch of the sequence: runs of different length compare.
 */
#ifndef AEROSTORE_BENCH_LOAD_CORPUS_H
#define AEROSTORE_BENCH_LOAD_CORPUS_H

#include "engine/base/bytes.h"

#define CORPUS_COUNT 200u

enum corpus_mix {
	CORPUS_SMALL, /* 5-20 KB */
	CORPUS_REAL,
};

struct corpus {
	struct buf mails[CORPUS_COUNT];
};

/* Aborts when memory is out. */
void corpus_make(struct corpus *corpus, enum corpus_mix mix);
void corpus_finish(struct corpus *corpus);
/* The mail with this number in the endless sequence. */
struct bytes corpus_mail(const struct corpus *corpus, uint64_t number);

#endif
