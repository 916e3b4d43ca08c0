/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/config.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/memory.h"
#include "net/socket_address.h"
#include "net/stream.h"
#include "tools/common/hex.h"
#include "tools/common/node_keys.h"
#include "tools/common/unix_group.h"

#define FILE_SIZE_MAX (1u << 20)

enum setting {
	KEY_CLUSTER,
	KEY_NODE,
	KEY_ADMIN_PUBLIC,
	KEY_VOLUMES,
	KEY_INDEX,
	KEY_KEYS,
	KEY_CERTIFICATE,
	KEY_CERTIFICATE_KEY,
	KEY_ADMIN_SOCKET,
	KEY_LMTP,
	KEY_LMTP_SOCKET_MODE,
	KEY_LMTP_SOCKET_GROUP,
	KEY_IMAP,
	KEY_IMAPS,
	KEY_STARTTLS_ON_NETWORK,
	KEY_HOSTNAME,
	KEY_VOLUME_RESERVE,
	KEY_COMPACT_BELOW,
	KEY_QUARANTINE_HOURS,
	KEY_RECLAIM_RATE,
	KEY_REPAIR_AFTER_MINUTES,
	KEY_SCRUB_DAYS,
	KEY_SCRUB_RATE,
	KEY_MESSAGE_LIMIT,
	KEY_RECIPIENT_LIMIT,
	KEY_CONNECTION_LIMIT,
	KEY_CONNECTION_LIMIT_PER_PEER,
	KEY_UNLOCKED_CACHE_MINUTES,
	KEY_COUNT,
};

static const char *const key_names[KEY_COUNT] = {
	[KEY_CLUSTER] = "cluster",
	[KEY_NODE] = "node",
	[KEY_ADMIN_PUBLIC] = "admin-public",
	[KEY_VOLUMES] = "volumes",
	[KEY_INDEX] = "index",
	[KEY_KEYS] = "keys",
	[KEY_CERTIFICATE] = "certificate",
	[KEY_CERTIFICATE_KEY] = "certificate-key",
	[KEY_ADMIN_SOCKET] = "admin-socket",
	[KEY_LMTP] = "lmtp",
	[KEY_LMTP_SOCKET_MODE] = "lmtp-socket-mode",
	[KEY_LMTP_SOCKET_GROUP] = "lmtp-socket-group",
	[KEY_IMAP] = "imap",
	[KEY_IMAPS] = "imaps",
	[KEY_STARTTLS_ON_NETWORK] = "starttls-on-network",
	[KEY_HOSTNAME] = "hostname",
	[KEY_VOLUME_RESERVE] = "volume-reserve",
	[KEY_COMPACT_BELOW] = "compact-below",
	[KEY_QUARANTINE_HOURS] = "quarantine-hours",
	[KEY_RECLAIM_RATE] = "reclaim-rate",
	[KEY_REPAIR_AFTER_MINUTES] = "repair-after-minutes",
	[KEY_SCRUB_DAYS] = "scrub-days",
	[KEY_SCRUB_RATE] = "scrub-rate",
	[KEY_MESSAGE_LIMIT] = "message-limit",
	[KEY_RECIPIENT_LIMIT] = "recipient-limit",
	[KEY_CONNECTION_LIMIT] = "connection-limit",
	[KEY_CONNECTION_LIMIT_PER_PEER] = "connection-limit-per-peer",
	[KEY_UNLOCKED_CACHE_MINUTES] = "unlocked-cache-minutes",
};

struct reader {
	const char *path;
	char *why;
	bool failed;	      /* `why` holds the first failure */
	int lines[KEY_COUNT]; /* where a key was set; 0: nowhere */
};

/* libConfuse gives its callbacks no context. Set while config_load() runs. */
static struct reader *reader;

/* ---- failing ---- */

static void fail_at_va(int line, const char *format, va_list arguments)
{
	size_t size;

	if (reader->failed)
		return;
	reader->failed = true;
	if (line != 0)
		snprintf(reader->why, CONFIG_WHY_SIZE, "%s:%d: ", reader->path, line);
	else
		snprintf(reader->why, CONFIG_WHY_SIZE, "%s: ", reader->path);
	size = strlen(reader->why);
	vsnprintf(reader->why + size, CONFIG_WHY_SIZE - size, format, arguments);
}

static void __attribute__((format(printf, 2, 3))) fail_at(int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fail_at_va(line, format, arguments);
	va_end(arguments);
}

/* Names the key, and the line where it was set. */
static enum err fail_key(enum setting key, const char *what)
{
	fail_at(reader->lines[key], "%s: %s", key_names[key], what);
	return ERR_INVALID;
}

static void on_error(cfg_t *file, const char *format, va_list arguments)
{
	fail_at_va(file->line, format, arguments);
}

/* ---- what libConfuse calls ---- */

static int remember_line(cfg_t *file, cfg_opt_t *option)
{
	for (int key = 0; key < KEY_COUNT; key++) {
		if (strcmp(key_names[key], option->name) != 0)
			continue;
		if (reader->lines[key] != 0 && (option->flags & CFGF_LIST) == 0) {
			cfg_error(file, "%s is set a second time, first in line %d", option->name,
				  reader->lines[key]);
			return -1;
		}
		if (reader->lines[key] == 0)
			reader->lines[key] = file->line;
	}
	return 0;
}

/* A count of octets: "67108864", "64M". */
static int parse_size(cfg_t *file, cfg_opt_t *option, const char *value, void *result)
{
	static const char units[] = "KMG";
	char *end = NULL;
	long size;

	errno = 0;
	size = strtol(value, &end, 10);
	if (errno == 0 && end != value && size > 0 && size < 1l << 20 && *end != '\0') {
		const char *unit = strchr(units, *end);

		if (unit != NULL) {
			size <<= 10 * (unit - units + 1);
			end++;
		}
	}
	if (errno != 0 || end == value || *end != '\0' || size <= 0) {
		cfg_error(file, "%s: a size is a positive number, K, M or G may follow",
			  option->name);
		return -1;
	}
	*(long *)result = size;
	return 0;
}

/* ---- the file ---- */

/*
 * libConfuse 3.3 counts the ends of lines with comments twice, so it gets a text without them.
 * '#' within quotes is none.
 */
static void blank_comments(char *text)
{
	char quote = '\0';
	bool comment = false;

	for (; *text != '\0'; text++) {
		if (*text == '\n')
			comment = false;
		else if (comment)
			*text = ' ';
		else if (quote != '\0' && *text == '\\' && text[1] != '\0')
			text++;
		else if (quote != '\0')
			quote = *text == quote ? '\0' : quote;
		else if (*text == '"' || *text == '\'')
			quote = *text;
		else if (*text == '#') {
			comment = true;
			*text = ' ';
		}
	}
}

static enum err read_text(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "re");
	struct stat stat_of_file;
	uint8_t *room;
	size_t size;

	if (file == NULL || fstat(fileno(file), &stat_of_file) != 0) {
		int failure = errno;

		if (file != NULL)
			fclose(file);
		fail_at(0, "%s", strerror(failure));
		return err_from_errno(failure);
	}
	size = S_ISREG(stat_of_file.st_mode) && stat_of_file.st_size <= FILE_SIZE_MAX
		       ? (size_t)stat_of_file.st_size
		       : 0;
	room = buf_extend(out, size + 1);
	if (room != NULL)
		room[fread(room, 1, size, file)] = '\0';
	fclose(file);
	if (room == NULL)
		return ERR_NOMEM;
	if (size == 0) {
		fail_at(0, "empty, or not a configuration file");
		return ERR_INVALID;
	}
	blank_comments((char *)room);
	return ERR_OK;
}

/* ---- from libConfuse's values to ours ---- */

static char *duplicate(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory_allocate(size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

static char *join(struct bytes directory, const char *prefix, const char *name)
{
	struct buf path = {0};

	buf_put_string(&path, prefix);
	if (name[0] != '/' && directory.size != 0) {
		buf_put_bytes(&path, directory);
		buf_put_u8(&path, '/');
	}
	buf_put(&path, name, strlen(name) + 1);
	if (path.err != ERR_OK)
		buf_finish(&path);
	return (char *)path.data;
}

/* Without the last slash; empty for a file in the working directory. */
static struct bytes directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == path)
		return bytes_string("/.");
	return slash == NULL ? bytes_string("") : bytes_make(path, (size_t)(slash - path));
}

char *config_path(const struct config *config, const char *directory, const char *name)
{
	return join(directory != NULL ? bytes_string(directory) : directory_of(config->path), "",
		    name);
}

static enum err take_path(cfg_t *file, enum setting key, char **out)
{
	const char *value = cfg_getstr(file, key_names[key]);

	if (value == NULL)
		return ERR_OK;
	if (value[0] == '\0')
		return fail_key(key, "an empty path");
	*out = join(directory_of(reader->path), "", value);
	return *out != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err take_hex(cfg_t *file, enum setting key, void *out, size_t size, const char *what)
{
	const char *value = cfg_getstr(file, key_names[key]);

	if (value == NULL) {
		fail_at(0, "%s is missing; aeroctl init writes one", key_names[key]);
		return ERR_INVALID;
	}
	return hex_parse_exact(value, out, size) == ERR_OK ? ERR_OK : fail_key(key, what);
}

static enum err take_number(cfg_t *file, enum setting key, size_t *out)
{
	long value = cfg_getint(file, key_names[key]);

	if (value <= 0)
		return fail_key(key, "must be above zero");
	*out = (size_t)value;
	return ERR_OK;
}

static enum err take_volumes(cfg_t *file, struct config_list *out)
{
	unsigned count = cfg_size(file, key_names[KEY_VOLUMES]);

	if (count < 2)
		return fail_key(KEY_VOLUMES, "a store needs at least two volumes");
	if (count > ENGINE_VOLUME_MAX)
		return fail_key(KEY_VOLUMES, "too many volumes");
	for (unsigned i = 0; i < count; i++) {
		char *path = join(directory_of(reader->path), "",
				  cfg_getnstr(file, key_names[KEY_VOLUMES], i));

		if (path == NULL)
			return ERR_NOMEM;
		out->items[out->count++] = path;
		for (unsigned j = 0; j < i; j++)
			if (strcmp(out->items[j], path) == 0)
				return fail_key(KEY_VOLUMES, "one directory is listed twice");
	}
	return ERR_OK;
}

/* ---- listeners ---- */

/* What may listen on a network address: passwords and mail in clear may not. */
enum exposure { LOCAL_ONLY, ANYWHERE };

bool config_is_local(const char *address)
{
	struct socket_address parsed;

	return socket_address_parse(address, &parsed) == ERR_OK && socket_address_is_local(&parsed);
}

static enum err check_address(enum setting key, const char *address, enum exposure exposure)
{
	struct socket_address parsed;

	if (socket_address_parse(address, &parsed) != ERR_OK) {
		fail_at(reader->lines[key],
			"%s: \"%s\" is no address: write \"127.0.0.1:1143\", \"[::1]:1143\" or "
			"\"unix:PATH\" (path up to 107 octets)",
			key_names[key], address);
		return ERR_INVALID;
	}
	if (exposure == ANYWHERE || socket_address_is_local(&parsed))
		return ERR_OK;
	if (key == KEY_IMAP)
		fail_at(reader->lines[key],
			"imap: %s is a network address: use imaps, or set starttls-on-network = "
			"true for clients that cannot",
			address);
	else
		fail_at(reader->lines[key],
			"%s: %s is a network address: only loopback and unix sockets are allowed",
			key_names[key], address);
	return ERR_INVALID;
}

/* Listening twice on one address fails only when the second comes to it: this is said before. */
static enum err check_listed_once(const struct config *config, enum setting key,
				  const char *address)
{
	const struct config_list *const lists[] = {&config->lmtp, &config->imap, &config->imaps};
	size_t times = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t j = 0; j < lists[i]->count; j++)
			times += strcmp(lists[i]->items[j], address) == 0;
	times += strcmp(config->admin_socket, address) == 0;
	if (times < 2)
		return ERR_OK;
	fail_at(reader->lines[key], "%s: %s is listed twice", key_names[key], address);
	return ERR_INVALID;
}

static enum err take_listeners(cfg_t *file, enum setting key, enum exposure exposure,
			       struct config *config, struct config_list *out)
{
	unsigned count = cfg_size(file, key_names[key]);

	if (count > CONFIG_LISTENER_MAX)
		return fail_key(key, "too many addresses");
	for (unsigned i = 0; i < count; i++) {
		const char *value = cfg_getnstr(file, key_names[key], i);
		char *address;
		enum err err;

		if (strncmp(value, "unix:", 5) == 0 && value[5] != '\0')
			address = join(directory_of(reader->path), "unix:", value + 5);
		else
			address = duplicate(value);
		if (address == NULL)
			return ERR_NOMEM;
		out->items[out->count++] = address;
		err = check_address(key, address, exposure);
		if (err == ERR_OK)
			err = check_listed_once(config, key, address);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* Who may deliver through a unix socket: its mode, in octal, and its group, by name. */
static enum err take_lmtp_socket(cfg_t *file, struct config *config)
{
	const char *mode = cfg_getstr(file, key_names[KEY_LMTP_SOCKET_MODE]);
	const char *name = cfg_getstr(file, key_names[KEY_LMTP_SOCKET_GROUP]);
	char *end;
	unsigned long bits = strtoul(mode, &end, 8);

	if (end == mode || *end != '\0' || bits > 0777 || (bits & 0600) != 0600)
		return fail_key(KEY_LMTP_SOCKET_MODE,
				"must be octal, from '0600' to '0777', with 6 or 7 for the owner");
	config->lmtp_socket_mode = (unsigned)bits;
	if (name == NULL)
		return ERR_OK;
	config->has_lmtp_socket_group = unix_group_find(name, &config->lmtp_socket_group);
	return config->has_lmtp_socket_group
		       ? ERR_OK
		       : fail_key(KEY_LMTP_SOCKET_GROUP, "there is no such group");
}

static enum err take_admin_socket(cfg_t *file, char **out)
{
	const char *path = cfg_getstr(file, key_names[KEY_ADMIN_SOCKET]);

	*out = join(directory_of(reader->path), "unix:", path);
	return *out == NULL ? ERR_NOMEM : check_address(KEY_ADMIN_SOCKET, *out, LOCAL_ONLY);
}

static enum err check_certificate(const struct config *config)
{
	if (config->certificate == NULL && config->imaps.count != 0)
		return fail_key(KEY_IMAPS, "needs a certificate");
	if (config->certificate == NULL && config->starttls_on_network)
		return fail_key(KEY_STARTTLS_ON_NETWORK, "needs a certificate");
	if (config->certificate != NULL && config->certificate_key == NULL)
		return fail_key(KEY_CERTIFICATE, "needs certificate-key");
	return ERR_OK;
}

#define DAYS_MAX 366u

/* ---- all together ---- */

static enum err take_identity(cfg_t *file, struct config *config)
{
	enum err err = take_hex(file, KEY_CLUSTER, &config->cluster, sizeof(config->cluster),
				"must be 32 hexadecimal digits");

	if (err == ERR_OK)
		err = take_hex(file, KEY_NODE, &config->node, sizeof(config->node),
			       "must be 32 hexadecimal digits");
	if (err == ERR_OK)
		err = take_hex(file, KEY_ADMIN_PUBLIC, config->admin_public,
			       sizeof(config->admin_public), "must be 64 hexadecimal digits");
	return err;
}

static enum err take_care(cfg_t *file, struct config *config)
{
	size_t minutes = 0, days = 0;
	enum err err = take_number(file, KEY_REPAIR_AFTER_MINUTES, &minutes);

	config->scrub_rate = (uint64_t)cfg_getint(file, key_names[KEY_SCRUB_RATE]);
	if (err == ERR_OK)
		err = take_number(file, KEY_SCRUB_DAYS, &days);
	if (err == ERR_OK && days > DAYS_MAX)
		err = fail_key(KEY_SCRUB_DAYS, "is over a year");
	if (err == ERR_OK && minutes > DAYS_MAX * 24 * 60)
		err = fail_key(KEY_REPAIR_AFTER_MINUTES, "is over a year");
	config->repair_after_ms = (uint64_t)minutes * 60 * 1000;
	config->scrub_days = days;
	return err;
}

static enum err take_limits(cfg_t *file, struct config *config)
{
	size_t minutes = 0;
	enum err err = take_number(file, KEY_RECIPIENT_LIMIT, &config->recipient_limit);

	config->volume_reserve = (uint64_t)cfg_getint(file, key_names[KEY_VOLUME_RESERVE]);
	config->message_limit = (uint64_t)cfg_getint(file, key_names[KEY_MESSAGE_LIMIT]);
	if (err == ERR_OK)
		err = take_number(file, KEY_CONNECTION_LIMIT, &config->connection_limit);
	if (err == ERR_OK)
		err = take_number(file, KEY_CONNECTION_LIMIT_PER_PEER,
				  &config->connection_limit_per_peer);
	if (err == ERR_OK)
		err = take_number(file, KEY_UNLOCKED_CACHE_MINUTES, &minutes);
	if (err == ERR_OK && minutes > 7 * 24 * 60)
		err = fail_key(KEY_UNLOCKED_CACHE_MINUTES, "is over a week");
	config->unlocked_cache_ms = (uint64_t)minutes * 60 * 1000;
	return err;
}

static enum err take_reclaiming(cfg_t *file, struct config *config)
{
	long below = cfg_getint(file, key_names[KEY_COMPACT_BELOW]);
	long hours = cfg_getint(file, key_names[KEY_QUARANTINE_HOURS]);

	if (below < 10 || below > 95)
		return fail_key(KEY_COMPACT_BELOW, "must be from 10 to 95");
	if (hours < 0 || hours > 365 * 24)
		return fail_key(KEY_QUARANTINE_HOURS, "must be from 0 to 8760");
	config->compact_below = (unsigned)below;
	config->quarantine_ms = (uint64_t)hours * 3600 * 1000;
	config->reclaim_rate = (uint64_t)cfg_getint(file, key_names[KEY_RECLAIM_RATE]);
	return ERR_OK;
}

/* It stands in greetings as one word. */
static enum err take_hostname(cfg_t *file, char **out)
{
	const char *name = cfg_getstr(file, key_names[KEY_HOSTNAME]);

	if (*name == '\0')
		return fail_key(KEY_HOSTNAME, "is empty");
	for (const char *octet = name; *octet != '\0'; octet++)
		if (*octet <= ' ' || *octet > '~')
			return fail_key(KEY_HOSTNAME, "must be of visible ASCII characters");
	*out = duplicate(name);
	return *out != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err take_all(cfg_t *file, struct config *config)
{
	enum err err = take_identity(file, config);

	config->starttls_on_network = cfg_getbool(file, key_names[KEY_STARTTLS_ON_NETWORK]);
	if (err == ERR_OK)
		err = take_volumes(file, &config->volumes);
	if (err == ERR_OK)
		err = take_path(file, KEY_INDEX, &config->index);
	if (err == ERR_OK)
		err = take_path(file, KEY_KEYS, &config->keys);
	if (err == ERR_OK)
		err = take_path(file, KEY_CERTIFICATE, &config->certificate);
	if (err == ERR_OK)
		err = take_path(file, KEY_CERTIFICATE_KEY, &config->certificate_key);
	if (err == ERR_OK)
		err = take_admin_socket(file, &config->admin_socket);
	if (err == ERR_OK)
		err = take_listeners(file, KEY_LMTP, LOCAL_ONLY, config, &config->lmtp);
	if (err == ERR_OK)
		err = take_lmtp_socket(file, config);
	if (err == ERR_OK)
		err = take_listeners(file, KEY_IMAP,
				     config->starttls_on_network ? ANYWHERE : LOCAL_ONLY, config,
				     &config->imap);
	if (err == ERR_OK)
		err = take_listeners(file, KEY_IMAPS, ANYWHERE, config, &config->imaps);
	if (err == ERR_OK)
		err = check_certificate(config);
	if (err == ERR_OK)
		err = take_care(file, config);
	if (err == ERR_OK)
		err = take_limits(file, config);
	if (err == ERR_OK)
		err = take_reclaiming(file, config);
	if (err == ERR_OK)
		err = take_hostname(file, &config->hostname);
	return err;
}

static enum err parse_text(const char *text, struct config *config)
{
	cfg_opt_t options[KEY_COUNT + 1] = {
		CFG_STR(key_names[KEY_CLUSTER], NULL, CFGF_NODEFAULT),
		CFG_STR(key_names[KEY_NODE], NULL, CFGF_NODEFAULT),
		CFG_STR(key_names[KEY_ADMIN_PUBLIC], NULL, CFGF_NODEFAULT),
		CFG_STR_LIST(key_names[KEY_VOLUMES], NULL, CFGF_NODEFAULT),
		CFG_STR(key_names[KEY_INDEX], "index", CFGF_NONE),
		CFG_STR(key_names[KEY_KEYS], "keys", CFGF_NONE),
		CFG_STR(key_names[KEY_CERTIFICATE], NULL, CFGF_NODEFAULT),
		CFG_STR(key_names[KEY_CERTIFICATE_KEY], NULL, CFGF_NODEFAULT),
		CFG_STR(key_names[KEY_ADMIN_SOCKET], "admin.sock", CFGF_NONE),
		CFG_STR_LIST(key_names[KEY_LMTP], NULL, CFGF_NODEFAULT),
		CFG_STR(key_names[KEY_LMTP_SOCKET_MODE], "0660", CFGF_NONE),
		CFG_STR(key_names[KEY_LMTP_SOCKET_GROUP], NULL, CFGF_NODEFAULT),
		CFG_STR_LIST(key_names[KEY_IMAP], NULL, CFGF_NODEFAULT),
		CFG_STR_LIST(key_names[KEY_IMAPS], NULL, CFGF_NODEFAULT),
		CFG_BOOL(key_names[KEY_STARTTLS_ON_NETWORK], cfg_false, CFGF_NONE),
		CFG_STR(key_names[KEY_HOSTNAME], "localhost", CFGF_NONE),
		CFG_INT_CB(key_names[KEY_VOLUME_RESERVE], 0, CFGF_NONE, parse_size),
		CFG_INT(key_names[KEY_COMPACT_BELOW], 70, CFGF_NONE),
		CFG_INT(key_names[KEY_QUARANTINE_HOURS], 24, CFGF_NONE),
		CFG_INT_CB(key_names[KEY_RECLAIM_RATE], 64 << 20, CFGF_NONE, parse_size),
		CFG_INT(key_names[KEY_REPAIR_AFTER_MINUTES], 10, CFGF_NONE),
		CFG_INT(key_names[KEY_SCRUB_DAYS], 14, CFGF_NONE),
		CFG_INT_CB(key_names[KEY_SCRUB_RATE], 32 << 20, CFGF_NONE, parse_size),
		CFG_INT_CB(key_names[KEY_MESSAGE_LIMIT], 64 << 20, CFGF_NONE, parse_size),
		CFG_INT(key_names[KEY_RECIPIENT_LIMIT], 100, CFGF_NONE),
		CFG_INT(key_names[KEY_CONNECTION_LIMIT], 1000, CFGF_NONE),
		CFG_INT(key_names[KEY_CONNECTION_LIMIT_PER_PEER], 50, CFGF_NONE),
		CFG_INT(key_names[KEY_UNLOCKED_CACHE_MINUTES], 30, CFGF_NONE),
		CFG_END(),
	};
	cfg_t *file = cfg_init(options, CFGF_NONE);
	enum err err = ERR_INVALID;

	if (file == NULL)
		return ERR_NOMEM;
	cfg_set_error_function(file, on_error);
	for (int key = 0; key < KEY_COUNT; key++)
		cfg_set_validate_func(file, key_names[key], remember_line);
	if (cfg_parse_buf(file, text) == CFG_SUCCESS)
		err = take_all(file, config);
	else
		fail_at(0, "cannot be read as a configuration");
	cfg_free(file);
	return err;
}

enum err config_load(const char *path, struct config *out, char why[CONFIG_WHY_SIZE])
{
	struct reader local = {.path = path, .why = why};
	struct buf text = {0};
	enum err err;

	*out = (struct config){.path = duplicate(path)};
	reader = &local;
	err = out->path != NULL ? read_text(path, &text) : ERR_NOMEM;
	if (err == ERR_OK)
		err = parse_text((const char *)text.data, out);
	if (err == ERR_NOMEM)
		fail_at(0, "out of memory");
	reader = NULL;
	buf_finish(&text);
	if (err != ERR_OK)
		config_finish(out);
	return err;
}

static void list_finish(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		memory_free(list->items[i]);
}

void config_finish(struct config *config)
{
	list_finish(&config->volumes);
	list_finish(&config->lmtp);
	list_finish(&config->imap);
	list_finish(&config->imaps);
	memory_free(config->path);
	memory_free(config->index);
	memory_free(config->keys);
	memory_free(config->certificate);
	memory_free(config->certificate_key);
	memory_free(config->admin_socket);
	memory_free(config->hostname);
	*config = (struct config){0};
}

/* ---- beyond the file ---- */

/* How many can be opened, as far as can be seen from outside. */
static size_t check_volumes(const struct config *config,
			    void (*tell)(const struct config *config, bool fatal, const char *line))
{
	size_t present = 0;

	for (size_t i = 0; i < config->volumes.count; i++) {
		char *path = config_path(config, config->volumes.items[i], "superblock");
		struct stat stat_of_file;
		char line[CONFIG_WHY_SIZE];

		if (path != NULL && stat(path, &stat_of_file) == 0) {
			present++;
		} else {
			snprintf(line, sizeof(line), "volume %s is missing: no superblock there",
				 config->volumes.items[i]);
			tell(config, false, line);
		}
		memory_free(path);
	}
	return present;
}

static bool is_directory(const char *path)
{
	struct stat stat_of_file;

	return stat(path, &stat_of_file) == 0 && S_ISDIR(stat_of_file.st_mode);
}

/* What stands where aerod would make something. */
static bool check_places(const struct config *config,
			 void (*tell)(const struct config *config, bool fatal, const char *line))
{
	const char *socket = config->admin_socket + strlen("unix:");
	struct stat stat_of_file;
	char line[CONFIG_WHY_SIZE];
	bool good = true;

	if (stat(config->index, &stat_of_file) == 0 && !S_ISDIR(stat_of_file.st_mode)) {
		snprintf(line, sizeof(line), "index %s is not a directory", config->index);
		tell(config, true, line);
		good = false;
	}
	if (lstat(socket, &stat_of_file) == 0 && !S_ISSOCK(stat_of_file.st_mode)) {
		snprintf(line, sizeof(line), "admin-socket %s is %s, not a socket", socket,
			 is_directory(socket) ? "a directory" : "a file");
		tell(config, true, line);
		good = false;
	}
	return good;
}

bool config_check_files(const struct config *config,
			void (*tell)(const struct config *config, bool fatal, const char *line))
{
	char why[CONFIG_WHY_SIZE];
	struct node_keys keys;
	struct tls_context *tls = NULL;
	size_t present;
	bool good = true;

	if (node_keys_load(config->keys, &keys, why) == ERR_OK) {
		node_keys_release(&keys);
	} else {
		tell(config, true, why);
		good = false;
	}
	if (config->certificate != NULL) {
		if (tls_context_load(config->certificate, config->certificate_key, why, &tls) ==
		    ERR_OK) {
			tls_context_destroy(&tls);
		} else {
			tell(config, true, why);
			good = false;
		}
	}
	good = check_places(config, tell) && good;
	present = check_volumes(config, tell);
	if (present == 0) {
		tell(config, true, "no volume is there: aerod cannot start");
		good = false;
	} else if (present == 1) {
		tell(config, false, "only one volume is there: aerod can read, and store nothing");
	}
	return good;
}
