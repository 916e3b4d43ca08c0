/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aeroctl/admin_key.h"

#include <string.h>

#include "engine/base/memory.h"
#include "tools/common/secret_input.h"
#include "tools/common/hex.h"
#include "tools/common/secret_file.h"

#define HEADLINE "aerostore admin key 1\n"
#define PLAIN "plain "
#define SEALED "sealed "

static enum err put_key(struct control *control, const struct key *key, struct id128 cluster,
			struct bytes passphrase, struct buf *text)
{
	struct slot_info info = {
		.kind = SLOT_PASSWORD,
		.slot_id = 1,
		.parameters = {ARGON2_OPERATIONS_DEFAULT, ARGON2_MEMORY_DEFAULT / 1024},
		.created_ms = env_wall_ms(control->env)};
	struct buf slot = {0};
	enum err err = ERR_OK;

	buf_put_string(text, HEADLINE);
	if (passphrase.size == 0) {
		buf_put_string(text, PLAIN);
		hex_put(text, bytes_make(key_octets(key), KEY_SIZE));
	} else {
		err = slot_create(control->env, &info, cluster, ID128_ZERO, passphrase, key, &slot);
		buf_put_string(text, SEALED);
		hex_put(text, bytes_of_buf(&slot));
		buf_finish(&slot);
	}
	buf_put_u8(text, '\n');
	return err == ERR_OK ? text->err : err;
}

enum program_exit admin_key_create(struct control *control, const char *path, struct id128 cluster,
				   struct bytes passphrase, uint8_t public_key[PUBLIC_SIZE])
{
	char why[SECRET_FILE_WHY] = "out of memory";
	struct key *key = NULL;
	struct buf text = {0};
	enum err err = key_random(control->env, &key);

	/* Grown once, so that no copy stays behind in freed memory. */
	if (err == ERR_OK)
		err = buf_reserve(&text, SECRET_FILE_MAX);
	if (err == ERR_OK)
		err = put_key(control, key, cluster, passphrase, &text);
	if (err == ERR_OK) {
		sign_public(key, public_key);
		err = secret_file_create(path, 0600, bytes_of_buf(&text), why);
	}
	buf_finish(&text);
	key_release(&key);
	return err == ERR_OK ? PROGRAM_OK : control_fail(PROGRAM_REFUSED, "admin key: %s", why);
}

/* What is behind `prefix` in the line that text begins with; false: something else is there. */
static bool after(struct bytes *text, const char *prefix)
{
	struct bytes wanted = bytes_string(prefix);

	if (!bytes_equal(bytes_slice(*text, 0, wanted.size), wanted))
		return false;
	*text = bytes_slice(*text, wanted.size, text->size);
	return true;
}

static enum program_exit unseal(struct control *control, struct bytes slot, struct key **out)
{
	struct buf passphrase = {0};
	enum program_exit status =
		secret_input(control->options.admin_passphrase_file, "--admin-passphrase-file",
			     "passphrase of the admin key", SECRET_EXISTING, &passphrase);
	enum err err;

	if (status == PROGRAM_OK) {
		err = slot_open(slot, control->config.cluster, ID128_ZERO,
				bytes_of_buf(&passphrase), out);
		if (err == ERR_AUTH)
			status = control_fail(PROGRAM_REFUSED,
					      "wrong passphrase of the admin key, or another "
					      "cluster's");
		else if (err != ERR_OK)
			status = control_fail(PROGRAM_REFUSED, "admin key: %s", err_text(err));
	}
	buf_finish(&passphrase);
	return status;
}

static enum program_exit decode(struct control *control, const char *path, struct bytes text,
				struct key **out)
{
	struct buf octets = {0};
	enum program_exit status = PROGRAM_OK;
	bool good, sealed = false;

	if (text.size != 0 && text.data[text.size - 1] == '\n')
		text.size--;
	good = after(&text, HEADLINE) && (after(&text, PLAIN) || (sealed = after(&text, SEALED))) &&
	       buf_reserve(&octets, SECRET_FILE_MAX) == ERR_OK &&
	       hex_parse(text, &octets) == ERR_OK && (sealed || octets.size == KEY_SIZE);
	if (!good)
		status = control_fail(PROGRAM_USAGE, "%s: not an admin key of this program", path);
	else if (sealed)
		status = unseal(control, bytes_of_buf(&octets), out);
	else if (key_import(octets.data, out) != ERR_OK)
		status = control_fail(PROGRAM_USAGE, "no locked memory for keys");
	buf_finish(&octets);
	return status;
}

static enum program_exit check_pinned(struct control *control, const char *path, struct key **key)
{
	uint8_t public_key[PUBLIC_SIZE];

	sign_public(*key, public_key);
	if (memcmp(public_key, control->config.admin_public, sizeof(public_key)) == 0)
		return PROGRAM_OK;
	key_release(key);
	return control_fail(PROGRAM_USAGE, "%s: not the admin key that %s pins", path,
			    control->config.path);
}

enum program_exit admin_key_load(struct control *control, struct key **out)
{
	char *standard = config_path(&control->config, NULL, "admin.key");
	const char *path =
		control->options.admin_key != NULL ? control->options.admin_key : standard;
	char why[SECRET_FILE_WHY];
	struct buf text = {0};
	enum program_exit status = PROGRAM_OK;

	if (path == NULL || buf_reserve(&text, 2 * SECRET_FILE_MAX) != ERR_OK)
		status = control_fail(PROGRAM_USAGE, "out of memory");
	else if (secret_file_read(path, &text, why) != ERR_OK)
		status = control_fail(PROGRAM_USAGE, "admin key: %s", why);
	if (status == PROGRAM_OK)
		status = decode(control, path, bytes_of_buf(&text), out);
	if (status == PROGRAM_OK)
		status = check_pinned(control, path, out);
	buf_finish(&text);
	memory_free(standard);
	return status;
}
