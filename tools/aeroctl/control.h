/* SPDX-License-Identifier: MPL-2.0 */
/*
 * control - one run of aeroctl: its options, its configuration, its commands.
 *
 * A command runs in a task, prints its result on stdout and what went wrong, in
 * one line, on stderr, and returns the exit status.
 */
#ifndef AEROSTORE_TOOLS_AEROCTL_CONTROL_H
#define AEROSTORE_TOOLS_AEROCTL_CONTROL_H

#include "tools/common/config.h"
#include "tools/common/program.h"

struct control_options {
	bool json, yes, generate, keep;
	const char *admin_key, *admin_passphrase_file;
	const char *password_file, *current_file;
	const char *address;
	/* init */
	const char *directory, *hostname;
	const char *volumes[ENGINE_VOLUME_MAX]; /* --volume */
	size_t volume_count;
	unsigned volume_number;			   /* --volumes; 0: not given */
	unsigned imap_port, imaps_port, lmtp_port; /* 0: not given */
};

struct control {
	struct env *env;
	struct sched *sched;
	struct control_options options;
	struct config config; /* empty for init */
	char *const *arguments;
	size_t argument_count;
};

typedef WAITS enum program_exit control_command(struct control *control);

control_command command_init, command_status, command_reclaim, command_check,
	command_volume_replace, command_volume_usage, command_scrub_status, command_scrub_start,
	command_scrub_pause, command_scrub_resume;
control_command command_account_create, command_account_invite, command_account_list,
	command_account_show, command_account_slots, command_account_disable,
	command_account_enable, command_account_delete, command_account_password,
	command_account_add_app_password, command_account_recovery_code,
	command_account_remove_slot;

/* "aeroctl: <text>" on stderr; returns `status`. */
enum program_exit control_fail(enum program_exit status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
