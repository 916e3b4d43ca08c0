/* SPDX-License-Identifier: MPL-2.0 */
/*
 * aerofsck, case by case. A directory tests/fsck/NAME is a case:
 *
 *   damage       what happens to a store at rest, a line each; # is a remark
 *   expected.1   what the first run says, with its exit status
 *   expected.2   what the second run says: clean, unless a volume is not there, or the first run
 *                was told not to mend all
 *   options      (may be missing) of the first run; -y
 *   lost         (may be missing) mail is lost in this one: it is not compared
 *
 * The store is fsck_fixture.h's; after the second run tests/format/reader.py must
 * read the same mail from the volumes as it did before the damage. Output is
 * compared with ids, offsets and sizes replaced by letters, so that only what is
 * said about the damage counts.
 *
 *   flip FILE PLACE [COUNT]           octets, inverted
 *   zero FILE PLACE COUNT
 *   truncate FILE PLACE
 *   append FILE COUNT                 octets 0xaa
 *   copy FILE PLACE FROM PLACE COUNT  a write that went astray
 *   duplicate FILE VOLUME             the same file on another volume
 *   remove FILE
 *   make VOLUME NAME                  an empty file; NAME/ a directory
 *   remove-volume VOLUME
 *   remove-folder VOLUME NAME
 *   edit VOLUME RECORD OFFSET         inverts an octet of a journal record's payload, and writes
 *                                     the segment so that its checksums agree
 *   drop VOLUME RECORD                the segment without that record
 *   unvote                            the sealed set's trailers name another hash of its parity
 *   reseal FILE                       the file's trailer names another hash of column 0's file
 *   reborn FILE                       the header's uuid is another set's
 *   newer FILE                        a header of a later version, with right checksums
 *   unmember FILE                     header and trailer of a set that began and did not end
 *   leftover                          a mirror beside the parity of the sealed set
 *   strange FILE                      its first record is of a type that has no business there
 *   reindex FILE                      one page of its index says something else, with a right
 * checksum lie                               the sealed set's parity is wrong, and all checksums
 * agree uncount VOLUME                    the last mark says that the volume does not count
 *
 * FILE: superblock:V, segment:V, sealed:C and open:C (columns of the two sets), sealed:C@V for a
 * name on a volume. PLACE: a number, end, record:N, index, trailer; with +N or -N behind. RECORD:
 * entry:N, delivery:N, directory:N, page:N, manifest:N as volume 0 has them, on any volume.
 *
 * AEROSTORE_REWRITE=1 writes the expected files. Run from the top of the tree.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/format/column.h"
#include "engine/format/record.h"
#include "engine/format/segment.h"
#include "engine/format/superblock.h"
#include "engine/fsck/problem.h"
#include "engine/io.h"
#include "engine/journal/entry.h"
#include "tests/support/fsck_fixture.h"
#include "tests/support/unit.h"

#define CASES "tests/fsck"
#define READER "tests/format/reader.py"
#define HEADER 8192u
#define PATH 512

static char top[64], store[128];
static char admin_public[2 * PUBLIC_SIZE + 1];

/* ---- files and programs ---- */

static void read_file(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "rb");
	char part[65536];
	size_t got;

	if (file == NULL)
		fail_msg("%s cannot be read", path);
	while ((got = fread(part, 1, sizeof(part), file)) > 0)
		buf_put(out, part, got);
	fclose(file);
	assert_ok(out->err);
}

static void write_file(const char *path, struct bytes content)
{
	FILE *file = fopen(path, "wb");

	if (file == NULL)
		fail_msg("%s cannot be written", path);
	if (content.size != 0)
		assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
	assert_int_equal(fclose(file), 0);
}

/* Output of a shell command, appended; its exit status. */
static int run(struct buf *out, const char *format, ...)
{
	char command[4096], part[4096];
	va_list arguments;
	FILE *pipe;
	size_t got;
	int status;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while ((got = fread(part, 1, sizeof(part), pipe)) > 0)
		if (out != NULL)
			buf_put(out, part, got);
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the store ---- */

static WAITS void copy_folder(const char *from, const char *to)
{
	char source[PATH], target[PATH];
	struct buf names = {0}, content = {0};

	assert_int_equal(mkdir(to, 0700), 0);
	assert_ok(io_list(from, &names));
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		struct env_stat stat;

		snprintf(source, sizeof(source), "%s/%s", from, (char *)names.data + at);
		snprintf(target, sizeof(target), "%s/%s", to, (char *)names.data + at);
		assert_ok(io_stat(source, &stat));
		if (stat.is_directory) {
			copy_folder(source, target);
			continue;
		}
		buf_clear(&content);
		assert_ok(io_read_file(source, 64u << 20, &content));
		write_file(target, bytes_of_buf(&content));
	}
	buf_finish(&names);
	buf_finish(&content);
}

static void make_store(void *argument)
{
	const struct fsck_fixture_size size = {.sealed = 5, .open = 3, .session = true};
	struct post *post = argument;
	uint8_t public_key[PUBLIC_SIZE];
	char from[PATH], to[PATH];

	sign_public(post->admin, public_key);
	for (size_t i = 0; i < sizeof(public_key); i++)
		snprintf(admin_public + 2 * i, 3, "%02x", public_key[i]);
	fsck_fixture_fill(post, &size);
	for (int i = 0; i < FSCK_FIXTURE_VOLUMES; i++) {
		snprintf(from, sizeof(from), "/d%d/v", i);
		snprintf(to, sizeof(to), "%s/pristine/v%d", top, i);
		copy_folder(from, to);
	}
}

/* ---- names of the damage script ---- */

struct column_place {
	char path[PATH]; /* relative to the store: "v0/columns/..." */
	bool sealed;
	uint8_t column;
};

static struct column_place columns[16];
static size_t column_count;

static void find_columns(void)
{
	char pattern[PATH], path[PATH];

	column_count = 0;
	for (int v = 0; v < FSCK_FIXTURE_VOLUMES; v++) {
		struct dirent *entry;
		DIR *directory;

		snprintf(pattern, sizeof(pattern), "%s/pristine/v%d/columns", top, v);
		directory = opendir(pattern);
		assert_non_null(directory);
		while ((entry = readdir(directory)) != NULL) {
			struct column_place *place = &columns[column_count];
			struct buf content = {0};
			enum column_kind kind;
			uint64_t set;

			if (column_parse_name(entry->d_name, &set, &place->column, &kind) != ERR_OK)
				continue;
			snprintf(place->path, PATH, "v%d/columns/%.40s", v, entry->d_name);
			snprintf(path, sizeof(path), "%s/pristine/%.200s", top, place->path);
			read_file(path, &content);
			place->sealed = memcmp(content.data + content.size - COLUMN_TRAILER_SIZE,
					       "AEROSEAL", 8) == 0;
			buf_finish(&content);
			column_count++;
		}
		closedir(directory);
	}
	assert_int_equal(column_count, 6);
}

/* The largest: the others are spares. */
static void find_segment(unsigned volume, char out[PATH])
{
	char directory[PATH], path[PATH];
	struct dirent *entry;
	struct stat stat_;
	off_t largest = 0;
	DIR *opened;

	snprintf(directory, sizeof(directory), "%s/v%u/journal", store, volume);
	opened = opendir(directory);
	assert_non_null(opened);
	while ((entry = readdir(opened)) != NULL) {
		snprintf(path, sizeof(path), "%.300s/%.100s", directory, entry->d_name);
		if (entry->d_name[0] == '.' || stat(path, &stat_) != 0 || stat_.st_size <= largest)
			continue;
		largest = stat_.st_size;
		memcpy(out, path, PATH);
	}
	closedir(opened);
	assert_true(largest > HEADER);
}

/* The path of a FILE within the damaged store. */
static void resolve(const char *word, char out[PATH])
{
	unsigned number = (unsigned)atoi(strchr(word, ':') != NULL ? strchr(word, ':') + 1 : "0");
	const char *on = strchr(word, '@');

	if (strncmp(word, "superblock:", 11) == 0) {
		snprintf(out, PATH, "%s/v%u/superblock", store, number);
		return;
	}
	if (strncmp(word, "segment:", 8) == 0) {
		find_segment(number, out);
		return;
	}
	for (size_t i = 0; i < column_count; i++)
		if (columns[i].column == number &&
		    columns[i].sealed == (strncmp(word, "sealed:", 7) == 0)) {
			snprintf(out, PATH, "%s/%s%s", store, on != NULL ? on + 1 : "",
				 columns[i].path + (on != NULL ? 2 : 0));
			return;
		}
	fail_msg("no such file: %s", word);
}

static size_t record_place(const struct buf *content, unsigned number)
{
	struct record record;
	size_t at = HEADER;

	for (;; number--) {
		assert_true(at + RECORD_HEADER_SIZE <= content->size);
		assert_ok(record_decode(content->data + at, &record));
		if (number == 0)
			return at;
		at += (size_t)record_size(record.payload_size);
	}
}

static size_t place(const char *word, const struct buf *content)
{
	const char *plus = strpbrk(word, "+-");
	long more = plus != NULL && plus != word ? atol(plus) : 0;
	size_t at;

	if (strncmp(word, "end", 3) == 0) {
		at = content->size;
	} else if (strncmp(word, "record:", 7) == 0) {
		at = record_place(content, (unsigned)atoi(word + 7));
	} else if (strncmp(word, "trailer", 7) == 0) {
		at = content->size - COLUMN_TRAILER_SIZE;
	} else if (strncmp(word, "index", 5) == 0) {
		at = (size_t)load_u64(content->data + content->size - COLUMN_TRAILER_SIZE + 64);
	} else {
		at = (size_t)atol(word);
		more = 0;
	}
	return (size_t)((long)at + more);
}

/* ---- journals, written so that their checksums agree ---- */

struct chosen {
	struct record record;
	bool found;
};

static bool is_kind(const char *kind, const struct record *record, struct bytes payload)
{
	const struct id128 directory = table_stream(TABLE_DIRECTORY);

	if (strncmp(kind, "page", 4) == 0)
		return record->type == RECORD_PAGE;
	if (strncmp(kind, "manifest", 8) == 0)
		return record->type == RECORD_MANIFEST;
	if (record->type != RECORD_ENTRY)
		return false;
	if (strncmp(kind, "directory", 9) == 0)
		return id128_equal(record->tag, directory);
	if (strncmp(kind, "delivery", 8) == 0)
		return payload.data[2] == ENTRY_DELIVERY;
	return true;
}

/* Calls each(context, record, payload) for the records of a segment. */
static void for_each_record(const struct buf *content,
			    void (*each)(void *context, const struct record *record,
					 struct bytes payload),
			    void *context)
{
	struct record record;

	for (size_t at = HEADER; at + RECORD_HEADER_SIZE <= content->size &&
				 record_decode(content->data + at, &record) == ERR_OK;
	     at += (size_t)record_size(record.payload_size))
		each(context, &record,
		     bytes_make(content->data + at + RECORD_HEADER_SIZE, record.payload_size));
}

struct choosing {
	const char *kind;
	unsigned left;
	struct chosen chosen;
};

static void choose(void *context, const struct record *record, struct bytes payload)
{
	struct choosing *choosing = context;

	if (choosing->chosen.found || !is_kind(choosing->kind, record, payload))
		return;
	if (choosing->left-- == 0)
		choosing->chosen = (struct chosen){*record, true};
}

/* Segments of a volume in the damaged store, in the order of their numbers. */
static size_t list_segments(unsigned volume, char paths[32][PATH])
{
	char directory[PATH];
	struct dirent **names;
	size_t count = 0;
	int found;

	snprintf(directory, sizeof(directory), "%s/v%u/journal", store, volume);
	found = scandir(directory, &names, NULL, alphasort);
	for (int i = 0; i < found; i++) {
		if (names[i]->d_name[0] != '.' && count < 32)
			snprintf(paths[count++], PATH, "%.300s/%.100s", directory,
				 names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return count;
}

static struct record choose_record(const char *word)
{
	static char paths[32][PATH];
	struct choosing choosing = {.kind = word, .left = (unsigned)atoi(strchr(word, ':') + 1)};
	size_t count;
	char damaged[sizeof(store)];

	memcpy(damaged, store, sizeof(store));
	snprintf(store, sizeof(store), "%s/pristine", top);
	count = list_segments(0, paths);
	memcpy(store, damaged, sizeof(store));
	for (size_t i = 0; i < count; i++) {
		struct buf content = {0};

		read_file(paths[i], &content);
		for_each_record(&content, choose, &choosing);
		buf_finish(&content);
	}
	if (!choosing.chosen.found)
		fail_msg("no such record: %s", word);
	return choosing.chosen.record;
}

struct rewriting {
	struct record chosen;
	long edit; /* payload offset; -1: dropped; -2: the marks do not count; -3: another type */
	struct buf out;
	struct hash128 running;
	bool found;
};

static void rewrite(void *context, const struct record *record, struct bytes payload)
{
	struct rewriting *rewriting = context;
	struct record copy = *record;
	uint8_t header[RECORD_HEADER_SIZE];
	struct buf changed = {0};
	bool mine = record_same(record, &rewriting->chosen);

	buf_put_bytes(&changed, payload);
	if (rewriting->edit == -2 && record->type == RECORD_MARK) {
		mine = true;
		changed.data[1] = 0;
	} else if (mine && rewriting->edit >= 0) {
		changed.data[rewriting->edit] ^= 0xff;
	}
	if (mine && rewriting->edit == -3)
		copy.type = RECORD_ENTRY;
	rewriting->found |= mine;
	if (!mine || rewriting->edit != -1) {
		if (mine)
			record_hash_payload(&copy, bytes_of_buf(&changed));
		copy.offset = rewriting->out.size - HEADER;
		if (copy.durable > copy.offset)
			copy.durable = copy.offset;
		record_encode(&copy, rewriting->running, header);
		rewriting->running = copy.running;
		buf_put(&rewriting->out, header, sizeof(header));
		buf_put_bytes(&rewriting->out, bytes_of_buf(&changed));
		buf_put_zeros(&rewriting->out, (size_t)record_size(copy.payload_size) -
						       sizeof(header) - payload.size);
	}
	buf_finish(&changed);
}

static void rewrite_segments(unsigned volume, const struct record *chosen, long edit)
{
	static char paths[32][PATH];
	size_t count = list_segments(volume, paths);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		struct rewriting rewriting = {.edit = edit};
		struct buf content = {0};

		if (chosen != NULL)
			rewriting.chosen = *chosen;
		read_file(paths[i], &content);
		buf_put_bytes(&rewriting.out, bytes_slice(bytes_of_buf(&content), 0, HEADER));
		for_each_record(&content, rewrite, &rewriting);
		if (rewriting.found)
			write_file(paths[i], bytes_of_buf(&rewriting.out));
		found |= rewriting.found;
		buf_finish(&content);
		buf_finish(&rewriting.out);
	}
	if (!found)
		fail_msg("the record is not on volume %u", volume);
}

/* ---- structures, likewise ---- */

static void edit_trailer(const char *path, unsigned column)
{
	struct column_trailer trailer;
	struct buf content = {0};

	read_file(path, &content);
	assert_ok(
		column_trailer_decode(content.data + content.size - COLUMN_TRAILER_SIZE, &trailer));
	trailer.certificate.file_hash[column].low ^= 1;
	column_trailer_encode(&trailer, content.data + content.size - COLUMN_TRAILER_SIZE);
	write_file(path, bytes_of_buf(&content));
	buf_finish(&content);
}

static void edit_header(const char *path, bool other_uuid, bool unfinished)
{
	struct column_header header;
	struct buf content = {0}, fresh = {0};

	read_file(path, &content);
	assert_ok(column_header_decode(content.data, &header));
	if (other_uuid)
		header.uuid.octets[0] ^= 1;
	header.born_sealed |= unfinished;
	if (unfinished) {
		header.predecessor_count = 1;
		header.predecessors[0] = 1;
	}
	column_header_put(&header, &fresh);
	buf_put_bytes(&fresh, bytes_slice(bytes_of_buf(&content), HEADER, SIZE_MAX));
	write_file(path, bytes_of_buf(&fresh));
	buf_finish(&content);
	buf_finish(&fresh);
}

static void make_strange(const char *path)
{
	struct rewriting rewriting = {.edit = -3};
	struct buf content = {0};
	struct record record;

	read_file(path, &content);
	assert_ok(record_decode(content.data + HEADER, &record));
	rewriting.chosen = record;
	buf_put_bytes(&rewriting.out, bytes_slice(bytes_of_buf(&content), 0, HEADER));
	for_each_record(&content, rewrite, &rewriting);
	buf_put_bytes(&rewriting.out,
		      bytes_slice(bytes_of_buf(&content), rewriting.out.size, SIZE_MAX));
	write_file(path, bytes_of_buf(&rewriting.out));
	buf_finish(&content);
	buf_finish(&rewriting.out);
}

static void edit_index(const char *path)
{
	struct buf content = {0};
	uint8_t *page;

	read_file(path, &content);
	page = content.data + load_u64(content.data + content.size - COLUMN_TRAILER_SIZE + 64);
	page[32] ^= 1;
	store_u64(page + 4088, hash_64(page, 4088));
	write_file(path, bytes_of_buf(&content));
	buf_finish(&content);
}

/* A parity that was computed wrong, voted for, and sealed. */
static void make_lie(void)
{
	struct buf content = {0};
	struct column_trailer trailer;
	struct hash128 hash = {0, 0};
	char path[PATH];

	resolve("sealed:2", path);
	read_file(path, &content);
	assert_ok(
		column_trailer_decode(content.data + content.size - COLUMN_TRAILER_SIZE, &trailer));
	content.data[HEADER + 100] ^= 1;
	write_file(path, bytes_of_buf(&content));
	for (size_t at = 0; at < trailer.body_size; at += COLUMN_PARITY_BLOCK)
		hash = column_parity_hash(hash,
					  bytes_slice(bytes_slice(bytes_of_buf(&content), HEADER,
								  (size_t)trailer.body_size),
						      at, COLUMN_PARITY_BLOCK));
	buf_finish(&content);
	for (unsigned i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "sealed:%u", i);
		resolve(name, path);
		content = (struct buf){0};
		read_file(path, &content);
		assert_ok(column_trailer_decode(content.data + content.size - COLUMN_TRAILER_SIZE,
						&trailer));
		trailer.certificate.file_hash[2] = hash;
		column_trailer_encode(&trailer, content.data + content.size - COLUMN_TRAILER_SIZE);
		write_file(path, bytes_of_buf(&content));
		buf_finish(&content);
	}
}

/* The version of the first structure of the file, with the hash of what it is in. */
static void make_newer(const char *path)
{
	struct buf content = {0};

	read_file(path, &content);
	if (memcmp(content.data, "AEROVOL", 8) == 0) {
		struct hash128 hash;

		store_u32(content.data + 8, 2);
		hash = hash_128(content.data, 4080);
		store_u64(content.data + 4080, hash.low);
		store_u64(content.data + 4088, hash.high);
	} else if (memcmp(content.data, "AEROSEGM", 8) == 0) {
		store_u32(content.data + 8, 2);
		store_u64(content.data + 4088, hash_64(content.data, 4088));
	} else {
		store_u16(content.data + 8, 2);
		store_u64(content.data + 1016, hash_64(content.data, 1016));
	}
	write_file(path, bytes_of_buf(&content));
	buf_finish(&content);
}

/* ---- the damage script ---- */

static size_t split(char *line, char *words[8])
{
	size_t count = 0;

	for (char *word = strtok(line, " \t\n"); word != NULL && count < 8;
	     word = strtok(NULL, " \t\n"))
		words[count++] = word;
	return count;
}

static void damage_bytes(char *words[8], size_t count)
{
	char path[PATH], from[PATH];
	struct buf content = {0}, other = {0};
	size_t at, size;

	resolve(words[1], path);
	read_file(path, &content);
	at = count > 2 ? place(words[2], &content) : 0;
	size = count > 3 ? (size_t)atol(words[3]) : 1;
	if (strcmp(words[0], "append") == 0) {
		for (size_t i = 0; i < (size_t)atol(words[2]); i++)
			buf_put_u8(&content, 0xaa);
	} else if (strcmp(words[0], "truncate") == 0) {
		assert_true(at < content.size);
		content.size = at;
	} else if (strcmp(words[0], "copy") == 0) {
		resolve(words[3], from);
		read_file(from, &other);
		size = (size_t)atol(words[5]);
		assert_true(at + size <= content.size);
		memcpy(content.data + at, other.data + place(words[4], &other), size);
	} else {
		assert_true(at + size <= content.size);
		for (size_t i = 0; i < size; i++)
			content.data[at + i] =
				strcmp(words[0], "zero") == 0 ? 0 : content.data[at + i] ^ 0xff;
	}
	write_file(path, bytes_of_buf(&content));
	buf_finish(&content);
	buf_finish(&other);
}

static bool damage_names(char *words[8])
{
	char path[PATH], target[PATH];

	if (strcmp(words[0], "remove") == 0) {
		resolve(words[1], path);
		assert_int_equal(unlink(path), 0);
	} else if (strcmp(words[0], "remove-volume") == 0) {
		assert_int_equal(run(NULL, "rm -r %s/v%s", store, words[1]), 0);
	} else if (strcmp(words[0], "remove-folder") == 0) {
		assert_int_equal(run(NULL, "rm -r %s/v%s/%s", store, words[1], words[2]), 0);
	} else if (strcmp(words[0], "make") == 0) {
		snprintf(path, sizeof(path), "%s/v%s/%s", store, words[1], words[2]);
		write_file(path, bytes_make(NULL, 0));
	} else if (strcmp(words[0], "duplicate") == 0) {
		resolve(words[1], path);
		snprintf(target, sizeof(target), "%s/v%s/columns/", store, words[2]);
		assert_int_equal(run(NULL, "test -e %s$(basename %s) || cp %s %s", target, path,
				     path, target),
				 0);
	} else {
		return false;
	}
	return true;
}

static bool damage_structure(char *words[8])
{
	char path[PATH];

	if (strcmp(words[0], "edit") == 0) {
		struct record record = choose_record(words[2]);

		rewrite_segments((unsigned)atoi(words[1]), &record, atol(words[3]));
	} else if (strcmp(words[0], "drop") == 0) {
		struct record record = choose_record(words[2]);

		rewrite_segments((unsigned)atoi(words[1]), &record, -1);
	} else if (strcmp(words[0], "uncount") == 0) {
		rewrite_segments((unsigned)atoi(words[1]), NULL, -2);
	} else if (strcmp(words[0], "leftover") == 0) {
		char target[PATH];

		resolve("sealed:2", path);
		snprintf(target, sizeof(target), "%.*smir", (int)strlen(path) - 3, path);
		resolve("open:2", path);
		assert_int_equal(run(NULL, "cp %s %s", path, target), 0);
	} else if (strcmp(words[0], "lie") == 0) {
		make_lie();
	} else if (strcmp(words[0], "strange") == 0) {
		resolve(words[1], path);
		make_strange(path);
	} else if (strcmp(words[0], "reindex") == 0) {
		resolve(words[1], path);
		edit_index(path);
	} else if (strcmp(words[0], "unvote") == 0) {
		for (unsigned i = 0; i < 3; i++) {
			char name[16];

			snprintf(name, sizeof(name), "sealed:%u", i);
			resolve(name, path);
			edit_trailer(path, 2);
		}
	} else if (strcmp(words[0], "reseal") == 0) {
		resolve(words[1], path);
		edit_trailer(path, 0);
	} else if (strcmp(words[0], "reborn") == 0 || strcmp(words[0], "unmember") == 0) {
		resolve(words[1], path);
		edit_header(path, words[0][0] == 'r', words[0][0] == 'u');
	} else if (strcmp(words[0], "newer") == 0) {
		resolve(words[1], path);
		make_newer(path);
	} else {
		return false;
	}
	return true;
}

static void apply_damage(const char *name)
{
	char path[PATH], line[512], *words[8];
	FILE *script;

	snprintf(path, sizeof(path), CASES "/%s/damage", name);
	script = fopen(path, "r");
	assert_non_null(script);
	while (fgets(line, sizeof(line), script) != NULL) {
		size_t count = split(line, words);

		if (count == 0 || *words[0] == '#' || damage_names(words) ||
		    damage_structure(words))
			continue;
		if (strcmp(words[0], "flip") != 0 && strcmp(words[0], "zero") != 0 &&
		    strcmp(words[0], "truncate") != 0 && strcmp(words[0], "append") != 0 &&
		    strcmp(words[0], "copy") != 0)
			fail_msg("%s: %s is no damage", path, words[0]);
		damage_bytes(words, count);
	}
	fclose(script);
}

/* ---- what the runs say ---- */

/*
 * Directories become names; ids S1, S2.. and I1, I2.. in the order in which they
 * appear; numbers N, but for codes, columns, and the counts of problems. Which
 * volume has which column, and in how many files the engine puts what it mends,
 * is chance: volumes are v, new files are left out, and what is said is sorted.
 */
#define NORMALISE                                                                                  \
	"import re, sys\n"                                                                         \
	"text = sys.stdin.read().replace(sys.argv[1] + '/', '')\n"                                 \
	"seen = {}\n"                                                                              \
	"def name(match):\n"                                                                       \
	"    word = match.group(0)\n"                                                              \
	"    kind = 'I' if len(word) == 32 else 'S'\n"                                             \
	"    if word not in seen:\n"                                                               \
	"        seen[word] = kind + str(1 + sum(v[0] == kind for v in seen.values()))\n"          \
	"    return seen[word]\n"                                                                  \
	"text = re.sub(r'(journal|replaced)/(\\d+-)?[0-9a-f]{16}\\.seg', r'\\1/SEGMENT', text)\n"  \
	"text = re.sub(r'^wrote [^ ]*\\n', '', text, flags=re.M)\n"                                \
	"text = re.sub(r'^wrote .*SEGMENT.*\\n', '', text, flags=re.M)\n"                          \
	"text = re.sub(r'\\b[0-9a-f]{32}\\b|(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])', name, text)\n" \
	"text = re.sub(r'\\bv[012]\\b', 'v', text)\n"                                              \
	"text = re.sub(r'\\b(offset|size|of|lacks) \\d+', r'\\1 N', text)\n"                       \
	"text = re.sub(r'\\d+ (of N|records|bytes|entries|manifests|streams|journal|sets|blobs "   \
	"are|are named)', r'N \\1', text)\n"                                                       \
	"text = re.sub(r'(of them lost; )\\d+', r'\\1N', text)\n"                                  \
	"blocks = re.findall(r'^[^ ].*\\n(?:  .*\\n)*', text, flags=re.M)\n"                       \
	"told = [b for b in blocks if re.match('[A-Z][0-9][0-9] |wrote |put aside ', b)]\n"        \
	"sys.stdout.write(''.join(sorted(told)) + ''.join(b for b in blocks if b not in told))\n"

static void check_output(const char *name, unsigned number, const char *options)
{
	char path[PATH], list[PATH] = "";
	struct buf text = {0}, expected = {0};
	const char *build = getenv("AEROSTORE_BUILD");
	int status;

	for (int i = 0; i < FSCK_FIXTURE_VOLUMES; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s/v%d", store, i);
	status = run(&text, "%s/aerofsck %s %s >%s/raw 2>&1; echo $? >%s/status",
		     build != NULL ? build : "build/release", options, list, top, top);
	(void)status;
	assert_int_equal(
		run(&text,
		    "/usr/bin/python3 -c \"$NORMALISE\" %s <%s/raw; echo exit $(cat %s/status)",
		    store, top, top),
		0);
	snprintf(path, sizeof(path), CASES "/%s/expected.%u", name, number);
	if (getenv("AEROSTORE_REWRITE") != NULL) {
		write_file(path, bytes_of_buf(&text));
	} else {
		read_file(path, &expected);
		if (!bytes_equal(bytes_of_buf(&text), bytes_of_buf(&expected)))
			fail_msg("%s: run %u says:\n%.*s", name, number, (int)text.size,
				 (const char *)text.data);
	}
	buf_finish(&text);
	buf_finish(&expected);
}

static void read_mail(const char *from, const char *to)
{
	char list[PATH] = "", path[PATH];

	for (int i = 0; i < FSCK_FIXTURE_VOLUMES; i++) {
		snprintf(path, sizeof(path), "%s/v%d/superblock", from, i);
		if (access(path, R_OK) == 0)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s/v%d", from,
				 i);
	}
	assert_int_equal(run(NULL,
			     "rm -rf %s; echo '" FSCK_FIXTURE_PASSWORD
			     "' | /usr/bin/python3 " READER " %s " FSCK_FIXTURE_ADDRESS " %s %s",
			     to, admin_public, to, list),
			 0);
}

static void check_mail(const char *name)
{
	char path[PATH];

	snprintf(path, sizeof(path), CASES "/%s/lost", name);
	if (access(path, F_OK) == 0)
		return;
	snprintf(path, sizeof(path), "%s/read", top);
	read_mail(store, path);
	if (run(NULL, "diff -r %s/mail %s/read", top, top) != 0)
		fail_msg("%s: the mail is not what it was", name);
}

static void run_case(void **state)
{
	const char *name = *state;
	char path[PATH], options[128] = "-y";
	FILE *file;

	snprintf(store, sizeof(store), "%s/store", top);
	assert_int_equal(run(NULL, "rm -rf %s; cp -r %s/pristine %s", store, top, store), 0);
	apply_damage(name);
	snprintf(path, sizeof(path), CASES "/%s/options", name);
	file = fopen(path, "r");
	if (file != NULL) {
		assert_non_null(fgets(options, sizeof(options), file));
		options[strcspn(options, "\n")] = '\0';
		fclose(file);
	}
	check_output(name, 1, options);
	check_output(name, 2, "-n");
	check_mail(name);
}

/* ---- all of them ---- */

static int setup(void **state)
{
	char path[PATH];
	struct post post;

	(void)state;
	setenv("NORMALISE", NORMALISE, 1);
	snprintf(top, sizeof(top), "/tmp/aerostore-fsck-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/pristine", top);
	assert_int_equal(mkdir(path, 0700), 0);
	post_init(&post);
	post.snapshot_entries = 4;
	post_run(&post, make_store);
	post_finish(&post);
	find_columns();
	snprintf(store, sizeof(store), "%s/pristine", top);
	snprintf(path, sizeof(path), "%s/mail", top);
	read_mail(store, path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (getenv("AEROSTORE_KEEP") != NULL)
		return 0;
	return run(NULL, "rm -r %s", top);
}

/* Every code of the table stands in some expected.1. */
static void test_every_code_has_a_case(void **state)
{
	(void)state;
	for (int i = 0; i < (int)FSCK_CODE_COUNT; i++) {
		const struct fsck_code_info *info = fsck_code_info((enum fsck_code)i);

		/* A disk that gives errors is simulated: test_flips.c. */
		if (i == FSCK_COLUMN_UNREADABLE)
			continue;
		if (run(NULL, "grep -q '^%s ' " CASES "/*/expected.1", info->code) != 0)
			fail_msg("no case for %s, %s", info->code, info->name);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[128];
	struct dirent **names = NULL;
	size_t count = 0;
	int found = scandir(CASES, &names, NULL, alphasort), failed;

	for (int i = 0; i < found; i++) {
		if (strchr(names[i]->d_name, '.') != NULL ||
		    (argc > 1 && strcmp(argv[1], names[i]->d_name) != 0))
			continue;
		tests[count++] = (struct CMUnitTest){.name = names[i]->d_name,
						     .test_func = run_case,
						     .initial_state = names[i]->d_name};
	}
	if (argc == 1)
		tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_every_code_has_a_case);
	failed = _cmocka_run_group_tests("fsck", tests, count, setup, teardown);
	for (int i = 0; i < found; i++)
		free(names[i]);
	free(names);
	return failed;
}
