/* SPDX-License-Identifier: MPL-2.0 */
/*
 * trace - what of a journal stream was on how many disks at a moment of a record.
 *
 * Reads the bytes that were written as docs/format.md says they are, not what the
 * engine thinks of them: journal entries, and the records of blobs that the
 * entries name, in data columns and in mirrors. A copy counts for its volume when
 * the sync that covers its bytes, and that of the name of its file, had returned.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_CRASH_TRACE_H
#define AEROSTORE_TESTS_SUPPORT_CRASH_TRACE_H

#include "engine/journal/entry.h"
#include "tests/support/crash/recorder.h"

/* What one reply rests on. */
struct trace_finding {
	size_t entries;	      /* of the stream, first written since the request */
	size_t pieces;	      /* of blobs that they name */
	size_t entry_volumes; /* on which each entry is durable, the least of all */
	size_t piece_volumes; /* likewise */
};

/*
 * A request on `stream` began at event `begun` and was answered at `replied`; nobody else appended
 * to the stream meanwhile. What is not there at all is on no volume.
 */
void trace_reply(const struct recorder *recorder, struct id128 stream, uint64_t begun,
		 uint64_t replied, struct trace_finding *out);

#endif
