/* SPDX-License-Identifier: MPL-2.0 */
/*
 * load_lmtp - delivers mail over many LMTP connections at once, as an MTA does:
 * each connection has one delivery under way, MAIL, RCPT and DATA pipelined,
 * and goes on with the next when the last is acknowledged.
 *
 *   load_lmtp ADDRESS CONNECTIONS small|real ACCOUNTS FIRST WARMUP_MS RUN_MS MESSAGES
 *
 * Recipients are user<FIRST>@example.org and the ACCOUNTS-1 after it, in turn. The
 * clock runs for RUN_MS after WARMUP_MS; with MESSAGES > 0 the run ends after
 * exactly so many instead. What is under way at the end is waited for:
 * `acknowledged` counts all, `counted` those within the clock.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench/load/corpus.h"
#include "bench/load/load.h"
#include "engine/base/memory.h"

enum phase {
	PHASE_GREETING,
	PHASE_LHLO,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_CONTENT,
	PHASE_DONE,
};

struct connection {
	int descriptor;
	enum phase phase;
	struct buf head;     /* the command, or the mail's first header line */
	struct bytes out[3]; /* still to be sent, in order */
	bool waits_to_send;  /* epoll watches for room */
	char line[1024];
	size_t line_size;
	uint64_t number, started_us, mail_size;
};

struct run {
	struct corpus corpus;
	struct connection *connections;
	int epoll;
	uint64_t account_count, first_account, limit;
	uint64_t clock_start, clock_end;
	uint64_t started, acknowledged, open;
	uint64_t counted, counted_size, last_us;
	struct load_samples latency;
};

static void flush(struct run *run, struct connection *connection)
{
	struct epoll_event event = {.data.ptr = connection};
	struct iovec parts[3];
	bool left = false;

	for (;;) {
		struct msghdr message = {.msg_iov = parts};
		ssize_t sent;

		for (size_t i = 0; i < 3; i++)
			if (connection->out[i].size != 0)
				parts[message.msg_iovlen++] =
					(struct iovec){(void *)(uintptr_t)connection->out[i].data,
						       connection->out[i].size};
		if (message.msg_iovlen == 0)
			break;
		sent = sendmsg(connection->descriptor, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			left = true;
			break;
		}
		if (sent < 0)
			load_die("send: %s", strerror(errno));
		for (size_t i = 0; i < 3; i++) {
			size_t part = connection->out[i].size < (size_t)sent
					      ? connection->out[i].size
					      : (size_t)sent;

			connection->out[i] = bytes_slice(connection->out[i], part, SIZE_MAX);
			sent -= (ssize_t)part;
		}
	}
	if (left == connection->waits_to_send)
		return;
	connection->waits_to_send = left;
	event.events = EPOLLIN | (left ? (uint32_t)EPOLLOUT : 0);
	if (epoll_ctl(run->epoll, EPOLL_CTL_MOD, connection->descriptor, &event) != 0)
		load_die("epoll_ctl: %s", strerror(errno));
}

static void send_command(struct run *run, struct connection *connection)
{
	connection->out[0] = bytes_of_buf(&connection->head);
	flush(run, connection);
}

static bool over(const struct run *run, uint64_t now)
{
	return run->limit != 0 ? run->started >= run->limit : now >= run->clock_end;
}

static void start_delivery(struct run *run, struct connection *connection)
{
	uint64_t now = load_now_us();

	buf_clear(&connection->head);
	if (over(run, now)) {
		buf_put_string(&connection->head, "QUIT\r\n");
		connection->phase = PHASE_DONE;
		run->open--;
	} else {
		connection->number = run->started++;
		buf_printf(&connection->head,
			   "MAIL FROM:<sender@example.net>\r\nRCPT TO:<user%llu@example.org>\r\n"
			   "DATA\r\n",
			   (unsigned long long)(run->first_account +
						connection->number % run->account_count));
		connection->phase = PHASE_MAIL;
		connection->started_us = now;
	}
	send_command(run, connection);
}

static void start_content(struct run *run, struct connection *connection)
{
	uint64_t number = connection->number;

	buf_clear(&connection->head);
	buf_printf(&connection->head, "Message-ID: <%llu.%llu@bench.example>\r\n",
		   (unsigned long long)number, (unsigned long long)run->clock_start);
	connection->out[1] = corpus_mail(&run->corpus, number);
	connection->out[2] = bytes_string(".\r\n");
	connection->mail_size = connection->head.size + connection->out[1].size;
	connection->phase = PHASE_CONTENT;
	send_command(run, connection);
}

static void end_delivery(struct run *run, const struct connection *connection)
{
	uint64_t now = load_now_us();

	run->acknowledged++;
	run->last_us = now;
	if (now < run->clock_start || (run->limit == 0 && now >= run->clock_end))
		return;
	run->counted++;
	run->counted_size += connection->mail_size;
	load_samples_add(&run->latency, now - connection->started_us);
}

static void on_reply(struct run *run, struct connection *connection)
{
	static const char EXPECTED[] = {
		[PHASE_GREETING] = '2', [PHASE_LHLO] = '2', [PHASE_MAIL] = '2',
		[PHASE_RCPT] = '2',	[PHASE_DATA] = '3', [PHASE_CONTENT] = '2',
		[PHASE_DONE] = '2'};

	if (connection->line[0] != EXPECTED[connection->phase])
		load_die("in phase %d: %s", (int)connection->phase, connection->line);
	switch (connection->phase) {
	case PHASE_GREETING:
		buf_put_string(&connection->head, "LHLO bench.example\r\n");
		connection->phase = PHASE_LHLO;
		send_command(run, connection);
		break;
	case PHASE_MAIL:
	case PHASE_RCPT:
		connection->phase++;
		break;
	case PHASE_DATA:
		start_content(run, connection);
		break;
	case PHASE_CONTENT:
		end_delivery(run, connection);
		start_delivery(run, connection);
		break;
	case PHASE_LHLO:
		start_delivery(run, connection);
		break;
	case PHASE_DONE:
		break;
	}
}

static void on_input(struct run *run, struct connection *connection)
{
	char input[4096];
	ssize_t size = recv(connection->descriptor, input, sizeof(input), 0);

	if (size < 0 && errno == EAGAIN)
		return;
	if (size <= 0 && connection->phase == PHASE_DONE) {
		epoll_ctl(run->epoll, EPOLL_CTL_DEL, connection->descriptor, NULL);
		return;
	}
	if (size <= 0)
		load_die("connection lost: %s", size == 0 ? "end of file" : strerror(errno));
	for (ssize_t i = 0; i < size; i++) {
		if (connection->line_size + 1 == sizeof(connection->line))
			load_die("reply too long");
		connection->line[connection->line_size++] = input[i];
		if (input[i] != '\n')
			continue;
		connection->line[connection->line_size] = '\0';
		if (connection->line_size < 4 || connection->line[3] != '-')
			on_reply(run, connection);
		connection->line_size = 0;
	}
}

static void connect_all(struct run *run, const char *address, uint64_t count)
{
	run->connections = memory_array(count, sizeof(*run->connections));
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run->connections == NULL || run->epoll < 0)
		load_die("no memory or no epoll");
	for (uint64_t i = 0; i < count; i++) {
		struct connection *connection = &run->connections[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

		connection->descriptor = load_connect(address);
		if (fcntl(connection->descriptor, F_SETFL, O_NONBLOCK) != 0 ||
		    epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0)
			load_die("epoll_ctl: %s", strerror(errno));
	}
	run->open = count;
}

static void run_until_closed(struct run *run)
{
	while (run->open != 0) {
		struct epoll_event events[64];
		int count = epoll_wait(run->epoll, events, 64, 60000);

		if (count == 0)
			load_die("no answer within a minute");
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				flush(run, connection);
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				on_input(run, connection);
		}
	}
}

static void report(struct run *run, uint64_t begun_us)
{
	uint64_t us = (run->limit != 0 ? run->last_us : run->clock_end) - run->clock_start;

	printf("{\"rate\": %.2f, \"mb_per_s\": %.3f, \"acknowledged\": %llu, \"counted\": %llu, "
	       "\"p50_us\": %llu, \"p99_us\": %llu, \"max_us\": %llu, \"generator_cpu\": %.4f}\n",
	       (double)run->counted * 1e6 / (double)us, (double)run->counted_size / (double)us,
	       (unsigned long long)run->acknowledged, (unsigned long long)run->counted,
	       (unsigned long long)load_samples_at(&run->latency, 500),
	       (unsigned long long)load_samples_at(&run->latency, 990),
	       (unsigned long long)load_samples_at(&run->latency, 1000),
	       (double)load_cpu_us() / (double)(load_now_us() - begun_us));
}

int main(int argc, char **argv)
{
	struct run run = {0};
	uint64_t count, begun_us;

	if (argc != 9)
		load_die("usage: load_lmtp ADDRESS CONNECTIONS small|real ACCOUNTS FIRST "
			 "WARMUP_MS RUN_MS MESSAGES");
	corpus_make(&run.corpus, strcmp(argv[3], "real") == 0 ? CORPUS_REAL : CORPUS_SMALL);
	count = load_number(argv[2], 1, 10000);
	run.account_count = load_number(argv[4], 1, 1000000);
	run.first_account = load_number(argv[5], 0, 1000000);
	run.limit = load_number(argv[8], 0, UINT32_MAX);
	begun_us = load_now_us();
	run.clock_start = begun_us + load_number(argv[6], 0, 3600000) * 1000;
	run.clock_end = run.clock_start + load_number(argv[7], 0, 3600000) * 1000;
	connect_all(&run, argv[1], count);
	run_until_closed(&run);
	report(&run, begun_us);
	for (uint64_t i = 0; i < count; i++) {
		close(run.connections[i].descriptor);
		buf_finish(&run.connections[i].head);
	}
	memory_free(run.connections);
	close(run.epoll);
	load_samples_finish(&run.latency);
	corpus_finish(&run.corpus);
	return 0;
}
