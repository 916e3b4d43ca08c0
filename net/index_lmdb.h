/* SPDX-License-Identifier: MPL-2.0 */
/*
 * index_lmdb - the index of engine/env.h in an LMDB file, <path>/data.mdb.
 *
 * What a crash leaves. LMDB copies on write and switches between two roots, so
 * a synced transaction is safe against power loss; one written without a sync
 * (MDB_NOSYNC) can leave a root that points at pages which never arrived. So
 * nothing is ever written without a sync: commits that need not be durable
 * gather in one open write transaction, whose pages are in memory, and readers
 * of the same process read through it. It is committed, synced, at the next
 * durable commit, at the close, and when FLUSH_CHANGES or FLUSH_BYTES have
 * gathered. After a crash the file is as of one of these moments.
 *
 * The changes gathered are also kept as a list. When a change fails half way
 * (the map is full, a page cannot be written), the transaction is dropped and
 * the list, without the commit that failed, is applied to a new one. So a
 * commit is applied as a whole or not at all, in the running process as well.
 *
 * A file that LMDB cannot read, or that is shorter than its root says, is
 * discarded: the index comes back empty. One process at a time (flock on the
 * directory), one thread. Memory: the map is file-backed; a read error of the
 * disk below a mapped page is a SIGBUS, as everywhere with LMDB.
 */
#ifndef AEROSTORE_NET_INDEX_LMDB_H
#define AEROSTORE_NET_INDEX_LMDB_H

#include "engine/env.h"

/*
 * Makes the directory when it is missing. `map_size` is where the map starts,
 * in bytes; it grows when it is full. ERR_UNAVAILABLE: open elsewhere.
 */
MUST_USE enum err index_lmdb_open(const char *path, size_t map_size, struct env_index **out);
/* Commits what has gathered. */
void index_lmdb_close(struct env_index *index);
MUST_USE enum err index_lmdb_commit(struct env_index *index, const struct env_index_change *changes,
				    size_t change_count, bool durable);
MUST_USE enum err index_lmdb_get(struct env_index *index, struct bytes key, struct buf *value);
MUST_USE enum err index_lmdb_scan(struct env_index *index, struct bytes from, struct bytes before,
				  bool (*each)(void *context, struct bytes key, struct bytes value),
				  void *context);
MUST_USE enum err index_lmdb_clear(struct env_index *index);

#endif
