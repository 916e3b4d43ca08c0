/* SPDX-License-Identifier: MPL-2.0 */
/*
 * column_check - reads one column file whole, data, mirror or parity, sealed or
 * not, and reports what is wrong with it, record by record. Changes nothing.
 *
 * Works over an open file alone, so that a running member (scrub) and an offline
 * tool read with the same eyes. Memory: one window of 1 MiB, or one record; in an
 * unsealed file one report a fault beside it, because whether a bad record is
 * damage or was never finished is known at the end only (engine/volume/log.h).
 *
 * A record by itself tells these apart: bytes that rotted, an intact record of
 * another place (a write that was misdirected), and zeros or another record where
 * the chain goes on behind it (a write that was lost). A parity file has no
 * checksums of its own but its hash in the certificate, so that only says that
 * something is wrong in it; where, and whether it is not a sibling that lies,
 * says set_check(), with arithmetic as the arbiter.
 */
#ifndef AEROSTORE_ENGINE_SET_COLUMN_CHECK_H
#define AEROSTORE_ENGINE_SET_COLUMN_CHECK_H

#include "engine/format/column.h"
#include "engine/format/record.h"
#include "engine/task.h"

enum column_fault {
	COLUMN_FAULT_HEADER_COPY, /* one of the two copies; the other says what it should be */
	COLUMN_FAULT_HEADER,	  /* both copies: nothing else is looked at */
	COLUMN_FAULT_ROTTEN,	  /* a record's bytes are not what its checksums say */
	COLUMN_FAULT_MISDIRECTED, /* an intact record, or header, of another place */
	COLUMN_FAULT_LOST_WRITE,  /* zeros, or a record that the chain does not lead to */
	COLUMN_FAULT_PADDING,	  /* bytes that must be zero are not; nothing is lost by that */
	COLUMN_FAULT_UNREADABLE,  /* the disk gives an error */
	COLUMN_FAULT_TAIL,	  /* unsealed: an unfinished write at the end */
	COLUMN_FAULT_STRANGE,	  /* an intact record of a type that has no business here */
	COLUMN_FAULT_PARITY,	  /* the parity file is not the one that was voted for */
	COLUMN_FAULT_CERTIFICATE, /* data: not the length or running hash of the certificate */
	COLUMN_FAULT_INDEX_PAGE,  /* one page's checksum, or its order */
	COLUMN_FAULT_INDEX,	  /* the index as a whole is not the trailer's */
	COLUMN_FAULT_TRAILER,	  /* missing where there must be one, damaged, or another file's */
	COLUMN_FAULT_LENGTH,	  /* the file ends before what it must hold */
	COLUMN_FAULT_BEYOND,	  /* bytes between the parts of the file, or behind its trailer */
	COLUMN_FAULT_COUNT	  /* how many: not one of them */
};

/* "rotten", "lost-write": stable, for logs, counters and problem codes. Static storage. */
const char *column_fault_name(enum column_fault fault);

struct column_fault_report {
	enum column_fault fault;
	uint64_t offset, size; /* in the file, its header counted */
	bool named;	       /* the record's header is intact: the next three are its own */
	struct id128 id;
	uint32_t piece;
	uint8_t data_column; /* that the record belongs to; of a mirror the inner one's */
	/* MISDIRECTED: where it says that it belongs. */
	uint64_t foreign_set, foreign_offset;
	uint8_t foreign_column;
};

struct column_check_options {
	/* What the file is by its name. */
	uint64_t set;
	uint8_t column;
	enum column_kind kind;
	/* Of the set, when known from elsewhere: then the file must be sealed, with this one. */
	const struct set_certificate *certificate;
	/* Unsealed and in use: look only below this offset of its records. 0: at all of it. */
	uint64_t limit;
	void (*fault)(void *context, const struct column_fault_report *report);
	/*
	 * May be NULL. Each good record of a data column or mirror: `offset` in the file, the data
	 * column's record, with its header, borrowed for the call. An error ends the check.
	 */
	enum err (*record)(void *context, const struct record *record, uint64_t offset,
			   struct bytes whole);
	/* May be NULL. Before each read: waits as it likes; an error ends the check. */
	enum err (*pace)(void *context, uint64_t size);
	void *context;
};

/* What the file turned out to be. */
struct column_check {
	bool has_header, sealed;
	struct column_header header;
	struct column_trailer trailer; /* when sealed */
	bool fenced, voted;	       /* such records were met */
	struct column_vote vote;       /* when voted */
	uint64_t file_size;
	uint64_t end; /* of what is good, from the end of the header */
	/* Data: the running hash there. Parity: the hash of the file as it is. */
	struct hash128 hash;
	uint64_t records, bytes_read, faults;
};

/* ERR_OK: looked at all of it, whatever was found. Else ERR_NOMEM, ERR_CANCELED, a callback's. */
WAITS MUST_USE enum err column_check(struct env_file *file,
				     const struct column_check_options *options,
				     struct column_check *out);

/* ---- a sealed set against its own arithmetic ---- */

struct set_check_options {
	struct profile profile;
	uint64_t size;	   /* that parity covers: set_descriptor_longest() */
	uint32_t present;  /* bit i: column i can be read */
	uint32_t suspects; /* bit i: something speaks against column i already */
	/* Fills `out` with the column's bytes; zeros behind its length. ERR_IO: not these. */
	enum err (*range)(void *context, uint8_t column, uint64_t offset, size_t size,
			  uint8_t *out);
	/*
	 * In [offset, offset + size) the columns contradict each other. `columns`: those that are
	 * wrong there; 0: more than the others can name. `unread`: those that could not be read.
	 */
	void (*deviation)(void *context, uint64_t offset, size_t size, uint32_t columns,
			  uint32_t unread);
	enum err (*pace)(void *context, uint64_t size); /* may be NULL */
	void *context;
};

/* How much is compared at a time, and how exactly a deviation is placed. */
#define SET_CHECK_WINDOW 65536u

/*
 * Compares all columns that are present, window by window. With k of them, or fewer, nothing is
 * said. A column is named when all others agree without it and it is the only one of which that
 * is true, or when it was suspected and the unsuspected ones suffice to compute it.
 */
WAITS MUST_USE enum err set_check(const struct set_check_options *options);

/* Reads [offset, offset + size) as parity covers it: `length` bytes behind the header, then zeros. */
WAITS MUST_USE enum err set_check_read(struct env_file *file, uint64_t length, uint64_t offset,
				       size_t size, uint8_t *out);

#endif
