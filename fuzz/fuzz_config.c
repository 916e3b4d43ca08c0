/* SPDX-License-Identifier: MPL-2.0 */
/* A configuration file: refused in one line, or whole and within its bounds. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "tools/common/config.h"

static void check_list(const struct config_list *list)
{
	ASSERT(list->count <= ENGINE_VOLUME_MAX);
	for (size_t i = 0; i < list->count; i++)
		ASSERT(list->items[i] != NULL && list->items[i][0] != '\0');
}

static void check(const struct config *config)
{
	check_list(&config->volumes);
	check_list(&config->lmtp);
	check_list(&config->imap);
	check_list(&config->imaps);
	ASSERT(config->volumes.count >= 2);
	for (size_t i = 0; i < config->lmtp.count; i++)
		ASSERT(config_is_local(config->lmtp.items[i]));
	for (size_t i = 0; i < config->imap.count; i++)
		ASSERT(config->starttls_on_network || config_is_local(config->imap.items[i]));
	ASSERT(config->imaps.count == 0 || (config->certificate && config->certificate_key));
	ASSERT(config->index && config->keys && config->hostname && config->admin_socket);
	ASSERT(config->message_limit != 0 && config->recipient_limit != 0);
	ASSERT(config->connection_limit != 0 && config->connection_limit_per_peer != 0);
	ASSERT(config->compact_below >= 10 && config->compact_below <= 95);
	ASSERT(config->lmtp_socket_mode <= 0777);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int file = memfd_create("config", MFD_CLOEXEC);
	char path[64], why[CONFIG_WHY_SIZE] = "";
	struct config config;

	ASSERT(file >= 0 && write(file, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (config_load(path, &config, why) == ERR_OK)
		check(&config);
	else
		ASSERT(why[0] != '\0' && strchr(why, '\n') == NULL);
	config_finish(&config);
	ASSERT(close(file) == 0);
	return 0;
}
