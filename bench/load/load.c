/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/memory.h"

uint64_t load_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t us_of(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

uint64_t load_cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return us_of(usage.ru_utime) + us_of(usage.ru_stime);
}

void load_die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

uint64_t load_number(const char *text, uint64_t low, uint64_t high)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < low || value > high)
		load_die("%s: not a number from %llu to %llu", text, (unsigned long long)low,
			 (unsigned long long)high);
	return value;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		load_die("%s: path too long", path);
	memcpy(address.sun_path, path, strlen(path));
	if (descriptor < 0 ||
	    connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0)
		load_die("%s: %s", path, strerror(errno));
	return descriptor;
}

static int connect_tcp(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	const char *colon = strrchr(text, ':');
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	char host[64] = "";

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		load_die("%s: neither unix:PATH nor HOST:PORT", text);
	memcpy(host, text, (size_t)(colon - text));
	address.sin_port = htons((uint16_t)load_number(colon + 1, 1, UINT16_MAX));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		load_die("%s: not an IPv4 address", host);
	if (descriptor < 0 ||
	    connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0)
		load_die("%s: %s", text, strerror(errno));
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return descriptor;
}

int load_connect(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? connect_unix(address + 5) : connect_tcp(address);
}

void load_send(int descriptor, struct bytes bytes)
{
	while (bytes.size != 0) {
		ssize_t sent = send(descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);

		if (sent < 0)
			load_die("send: %s", strerror(errno));
		bytes = bytes_slice(bytes, (size_t)sent, bytes.size);
	}
}

void load_samples_add(struct load_samples *samples, uint64_t us)
{
	if (samples->count == samples->capacity) {
		samples->capacity = samples->capacity == 0 ? 1024 : 2 * samples->capacity;
		samples->us = memory_resize(samples->us, samples->capacity * sizeof(uint64_t));
		if (samples->us == NULL)
			load_die("out of memory");
	}
	samples->us[samples->count++] = us;
}

static int compare_us(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

uint64_t load_samples_at(struct load_samples *samples, unsigned permille)
{
	if (samples->count == 0)
		return 0;
	qsort(samples->us, samples->count, sizeof(uint64_t), compare_us);
	return samples->us[(samples->count - 1) * permille / 1000];
}

void load_samples_finish(struct load_samples *samples)
{
	memory_free(samples->us);
	*samples = (struct load_samples){0};
}
