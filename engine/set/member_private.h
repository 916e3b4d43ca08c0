/* SPDX-License-Identifier: MPL-2.0 */
/*
 * member_private - what the files of the member module share:
 *   member.c       serving, creating, appending, fencing, removing
 *   member_scan.c  what a file says after a restart
 *   member_read.c  reading records, ranges and indexes
 *   member_check.c    reading a whole column for faults
 *   member_rebuild.c  making a sealed column anew from its siblings
 *   member_readback.c  reading a log back for a vote (its own header)
 *   member_parity.c  parity out of a mirror
 *   member_seal.c  votes and footers
 */
#ifndef AEROSTORE_ENGINE_SET_MEMBER_PRIVATE_H
#define AEROSTORE_ENGINE_SET_MEMBER_PRIVATE_H

#include "engine/set/call.h"
#include "engine/set/member.h"
#include "engine/set/records.h"

#define MEMBER_OPEN_FILES 32u
#define MEMBER_CACHED_PAGES 64u
/* Headers and data of the longest record that a set takes. */
#define MEMBER_RECORD_MAX (1024u * 1024 + 4096)

struct member_column {
	struct column_header header;
	struct set_member machine;
	struct log *log;	/* unsealed: the data column, or the mirror */
	struct records records; /* unsealed */
	bool damaged, torn;
	bool broken;		       /* a write failed: INV 3 */
	bool urgent;		       /* appends may use the reserve */
	bool removed;		       /* out of the table; goes when the last user leaves */
	unsigned users;		       /* tasks and appends under way */
	unsigned appends;	       /* under way */
	unsigned log_readers;	       /* reading from the log's file right now */
	struct cond changed;	       /* something of the above, or of the machine */
	struct column_trailer trailer; /* sealed */
	struct env_file *file;	       /* sealed: open when somebody reads */
	uint64_t used_at;
};

struct member_page {
	uint64_t set;
	uint32_t page;
	bool valid;
	uint8_t bytes[COLUMN_INDEX_PAGE];
};

struct rebuild;

struct member_unreadable {
	uint64_t set;
	uint8_t column;
	enum column_kind kind;
};

struct member {
	struct volume *volume;
	struct wire *wire;
	struct sched *sched;
	struct map columns;    /* set id to struct member_column */
	struct buf unreadable; /* struct member_unreadable: files that the scan could not open */
	struct group tasks;
	unsigned appends; /* under way */
	uint64_t tick;	  /* orders the uses of files */
	size_t open_files;
	struct member_page *pages;
	struct rebuild *rebuilds; /* under way */
	bool closing;		  /* what takes long ends */
};

bool member_column_sealed(const struct member_column *column);
void member_column_enter(struct member_column *column);
/* Frees a removed column with its last user. WAITS only then. */
WAITS void member_column_leave(struct member *member, struct member_column *column);
/* Closes what is open of it and frees it; it is in no table any more. */
WAITS void member_column_destroy(struct member_column *column);
/* An empty one with header and machine set. NULL when out of memory. */
struct member_column *member_column_create(const struct column_header *header);
WAITS MUST_USE enum err member_open_log(struct member *member, struct member_column *column,
					struct buf *header);
void member_answer(const struct member_column *column, struct set_answer *out);

/* member_scan.c: opens all columns of the volume; takes a sealed one for what its trailer says. */
WAITS MUST_USE enum err member_scan(struct member *member);
void member_take_trailer(struct member_column *column, const struct column_trailer *trailer);

/* member_read.c */
WAITS MUST_USE enum err member_read(struct member *member, struct member_column *column,
				    struct set_read_call *call);
WAITS MUST_USE enum err member_range(struct member *member, struct member_column *column,
				     struct set_range_call *call);
MUST_USE enum err member_list(const struct member_column *column, struct set_list_call *call);
WAITS MUST_USE enum err member_index(struct member *member, struct member_column *column,
				     struct set_index_call *call);
/* A handle to a sealed column's file, kept open for a while; valid while the column is entered. */
WAITS MUST_USE enum err member_file(struct member *member, struct member_column *column,
				    struct env_file **out);

/* member_parity.c: writes the parity file, without its footer, and reads it back. */
WAITS MUST_USE enum err member_encode(struct member *member, const struct member_column *column,
				      uint64_t size, struct hash128 *file_hash);

/* member_seal.c */
WAITS MUST_USE enum err member_vote(struct member *member, struct member_column *column,
				    struct set_vote_call *call);
WAITS MUST_USE enum err member_certify(struct member *member, struct member_column *column,
				       struct set_certify_call *call);

/* member_check.c */
WAITS MUST_USE enum err member_check(struct member *member, struct member_column *column,
				     struct set_check_call *call);

/* member_rebuild.c; releases what came with the call. */
WAITS MUST_USE enum err member_rebuild(struct member *member, struct set_rebuild_call *call);
void member_rebuild_release(struct set_rebuild_call *call);
/* The name of an unfinished one, below the volume's directory. */
void member_rebuild_name(uint64_t set, uint8_t column, char out[COLUMN_NAME_SIZE]);

#endif
