/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fsck_private - what the passes share:
 *   fsck.c       the passes in order; problems and decisions
 *   volumes.c    pass 0
 *   columns.c    pass 1, column files; which files make a set
 *   segments.c   pass 1, journal segments; writing forward
 *   table_records.c  of what segments hold: accounts and the set directory
 *   sets.c       pass 2
 *   rebuild.c    a sealed set's columns computed from each other
 *   tables.c     pass 3
 *   replicas.c   pass 4
 *   reach.c      pass 5
 *   known.c      what was taken note of
 *   settle.c     the engine's own recovery, over the overlay
 *   publish.c    from the overlay to the disks
 */
#ifndef AEROSTORE_ENGINE_FSCK_FSCK_PRIVATE_H
#define AEROSTORE_ENGINE_FSCK_FSCK_PRIVATE_H

#include "engine/base/map.h"
#include "engine/directory/directory.h"
#include "engine/fsck/fsck.h"
#include "engine/journal/protocol.h"
#include "engine/journal/stream.h"
#include "engine/set/column_check.h"
#include "engine/volume/log.h"
#include "engine/volume/volume.h"

/* One decision and what became of it; many problems may share it. */
struct fsck_work {
	bool asked, wanted, done;
	size_t *problems; /* indices of those that are fixed when it is done */
	size_t problem_count;
};

struct fsck_volume {
	const char *directory;
	bool present, usable;
	struct volume *volume; /* open over the overlay, when usable */
	struct volume_identity identity;
	uint64_t generation;   /* of its superblock */
	struct env_file *lock; /* of one that is not usable */
	struct fsck_work superblock;
	/* journal */
	struct ledger ledger;
	struct map streams; /* id to struct stream */
	struct marks marks;
	bool marked;
	uint64_t last_segment;
};

struct fsck_file {
	size_t volume;
	char name[COLUMN_NAME_SIZE];
	uint8_t column;
	enum column_kind kind;
	bool has_header, has_trailer; /* at the first look */
	struct column_header header;
	struct column_trailer trailer;
	struct column_check check;
	uint32_t faults; /* bit: enum column_fault */
	bool ignored;	 /* a leftover, a second copy, another set's */
	bool absent;	 /* a member that should be there */
	bool body_bad;	 /* the column itself, not what stands around it */
	struct fsck_work work;
};

/* A record of a data column, and the members that hold it. */
struct fsck_copy {
	uint8_t column;
	uint64_t offset;
	struct hash128 running;
	uint32_t holders;
	struct fsck_copy *next;
};

/* What was read of one blob's pieces. */
struct fsck_blob {
	uint64_t bytes;
	bool named;
};

struct fsck_set {
	uint64_t set;
	struct fsck_file *files;
	size_t file_count;
	bool has_header;
	struct column_header header; /* of any good member; place, kind and tag are its own */
	bool sealed;
	struct set_certificate certificate;
	struct map copies; /* unsealed: (column, offset) to struct fsck_copy */
	bool settle;	   /* the engine finishes it */
};

enum fsck_use_kind { FSCK_USE_ENTRY, FSCK_USE_PAGE, FSCK_USE_MANIFEST };

/* Somebody names a blob: an entry, a page or a manifest of a stream. */
struct fsck_use {
	struct id128 stream, by; /* incarnation, page or manifest */
	uint64_t seq;
	enum fsck_use_kind kind;
	size_t at; /* of the encoded reference in fsck->references */
};

/* (birth set, blob, piece) */
#define FSCK_PIECE_KEY 28u

struct fsck {
	const struct fsck_options *options;
	struct fsck_result *result;
	struct env *env;
	char *why;
	struct id128 cluster;
	struct fsck_volume volumes[FSCK_VOLUME_MAX];
	size_t volume_count;
	struct fsck_set **sets; /* ascending */
	size_t set_count;
	struct map pieces;  /* FSCK_PIECE_KEY: what can be read */
	struct map streams; /* of all volumes together */
	struct ledger ledger;
	struct map directory; /* set id to struct directory_record, from the journal */
	struct map addresses; /* stream id to a NUL-terminated address */
	struct map blobs;     /* blob id to struct fsck_blob: what is on the disks */
	struct fsck_use *uses;
	size_t use_count, use_capacity;
	struct buf references;
	struct fsck_work settle; /* the engine's recovery is to be run */
	struct map entering;	 /* set id to struct directory_record: to be entered */
	struct map known;	 /* hash of a problem that was taken note of */
	uint64_t progress_done, progress_total;
	size_t problem_capacity;
	enum err err; /* memory ran out while a callback could not say so */
};

/* ---- fsck.c ---- */

/* The next problem to be reported: code and file; the caller fills in the rest. */
struct fsck_problem fsck_problem_at(const struct fsck *fsck, enum fsck_code code, size_t volume,
				    const char *name);
void fsck_problem_place(struct fsck_problem *problem, uint64_t offset, uint64_t size);
void fsck_problem_set(struct fsck_problem *problem, uint64_t set, uint8_t column);
void fsck_problem_detail(struct fsck_problem *problem, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Reports, and asks unless that was asked for this work before. `work` NULL: there is nothing to
 * do. Returns whether it is wanted.
 */
bool fsck_report(struct fsck *fsck, const struct fsck_problem *problem, struct fsck_work *work);
/* The work is done: its problems are fixed. */
void fsck_done(struct fsck *fsck, struct fsck_work *work);
void fsck_work_finish(struct fsck_work *work);
/* What a header says goes into the directory, with the seal of its set. */
MUST_USE enum err fsck_enter(struct fsck *fsck, const struct fsck_set *set,
			     const struct column_header *header);
/* A record of the map, made when there is none. NULL: no memory. */
struct directory_record *fsck_directory_record(struct map *map, uint64_t set);
void fsck_path(const struct fsck *fsck, size_t volume, const char *name, char out[FSCK_PATH_SIZE]);
/* Whether the options ask to look at this file, at any of its set, or at the journal. */
bool fsck_looks_at(const struct fsck *fsck, size_t volume, const char *name);
void fsck_progress(struct fsck *fsck, const char *what, uint64_t add);
/* The whole of a file. */
WAITS MUST_USE enum err fsck_read(const struct fsck *fsck, size_t volume, const char *name,
				  struct buf *out);
/* Into the overlay: the whole new content. */
WAITS MUST_USE enum err fsck_write(const struct fsck *fsck, size_t volume, const char *name,
				   struct bytes content);
size_t fsck_volume_index(const struct fsck *fsck, struct id128 volume); /* count: unknown */

/* ---- known.c: <volume>/known-losses ---- */

WAITS MUST_USE enum err fsck_load_known(struct fsck *fsck, size_t volume);
bool fsck_is_known(struct fsck *fsck, const struct fsck_problem *problem);
/* Writes down what was decided to be. */
WAITS MUST_USE enum err fsck_keep_known(struct fsck *fsck);

/* ---- the passes ---- */

WAITS MUST_USE enum err fsck_volumes(struct fsck *fsck);
WAITS void fsck_close_volumes(struct fsck *fsck);
WAITS MUST_USE enum err fsck_columns(struct fsck *fsck);
WAITS MUST_USE enum err fsck_segments(struct fsck *fsck);
WAITS MUST_USE enum err fsck_sets(struct fsck *fsck);
MUST_USE enum err fsck_tables(struct fsck *fsck);
MUST_USE enum err fsck_replicas(struct fsck *fsck);
MUST_USE enum err fsck_reach(struct fsck *fsck);
WAITS MUST_USE enum err fsck_settle(struct fsck *fsck);

/* columns.c: opens and checks one; what it says goes to file->check and to problems. */
WAITS MUST_USE enum err fsck_check_column(struct fsck *fsck, struct fsck_set *set,
					  struct fsck_file *file, bool quiet);
void fsck_set_destroy(struct fsck_set *set);
void fsck_note_piece(struct fsck *fsck, const struct record *record);

/* segments.c: the union's and a volume's stream; made when there is none. NULL: no memory. */
struct stream *fsck_stream(struct map *streams, struct id128 id, struct ledger *ledger);
void fsck_streams_finish(struct map *streams);

/* ---- table_records.c ---- */

/* Whether the stream is a table whose records the passes look at. */
bool fsck_is_table(struct id128 stream);
/* ERR_CORRUPT, ERR_NEWER: a record of the set directory that cannot be read. */
MUST_USE enum err fsck_note_table(struct fsck *fsck, struct id128 stream, struct bytes record);

/* ---- rebuild.c ---- */

/* The columns of one sealed set in memory, as parity covers them. */
struct rebuild {
	struct fsck *fsck;
	struct fsck_set *set;
	struct fsck_file *files[PROFILE_MEMBER_MAX]; /* NULL: no file */
	struct buf bodies[PROFILE_MEMBER_MAX];
	bool good[PROFILE_MEMBER_MAX]; /* the body is what the certificate says */
	struct buf index;
	uint32_t entries;
	struct column_entry *items; /* the index, decoded */
	uint64_t lost;		    /* records of which nothing is left */
};

WAITS MUST_USE enum err rebuild_load(struct rebuild *rebuild);
/* Computes what is not good; afterwards good[] and `lost` say what came out. */
MUST_USE enum err rebuild_compute(struct rebuild *rebuild);
void rebuild_finish(struct rebuild *rebuild);
/* Writes into the overlay what a member should hold, on the volume. */
WAITS MUST_USE enum err rebuild_write(struct rebuild *rebuild, uint8_t column, size_t volume);
/* All data is good: parity and the hashes of its files are made again from it. */
MUST_USE enum err rebuild_recertify(struct rebuild *rebuild);
/* A new set of what is left, born sealed as the old one's successor. */
WAITS MUST_USE enum err rebuild_write_successor(struct rebuild *rebuild, const size_t *volumes);

/* ---- publish.c ---- */

/* The overlay's content of one file goes to the disk, or, `aside`, the disk's goes away. */
WAITS MUST_USE enum err fsck_publish(struct fsck *fsck, size_t volume, const char *name,
				     bool aside);

#endif
