/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl(1): the command line. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/loop.h"
#include "tools/aeroctl/control.h"
#include "tools/common/json.h"

/* Options beyond those that every command takes (-c, --json, --help). */
enum option_group {
	OPTIONS_ADMIN = 1,    /* --admin-key, --admin-passphrase-file */
	OPTIONS_PASSWORD = 2, /* --password-file */
	OPTIONS_CURRENT = 4,  /* --current-file */
	OPTIONS_GENERATE = 8, /* --generate */
	OPTIONS_YES = 16,     /* --yes */
	OPTIONS_CHECK = 32,   /* --address, --keep */
	OPTIONS_INIT = 64,    /* --dir, --volumes, --volume, --imap, --imaps, --lmtp, --hostname */
};

enum option_code {
	OPTION_JSON = 256,
	OPTION_YES,
	OPTION_GENERATE,
	OPTION_KEEP,
	OPTION_ADMIN_KEY,
	OPTION_ADMIN_PASSPHRASE_FILE,
	OPTION_PASSWORD_FILE,
	OPTION_CURRENT_FILE,
	OPTION_ADDRESS,
	OPTION_DIRECTORY,
	OPTION_VOLUMES,
	OPTION_VOLUME,
	OPTION_IMAP,
	OPTION_IMAPS,
	OPTION_LMTP,
	OPTION_HOSTNAME,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"yes", no_argument, NULL, OPTION_YES},
	{"generate", no_argument, NULL, OPTION_GENERATE},
	{"keep", no_argument, NULL, OPTION_KEEP},
	{"admin-key", required_argument, NULL, OPTION_ADMIN_KEY},
	{"admin-passphrase-file", required_argument, NULL, OPTION_ADMIN_PASSPHRASE_FILE},
	{"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
	{"current-file", required_argument, NULL, OPTION_CURRENT_FILE},
	{"address", required_argument, NULL, OPTION_ADDRESS},
	{"dir", required_argument, NULL, OPTION_DIRECTORY},
	{"volumes", required_argument, NULL, OPTION_VOLUMES},
	{"volume", required_argument, NULL, OPTION_VOLUME},
	{"imap", required_argument, NULL, OPTION_IMAP},
	{"imaps", required_argument, NULL, OPTION_IMAPS},
	{"lmtp", required_argument, NULL, OPTION_LMTP},
	{"hostname", required_argument, NULL, OPTION_HOSTNAME},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const struct command {
	const char *words;     /* "account create" */
	const char *arguments; /* as shown; each word is one that must be there */
	const char *help;
	unsigned groups; /* enum option_group */
	control_command *run;
} commands[] = {
	{"init", "", "make a new store: configuration, keys, certificate, volumes",
	 OPTIONS_INIT | OPTIONS_ADMIN, command_init},
	{"status", "", "health: volumes, what can be lost now, sets, journal, accounts", 0,
	 command_status},
	{"reclaim", "", "look now for what deleted mail can give back, and wait for it", 0,
	 command_reclaim},
	{"check", "", "deliver a message by LMTP, read it back by IMAP, compare every octet",
	 OPTIONS_CHECK | OPTIONS_PASSWORD, command_check},
	{"volume replace", "DIRECTORY", "make an empty volume in the place of one that is lost", 0,
	 command_volume_replace},
	{"volume usage", "", "what each volume's directory occupies, by kind", 0,
	 command_volume_usage},
	{"scrub status", "", "how far the check of every octet on the disks is", 0,
	 command_scrub_status},
	{"scrub start", "", "begin a check of every octet now", 0, command_scrub_start},
	{"scrub pause", "", "stop checking until resumed", 0, command_scrub_pause},
	{"scrub resume", "", "go on checking", 0, command_scrub_resume},
	{"account create", "ADDRESS", "make an account with a first password",
	 OPTIONS_ADMIN | OPTIONS_PASSWORD | OPTIONS_GENERATE, command_account_create},
	{"account invite", "ADDRESS", "make an account opened by a one-time invitation code",
	 OPTIONS_ADMIN, command_account_invite},
	{"account list", "", "all accounts", 0, command_account_list},
	{"account show", "ADDRESS", "one account", 0, command_account_show},
	{"account slots", "ADDRESS", "the ways into an account, and whether the operator can read",
	 0, command_account_slots},
	{"account password", "ADDRESS",
	 "set a new password with the current one, an invitation or a recovery code",
	 OPTIONS_PASSWORD | OPTIONS_CURRENT, command_account_password},
	{"account add-app-password", "ADDRESS", "make a password for one device", OPTIONS_CURRENT,
	 command_account_add_app_password},
	{"account recovery-code", "ADDRESS",
	 "make a code that opens the account without a password", OPTIONS_CURRENT,
	 command_account_recovery_code},
	{"account remove-slot", "ADDRESS SLOT", "take a way into an account away", OPTIONS_CURRENT,
	 command_account_remove_slot},
	{"account disable", "ADDRESS", "no login, deliveries are deferred; nothing is deleted",
	 OPTIONS_ADMIN, command_account_disable},
	{"account enable", "ADDRESS", "undo disable", OPTIONS_ADMIN, command_account_enable},
	{"account delete", "ADDRESS", "delete the account and all its mail",
	 OPTIONS_ADMIN | OPTIONS_YES, command_account_delete},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct {
	unsigned group; /* 0: every command */
	const char *text;
} option_help[] = {
	{0, "  -c, --config FILE             configuration (default " PROGRAM_CONFIG ")"},
	{0, "      --json                    print JSON, for programs"},
	{OPTIONS_INIT, "      --dir DIR                 where to make the store; new or empty"},
	{OPTIONS_INIT, "      --volumes N               so many volumes, DIR/vol0 ... (default 3)"},
	{OPTIONS_INIT, "      --volume PATH             a volume there; once for each disk"},
	{OPTIONS_INIT, "      --imap PORT               IMAP on loopback (default 1143)"},
	{OPTIONS_INIT, "      --imaps PORT              IMAP over TLS on loopback (default 1993)"},
	{OPTIONS_INIT, "      --lmtp PORT               LMTP on loopback (default 2424)"},
	{OPTIONS_INIT, "      --hostname NAME           name in greetings and the certificate"},
	{OPTIONS_ADMIN, "      --admin-key FILE          admin key (default admin.key beside the "
			"configuration)"},
	{OPTIONS_ADMIN, "      --admin-passphrase-file F its passphrase; - is stdin"},
	{OPTIONS_PASSWORD,
	 "      --password-file FILE      (new) password; - is stdin; else asked for"},
	{OPTIONS_CURRENT, "      --current-file FILE       current password or code; - is stdin; "
			  "else asked for"},
	{OPTIONS_GENERATE, "      --generate                make up the password and print it"},
	{OPTIONS_YES, "      --yes                     do not ask"},
	{OPTIONS_CHECK, "      --address ADDRESS         the account to use"},
	{OPTIONS_CHECK, "      --keep                    leave the message in the mailbox"},
};

static unsigned group_of(int code)
{
	switch (code) {
	case OPTION_ADMIN_KEY:
	case OPTION_ADMIN_PASSPHRASE_FILE:
		return OPTIONS_ADMIN;
	case OPTION_PASSWORD_FILE:
		return OPTIONS_PASSWORD;
	case OPTION_CURRENT_FILE:
		return OPTIONS_CURRENT;
	case OPTION_GENERATE:
		return OPTIONS_GENERATE;
	case OPTION_YES:
		return OPTIONS_YES;
	case OPTION_ADDRESS:
	case OPTION_KEEP:
		return OPTIONS_CHECK;
	case OPTION_DIRECTORY:
	case OPTION_VOLUMES:
	case OPTION_VOLUME:
	case OPTION_IMAP:
	case OPTION_IMAPS:
	case OPTION_LMTP:
	case OPTION_HOSTNAME:
		return OPTIONS_INIT;
	default:
		return 0;
	}
}

enum program_exit control_fail(enum program_exit status, const char *format, ...)
{
	va_list arguments;

	fputs("aeroctl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return status;
}

/* ---- help ---- */

static void print_general_help(void)
{
	puts("usage: aeroctl [-c FILE] COMMAND [ARGUMENTS] [OPTIONS]\n"
	     "       aeroctl COMMAND --help | --help | --version\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		char left[64];

		snprintf(left, sizeof(left), "%s %s", commands[i].words, commands[i].arguments);
		printf("  %-33s %s\n", left, commands[i].help);
	}
	puts("\nexit status: 0 done; 1 usage or configuration; 2 refused or not found;\n"
	     "3 aerod does not answer. See aeroctl(1).");
}

static void print_command_help(const struct command *command)
{
	printf("usage: aeroctl [-c FILE] %s%s%s [OPTIONS]\n\n%s\n\n", command->words,
	       *command->arguments != '\0' ? " " : "", command->arguments, command->help);
	for (size_t i = 0; i < sizeof(option_help) / sizeof(option_help[0]); i++)
		if (option_help[i].group == 0 || (option_help[i].group & command->groups) != 0)
			puts(option_help[i].text);
}

/* ---- the command line ---- */

static bool take_unsigned(const char *text, unsigned highest, unsigned *out)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > highest)
		return false;
	*out = (unsigned)value;
	return true;
}

/* False: the value is not one that the option can have. */
static bool take_option(struct control_options *options, int code, const char *value)
{
	switch (code) {
	case OPTION_JSON:
		return options->json = true;
	case OPTION_YES:
		return options->yes = true;
	case OPTION_GENERATE:
		return options->generate = true;
	case OPTION_KEEP:
		return options->keep = true;
	case OPTION_ADMIN_KEY:
		return (options->admin_key = value) != NULL;
	case OPTION_ADMIN_PASSPHRASE_FILE:
		return (options->admin_passphrase_file = value) != NULL;
	case OPTION_PASSWORD_FILE:
		return (options->password_file = value) != NULL;
	case OPTION_CURRENT_FILE:
		return (options->current_file = value) != NULL;
	case OPTION_ADDRESS:
		return (options->address = value) != NULL;
	case OPTION_DIRECTORY:
		return (options->directory = value) != NULL;
	case OPTION_HOSTNAME:
		return (options->hostname = value) != NULL;
	case OPTION_VOLUMES:
		return take_unsigned(value, ENGINE_VOLUME_MAX, &options->volume_number);
	case OPTION_VOLUME:
		if (options->volume_count == ENGINE_VOLUME_MAX)
			return false;
		options->volumes[options->volume_count++] = value;
		return true;
	case OPTION_IMAP:
		return take_unsigned(value, 65535, &options->imap_port);
	case OPTION_IMAPS:
		return take_unsigned(value, 65535, &options->imaps_port);
	case OPTION_LMTP:
		return take_unsigned(value, 65535, &options->lmtp_port);
	default:
		return false;
	}
}

/* The command that the first words name; *used of them. NULL: none. */
static const struct command *find_command(char *const *words, size_t count, size_t *used)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const char *space = strchr(commands[i].words, ' ');
		size_t first = space != NULL ? (size_t)(space - commands[i].words)
					     : strlen(commands[i].words);

		*used = space != NULL ? 2 : 1;
		if (count >= *used && strlen(words[0]) == first &&
		    strncmp(words[0], commands[i].words, first) == 0 &&
		    (space == NULL || strcmp(words[1], space + 1) == 0))
			return &commands[i];
	}
	return NULL;
}

/* Whether commands of several words start with this one. */
static bool starts_command(const char *word)
{
	size_t size = strlen(word);

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strncmp(commands[i].words, word, size) == 0 && commands[i].words[size] == ' ')
			return true;
	return false;
}

static size_t count_words(const char *text)
{
	size_t count = *text != '\0';

	for (; *text != '\0'; text++)
		count += *text == ' ';
	return count;
}

struct invocation {
	struct control control;
	const struct command *command;
	const char *config_path;
	unsigned groups; /* of the options that were given */
	bool help, version;
	struct loop *loop;
	enum program_exit exit;
};

static bool parse(struct invocation *invocation, int argc, char **argv)
{
	static char program_name[] = "aeroctl";
	size_t used = 0;
	int code;

	/* getopt_long() names it in its messages: by its name, as all others do. */
	argv[0] = program_name;
	while ((code = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		if (code == '?')
			return false;
		invocation->groups |= group_of(code);
		if (code == 'c') {
			invocation->config_path = optarg;
		} else if (code == 'h') {
			invocation->help = true;
		} else if (code == OPTION_VERSION) {
			invocation->version = true;
		} else if (!take_option(&invocation->control.options, code, optarg)) {
			control_fail(PROGRAM_USAGE, "\"%s\" is not a value for this option",
				     optarg);
			return false;
		}
	}
	if (invocation->version || (invocation->help && optind == argc))
		return true;
	if (optind == argc) {
		control_fail(PROGRAM_USAGE, "a command is missing");
		return false;
	}
	invocation->command = find_command(argv + optind, (size_t)(argc - optind), &used);
	if (invocation->command == NULL) {
		/* The first word alone is no news when it is a right one. */
		if (optind + 1 < argc && starts_command(argv[optind]))
			control_fail(PROGRAM_USAGE, "no such command: %s %s", argv[optind],
				     argv[optind + 1]);
		else
			control_fail(PROGRAM_USAGE, "no such command: %s", argv[optind]);
		return false;
	}
	invocation->control.arguments = argv + optind + used;
	invocation->control.argument_count = (size_t)(argc - optind) - used;
	return true;
}

static bool fits_command(const struct invocation *invocation)
{
	const struct command *command = invocation->command;

	if ((invocation->groups & ~command->groups) != 0) {
		control_fail(PROGRAM_USAGE, "%s does not take one of these options",
			     command->words);
		return false;
	}
	if (invocation->control.argument_count != count_words(command->arguments)) {
		control_fail(PROGRAM_USAGE, "usage: aeroctl %s%s%s", command->words,
			     *command->arguments != '\0' ? " " : "", command->arguments);
		return false;
	}
	return true;
}

/* ---- running ---- */

static void run_command(void *argument)
{
	struct invocation *invocation = argument;

	invocation->exit = invocation->command->run(&invocation->control);
	loop_stop(invocation->loop);
}

static enum program_exit run(struct invocation *invocation)
{
	struct loop_options options = {.io_threads = 1, .cpu_threads = 1, .log_descriptor = -1};
	enum err err = loop_create(&options, &invocation->loop);

	invocation->exit = PROGRAM_USAGE;
	if (err == ERR_OK) {
		invocation->control.env = loop_env(invocation->loop);
		invocation->control.sched = sched_create(invocation->control.env);
		err = invocation->control.sched == NULL
			      ? ERR_NOMEM
			      : task_spawn(invocation->control.sched, "command", run_command,
					   invocation, NULL);
	}
	if (err == ERR_OK)
		loop_run(invocation->loop);
	else
		control_fail(PROGRAM_USAGE, "cannot start: %s", err_text(err));
	if (invocation->control.sched != NULL)
		sched_destroy(&invocation->control.sched);
	loop_destroy(&invocation->loop);
	return invocation->exit;
}

static enum program_exit load_and_run(struct invocation *invocation)
{
	char why[CONFIG_WHY_SIZE];
	enum program_exit status;
	enum err err;

	umask(077);
	json_setup();
	err = key_library_init();
	if (err != ERR_OK)
		return control_fail(PROGRAM_USAGE, "no locked memory for keys: %s (see ulimit -l)",
				    err_text(err));
	if (invocation->command->run != command_init &&
	    config_load(invocation->config_path, &invocation->control.config, why) != ERR_OK)
		return control_fail(PROGRAM_USAGE, "%s", why);
	status = run(invocation);
	config_finish(&invocation->control.config);
	return status;
}

int main(int argc, char **argv)
{
	struct invocation invocation = {.config_path = PROGRAM_CONFIG};

	if (!parse(&invocation, argc, argv)) {
		fputs("Try aeroctl --help.\n", stderr);
		return PROGRAM_USAGE;
	}
	if (invocation.version) {
		puts("aeroctl " PROGRAM_VERSION);
		return PROGRAM_OK;
	}
	if (invocation.help) {
		if (invocation.command != NULL)
			print_command_help(invocation.command);
		else
			print_general_help();
		return PROGRAM_OK;
	}
	if (!fits_command(&invocation))
		return PROGRAM_USAGE;
	return (int)load_and_run(&invocation);
}
