/* SPDX-License-Identifier: MPL-2.0 */
/*
 * call - the operations of WIRE_SET: what writers, readers and recoverers ask of
 * the member of a set that a volume serves (engine/set/member.h).
 *
 * Every call names its set; a volume holds at most one column of a set. Common
 * errors: ERR_NOTFOUND: this volume has no column of that set; ERR_IO: the
 * volume has failed. Outputs are valid with ERR_OK only, and references in them
 * (struct shared) are the caller's.
 */
#ifndef AEROSTORE_ENGINE_SET_CALL_H
#define AEROSTORE_ENGINE_SET_CALL_H

#include "engine/set/protocol.h"
#include "engine/volume/log.h"
#include "engine/wire.h"

enum set_operation {
	SET_CREATE = WIRE_SET + 1,
	SET_APPEND,
	SET_ASK,
	SET_FENCE,
	SET_VOTE,
	SET_INDEX,
	SET_CERTIFY,
	SET_READ,
	SET_RANGE,
	SET_LIST,
	SET_TRUNCATE,
	SET_REMOVE,
	SET_ENUMERATE,
	SET_CHECK,
	SET_REBUILD
};

/* Makes the column durably: the data file or the mirror. ERR_EXISTS, ERR_NOSPACE. */
struct set_create_call {
	struct wire_call wire;
	struct column_header header; /* kind, column and tag those of the addressee */
	uint64_t content;	     /* bytes that it must have room for, now; 0: let it come */
	bool urgent; /* three fourths of the reserve count as room, for its appends, too */
};

/*
 * Appends a record, verbatim; done when it is synced. Errors: set_member_append()'s, ERR_IO,
 * ERR_NOSPACE (both end appending to this column), ERR_CORRUPT: not a valid record.
 */
struct set_append_call {
	struct wire_call wire;
	uint64_t set;
	struct shared *record;	  /* the reference is given */
	struct log_append append; /* the member's own from here */
	void *member, *column;
	uint64_t end;
	uint8_t data_column;
};

/*
 * SET_ASK: what it holds. SET_FENCE: the same after a synced promise to refuse appends. A column
 * whose writing failed promises nothing: `answered` is false, and what it had synced can be read.
 */
struct set_ask_call {
	struct wire_call wire;
	uint64_t set;
	struct id128 uuid;
	struct set_answer answer;
	struct column_header header;
};

/*
 * SET_VOTE: reads the column back, or makes parity, and votes. ERR_STALE, ERR_CONFLICT,
 * ERR_UNAVAILABLE as set_member_vote(); ERR_CORRUPT: the disk does not hold what was synced.
 */
struct set_vote_call {
	struct wire_call wire;
	uint64_t set;
	struct id128 uuid;
	struct set_descriptor descriptor;
	struct column_vote vote;
};

/* The set's index, from a parity member's mirror, or from any sealed member's footer. */
struct set_index_call {
	struct wire_call wire;
	uint64_t set;
	struct shared *index;
	uint32_t entries;
	struct set_certificate certificate; /* of a sealed member */
};

/* Hands over the certificate; done when index and trailer are synced (and the mirror is gone). */
struct set_certify_call {
	struct wire_call wire;
	uint64_t set;
	struct set_certificate certificate;
	struct shared *index; /* the reference is given */
	uint32_t entries;
};

/*
 * The record of a piece: from this member's own file, else where it lies. The record is not
 * checked: the caller does that, who must not trust the way either. ERR_NOTFOUND: not known here.
 */
struct set_read_call {
	struct wire_call wire;
	uint64_t set;
	struct id128 id;
	uint32_t piece;
	bool from_mirror;      /* an unsealed parity member gives the record itself */
	struct shared *record; /* whole, with its header; NULL: lies elsewhere */
	struct column_entry entry;
};

/*
 * Bytes of a sealed column as parity covers it: zeros behind its end. A data column that has voted
 * for the seal gives them, too. ERR_STALE: neither, or another seal.
 */
struct set_range_call {
	struct wire_call wire;
	uint64_t set;
	struct hash128 seal;
	uint64_t offset;
	uint32_t size;
	struct shared *bytes;
};

/* The records of an unsealed column: encoded entries (engine/format/column.h) in order. */
struct set_list_call {
	struct wire_call wire;
	uint64_t set;
	struct shared *entries;
	uint32_t count;
};

/*
 * SET_TRUNCATE: drops an unfinished tail. SET_REMOVE: deletes the column; absent is success, and so
 * is another placement's file when `tag` is not zero. Without one a file that cannot be opened goes,
 * too.
 */
struct set_simple_call {
	struct wire_call wire;
	uint64_t set;
	struct id128 uuid, tag;
};

/* The columns of this volume: those with a set id above `after` (when `resume`), in order. */
struct set_enumerate_call {
	struct wire_call wire;
	/* Instead: u64 ids of sets of which a file is there that could not be opened, all of them. */
	bool unreadable;
	bool resume;
	uint64_t after;
	/* Items of SET_ENUMERATE_ITEM bytes: the header, the seal id or zeros, u8 set_enumerate_flags. */
	struct shared *items;
	uint32_t count;
	bool more;
};

#define SET_ENUMERATE_ITEM (COLUMN_HEADER_SIZE + 17u)

/* Damage that the scan at the start has met; a write that failed. */
enum set_enumerate_flags { SET_ENUMERATE_DAMAGED = 1 };

/* What is wrong with a column, as struct column_fault_report says it (engine/set/column_check.h). */
struct set_fault {
	uint8_t fault; /* enum column_fault */
	uint64_t offset, size;
};

/*
 * Reads the whole column file and checks it; of an unsealed one, what is synced. Memory may run out
 * for a list of faults: then ERR_NOMEM, and nothing is known.
 */
struct set_check_call {
	struct wire_call wire;
	uint64_t set;
	uint64_t rate;	       /* bytes a second; 0: as fast as it goes */
	struct shared *faults; /* struct set_fault, `count` of them; NULL when there are none */
	uint32_t count;
	uint64_t bytes_read;
};

/*
 * Makes a column of a sealed set anew from k others, as a file of its own that takes its name only
 * when it is synced, read back and found to be what the certificate says. ERR_EXISTS: this volume
 * holds another column of the set, or this one and `replace` is not set; ERR_UNAVAILABLE: fewer
 * than k siblings give their bytes; ERR_CORRUPT: what they give does not make this column;
 * ERR_NOSPACE. Whatever the error, what was there is there still.
 */
struct set_rebuild_call {
	struct wire_call wire;
	uint64_t set;
	bool replace;
	struct column_header header; /* of the new file: its own column, kind and tag */
	struct set_certificate certificate;
	struct id128 volumes[PROFILE_MEMBER_MAX]; /* of the siblings; zero: not to be asked */
	/*
	 * What is known to be bad in them, by column: struct set_fault, offsets in the file. NULL:
	 * nothing. The references are given.
	 */
	struct shared *faults[PROFILE_MEMBER_MAX];
	uint64_t patience_ms; /* a sibling that does not answer that long gives nothing */
	uint64_t rate;	      /* bytes written a second; 0: as fast as it goes */
	uint64_t bytes_done;  /* out: written */
};

#endif
