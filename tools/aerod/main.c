/* SPDX-License-Identifier: MPL-2.0 */
/* aerod(8): the command line. */
#include <getopt.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tools/aerod/daemon.h"
#include "tools/common/json.h"

static void print_usage(FILE *to)
{
	fputs("usage: aerod [-c FILE]       serve, in the foreground; the log goes to stderr\n"
	      "       aerod -t [-c FILE]    check the configuration and what it names\n"
	      "       aerod --help | --version\n"
	      "\n"
	      "  -c, --config FILE   configuration (default " PROGRAM_CONFIG ")\n"
	      "  -t, --test          check only; exit status 0 or 1\n"
	      "\n"
	      "SIGTERM, SIGINT: answer what was asked, then exit with status 0.\n"
	      "SIGHUP: read certificate and key again.\n"
	      "A store is made with aeroctl init; see aerod(8), aerostore.conf(5).\n",
	      to);
}

static void tell(const struct config *config, bool fatal, const char *line)
{
	fprintf(stderr, "%s: %s: %s\n", config->path, fatal ? "error" : "warning", line);
}

static enum program_exit test(const struct config *config)
{
	if (!config_check_files(config, tell))
		return PROGRAM_USAGE;
	printf("%s: ok\n", config->path);
	return PROGRAM_OK;
}

/* Each client is a descriptor: take as many as the system lets us. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum program_exit run(const char *path, bool only_test)
{
	char why[CONFIG_WHY_SIZE];
	struct config config;
	enum program_exit status;
	enum err err;

	umask(077);
	raise_descriptor_limit();
	json_setup();
	err = key_library_init();
	if (err != ERR_OK) {
		fprintf(stderr, "aerod: no locked memory for keys: %s (see ulimit -l)\n",
			err_text(err));
		return PROGRAM_USAGE;
	}
	err = config_load(path, &config, why);
	if (err != ERR_OK) {
		fprintf(stderr, "aerod: %s\n", why);
		return PROGRAM_USAGE;
	}
	status = only_test ? test(&config) : daemon_main(&config);
	config_finish(&config);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"test", no_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	static char program_name[] = "aerod";
	const char *path = PROGRAM_CONFIG;
	bool only_test = false;
	int option;

	/* getopt_long() names it in its messages: by its name, as all others do. */
	argv[0] = program_name;
	while ((option = getopt_long(argc, argv, "c:th", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 't':
			only_test = true;
			break;
		case 'h':
			print_usage(stdout);
			return PROGRAM_OK;
		case 'V':
			puts("aerod " PROGRAM_VERSION);
			return PROGRAM_OK;
		default:
			print_usage(stderr);
			return PROGRAM_USAGE;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "aerod: unexpected argument \"%s\"\n", argv[optind]);
		print_usage(stderr);
		return PROGRAM_USAGE;
	}
	return (int)run(path, only_test);
}
