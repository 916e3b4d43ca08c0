/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/load/imap_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "bench/load/load.h"
#include "engine/base/memory.h"

/* The longest line: a mail's ENVELOPE is far below. */
#define INPUT_SIZE (256u * 1024)

struct imap_client {
	int descriptor;
	SSL *tls;
	unsigned tag;
	size_t start, end;
	uint8_t *input; /* INPUT_SIZE, made when needed: a thousand idle clients need none */
};

static SSL *start_tls(int descriptor)
{
	static SSL_CTX *context;
	SSL *tls;

	if (context == NULL)
		context = SSL_CTX_new(TLS_client_method());
	tls = SSL_new(context);
	if (tls == NULL || SSL_set_fd(tls, descriptor) != 1 || SSL_connect(tls) != 1)
		load_die("TLS handshake failed");
	return tls;
}

static void fill(struct imap_client *client)
{
	ssize_t size;

	if (client->start == client->end)
		client->start = client->end = 0;
	if (client->end == INPUT_SIZE) {
		if (client->start == 0)
			load_die("line too long");
		memmove(client->input, client->input + client->start, client->end - client->start);
		client->end -= client->start;
		client->start = 0;
	}
	if (client->tls != NULL)
		size = SSL_read(client->tls, client->input + client->end,
				(int)(INPUT_SIZE - client->end));
	else
		size = recv(client->descriptor, client->input + client->end,
			    INPUT_SIZE - client->end, 0);
	if (size <= 0)
		load_die("connection lost: %s", size == 0 ? "end of file" : strerror(errno));
	client->end += (size_t)size;
}

/* The next line without its CRLF, borrowed until the next read. */
static struct bytes read_line(struct imap_client *client)
{
	size_t searched = 0;

	if (client->input == NULL)
		client->input = memory_allocate(INPUT_SIZE);
	if (client->input == NULL)
		load_die("out of memory");
	for (;;) {
		const uint8_t *from = client->input + client->start;
		size_t size = client->end - client->start;
		const uint8_t *end = memchr(from + searched, '\n', size - searched);

		if (end != NULL) {
			size = (size_t)(end - from);
			client->start += size + 1;
			return bytes_make(from,
					  size > 0 && from[size - 1] == '\r' ? size - 1 : size);
		}
		searched = size;
		fill(client);
	}
}

static void skip(struct imap_client *client, uint64_t size)
{
	while (size != 0) {
		uint64_t part = client->end - client->start;

		if (part == 0) {
			fill(client);
			continue;
		}
		part = part < size ? part : size;
		client->start += part;
		size -= part;
	}
}

/* The octets of a literal that the line announces, or -1. */
static int64_t literal_of(struct bytes line)
{
	int64_t size = 0, unit = 1;

	if (line.size < 3 || line.data[line.size - 1] != '}')
		return -1;
	for (size_t i = line.size - 1; i-- > 0; unit *= 10) {
		if (line.data[i] == '{')
			return unit == 1 ? -1 : size;
		if (line.data[i] < '0' || line.data[i] > '9' || unit > INT32_MAX)
			return -1;
		size += unit * (line.data[i] - '0');
	}
	return -1;
}

static bool starts(struct bytes line, const char *text)
{
	return bytes_equal(bytes_slice(line, 0, strlen(text)), bytes_string(text));
}

/* "* 23 EXISTS": the number, when the word is that one. */
static bool numbered(struct bytes line, const char *word, uint64_t *number)
{
	size_t i = 2;

	if (!starts(line, "* "))
		return false;
	for (*number = 0; i < line.size && line.data[i] >= '0' && line.data[i] <= '9'; i++)
		*number = *number * 10 + (uint64_t)(line.data[i] - '0');
	return i > 2 && starts(bytes_slice(line, i, SIZE_MAX), word);
}

static void note(struct imap_answer *answer, struct bytes line)
{
	uint64_t number;

	if (numbered(line, " FETCH ", &number))
		answer->fetch_count++;
	else if (numbered(line, " EXISTS", &number))
		answer->exists = number;
}

static void send_all(struct imap_client *client, struct bytes bytes)
{
	if (client->tls == NULL)
		load_send(client->descriptor, bytes);
	else if (SSL_write(client->tls, bytes.data, (int)bytes.size) <= 0)
		load_die("TLS write failed");
}

static void read_tagged(struct imap_client *client, const char *tag, struct imap_answer *answer)
{
	bool at_start = true;

	for (;;) {
		struct bytes line = read_line(client);
		int64_t literal = literal_of(line);

		answer->size += line.size + 2;
		if (at_start && starts(line, tag)) {
			if (!starts(bytes_slice(line, strlen(tag), SIZE_MAX), " OK"))
				load_die("%.*s", (int)line.size, (const char *)line.data);
			return;
		}
		if (at_start)
			note(answer, line);
		at_start = literal < 0;
		if (at_start)
			continue;
		answer->size += (uint64_t)literal;
		answer->literal_size += (uint64_t)literal;
		skip(client, (uint64_t)literal);
	}
}

struct imap_client *imap_client_open(const char *address)
{
	struct imap_client *client = memory_allocate(sizeof(*client));
	bool tls = strncmp(address, "tls:", 4) == 0;
	struct bytes line;

	if (client == NULL)
		load_die("out of memory");
	client->descriptor = load_connect(address + (tls ? 4 : 0));
	if (tls)
		client->tls = start_tls(client->descriptor);
	line = read_line(client);
	if (!starts(line, "* OK"))
		load_die("greeted with %.*s", (int)line.size, (const char *)line.data);
	return client;
}

void imap_client_close(struct imap_client **client)
{
	if (*client == NULL)
		return;
	SSL_free((*client)->tls);
	close((*client)->descriptor);
	memory_free((*client)->input);
	memory_free(*client);
	*client = NULL;
}

int imap_client_descriptor(const struct imap_client *client)
{
	return client->descriptor;
}

struct imap_answer imap_client_run(struct imap_client *client, const char *command)
{
	struct imap_answer answer = {0};
	struct buf line = {0};
	char tag[16];

	snprintf(tag, sizeof(tag), "a%u", ++client->tag);
	buf_printf(&line, "%s %s\r\n", tag, command);
	answer.us = load_now_us();
	send_all(client, bytes_of_buf(&line));
	read_tagged(client, tag, &answer);
	answer.us = load_now_us() - answer.us;
	buf_finish(&line);
	return answer;
}

void imap_client_login(struct imap_client *client, const char *user, const char *password)
{
	char command[256];

	snprintf(command, sizeof(command), "LOGIN \"%s\" \"%s\"", user, password);
	imap_client_run(client, command);
}

void imap_client_idle(struct imap_client *client)
{
	send_all(client, bytes_string("idle IDLE\r\n"));
	while (!starts(read_line(client), "+"))
		continue;
	if (client->start != client->end)
		return;
	memory_free(client->input);
	client->input = NULL;
	client->start = client->end = 0;
}

void imap_client_done(struct imap_client *client)
{
	struct imap_answer answer = {0};

	send_all(client, bytes_string("DONE\r\n"));
	read_tagged(client, "idle", &answer);
}

bool imap_client_untagged(struct imap_client *client, uint64_t *exists)
{
	uint64_t number;

	if (!numbered(read_line(client), " EXISTS", &number))
		return false;
	*exists = number;
	return true;
}

bool imap_client_buffered(const struct imap_client *client)
{
	return client->start != client->end ||
	       (client->tls != NULL && SSL_pending(client->tls) != 0);
}
