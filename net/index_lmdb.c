/* SPDX-License-Identifier: MPL-2.0 */
#include "net/index_lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

enum {
	KEY_MAX = 511,	       /* LMDB's own limit */
	FLUSH_CHANGES = 4096,  /* bounds the pages held in memory to some 50 MiB, typically 4 */
	FLUSH_BYTES = 4 << 20, /* keys and values gathered */
};

/*
 * INV: txn holds the committed state with the changes in `gathered` applied.
 * `failed` is set when that could not be restored; then every call gives it.
 */
struct env_index {
	MDB_env *lmdb;
	MDB_dbi table;
	MDB_txn *txn;
	size_t map_size;
	struct buf gathered; /* for each change: key block, u8 has value, value block */
	size_t gathered_count;
	int directory;	 /* locked */
	struct buf file; /* path of the data file, NUL-terminated */
	enum err failed;
};

static enum err from_lmdb(int result)
{
	switch (result) {
	case MDB_SUCCESS:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOTFOUND;
	case MDB_MAP_FULL:
		return ERR_NOSPACE;
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return ERR_CORRUPT;
	default:
		return result > 0 ? err_from_errno(result) : ERR_IO;
	}
}

static MDB_val to_val(struct bytes bytes)
{
	MDB_val val = {.mv_size = bytes.size};

	/* LMDB does not write through it, but takes no pointer to const. */
	memcpy(&val.mv_data, &bytes.data, sizeof(val.mv_data));
	return val;
}

static struct bytes from_val(MDB_val val)
{
	return bytes_make(val.mv_data, val.mv_size);
}

/* ---- the file ---- */

static void file_close(struct env_index *index)
{
	if (index->txn != NULL)
		mdb_txn_abort(index->txn);
	if (index->lmdb != NULL)
		mdb_env_close(index->lmdb);
	index->txn = NULL;
	index->lmdb = NULL;
}

/* How long it is, and how long it must be for each page that its root counts. */
static int get_length(MDB_env *lmdb, int *descriptor, uint64_t *is, uint64_t *must)
{
	MDB_envinfo info;
	MDB_stat tree;
	struct stat stat;
	int result;

	result = mdb_env_get_fd(lmdb, descriptor);
	if (result == MDB_SUCCESS)
		result = mdb_env_info(lmdb, &info);
	if (result == MDB_SUCCESS)
		result = mdb_env_stat(lmdb, &tree);
	if (result != MDB_SUCCESS)
		return result;
	if (fstat(*descriptor, &stat) != 0)
		return errno;
	*is = (uint64_t)stat.st_size;
	*must = ((uint64_t)info.me_last_pgno + 1) * tree.ms_psize;
	return MDB_SUCCESS;
}

/* A file cut short would end in a SIGBUS at the first page that is not there. */
static int check_length(MDB_env *lmdb)
{
	uint64_t is, must;
	int descriptor, result = get_length(lmdb, &descriptor, &is, &must);

	return result == MDB_SUCCESS && is < must ? MDB_CORRUPTED : result;
}

/*
 * Pages that a transaction took and gave back are counted and not written: at the end of the file
 * they would make it look cut short.
 */
static int fill_length(MDB_env *lmdb)
{
	uint64_t is, must;
	int descriptor, result = get_length(lmdb, &descriptor, &is, &must);

	if (result != MDB_SUCCESS || is >= must)
		return result;
	return ftruncate(descriptor, (off_t)must) == 0 && fdatasync(descriptor) == 0 ? MDB_SUCCESS
										     : errno;
}

/* One writer that is also the only reader needs none of LMDB's locks. */
static int file_try_open(struct env_index *index)
{
	int result = mdb_env_create(&index->lmdb);

	if (result != MDB_SUCCESS)
		return result;
	result = mdb_env_set_mapsize(index->lmdb, index->map_size);
	if (result == MDB_SUCCESS)
		result = mdb_env_open(index->lmdb, (const char *)index->file.data,
				      MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0600);
	if (result == MDB_SUCCESS)
		result = check_length(index->lmdb);
	if (result == MDB_SUCCESS)
		result = mdb_txn_begin(index->lmdb, NULL, 0, &index->txn);
	if (result == MDB_SUCCESS)
		result = mdb_dbi_open(index->txn, NULL, 0, &index->table);
	if (result != MDB_SUCCESS)
		file_close(index);
	return result;
}

static enum err file_remove(struct env_index *index)
{
	if (unlink((const char *)index->file.data) != 0 && errno != ENOENT)
		return err_from_errno(errno);
	return ERR_OK;
}

static enum err file_open(struct env_index *index)
{
	enum err err = from_lmdb(file_try_open(index));

	/* INVALID comes from a file that LMDB's own checks took for no database at all. */
	if (err == ERR_CORRUPT || err == ERR_INVALID) {
		err = file_remove(index);
		if (err == ERR_OK)
			err = from_lmdb(file_try_open(index));
	}
	return err;
}

enum err index_lmdb_open(const char *path, size_t map_size, struct env_index **out)
{
	struct env_index *index;
	enum err err;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_from_errno(errno);
	index = memory_allocate(sizeof(*index));
	if (index == NULL)
		return ERR_NOMEM;
	index->map_size = map_size;
	index->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (index->directory < 0 || flock(index->directory, LOCK_EX | LOCK_NB) != 0) {
		err = err_from_errno(errno);
		goto out;
	}
	buf_put_string(&index->file, path);
	buf_put(&index->file, "/data.mdb", sizeof("/data.mdb"));
	err = index->file.err;
	if (err == ERR_OK)
		err = file_open(index);
	if (err == ERR_OK) {
		*out = index;
		return ERR_OK;
	}
out:
	if (index->directory >= 0)
		close(index->directory);
	buf_finish(&index->file);
	memory_free(index);
	return err;
}

/* ---- changes ---- */

static int apply_change(struct env_index *index, struct bytes key, struct bytes value)
{
	MDB_val key_val = to_val(key), value_val = to_val(value);
	int result;

	if (value.data != NULL)
		return mdb_put(index->txn, index->table, &key_val, &value_val, 0);
	result = mdb_del(index->txn, index->table, &key_val, NULL);
	return result == MDB_NOTFOUND ? MDB_SUCCESS : result;
}

static int apply_gathered(struct env_index *index)
{
	struct cursor cursor = cursor_make(bytes_of_buf(&index->gathered));

	while (cursor_left(&cursor) > 0) {
		struct bytes key = cursor_block(&cursor);
		bool has_value = cursor_u8(&cursor) != 0;
		struct bytes value = cursor_block(&cursor);
		int result;

		ASSERT(cursor.err == ERR_OK);
		result = apply_change(index, key, has_value ? value : bytes_make(NULL, 0));
		if (result != MDB_SUCCESS)
			return result;
	}
	return MDB_SUCCESS;
}

static int begin(struct env_index *index)
{
	return mdb_txn_begin(index->lmdb, NULL, 0, &index->txn);
}

static void drop_txn(struct env_index *index)
{
	if (index->txn != NULL)
		mdb_txn_abort(index->txn);
	index->txn = NULL;
}

/* A new transaction with all that is gathered, in a larger map as often as it takes. */
static int rebuild(struct env_index *index, bool grow)
{
	for (;;) {
		int result = MDB_SUCCESS;

		drop_txn(index);
		if (grow) {
			if (index->map_size > SIZE_MAX / 4)
				return MDB_MAP_FULL;
			result = mdb_env_set_mapsize(index->lmdb, index->map_size * 2);
			if (result == MDB_SUCCESS)
				index->map_size *= 2;
		}
		if (result == MDB_SUCCESS)
			result = begin(index);
		if (result == MDB_SUCCESS)
			result = apply_gathered(index);
		if (result != MDB_MAP_FULL)
			return result;
		grow = true;
	}
}

/* Ends the transaction with a synced commit; the next begins. Gathered changes stay on failure. */
static int flush(struct env_index *index)
{
	int result = mdb_txn_commit(index->txn);

	index->txn = NULL;
	while (result == MDB_MAP_FULL) {
		result = rebuild(index, true);
		if (result != MDB_SUCCESS)
			return result;
		result = mdb_txn_commit(index->txn);
		index->txn = NULL;
	}
	if (result != MDB_SUCCESS)
		return result;
	buf_clear(&index->gathered);
	index->gathered_count = 0;
	/* The commit itself is done: only what comes after it fails. */
	result = fill_length(index->lmdb);
	if (result == MDB_SUCCESS)
		result = begin(index);
	index->failed = from_lmdb(result);
	return MDB_SUCCESS;
}

static enum err gather(struct env_index *index, const struct env_index_change *changes,
		       size_t change_count)
{
	for (size_t i = 0; i < change_count; i++) {
		buf_put_block(&index->gathered, changes[i].key);
		buf_put_u8(&index->gathered, changes[i].value.data != NULL);
		buf_put_block(&index->gathered, changes[i].value);
	}
	index->gathered_count += change_count;
	return index->gathered.err;
}

static int apply_all(struct env_index *index, const struct env_index_change *changes,
		     size_t change_count)
{
	for (size_t i = 0; i < change_count; i++) {
		int result = apply_change(index, changes[i].key, changes[i].value);

		if (result == MDB_MAP_FULL)
			return rebuild(index, true);
		if (result != MDB_SUCCESS)
			return result;
	}
	return MDB_SUCCESS;
}

/* A commit failed: back to what was gathered before it. */
static enum err take_back(struct env_index *index, size_t size, size_t count, enum err why)
{
	int result;

	index->gathered.size = size;
	index->gathered.err = ERR_OK;
	index->gathered_count = count;
	result = rebuild(index, false);
	if (result != MDB_SUCCESS)
		index->failed = from_lmdb(result);
	return why;
}

enum err index_lmdb_commit(struct env_index *index, const struct env_index_change *changes,
			   size_t change_count, bool durable)
{
	size_t size = index->gathered.size, count = index->gathered_count;
	enum err err;

	if (index->failed != ERR_OK)
		return index->failed;
	for (size_t i = 0; i < change_count; i++)
		if (changes[i].key.size == 0 || changes[i].key.size > KEY_MAX)
			return ERR_INVALID;
	err = gather(index, changes, change_count);
	if (err == ERR_OK)
		err = from_lmdb(apply_all(index, changes, change_count));
	if (err == ERR_OK && (durable || index->gathered_count >= FLUSH_CHANGES ||
			      index->gathered.size >= FLUSH_BYTES))
		err = from_lmdb(flush(index));
	return err == ERR_OK ? ERR_OK : take_back(index, size, count, err);
}

void index_lmdb_close(struct env_index *index)
{
	/* Without it the index is stale at the next start, as after a crash. */
	if (index->failed == ERR_OK && index->gathered_count != 0)
		(void)flush(index);
	file_close(index);
	close(index->directory);
	buf_finish(&index->file);
	buf_finish(&index->gathered);
	memory_free(index);
}

enum err index_lmdb_clear(struct env_index *index)
{
	enum err err;

	file_close(index);
	buf_clear(&index->gathered);
	index->gathered_count = 0;
	err = file_remove(index);
	/* Else a crash could bring the old content back after what is written next was synced. */
	if (err == ERR_OK && fsync(index->directory) != 0)
		err = err_from_errno(errno);
	if (err == ERR_OK)
		err = file_open(index);
	index->failed = err;
	return err;
}

/* ---- reading ---- */

enum err index_lmdb_get(struct env_index *index, struct bytes key, struct buf *value)
{
	MDB_val key_val = to_val(key), found;
	int result;

	if (index->failed != ERR_OK)
		return index->failed;
	if (key.size == 0 || key.size > KEY_MAX)
		return ERR_INVALID;
	result = mdb_get(index->txn, index->table, &key_val, &found);
	if (result != MDB_SUCCESS)
		return from_lmdb(result);
	buf_put_bytes(value, from_val(found));
	return value->err;
}

enum err index_lmdb_scan(struct env_index *index, struct bytes from, struct bytes before,
			 bool (*each)(void *context, struct bytes key, struct bytes value),
			 void *context)
{
	MDB_val key = to_val(from), value;
	MDB_cursor *cursor;
	int result;

	if (index->failed != ERR_OK)
		return index->failed;
	if (from.size > KEY_MAX)
		return ERR_INVALID;
	result = mdb_cursor_open(index->txn, index->table, &cursor);
	if (result != MDB_SUCCESS)
		return from_lmdb(result);
	result = mdb_cursor_get(cursor, &key, &value, from.size != 0 ? MDB_SET_RANGE : MDB_FIRST);
	while (result == MDB_SUCCESS) {
		if (before.size != 0 && bytes_compare(from_val(key), before) >= 0)
			break;
		if (!each(context, from_val(key), from_val(value)))
			break;
		result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return result == MDB_NOTFOUND ? ERR_OK : from_lmdb(result);
}
