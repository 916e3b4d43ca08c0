/* SPDX-License-Identifier: MPL-2.0 */
/*
 * config - the configuration file, aerostore.conf(5), read and checked.
 *
 * Whatever is wrong is an error that names file and line: an unknown key, a
 * value of another type, a listener that would carry passwords or mail in clear
 * over a network. Nothing is guessed and nothing is ignored. Relative paths are
 * relative to the file. Whether files and directories exist is the business of
 * who opens them, and of config_check_files().
 */
#ifndef AEROSTORE_TOOLS_COMMON_CONFIG_H
#define AEROSTORE_TOOLS_COMMON_CONFIG_H

#include "engine/engine.h"

#define CONFIG_LISTENER_MAX 16u
#define CONFIG_WHY_SIZE 512u

struct config_list {
	char *items[ENGINE_VOLUME_MAX];
	size_t count;
};

struct config {
	char *path;
	struct id128 cluster, node;
	uint8_t admin_public[PUBLIC_SIZE];
	struct config_list volumes;	      /* directories */
	struct config_list lmtp, imap, imaps; /* addresses as net/stream.h takes them */
	char *index, *keys;		      /* directories */
	char *certificate, *certificate_key;  /* files */
	char *admin_socket;		      /* "unix:<path>" */
	unsigned lmtp_socket_mode;
	uint32_t lmtp_socket_group;
	bool has_lmtp_socket_group;
	char *hostname;
	uint64_t volume_reserve; /* octets; 0: not set */
	unsigned compact_below;	 /* per cent */
	uint64_t quarantine_ms;
	uint64_t reclaim_rate; /* octets a second */
	uint64_t repair_after_ms, scrub_days;
	uint64_t scrub_rate;	/* octets a second */
	uint64_t message_limit; /* octets */
	size_t recipient_limit, connection_limit, connection_limit_per_peer;
	uint64_t unlocked_cache_ms;
	bool starttls_on_network;
};

/*
 * On failure `why` says in one line what is wrong and where; *out is then empty. ERR_NOTFOUND:
 * there is no such file; ERR_INVALID; ERR_NOMEM.
 */
MUST_USE enum err config_load(const char *path, struct config *out, char why[CONFIG_WHY_SIZE]);
void config_finish(struct config *config);
/* Whether only this host can reach a listener's address. */
bool config_is_local(const char *address);
/* "<directory>/<name>"; NULL stands for the file's own directory. memory_free() it; NULL: no
 * memory. */
char *config_path(const struct config *config, const char *directory, const char *name);
/*
 * What aerod -t looks at beyond the file itself: keys, certificate, volumes. Calls `tell` with one
 * line for each finding; false when one of them keeps aerod from starting.
 */
bool config_check_files(const struct config *config,
			void (*tell)(const struct config *config, bool fatal, const char *line));

#endif
