/* SPDX-License-Identifier: MPL-2.0 */
/*
 * env - everything the engine knows of the world outside its memory.
 *
 * Clock, random, files, timers, CPU work for threads, and an ordered key-value
 * index. INV: the engine reaches the world only through this table, so that
 * many nodes live in one test process and a seed replays exactly. The real one
 * is net/loop.c (libev, threads, LMDB); the simulated one tests/sim/.
 *
 * Completions. A posted operation (struct env_io, struct env_job, struct
 * env_timer) belongs to the env until its `done` is called, exactly once, from
 * the env's loop and never from inside the call that posted it. All calls come
 * from the thread of the loop, except env_job.work.
 *
 * End of a node. When the env dies (simulated crash) or stops, every operation
 * still completes, with ERR_CANCELED, and every later one does so at once (armed
 * timers fire): code unwinds by its error paths, and touches no disk any more.
 *
 * Engine code that reads top to bottom uses the waiting wrappers of
 * engine/task.h and engine/io.h rather than posting by hand.
 */
#ifndef AEROSTORE_ENGINE_ENV_H
#define AEROSTORE_ENGINE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/bytes.h"
#include "engine/base/err.h"

struct env;
struct env_file;
struct env_index;
struct env_index_reader;

/* ---- files ---- */

enum env_io_kind {
	ENV_IO_OPEN,	 /* path, flags -> file */
	ENV_IO_CLOSE,	 /* file; the handle is gone whatever the result */
	ENV_IO_READ,	 /* file, offset, buffer, size -> done_size, short only at the end */
	ENV_IO_COMMIT,	 /* writes[] in order, fdatasync of syncs[], then -> stat, path_stat */
	ENV_IO_STAT,	 /* file, or path when file is NULL -> stat */
	ENV_IO_ALLOCATE, /* file: reserve blocks for [offset, offset+size), size unchanged */
	ENV_IO_TRUNCATE, /* file: cut or extend to `size` */
	ENV_IO_FORGET,	 /* file: drop what memory holds of [offset, offset+size) and is synced */
	ENV_IO_SYNC_DIRECTORY, /* path: entries made, renamed or unlinked before are durable */
	ENV_IO_MAKE_DIRECTORY, /* path, mode 0700 */
	ENV_IO_RENAME,	       /* path -> to_path, replacing it */
	ENV_IO_UNLINK,	       /* path */
	ENV_IO_LIST,  /* path -> names: NUL-terminated names end to end, sorted, no . and .. */
	ENV_IO_SPACE, /* path -> space_total, space_free in bytes */
};

enum env_open_flags {
	ENV_OPEN_WRITE = 1,	/* else read-only */
	ENV_OPEN_CREATE = 2,	/* mode 0600 */
	ENV_OPEN_EXCLUSIVE = 4, /* with CREATE: ERR_EXISTS */
	ENV_OPEN_LOCK = 8,	/* exclusive advisory lock, ERR_UNAVAILABLE when held elsewhere */
};

struct env_stat {
	uint64_t size;	    /* bytes */
	uint64_t allocated; /* bytes of blocks that it occupies */
	uint64_t device, inode;
	uint32_t link_count; /* 0: unlinked while open; what was synced to it is lost */
	bool is_directory;
};

struct env_write {
	struct env_file *file;
	uint64_t offset;
	const struct bytes *parts; /* written end to end */
	size_t part_count;
};

/*
 * One posted file operation. ENV_IO_COMMIT stops at the first error. INV: after
 * a failed sync nobody knows what the disk holds: it is never repeated, the
 * caller fails the volume.
 */
struct env_io {
	enum env_io_kind kind;
	/* in */
	const char *path, *to_path; /* COMMIT: path is looked at after the syncs; or NULL */
	unsigned flags;
	struct env_file *file;
	uint64_t offset;
	uint8_t *buffer;
	uint64_t size;
	const struct env_write *writes;
	size_t write_count;
	struct env_file *const *syncs;
	size_t sync_count;
	void (*done)(struct env_io *io);
	void *context;
	/* out */
	enum err err;
	size_t done_size;
	struct env_stat stat;	   /* COMMIT: that of the sync with the lowest link count */
	struct env_stat path_stat; /* COMMIT: that of `path` */
	uint64_t space_total, space_free;
	struct buf names;    /* the caller's to finish */
	struct env_io *next; /* the env's own */
};

/* ---- work, timers ---- */

/* `work` runs on another thread (inline in simulation) and touches only what the job owns. */
struct env_job {
	void (*work)(struct env_job *job);
	void (*done)(struct env_job *job);
	void *context;
	bool canceled;	      /* out: work was not run */
	struct env_job *next; /* the env's own */
};

/* Embedded in its owner; zero before the first use. */
struct env_timer {
	void (*fire)(struct env_timer *timer);
	void *context;
	void *implementation[8]; /* the env's own */
	bool armed;
};

/* ---- the table ---- */

/* What env_index_commit() applies; a NULL value.data deletes the key. Keys are 1..511 bytes. */
struct env_index_change {
	struct bytes key, value;
};

struct env_ops {
	uint64_t (*now_ms)(struct env *env);
	uint64_t (*now_us)(struct env *env);
	uint64_t (*wall_ms)(struct env *env);
	void (*random)(struct env *env, void *out, size_t size);
	void (*io)(struct env *env, struct env_io *io);
	void (*job)(struct env *env, struct env_job *job);
	void (*timer_start)(struct env *env, struct env_timer *timer, uint64_t delay_ms);
	void (*timer_stop)(struct env *env, struct env_timer *timer);
	void (*soon)(struct env *env, void (*run)(void *context), void *context);
	void (*log)(struct env *env, const char *line);
	enum err (*index_open)(struct env *env, const char *path, struct env_index **out);
	void (*index_close)(struct env_index *index);
	enum err (*index_commit)(struct env_index *index, const struct env_index_change *changes,
				 size_t change_count, bool durable);
	enum err (*index_get)(struct env_index *index, struct bytes key, struct buf *value);
	enum err (*index_scan)(struct env_index *index, struct bytes from, struct bytes before,
			       bool (*each)(void *context, struct bytes key, struct bytes value),
			       void *context);
	enum err (*index_clear)(struct env_index *index);
};

/* Implementations embed this as their first member. */
struct env {
	const struct env_ops *ops;
	bool stopped; /* set once, by the implementation */
};

/* Monotonic, from an arbitrary start; for time-outs and latencies only. */
static inline uint64_t env_now_ms(struct env *env)
{
	return env->ops->now_ms(env);
}
static inline uint64_t env_now_us(struct env *env)
{
	return env->ops->now_us(env);
}
/* Milliseconds since 1970 UTC. May jump: INV no safety rests on it. */
static inline uint64_t env_wall_ms(struct env *env)
{
	return env->ops->wall_ms(env);
}
/* Cryptographically strong; the only source of keys, nonces and ids. Cannot fail. */
static inline void env_random(struct env *env, void *out, size_t size)
{
	env->ops->random(env, out, size);
}
static inline void env_io(struct env *env, struct env_io *io)
{
	env->ops->io(env, io);
}
static inline void env_job(struct env *env, struct env_job *job)
{
	env->ops->job(env, job);
}
/* Re-arms when armed. The delay is at least one turn of the loop. */
static inline void env_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	env->ops->timer_start(env, timer, delay_ms);
}
/* After it returns `fire` is not called; harmless when not armed. */
static inline void env_timer_stop(struct env *env, struct env_timer *timer)
{
	env->ops->timer_stop(env, timer);
}
/* Runs `run(context)` on the next turn of the loop, in the order of the calls. Never fails, never
 * canceled. */
static inline void env_soon(struct env *env, void (*run)(void *context), void *context)
{
	env->ops->soon(env, run, context);
}

/*
 * One logfmt line, "event=<stable-name> key=value ..."; the env adds time and a
 * newline. Never an address, subject, key or password; values with spaces or
 * quotes are written with %s inside \"...\" only when they come from us.
 */
void env_log(struct env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct id128 env_random_id(struct env *env);

/*
 * The node-local index: an ordered map, synchronous, that may come back stale
 * (missing the last commits that were not durable) or empty after a crash, but
 * never with a commit half applied or out of order. Whoever keeps something in
 * it can rebuild it. index_scan visits from <= key < before in memcmp order
 * until `each` returns false; no change of the index from inside. `before` with
 * size 0 means the end.
 */
static inline MUST_USE enum err env_index_open(struct env *env, const char *path,
					       struct env_index **out)
{
	return env->ops->index_open(env, path, out);
}
static inline void env_index_close(struct env *env, struct env_index *index)
{
	env->ops->index_close(index);
}
static inline MUST_USE enum err env_index_commit(struct env *env, struct env_index *index,
						 const struct env_index_change *changes,
						 size_t change_count, bool durable)
{
	return env->ops->index_commit(index, changes, change_count, durable);
}
/* ERR_NOTFOUND when absent; appends the value to `value`. */
static inline MUST_USE enum err env_index_get(struct env *env, struct env_index *index,
					      struct bytes key, struct buf *value)
{
	return env->ops->index_get(index, key, value);
}
static inline MUST_USE enum err
env_index_scan(struct env *env, struct env_index *index, struct bytes from, struct bytes before,
	       bool (*each)(void *context, struct bytes key, struct bytes value), void *context)
{
	return env->ops->index_scan(index, from, before, each, context);
}
static inline MUST_USE enum err env_index_clear(struct env *env, struct env_index *index)
{
	return env->ops->index_clear(index);
}

#endif
