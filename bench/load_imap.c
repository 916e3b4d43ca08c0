/* SPDX-License-Identifier: MPL-2.0 */
/*
 * load_imap - one IMAP client, or many idle ones.
 *
 *   load_imap time ADDRESS USER PASSWORD COMMAND...
 *       logs in, runs the commands in turn, and tells how long each took
 *   load_imap pending ADDRESS USER PASSWORD COUNT
 *       logs in, selects INBOX, and tells when COUNT mails had been announced
 *   load_imap random ADDRESS USER PASSWORD COUNT
 *       fetches COUNT messages of INBOX, drawn at random, with BODY.PEEK[]
 *   load_imap idle ADDRESS USER PASSWORD LMTP COUNT
 *       delivers COUNT mails to USER, and measures from the end of the mail's
 *       content to the untagged EXISTS of a client in IDLE
 *   load_imap sessions ADDRESS USER PASSWORD COUNT
 *       opens COUNT sessions of USER in INBOX, all in IDLE, says so, and holds
 *       them until its input ends
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/corpus.h"
#include "bench/load/imap_client.h"
#include "bench/load/load.h"
#include "engine/base/memory.h"

#define PENDING_MAX_US (180u * 1000000u)

struct target {
	const char *address, *user, *password;
};

static struct imap_client *log_in(const struct target *target)
{
	struct imap_client *client = imap_client_open(target->address);

	imap_client_login(client, target->user, target->password);
	return client;
}

static void print_latency(struct load_samples *samples)
{
	printf("\"p50_us\": %llu, \"p99_us\": %llu, \"max_us\": %llu",
	       (unsigned long long)load_samples_at(samples, 500),
	       (unsigned long long)load_samples_at(samples, 990),
	       (unsigned long long)load_samples_at(samples, 1000));
}

static void run_time(const struct target *target, char **commands)
{
	uint64_t begun_us = load_now_us();
	struct imap_client *client = log_in(target);

	printf("{\"login_us\": %llu, \"commands\": [",
	       (unsigned long long)(load_now_us() - begun_us));
	for (size_t i = 0; commands[i] != NULL; i++) {
		struct imap_answer answer = imap_client_run(client, commands[i]);

		printf("%s{\"us\": %llu, \"size\": %llu, \"fetches\": %llu, \"exists\": %llu}",
		       i == 0 ? "" : ", ", (unsigned long long)answer.us,
		       (unsigned long long)answer.size, (unsigned long long)answer.fetch_count,
		       (unsigned long long)answer.exists);
	}
	puts("]}");
	imap_client_close(&client);
}

static void run_pending(const struct target *target, uint64_t count)
{
	uint64_t begun_us = load_now_us(), login_us, select_us, at_select, exists;
	struct imap_client *client = log_in(target);

	login_us = load_now_us() - begun_us;
	at_select = exists = imap_client_run(client, "SELECT INBOX").exists;
	select_us = load_now_us() - begun_us;
	while (exists < count) {
		const struct timespec pause = {.tv_nsec = 2000000};
		uint64_t now;

		nanosleep(&pause, NULL);
		now = imap_client_run(client, "NOOP").exists;
		exists = now != 0 ? now : exists;
		if (load_now_us() - begun_us > PENDING_MAX_US)
			load_die("only %llu of %llu mails", (unsigned long long)exists,
				 (unsigned long long)count);
	}
	printf("{\"login_us\": %llu, \"select_us\": %llu, \"all_us\": %llu, \"at_select\": %llu, "
	       "\"exists\": %llu}\n",
	       (unsigned long long)login_us, (unsigned long long)select_us,
	       (unsigned long long)(load_now_us() - begun_us), (unsigned long long)at_select,
	       (unsigned long long)exists);
	imap_client_close(&client);
}

static void run_random(const struct target *target, uint64_t count)
{
	struct imap_client *client = log_in(target);
	uint64_t exists = imap_client_run(client, "SELECT INBOX").exists;
	uint64_t size = 0, begun_us, us, state = 1;
	struct load_samples samples = {0};

	if (exists == 0)
		load_die("INBOX is empty");
	begun_us = load_now_us();
	for (uint64_t i = 0; i < count; i++) {
		struct imap_answer answer;
		char command[64];

		state = state * 6364136223846793005u + 1442695040888963407u;
		snprintf(command, sizeof(command), "FETCH %llu BODY.PEEK[]",
			 (unsigned long long)((state >> 33) % exists + 1));
		answer = imap_client_run(client, command);
		if (answer.fetch_count != 1 || answer.literal_size == 0)
			load_die("%s: no body", command);
		size += answer.literal_size;
		load_samples_add(&samples, answer.us);
	}
	us = load_now_us() - begun_us;
	printf("{\"rate\": %.2f, \"mb_per_s\": %.3f, ", (double)count * 1e6 / (double)us,
	       (double)size / (double)us);
	print_latency(&samples);
	puts("}");
	load_samples_finish(&samples);
	imap_client_close(&client);
}

/* One reply line, to its end. */
static void lmtp_reply(int lmtp, char first)
{
	char line[1024];
	size_t size = 0;

	for (;;) {
		if (size + 1 == sizeof(line) || recv(lmtp, line + size, 1, 0) != 1)
			load_die("LMTP connection lost");
		if (line[size++] != '\n')
			continue;
		line[size] = '\0';
		if (line[0] != first)
			load_die("LMTP: %s", line);
		if (size < 4 || line[3] != '-')
			return;
		size = 0;
	}
}

static void lmtp_command(int lmtp, const char *command, char first)
{
	load_send(lmtp, bytes_string(command));
	lmtp_reply(lmtp, first);
}

static void await_exists(struct imap_client *client, uint64_t more_than)
{
	struct pollfd poller = {.fd = imap_client_descriptor(client), .events = POLLIN};
	uint64_t exists = 0;

	while (exists <= more_than) {
		if (!imap_client_buffered(client) && poll(&poller, 1, 30000) != 1)
			load_die("no EXISTS within 30 s");
		imap_client_untagged(client, &exists);
	}
}

static void run_idle(const struct target *target, const char *lmtp_address, uint64_t count)
{
	static struct corpus corpus;
	struct imap_client *client = log_in(target);
	uint64_t exists = imap_client_run(client, "SELECT INBOX").exists;
	struct load_samples samples = {0};
	int lmtp = load_connect(lmtp_address);
	char sender[64], recipient[256];

	corpus_make(&corpus, CORPUS_SMALL);
	snprintf(recipient, sizeof(recipient), "RCPT TO:<%s>\r\n", target->user);
	lmtp_reply(lmtp, '2');
	lmtp_command(lmtp, "LHLO bench.example\r\n", '2');
	imap_client_idle(client);
	for (uint64_t i = 0; i < count; i++) {
		const struct timespec pause = {.tv_nsec = 20000000};
		uint64_t begun_us;

		nanosleep(&pause, NULL);
		/* Another run has the same mails: from the same sender they would be repetitions. */
		snprintf(sender, sizeof(sender), "MAIL FROM:<s%llu@example.net>\r\n",
			 (unsigned long long)load_now_us());
		lmtp_command(lmtp, sender, '2');
		lmtp_command(lmtp, recipient, '2');
		lmtp_command(lmtp, "DATA\r\n", '3');
		load_send(lmtp, corpus_mail(&corpus, i));
		load_send(lmtp, bytes_string(".\r\n"));
		begun_us = load_now_us();
		await_exists(client, exists++);
		load_samples_add(&samples, load_now_us() - begun_us);
		lmtp_reply(lmtp, '2');
	}
	imap_client_done(client);
	putchar('{');
	print_latency(&samples);
	puts("}");
	load_samples_finish(&samples);
	corpus_finish(&corpus);
	imap_client_close(&client);
	close(lmtp);
}

static void run_sessions(const struct target *target, uint64_t count)
{
	struct imap_client **clients = memory_array(count, sizeof(struct imap_client *));

	if (clients == NULL)
		load_die("out of memory");
	for (uint64_t i = 0; i < count; i++) {
		clients[i] = log_in(target);
		imap_client_run(clients[i], "SELECT INBOX");
		imap_client_idle(clients[i]);
	}
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		continue;
	for (uint64_t i = 0; i < count; i++)
		imap_client_close(&clients[i]);
	memory_free(clients);
}

int main(int argc, char **argv)
{
	struct target target;

	if (argc < 6)
		load_die("usage: load_imap time|pending|random|idle|sessions ADDRESS USER PASSWORD "
			 "...");
	target = (struct target){argv[2], argv[3], argv[4]};
	if (strcmp(argv[1], "time") == 0)
		run_time(&target, argv + 5);
	else if (strcmp(argv[1], "pending") == 0)
		run_pending(&target, load_number(argv[5], 1, 10000000));
	else if (strcmp(argv[1], "random") == 0)
		run_random(&target, load_number(argv[5], 1, 10000000));
	else if (strcmp(argv[1], "idle") == 0 && argc == 7)
		run_idle(&target, argv[5], load_number(argv[6], 1, 1000000));
	else if (strcmp(argv[1], "sessions") == 0)
		run_sessions(&target, load_number(argv[5], 1, 100000));
	else
		load_die("%s: not a measurement", argv[1]);
	return 0;
}
