/* SPDX-License-Identifier: MPL-2.0 */
/* aerofsck(8): the command line. */
#include "tools/aerofsck/aerofsck.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/loop.h"
#include "tools/common/json.h"
#include "tools/common/program.h"

/* Between two looks whether a file is still being put into place. */
#define CANCEL_AGAIN_MS 2u

#define HINT "aerofsck --help shows the options"

enum option_code {
	OPTION_JSON = 256,
	OPTION_REBUILD_INDEX,
	OPTION_REBUILD_DIRECTORY,
	OPTION_SALVAGE,
	OPTION_EXPORT,
	OPTION_ACCOUNT,
	OPTION_PASSWORD_FILE,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"rebuild-index", no_argument, NULL, OPTION_REBUILD_INDEX},
	{"rebuild-directory", no_argument, NULL, OPTION_REBUILD_DIRECTORY},
	{"salvage", required_argument, NULL, OPTION_SALVAGE},
	{"export", required_argument, NULL, OPTION_EXPORT},
	{"account", required_argument, NULL, OPTION_ACCOUNT},
	{"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	puts("usage: aerofsck [-n | -p | -y] [OPTIONS] -c FILE | VOLUME...\n"
	     "       aerofsck --salvage DIR -c FILE | VOLUME...\n"
	     "       aerofsck --export DIR --account ADDRESS -c FILE [VOLUME...]\n"
	     "\n"
	     "Checks and mends the volumes of a store that aerod does not have open. Without\n"
	     "-n, -p or -y it asks, on a terminal (y, n, or a for all), and changes nothing\n"
	     "elsewhere.\n"
	     "\n"
	     "  -n                      change nothing\n"
	     "  -p                      mend what the disks leave no doubt about\n"
	     "  -y                      mend everything that can be mended\n"
	     "  -c, --config FILE       the volumes are those of this configuration\n"
	     "      --json              one document, for programs; see aerofsck(8)\n"
	     "      --rebuild-index     drop the node's index; aerod makes it anew (needs -c)\n"
	     "      --rebuild-directory enter all sets in the set directory, from headers\n"
	     "      --salvage DIR       copy every intact record into DIR, change nothing\n"
	     "      --export DIR        write one account's mail to DIR, as a Maildir; changes\n"
	     "                          nothing on the volumes, one of which may be missing\n"
	     "      --account ADDRESS   which account\n"
	     "      --password-file F   its password or recovery code; - is stdin\n"
	     "\n"
	     "What is replaced is kept in the folder \"replaced\" of the volume.\n"
	     "Exit status, added up: 0 clean; 1 mended; 4 something is left; 8 could not be\n"
	     "done; 16 usage; 32 interrupted. See aerofsck(8).");
}

void complain(const char *format, ...)
{
	va_list arguments;

	fputs("aerofsck: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* ---- the command line ---- */

static bool set_mode(struct invocation *invocation, enum fsck_mode mode)
{
	if (invocation->mode_given && invocation->mode != mode) {
		complain("-n, -p and -y exclude each other (" HINT ")");
		return false;
	}
	invocation->mode_given = true;
	invocation->mode = mode;
	return true;
}

static bool take_option(struct invocation *invocation, int code)
{
	switch (code) {
	case 'n':
		return set_mode(invocation, FSCK_NO);
	case 'p':
		return set_mode(invocation, FSCK_SAFE);
	case 'y':
		return set_mode(invocation, FSCK_YES);
	case 'c':
		return (invocation->config_path = optarg) != NULL;
	case OPTION_JSON:
		return invocation->json = true;
	case OPTION_REBUILD_INDEX:
		return invocation->rebuild_index = true;
	case OPTION_REBUILD_DIRECTORY:
		return invocation->rebuild_directory = true;
	case OPTION_SALVAGE:
		return (invocation->salvage = optarg) != NULL;
	case OPTION_EXPORT:
		return (invocation->export_to = optarg) != NULL;
	case OPTION_ACCOUNT:
		return (invocation->account = optarg) != NULL;
	case OPTION_PASSWORD_FILE:
		return (invocation->password_file = optarg) != NULL;
	default:
		break;
	}
	complain("%s (" HINT ")", code == ':' ? "an option lacks its argument" : "unknown option");
	return false;
}

static const char *contradiction(const struct invocation *invocation)
{
	bool reads = invocation->salvage != NULL || invocation->export_to != NULL;
	bool rebuilds = invocation->rebuild_index || invocation->rebuild_directory;

	if (invocation->volume_count == 0 && invocation->config_path == NULL)
		return "which volumes? give -c FILE or their directories";
	if (invocation->export_to != NULL && invocation->account == NULL)
		return "--export needs --account ADDRESS";
	if (invocation->export_to != NULL && invocation->config_path == NULL)
		return "--export needs -c FILE: the keys beside it say whose mail is genuine";
	if (invocation->export_to == NULL &&
	    (invocation->account != NULL || invocation->password_file != NULL))
		return "--account and --password-file go with --export";
	if (invocation->salvage != NULL && invocation->export_to != NULL)
		return "--salvage and --export exclude each other";
	if (reads && (rebuilds || (invocation->mode_given && invocation->mode != FSCK_NO)))
		return "--salvage and --export change nothing: leave -p, -y and --rebuild-* out";
	if (rebuilds && invocation->mode_given && invocation->mode == FSCK_NO)
		return "--rebuild-* and -n exclude each other";
	if (invocation->rebuild_index && invocation->config_path == NULL)
		return "--rebuild-index needs -c FILE, which says where the index is";
	return NULL;
}

static bool parse(struct invocation *invocation, int argc, char **argv)
{
	const char *wrong;
	int code;

	opterr = 0;
	while ((code = getopt_long(argc, argv, ":npyc:h", long_options, NULL)) != -1)
		if (!take_option(invocation, code))
			return false;
	for (int i = optind; i < argc; i++) {
		if (invocation->volume_count == FSCK_VOLUME_MAX) {
			complain("more than %u volumes (" HINT ")", FSCK_VOLUME_MAX);
			return false;
		}
		invocation->volumes[invocation->volume_count++] = argv[i];
	}
	wrong = contradiction(invocation);
	if (wrong != NULL)
		complain("%s (" HINT ")", wrong);
	return wrong == NULL;
}

static bool load_config(struct invocation *invocation)
{
	char why[CONFIG_WHY_SIZE];

	if (invocation->config_path == NULL)
		return true;
	if (config_load(invocation->config_path, &invocation->config, why) != ERR_OK) {
		complain("%s", why);
		return false;
	}
	invocation->has_config = true;
	for (size_t i = 0; invocation->volume_count == 0 && i < invocation->config.volumes.count;
	     i++)
		invocation->volumes[i] = invocation->config.volumes.items[i];
	if (invocation->volume_count == 0)
		invocation->volume_count = invocation->config.volumes.count;
	return true;
}

/* "DIR/" is DIR: paths are put together and compared as text. */
static void trim_slashes(char **argv, int argc)
{
	for (int i = 1; i < argc; i++) {
		size_t size = strlen(argv[i]);

		while (size > 1 && argv[i][size - 1] == '/')
			argv[i][--size] = '\0';
	}
}

/* ---- the run ---- */

struct run {
	struct invocation *invocation;
	struct loop *loop;
};

/* What is being put into place is finished first: nothing is left half done. */
static void cancel(struct env_timer *timer)
{
	struct invocation *invocation = timer->context;

	if (overlay_is_through(invocation->overlay) && invocation->salvage == NULL)
		env_timer_start(overlay_env(invocation->overlay), timer, CANCEL_AGAIN_MS);
	else
		sched_cancel_all(invocation->sched);
}

static void on_interrupt(void *context)
{
	struct invocation *invocation = context;

	if (invocation->canceled)
		return;
	invocation->canceled = true;
	invocation->cancel = (struct env_timer){.fire = cancel, .context = invocation};
	cancel(&invocation->cancel);
}

static void live(void *argument)
{
	struct run *run = argument;
	struct invocation *invocation = run->invocation;

	if (invocation->export_to != NULL)
		run_export(invocation);
	else if (invocation->salvage != NULL)
		run_salvage(invocation);
	else
		run_check(invocation);
	if (invocation->canceled)
		invocation->exit |= FSCK_EXIT_CANCELED;
	env_timer_stop(overlay_env(invocation->overlay), &invocation->cancel);
	loop_stop(run->loop);
}

static enum err start(struct run *run)
{
	struct invocation *invocation = run->invocation;
	const struct loop_options options = {.log_descriptor = -1};
	enum err err = loop_create(&options, &run->loop);

	if (err == ERR_OK)
		err = overlay_create(loop_env(run->loop), &invocation->overlay);
	if (err == ERR_OK)
		invocation->sched = sched_create(overlay_env(invocation->overlay));
	if (err == ERR_OK && invocation->sched == NULL)
		err = ERR_NOMEM;
	if (err == ERR_OK)
		err = loop_on_signal(run->loop, SIGINT, on_interrupt, invocation);
	if (err == ERR_OK)
		err = loop_on_signal(run->loop, SIGTERM, on_interrupt, invocation);
	return err == ERR_OK ? task_spawn(invocation->sched, "aerofsck", live, run, NULL) : err;
}

static void run(struct invocation *invocation)
{
	struct run run = {.invocation = invocation};
	enum err err = start(&run);

	if (err == ERR_OK) {
		loop_run(run.loop);
	} else {
		complain("cannot start: %s", err_text(err));
		invocation->exit |= FSCK_EXIT_FAILED;
	}
	if (invocation->sched != NULL)
		sched_destroy(&invocation->sched);
	overlay_destroy(&invocation->overlay);
	loop_destroy(&run.loop);
}

int main(int argc, char **argv)
{
	struct invocation invocation = {.mode = FSCK_NO};

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help();
			return FSCK_EXIT_CLEAN;
		}
		if (strcmp(argv[i], "--version") == 0) {
			puts("aerofsck " PROGRAM_VERSION);
			return FSCK_EXIT_CLEAN;
		}
	}
	umask(077);
	trim_slashes(argv, argc);
	json_setup();
	if (!parse(&invocation, argc, argv))
		return FSCK_EXIT_USAGE;
	if (!invocation.mode_given && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		invocation.mode = FSCK_ASK;
	invocation.asks = invocation.mode == FSCK_ASK;
	if (key_library_init() != ERR_OK) {
		complain("no locked memory for keys (see ulimit -l)");
		return FSCK_EXIT_FAILED;
	}
	if (!load_config(&invocation))
		return FSCK_EXIT_USAGE;
	run(&invocation);
	if (invocation.has_config)
		config_finish(&invocation.config);
	return (int)invocation.exit;
}
