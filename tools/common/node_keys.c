/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/node_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/memory.h"
#include "tools/common/hex.h"

#define PATH_SIZE 4096u
#define SIGNING_NAME "node.key"
#define FAKE_SALT_NAME "fake-salt"

static enum err create_one(struct env *env, const char *directory, const char *name,
			   char why[SECRET_FILE_WHY])
{
	uint8_t octets[KEY_SIZE];
	char path[PATH_SIZE];
	struct buf text = {0};
	enum err err;

	env_random(env, octets, sizeof(octets));
	hex_put(&text, bytes_make(octets, sizeof(octets)));
	buf_put_u8(&text, '\n');
	memory_wipe(octets, sizeof(octets));
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(why, SECRET_FILE_WHY, "out of memory");
	err = text.err != ERR_OK ? text.err
				 : secret_file_create(path, 0600, bytes_of_buf(&text), why);
	buf_finish(&text);
	return err;
}

enum err node_keys_create(struct env *env, const char *directory, char why[SECRET_FILE_WHY])
{
	enum err err;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		snprintf(why, SECRET_FILE_WHY, "%s: %s", directory, strerror(errno));
		return err_from_errno(errno);
	}
	err = create_one(env, directory, SIGNING_NAME, why);
	return err == ERR_OK ? create_one(env, directory, FAKE_SALT_NAME, why) : err;
}

static enum err load_one(const char *directory, const char *name, uint8_t out[KEY_SIZE],
			 char why[SECRET_FILE_WHY])
{
	char path[PATH_SIZE];
	struct buf text = {0};
	struct buf octets = {0};
	enum err err;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	err = secret_file_read(path, &text, why);
	if (err == ERR_OK) {
		struct bytes digits = bytes_of_buf(&text);

		if (digits.size != 0 && digits.data[digits.size - 1] == '\n')
			digits.size--;
		err = hex_parse(digits, &octets);
		if (err == ERR_OK && octets.size != KEY_SIZE)
			err = ERR_INVALID;
		if (err == ERR_OK)
			memcpy(out, octets.data, KEY_SIZE);
		else
			snprintf(why, SECRET_FILE_WHY, "%.400s: not a key of this program", path);
	}
	buf_finish(&octets);
	buf_finish(&text);
	return err;
}

enum err node_keys_load(const char *directory, struct node_keys *out, char why[SECRET_FILE_WHY])
{
	struct node_keys keys = {0};
	uint8_t seed[KEY_SIZE];
	enum err err = load_one(directory, SIGNING_NAME, seed, why);

	if (err == ERR_OK)
		err = load_one(directory, FAKE_SALT_NAME, keys.fake_salt, why);
	if (err == ERR_OK) {
		err = key_import(seed, &keys.signing);
		if (err != ERR_OK)
			snprintf(why, SECRET_FILE_WHY, "no locked memory for keys: %s (ulimit -l)",
				 err_text(err));
	}
	memory_wipe(seed, sizeof(seed));
	if (err == ERR_OK)
		*out = keys;
	return err;
}

enum err node_keys_invent(struct env *env, struct node_keys *out)
{
	uint8_t seed[KEY_SIZE];
	enum err err;

	env_random(env, seed, sizeof(seed));
	env_random(env, out->fake_salt, sizeof(out->fake_salt));
	err = key_import(seed, &out->signing);
	memory_wipe(seed, sizeof(seed));
	return err;
}

void node_keys_release(struct node_keys *keys)
{
	key_release(&keys->signing);
	memory_wipe(keys, sizeof(*keys));
}
