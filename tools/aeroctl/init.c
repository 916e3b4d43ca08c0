/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl init: everything a new store of one node needs, in a directory that was empty. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/memory.h"
#include "engine/volume/volume.h"
#include "tools/aeroctl/admin_key.h"
#include "tools/aeroctl/certificate.h"
#include "tools/aeroctl/output.h"
#include "tools/common/secret_input.h"
#include "tools/common/hex.h"
#include "tools/common/node_keys.h"

#define PATH_SIZE 3072u
#define VOLUMES_DEFAULT 3u
#define IMAP_PORT_DEFAULT 1143u
#define IMAPS_PORT_DEFAULT 1993u
#define LMTP_PORT_DEFAULT 2424u

struct plan {
	const char *directory;
	char hostname[256];
	struct id128 cluster, node;
	uint8_t admin_public[PUBLIC_SIZE];
	unsigned imap_port, imaps_port, lmtp_port;
	/* As they are written into the configuration, and as they are reached from here. */
	char written[ENGINE_VOLUME_MAX][PATH_SIZE];
	char reached[ENGINE_VOLUME_MAX][PATH_SIZE];
	size_t volume_count;
};

/* ---- the plan ---- */

static enum program_exit plan_hostname(const char *given, struct plan *plan)
{
	if (given != NULL)
		snprintf(plan->hostname, sizeof(plan->hostname), "%s", given);
	else if (gethostname(plan->hostname, sizeof(plan->hostname)) != 0)
		snprintf(plan->hostname, sizeof(plan->hostname), "localhost");
	plan->hostname[sizeof(plan->hostname) - 1] = '\0';
	for (const char *at = plan->hostname; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && *at != '-' && *at != '.')
			return control_fail(PROGRAM_USAGE, "\"%s\" is not a host name",
					    plan->hostname);
	if (plan->hostname[0] == '\0' || strlen(plan->hostname) > 64)
		return control_fail(PROGRAM_USAGE, "a host name has 1 to 64 characters");
	return PROGRAM_OK;
}

/* A path that stands between single quotes in the configuration as it is. */
static bool is_plain_path(const char *path)
{
	for (; *path != '\0'; path++)
		if (*path == '\'' || *path == '\\' || (unsigned char)*path < ' ')
			return false;
	return true;
}

static enum program_exit plan_volume(struct plan *plan, const char *path)
{
	size_t index = plan->volume_count++;
	char here[PATH_SIZE / 2];
	int size;

	if (path[0] == '/')
		size = snprintf(plan->written[index], PATH_SIZE, "%s", path);
	else if (getcwd(here, sizeof(here)) != NULL)
		size = snprintf(plan->written[index], PATH_SIZE, "%s/%s", here, path);
	else
		return control_fail(PROGRAM_USAGE, "working directory: %s", strerror(errno));
	if (size >= (int)PATH_SIZE || !is_plain_path(plan->written[index]))
		return control_fail(PROGRAM_USAGE, "%s: not a path for a volume", path);
	memcpy(plan->reached[index], plan->written[index], PATH_SIZE);
	return PROGRAM_OK;
}

static enum program_exit plan_volumes(const struct control_options *options, struct plan *plan)
{
	unsigned number = options->volume_number != 0 ? options->volume_number : VOLUMES_DEFAULT;
	enum program_exit status = PROGRAM_OK;

	if (options->volume_number != 0 && options->volume_count != 0)
		return control_fail(PROGRAM_USAGE, "--volumes or --volume, not both");
	if (options->volume_count == 1 || number < 2)
		return control_fail(PROGRAM_USAGE, "a store needs at least two volumes, better "
						   "three");
	for (size_t i = 0; status == PROGRAM_OK && i < options->volume_count; i++)
		status = plan_volume(plan, options->volumes[i]);
	if (options->volume_count != 0)
		return status;
	for (unsigned i = 0; i < number; i++) {
		snprintf(plan->written[i], PATH_SIZE, "vol%u", i);
		snprintf(plan->reached[i], PATH_SIZE, "%s/vol%u", plan->directory, i);
	}
	plan->volume_count = number;
	return PROGRAM_OK;
}

static enum program_exit plan_ports(const struct control_options *options, struct plan *plan)
{
	plan->imap_port = options->imap_port != 0 ? options->imap_port : IMAP_PORT_DEFAULT;
	plan->imaps_port = options->imaps_port != 0 ? options->imaps_port : IMAPS_PORT_DEFAULT;
	plan->lmtp_port = options->lmtp_port != 0 ? options->lmtp_port : LMTP_PORT_DEFAULT;
	if (plan->imap_port == plan->imaps_port || plan->imap_port == plan->lmtp_port ||
	    plan->imaps_port == plan->lmtp_port)
		return control_fail(PROGRAM_USAGE, "one port cannot have two uses");
	return PROGRAM_OK;
}

static enum program_exit make_plan(struct control *control, struct plan *plan)
{
	const struct control_options *options = &control->options;
	enum program_exit status;

	if (options->directory == NULL || options->directory[0] == '\0')
		return control_fail(PROGRAM_USAGE, "--dir DIR is missing");
	plan->directory = options->directory;
	if (strlen(plan->directory) > PATH_SIZE / 2)
		return control_fail(PROGRAM_USAGE, "the path of the directory is too long");
	plan->cluster = env_random_id(control->env);
	plan->node = env_random_id(control->env);
	status = plan_hostname(options->hostname, plan);
	if (status == PROGRAM_OK)
		status = plan_ports(options, plan);
	return status == PROGRAM_OK ? plan_volumes(options, plan) : status;
}

/* ---- making ---- */

/* New, or there and empty. */
static enum program_exit take_directory(const struct plan *plan)
{
	bool empty = true;
	DIR *directory;

	if (mkdir(plan->directory, 0700) == 0)
		return PROGRAM_OK;
	if (errno != EEXIST)
		return control_fail(PROGRAM_REFUSED, "%s: %s", plan->directory, strerror(errno));
	directory = opendir(plan->directory);
	if (directory == NULL)
		return control_fail(PROGRAM_REFUSED, "%s: %s", plan->directory, strerror(errno));
	for (struct dirent *entry; empty && (entry = readdir(directory)) != NULL;)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			strcmp(entry->d_name, "lost+found") == 0;
	closedir(directory);
	return empty ? PROGRAM_OK
		     : control_fail(PROGRAM_REFUSED,
				    "%s is not empty: nothing was changed, init never overwrites",
				    plan->directory);
}

static enum program_exit create_file(const struct plan *plan, const char *name, unsigned mode,
				     struct bytes content)
{
	char path[PATH_SIZE], why[SECRET_FILE_WHY];

	snprintf(path, sizeof(path), "%s/%s", plan->directory, name);
	return secret_file_create(path, mode, content, why) == ERR_OK
		       ? PROGRAM_OK
		       : control_fail(PROGRAM_REFUSED, "%s", why);
}

static WAITS enum program_exit make_keys(struct control *control, struct plan *plan)
{
	char path[PATH_SIZE], why[SECRET_FILE_WHY];
	const char *file = control->options.admin_passphrase_file;
	struct buf passphrase = {0};
	enum program_exit status = PROGRAM_OK;

	snprintf(path, sizeof(path), "%s/keys", plan->directory);
	if (node_keys_create(control->env, path, why) != ERR_OK)
		return control_fail(PROGRAM_REFUSED, "%s", why);
	if (file != NULL)
		status = secret_input(file, "--admin-passphrase-file",
				      "passphrase of the admin key", SECRET_NEW, &passphrase);
	snprintf(path, sizeof(path), "%s/admin.key", plan->directory);
	if (status == PROGRAM_OK)
		status = admin_key_create(
			control,
			control->options.admin_key != NULL ? control->options.admin_key : path,
			plan->cluster, bytes_of_buf(&passphrase), plan->admin_public);
	buf_finish(&passphrase);
	return status;
}

static enum program_exit make_certificate(const struct plan *plan)
{
	struct buf certificate = {0}, key = {0};
	enum err err = certificate_make(plan->hostname, &certificate, &key);
	enum program_exit status =
		err == ERR_OK
			? create_file(plan, "certificate.pem", 0644, bytes_of_buf(&certificate))
			: control_fail(PROGRAM_REFUSED, "cannot make a certificate: %s",
				       err_text(err));

	if (status == PROGRAM_OK)
		status = create_file(plan, "certificate-key.pem", 0600, bytes_of_buf(&key));
	buf_finish(&certificate);
	buf_finish(&key);
	return status;
}

static WAITS enum program_exit make_volumes(struct control *control, const struct plan *plan)
{
	for (size_t i = 0; i < plan->volume_count; i++) {
		struct volume_identity identity = {.cluster = plan->cluster,
						   .node = plan->node,
						   .volume = env_random_id(control->env),
						   .created_ms = env_wall_ms(control->env)};
		enum err err = volume_format(plan->reached[i], &identity);

		if (err == ERR_EXISTS)
			return control_fail(PROGRAM_REFUSED,
					    "%s is not empty: a volume begins with nothing in it",
					    plan->reached[i]);
		if (err != ERR_OK)
			return control_fail(PROGRAM_REFUSED, "volume %s: %s", plan->reached[i],
					    err_text(err));
	}
	return PROGRAM_OK;
}

/* ---- the configuration ---- */

static void put_identity(const struct plan *plan, struct buf *out)
{
	char cluster[HEX_ID_SIZE], node[HEX_ID_SIZE];

	hex_id(plan->cluster, cluster);
	hex_id(plan->node, node);
	buf_printf(
		out,
		"# Aerostore, see aerostore.conf(5). Check changes with: aerod -t -c FILE\n"
		"# Relative paths are relative to this file.\n"
		"\n"
		"# Who this store is. Never change these three.\n"
		"cluster = %s\n"
		"node = %s\n"
		"# The public half of admin.key. That file is for aeroctl alone: it can be kept\n"
		"# elsewhere, and given with --admin-key. Without it no account can be made.\n"
		"admin-public = ",
		cluster, node);
	hex_put(out, bytes_make(plan->admin_public, sizeof(plan->admin_public)));
	buf_put_u8(out, '\n');
}

static void put_places(const struct plan *plan, struct buf *out)
{
	buf_put_string(out,
		       "\n# One directory on each disk. Volumes on one disk are lost together.\n"
		       "volumes = {");
	for (size_t i = 0; i < plan->volume_count; i++)
		buf_printf(out, "%s'%s'", i == 0 ? "" : ", ", plan->written[i]);
	buf_put_string(
		out,
		"}\n"
		"# Octets that mail leaves free on each of them; unset: 2 %, from 64M to 5 %.\n"
		"# volume-reserve = 1G\n"
		"# Deleted mail: sets with less than this share alive are rewritten, in per cent,\n"
		"# so many hours after it was found dead, reading so many octets a second.\n"
		"# compact-below = 70\n"
		"# quarantine-hours = 24\n"
		"# reclaim-rate = 64M\n"
		"# A volume whose directory is gone is waited for; every octet is checked\n"
		"# once in so many days, not faster than this a second.\n"
		"repair-after-minutes = 10\n"
		"scrub-days = 14\n"
		"scrub-rate = 32M\n"
		"# An index of this node; made anew from the volumes when it is lost.\n"
		"index = 'index'\n"
		"# Secrets of this node: node.key, fake-salt.\n"
		"keys = 'keys'\n");
}

static void put_services(const struct plan *plan, struct buf *out)
{
	buf_printf(
		out,
		"\n"
		"# Self-signed. To replace it, put the files of any CA here (PEM, the chain in\n"
		"# the certificate's file) and send aerod a SIGHUP.\n"
		"certificate = 'certificate.pem'\n"
		"certificate-key = 'certificate-key.pem'\n"
		"\n"
		"# Mail comes in by LMTP, on loopback or a unix socket only. This directory is\n"
		"# closed to other users: for an MTA put the socket where it can reach it, like\n"
		"# 'unix:/run/aerostore/lmtp.sock', and give it the MTA's group.\n"
		"lmtp = {'127.0.0.1:%u', 'unix:lmtp.sock'}\n"
		"lmtp-socket-mode = '0660'\n"
		"# lmtp-socket-group = 'postfix'\n"
		"# IMAP over TLS. For everybody: '0.0.0.0:993', '[::]:993'.\n"
		"imaps = {'127.0.0.1:%u'}\n"
		"# IMAP in clear, with STARTTLS: for programs on this host.\n"
		"imap = {'127.0.0.1:%u'}\n"
		"# Where aeroctl asks.\n"
		"admin-socket = 'admin.sock'\n"
		"# In greetings.\n"
		"hostname = '%s'\n"
		"\n"
		"# What one message may have; K, M, G.\n"
		"message-limit = 64M\n"
		"# For each listener, and for each network address on it.\n"
		"connection-limit = 1000\n"
		"connection-limit-per-peer = 50\n"
		"# How long an account stays unlocked after its last session.\n"
		"unlocked-cache-minutes = 30\n",
		plan->lmtp_port, plan->imaps_port, plan->imap_port, plan->hostname);
}

/* Last, so that a store with a configuration is a whole one. */
static enum program_exit write_configuration(const struct plan *plan)
{
	struct buf text = {0};
	enum program_exit status;

	put_identity(plan, &text);
	put_places(plan, &text);
	put_services(plan, &text);
	status = text.err == ERR_OK ? create_file(plan, "aerostore.conf", 0600, bytes_of_buf(&text))
				    : control_fail(PROGRAM_REFUSED, "out of memory");
	buf_finish(&text);
	return status;
}

static enum program_exit report(struct control *control, const struct plan *plan)
{
	if (control->options.json) {
		json_t *result = json_object();
		char path[PATH_SIZE];

		snprintf(path, sizeof(path), "%s/aerostore.conf", plan->directory);
		json_put_text(result, "config", path);
		json_put_id(result, "cluster", plan->cluster);
		json_put_id(result, "node", plan->node);
		json_put_number(result, "volumes", plan->volume_count);
		return output_json(result);
	}
	printf("A store with %zu volumes is made in %s.\n"
	       "\n"
	       "  serve            aerod -c %s/aerostore.conf\n"
	       "  make an account  aeroctl -c %s/aerostore.conf account create you@example.org\n"
	       "\n"
	       "Keep a copy of admin.key and the keys directory elsewhere: what reads them can\n"
	       "redirect future mail, and without admin.key no account can be made.\n",
	       plan->volume_count, plan->directory, plan->directory, plan->directory);
	return PROGRAM_OK;
}

static WAITS enum program_exit execute(struct control *control, struct plan *plan)
{
	enum program_exit status = make_plan(control, plan);

	if (status == PROGRAM_OK)
		status = take_directory(plan);
	if (status != PROGRAM_OK)
		return status;
	status = make_keys(control, plan);
	if (status == PROGRAM_OK)
		status = make_certificate(plan);
	if (status == PROGRAM_OK)
		status = make_volumes(control, plan);
	if (status == PROGRAM_OK)
		status = write_configuration(plan);
	if (status == PROGRAM_OK)
		return report(control, plan);
	return control_fail(status, "the store in %s is incomplete: remove it and try again",
			    plan->directory);
}

enum program_exit command_init(struct control *control)
{
	struct plan *plan = memory_allocate(sizeof(*plan));
	enum program_exit status;

	if (plan == NULL)
		return control_fail(PROGRAM_USAGE, "out of memory");
	status = execute(control, plan);
	memory_free(plan);
	return status;
}
