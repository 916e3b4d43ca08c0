/* SPDX-License-Identifier: MPL-2.0 */
/*
 * log - an append-only file of records on a volume: a data column, a parity
 * member's mirror, a journal segment.
 *
 * Appending: strictly sequential. log_append() builds the record's place part
 * (offset, durable, running hash) itself; log_append_verbatim() takes one that
 * a writer elsewhere has built and accepts it only when its offset and running
 * hash continue this file exactly (ERR_CONFLICT otherwise).
 *
 * INV 1  An offset is never used for other bytes. An append that the volume has
 *        refused before it got an offset (ERR_NOSPACE by accounting, a verbatim
 *        one that does not fit) leaves the log as it was. After one that failed
 *        later, whatever the error, nobody knows what lies at its offset: it and
 *        every append after it fail, the log accepts no more, and its owner goes
 *        on in another file. log_end() then stays where the first one failed.
 * INV 2  log_durable() is never beyond what a sync has covered; records that
 *        log_scan() has reported are synced when it returns, also those that
 *        an earlier process wrote and whose sync failed: they are written again.
 *
 * Scanning (design: "a torn tail is not corruption, and corruption is not a
 * torn tail"): every record says up to where the file was known durable when it
 * was written; the owner may know more (`durable_hint`). Marks count from every
 * intact header that belongs where it lies, its payload damaged or not. A bad
 * record below the highest mark is corruption: the scan reports it as
 * LOG_CORRUPT with its extent and goes on behind it. A bad record above all of
 * them is LOG_TAIL: an unfinished write, or the last batch damaged. Only other
 * copies can tell, so the log never truncates by itself: its owner asks them
 * and then calls log_repair() or log_truncate(), and scans again. Zeros to the
 * end of the file (preallocation) above all marks are a clean end.
 *
 * A record is good when its header is intact, names this set, column and
 * offset, its payload and padding are right and its running hash continues the
 * record before it. Behind LOG_CORRUPT, behind a RECORD_LOST and at `from` > 0
 * there is nothing to continue: the next good record's own running hash is
 * taken, and the chain is checked again from there.
 *
 * To find records behind a bad one the scan looks for a valid header at every
 * 64-byte step whose own offset, set and column are those of the place it is
 * found at. A bad record with an intact header ends where that header says.
 */
#ifndef AEROSTORE_ENGINE_VOLUME_LOG_H
#define AEROSTORE_ENGINE_VOLUME_LOG_H

#include "engine/format/record.h"
#include "engine/volume/volume.h"

struct log;

/* File header in front of the records: two copies of 4096 bytes, kind-specific (engine/format/). */
#define LOG_HEADER_SIZE 8192u

struct log_options {
	const char *name; /* relative to the volume's directory; borrowed for the call */
	uint64_t set;	  /* place part of all its records: set id or segment number */
	uint8_t column;
	uint64_t allocate_size;
};

/*
 * The two copies of a file's header. When not both can be read the other one has zeros, which are no
 * header. ERR_TORN: it ends before; ERR_IO: neither can be read.
 */
WAITS MUST_USE enum err log_read_header(struct env_file *file, uint8_t out[LOG_HEADER_SIZE]);
/* Creates the file durably with `header` (LOG_HEADER_SIZE bytes). */
WAITS MUST_USE enum err log_create(struct volume *volume, const struct log_options *options,
				   struct bytes header, struct log **out);
/*
 * Opens; knows nothing of its records, and accepts none, until log_scan(). Appends the header to
 * `header`, unchecked. ERR_TORN: the file ends within it, its creation was cut short.
 */
WAITS MUST_USE enum err log_open(struct volume *volume, const struct log_options *options,
				 struct buf *header, struct log **out);
/* Waits for appends under way. */
WAITS void log_close(struct log **log);

enum log_event {
	LOG_RECORD,  /* a valid record; payload only when asked for */
	LOG_CORRUPT, /* [offset, offset + size): damaged below the durable mark */
	LOG_TAIL     /* [offset, end of file): damaged or unfinished above it; at most once, last */
};

struct log_visit {
	enum log_event event;
	uint64_t offset, size;
	/* LOG_RECORD; LOG_CORRUPT with an intact header: what the record was. Else NULL. */
	const struct record *record;
	struct bytes payload; /* with payloads, as it lies there; borrowed for the call */
};

/*
 * Visits from `from` (0, or the offset of a record) to the end; no appends meanwhile. `visit` may
 * return an error to stop, which is then the result. Afterwards the log's end is behind the last
 * LOG_RECORD or LOG_CORRUPT, and the log accepts appends, unless there was a LOG_TAIL or the last
 * was LOG_CORRUPT. `durable_hint`: up to there others remember this file as durable, 0 when nobody
 * does; an extent of LOG_CORRUPT may then lie beyond the end of the file. *known_durable (may be
 * NULL) is the highest durable mark seen in the file. Memory: one window of 1 MiB, or one record.
 * ERR_NEWER: an intact record that this program does not know; nothing behind it is visited.
 */
WAITS MUST_USE enum err log_scan(struct log *log, uint64_t from, uint64_t durable_hint,
				 bool payloads,
				 enum err (*visit)(void *context, const struct log_visit *visit),
				 void *context, uint64_t *known_durable);
/*
 * Writes a record over a damaged one at its offset, synced; the end does not move: scan again.
 * ERR_INVALID: not a good record for this place; ERR_CONFLICT: a good record that is another lies
 * there, or would be overwritten behind it.
 */
WAITS MUST_USE enum err log_repair(struct log *log, uint64_t offset, struct bytes verbatim);
/*
 * Drops an unfinished tail, after the owner has found that no copy holds it. Synced. `offset` is
 * that of the LOG_TAIL, ERR_INVALID otherwise. The log then accepts appends.
 */
WAITS MUST_USE enum err log_truncate(struct log *log, uint64_t offset);

struct log_append {
	struct volume_write write;
	struct record record; /* in: immutable part; out: all of it */
	struct log *log;      /* the log's own, as the next two */
	uint64_t size;
	enum err refused;
	bool admitted; /* it got an offset */
	void (*done)(struct log_append *append, enum err err);
	void *context;
};

/*
 * Appends at the end now (record.offset is set on return), completes when synced. The payload's
 * reference is given to the log. payload_size and payload_hash of the record must be set, and
 * write.urgent. The append belongs to the log until `done`, which comes exactly once, from the
 * loop, in the order of the appends (those that got no offset may come earlier).
 */
void log_append(struct log *log, struct log_append *append, struct shared *payload);
/* `verbatim`: a whole record with header and padding. ERR_CORRUPT when it is not a good record. */
void log_append_verbatim(struct log *log, struct log_append *append, struct shared *verbatim);
WAITS MUST_USE enum err log_append_wait(struct log *log, struct record *record,
					struct bytes payload, bool urgent);

/*
 * Appends to `out` the `size` bytes at `offset` in one read: a record of which the size is known.
 * Not checked: record_decode() and record_check_payload() are the caller's. ERR_TORN beyond the end.
 */
WAITS MUST_USE enum err log_read(struct log *log, uint64_t offset, uint64_t size, struct buf *out);
/* Next append goes there / everything before is synced. Relative to the end of the header. */
uint64_t log_end(const struct log *log);
uint64_t log_durable(const struct log *log);
struct hash128 log_running(const struct log *log);
struct env_file *log_file(struct log *log);
struct volume *log_volume(struct log *log);

#endif
