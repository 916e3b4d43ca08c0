/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/volume_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- faults ---- */

static struct {
	const struct env_ops *real;
	struct env_ops wrapped;
	struct fixture_fault fault;
	bool armed;
	uint64_t count, matched;
} faults;

/* An operation on its way to a failure that it does not know of. */
struct doomed {
	struct env *env;
	struct env_io *io;
	void (*done)(struct env_io *io);
	void *context;
	enum err err;
};

static void fail_now(void *context)
{
	struct doomed *doomed = context;
	struct env_io *io = doomed->io;

	io->done = doomed->done;
	io->context = doomed->context;
	io->err = doomed->err;
	free(doomed);
	io->done(io);
}

static void done_anyway(struct env_io *io)
{
	fail_now(io->context);
}

static bool strikes(const struct env_io *io)
{
	if (io->kind == ENV_IO_CLOSE)
		return false;
	faults.count++;
	if (!faults.armed || (!faults.fault.any_kind && io->kind != faults.fault.kind))
		return false;
	faults.matched++;
	return faults.fault.forever ? faults.matched > faults.fault.after
				    : faults.matched == faults.fault.after + 1;
}

static void faulty_io(struct env *env, struct env_io *io)
{
	struct doomed *doomed;

	if (env->stopped || !strikes(io)) {
		faults.real->io(env, io);
		return;
	}
	doomed = malloc(sizeof(*doomed));
	assert_non_null(doomed);
	*doomed = (struct doomed){env, io, io->done, io->context, faults.fault.err};
	if (faults.fault.done_anyway && io->kind != ENV_IO_OPEN) {
		io->done = done_anyway;
		io->context = doomed;
		faults.real->io(env, io);
	} else {
		env_soon(env, fail_now, doomed);
	}
}

void fixture_inject(struct fixture *fixture, const struct fixture_fault *fault)
{
	struct env *env = sim_node_env(fixture->node);

	if (env->ops != &faults.wrapped) {
		faults.real = env->ops;
		faults.wrapped = *env->ops;
		faults.wrapped.io = faulty_io;
		env->ops = &faults.wrapped;
	}
	faults.armed = fault != NULL;
	if (fault != NULL)
		faults.fault = *fault;
	faults.count = faults.matched = 0;
}

uint64_t fixture_io_count(void)
{
	return faults.count;
}

/* ---- the world ---- */

void fixture_start(struct fixture *fixture, uint64_t seed, uint64_t capacity)
{
	const struct sim_disk_options disk = {
		.capacity = capacity, .latency_us = 50, .sync_us = 300};
	struct sim_options options = {0};

	*fixture = (struct fixture){0};
	fixture->trace = open_memstream(&fixture->trace_text, &fixture->trace_size);
	assert_non_null(fixture->trace);
	options.trace = fixture->trace;
	fixture->sim = sim_create(seed, &options);
	assert_non_null(fixture->sim);
	fixture->node = sim_add_node(fixture->sim);
	fixture->disk = sim_add_disk(fixture->node, "/d", &disk);
}

void fixture_finish(struct fixture *fixture)
{
	sim_finish(&fixture->sim);
	fclose(fixture->trace);
	free(fixture->trace_text);
	*fixture = (struct fixture){0};
}

void fixture_run(struct fixture *fixture, void (*run)(void *argument), void *argument)
{
	assert_int_equal(sim_run_task(fixture->sim, run, argument), ERR_OK);
}

bool fixture_logged(struct fixture *fixture, const char *text)
{
	fflush(fixture->trace);
	return strstr(fixture->trace_text, text) != NULL;
}

/* ---- volumes ---- */

struct volume_identity fixture_identity(void)
{
	return (struct volume_identity){.cluster = FIXTURE_CLUSTER,
					.node = {{4, 5, 6}},
					.volume = {{7, 8, 9}},
					.created_ms = 1700000000000,
					.zone = "cellar"};
}

void fixture_format(void)
{
	struct volume_identity identity = fixture_identity();

	assert_int_equal(volume_format(FIXTURE_VOLUME, &identity), ERR_OK);
}

struct volume *fixture_open(void)
{
	struct volume *volume = NULL;

	assert_int_equal(volume_open(task_sched(), FIXTURE_VOLUME, FIXTURE_CLUSTER, &volume),
			 ERR_OK);
	return volume;
}

void fixture_read(const char *path, struct buf *out)
{
	assert_int_equal(io_read_file(path, 64u << 20, out), ERR_OK);
}

void fixture_write(const char *path, struct bytes content)
{
	struct env_file *file = NULL;

	assert_int_equal(io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	assert_int_equal(io_truncate(file, 0), ERR_OK);
	assert_int_equal(io_write_sync(file, 0, content), ERR_OK);
	io_close(&file);
}
