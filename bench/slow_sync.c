/* SPDX-License-Identifier: MPL-2.0 */
/*
 * slow_sync - a preloaded library that counts and delays fdatasync, fsync and
 * msync, for every server of a benchmark alike.
 *
 * The file named by BENCH_SYNC holds two little words: the delay in microseconds,
 * which the benchmark may change at any time, and the count of syncs since the
 * file was made. A delayed sync sleeps first: syncs of several threads overlap,
 * as they do in a disk's queue, and none is merged with another.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct control {
	atomic_uint_fast64_t delay_us, count;
};

static struct control *control;

int fdatasync(int descriptor);
int fsync(int descriptor);
int msync(void *address, size_t size, int flags);

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("BENCH_SYNC");
	int descriptor = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *map;

	if (descriptor < 0)
		return;
	map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	close(descriptor);
	if (map != MAP_FAILED)
		control = map;
}

static void sync_begins(void)
{
	struct timespec pause;
	uint64_t us;

	if (control == NULL)
		return;
	atomic_fetch_add(&control->count, 1);
	us = atomic_load(&control->delay_us);
	pause = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
	if (us != 0)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

/* ISO C has no conversion from an object pointer to a function's; POSIX promises this one. */
static void next(const char *name, void *function)
{
	*(void **)function = dlsym(RTLD_NEXT, name);
	if (*(void **)function == NULL)
		abort();
}

int fdatasync(int descriptor)
{
	int (*real)(int);

	next("fdatasync", &real);
	sync_begins();
	return real(descriptor);
}

int fsync(int descriptor)
{
	int (*real)(int);

	next("fsync", &real);
	sync_begins();
	return real(descriptor);
}

int msync(void *address, size_t size, int flags)
{
	int (*real)(void *, size_t, int);

	next("msync", &real);
	sync_begins();
	return real(address, size, flags);
}
