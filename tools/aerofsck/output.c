/* SPDX-License-Identifier: MPL-2.0 */
/* What people read on the way, and the document for programs at the end. */
#include "tools/aerofsck/aerofsck.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/json.h"

#define PROGRESS_MS 200u

/* ---- problems ---- */

static void print_problem(const struct fsck_problem *problem)
{
	const struct fsck_code_info *info = fsck_code_info(problem->code);

	printf("%s %s", info->code, fsck_severity_name(info->severity));
	if (*problem->file != '\0')
		printf(" %s", problem->file);
	if (problem->placed)
		printf(" offset %" PRIu64 " size %" PRIu64, problem->offset, problem->size);
	if (problem->has_set)
		printf(" set %016" PRIx64 " column %u", problem->set, problem->column);
	if (*problem->account != '\0')
		printf(" account %s", problem->account);
	printf("\n  %s.%s%s%s\n", info->message, *problem->detail != '\0' ? " " : "",
	       problem->detail, *problem->detail != '\0' ? "." : "");
}

static volatile sig_atomic_t interrupted;

static void note_interrupt(int number)
{
	interrupted = number;
}

/* Octet by octet: what poll() must hear of cannot lie in a buffer of stdio's. */
static bool read_line(char *line, size_t size)
{
	size_t length = 0;
	char octet = 0;

	while (octet != '\n' && read(STDIN_FILENO, &octet, 1) == 1)
		if (length < size - 1)
			line[length++] = octet;
	line[length] = 0;
	return octet == '\n';
}

/*
 * The loop's own handlers would let the read go on, and nobody hear of it. Signals are let in while
 * it waits only, so that none comes between looking and waiting.
 */
static bool read_answer(const char *prompt, char *line, size_t size)
{
	const struct sigaction own = {.sa_handler = note_interrupt};
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	struct sigaction on_interrupt, on_termination;
	sigset_t blocked, before;
	bool answered;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	interrupted = 0;
	sigaction(SIGINT, &own, &on_interrupt);
	sigaction(SIGTERM, &own, &on_termination);
	fputs(prompt, stdout);
	fflush(stdout);
	while (ppoll(&input, 1, NULL, &before) < 0 && errno == EINTR && interrupted == 0)
		;
	answered = interrupted == 0 && read_line(line, size);
	sigaction(SIGINT, &on_interrupt, NULL);
	sigaction(SIGTERM, &on_termination, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (interrupted != 0)
		raise(interrupted);
	return answered && interrupted == 0;
}

static bool ask(struct invocation *invocation, const char *question, bool default_answer)
{
	char prompt[160], line[64];

	snprintf(prompt, sizeof(prompt), "  %s? [%s/a] ", question, default_answer ? "Y/n" : "y/N");
	for (;;) {
		if (!read_answer(prompt, line, sizeof(line))) {
			putchar('\n');
			invocation->mode = FSCK_NO;
			return false;
		}
		if (line[0] == '\n')
			return default_answer;
		if (line[0] == 'a' || line[0] == 'A')
			invocation->mode = FSCK_YES;
		if (strchr("yYaA", line[0]) != NULL)
			return true;
		if (line[0] == 'n' || line[0] == 'N')
			return false;
	}
}

bool output_found(void *context, const struct fsck_problem *problem, bool default_answer)
{
	struct invocation *invocation = context;
	const struct fsck_code_info *info = fsck_code_info(problem->code);

	output_progress_end(invocation);
	if (!invocation->json)
		print_problem(problem);
	if (info->question == NULL || problem->decided)
		return default_answer;
	if (invocation->mode == FSCK_ASK)
		return ask(invocation, info->question, default_answer);
	/* Who was asked before and said what is to be done with all the rest. */
	if (invocation->asks)
		default_answer = invocation->mode == FSCK_YES;
	if (!invocation->json)
		printf("  %s? %s\n", info->question, default_answer ? "yes" : "no");
	return default_answer;
}

void output_replaced(void *context, const char *file, const char *kept, bool written)
{
	struct invocation *invocation = context;

	if (strstr(file, "/journal/") != NULL)
		invocation->journal_replaced = true;
	if (invocation->json)
		return;
	output_progress_end(invocation);
	if (!written)
		printf("put aside %s, as %s\n", file, kept);
	else if (*kept != '\0')
		printf("wrote %s anew; the old one is %s\n", file, kept);
	else
		printf("wrote %s\n", file);
}

/* ---- progress ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void output_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
	struct invocation *invocation = context;
	uint64_t now = now_ms(), elapsed, left;

	if (invocation->started_ms == 0)
		invocation->started_ms = now;
	if (!isatty(STDERR_FILENO) || now - invocation->shown_ms < PROGRESS_MS || done == 0)
		return;
	invocation->shown_ms = now;
	invocation->progress_shown = true;
	elapsed = now - invocation->started_ms;
	left = total > done ? (total - done) * elapsed / done / 1000 : 0;
	fprintf(stderr,
		"\r%-8s %3u %%  %" PRIu64 " of %" PRIu64 " MiB  about %" PRIu64 ":%02" PRIu64
		" left   ",
		what, total == 0 ? 0u : (unsigned)(done >= total ? 100 : 100 * done / total),
		done >> 20, total >> 20, left / 60, left % 60);
}

void output_progress_end(struct invocation *invocation)
{
	if (!invocation->progress_shown)
		return;
	fputs("\r\033[K", stderr);
	invocation->progress_shown = false;
}

/* ---- the end ---- */

static void count(const struct fsck_result *result, size_t *fixed, size_t *left, size_t *notes)
{
	*fixed = *left = *notes = 0;
	for (size_t i = 0; i < result->problem_count; i++) {
		const struct fsck_problem *problem = &result->problems[i];

		if (problem->fixed)
			(*fixed)++;
		else if (fsck_code_info(problem->code)->severity == FSCK_NOTE)
			(*notes)++;
		else
			(*left)++;
	}
}

static void print_summary(const struct fsck_result *result, size_t fixed, size_t left, size_t notes)
{
	printf("%" PRIu64 " volumes, %" PRIu64 " sets of %" PRIu64 " files, %" PRIu64
	       " journal segments; %" PRIu64 " records, %" PRIu64 " bytes read\n",
	       result->volumes, result->sets, result->columns, result->segments, result->records,
	       result->bytes);
	printf("%" PRIu64 " blobs are named, %" PRIu64 " of them lost; %" PRIu64
	       " are named by nobody (%" PRIu64 " bytes)\n",
	       result->blobs_named, result->blobs_lost, result->blobs_unnamed,
	       result->bytes_unnamed);
	if (result->known != 0)
		printf("%" PRIu64 " problems are known from before, and not shown\n",
		       result->known);
	if (fixed + left + notes == 0)
		puts("clean");
	else
		printf("%zu problems: %zu mended, %zu left, %zu only noted\n", fixed + left + notes,
		       fixed, left, notes);
}

static json_t *problem_document(const struct fsck_problem *problem)
{
	const struct fsck_code_info *info = fsck_code_info(problem->code);
	json_t *object = json_object();
	char set[17];

	json_put_text(object, "code", info->code);
	json_put_text(object, "name", info->name);
	json_put_text(object, "severity", fsck_severity_name(info->severity));
	json_put_text(object, "message", info->message);
	if (*problem->detail != '\0')
		json_put_text(object, "detail", problem->detail);
	if (*problem->file != '\0')
		json_put_text(object, "file", problem->file);
	if (problem->placed) {
		json_put_number(object, "offset", problem->offset);
		json_put_number(object, "size", problem->size);
	}
	if (problem->has_set) {
		snprintf(set, sizeof(set), "%016" PRIx64, problem->set);
		json_put_text(object, "set", set);
		json_put_number(object, "column", problem->column);
	}
	if (*problem->account != '\0')
		json_put_text(object, "account", problem->account);
	json_put_bool(object, "safe", info->safe);
	json_put_bool(object, "fixed", problem->fixed);
	return object;
}

static void print_document(const struct fsck_result *result, size_t left)
{
	json_t *object = json_object(), *problems = json_array();
	struct buf line = {0};

	for (size_t i = 0; i < result->problem_count; i++)
		json_add(problems, problem_document(&result->problems[i]));
	json_put_bool(object, "clean", left == 0);
	json_put(object, "problems", problems);
	json_put_number(object, "known", result->known);
	json_put_number(object, "volumes", result->volumes);
	json_put_number(object, "sets", result->sets);
	json_put_number(object, "files", result->columns);
	json_put_number(object, "segments", result->segments);
	json_put_number(object, "records", result->records);
	json_put_number(object, "bytes", result->bytes);
	json_put_number(object, "blobs_named", result->blobs_named);
	json_put_number(object, "blobs_lost", result->blobs_lost);
	json_put_number(object, "blobs_unnamed", result->blobs_unnamed);
	json_put_number(object, "bytes_unnamed", result->bytes_unnamed);
	if (json_line(object, &line) == ERR_OK)
		fwrite(line.data, 1, line.size, stdout);
	buf_finish(&line);
	json_decref(object);
}

void output_result(struct invocation *invocation, const struct fsck_result *result)
{
	size_t fixed, left, notes;

	output_progress_end(invocation);
	count(result, &fixed, &left, &notes);
	if (fixed != 0)
		invocation->exit |= FSCK_EXIT_CORRECTED;
	if (left != 0)
		invocation->exit |= FSCK_EXIT_UNCORRECTED;
	if (invocation->json)
		print_document(result, left);
	else
		print_summary(result, fixed, left, notes);
}
