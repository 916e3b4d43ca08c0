/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aerod/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/io.h"
#include "mail/summary.h"
#include "net/loop.h"
#include "tools/aerod/admin.h"
#include "tools/aerod/readiness.h"
#include "tools/common/node_keys.h"

#define STOP_GRACE_MS 5000u
/* How long closing may stand still. */
#define CLOSE_PATIENCE_MS 20000u
#define STOP_POLL_MS 10u

struct daemon {
	const struct config *config;
	struct loop *loop;
	struct env *env;
	struct sched *sched;
	struct node_keys keys;
	struct engine *engine;
	struct tls_context *tls; /* NULL: no certificate */
	struct lmtp_server lmtp;
	struct imap_server imap;
	struct admin_server admin;
	struct listener *listeners[3 * CONFIG_LISTENER_MAX + 1];
	size_t listener_count;
	unsigned stops; /* signals that ask for the end, so far */
	struct cond stop_asked;
	enum program_exit exit;
};

/* ---- mail's summary for the engine, which does not know MIME ---- */

static enum err summary_create(void **parser)
{
	struct summary_parser *made;
	enum err err = summary_parser_create(&made);

	if (err == ERR_OK)
		*parser = made;
	return err;
}

static enum err summary_feed(void *parser, struct bytes message)
{
	return summary_parser_feed(parser, message);
}

static enum err summary_end(void *parser, struct bytes prefix, struct buf *encoded)
{
	return summary_parser_finish(parser, prefix, encoded);
}

static void summary_destroy(void *parser)
{
	struct summary_parser *summary_parser = parser;

	summary_parser_destroy(&summary_parser);
}

static const struct summary_hook summary_hook = {
	.create = summary_create,
	.feed = summary_feed,
	.finish = summary_end,
	.destroy = summary_destroy,
};

/* ---- signals ---- */

static void on_stop(void *context)
{
	struct daemon *daemon = context;

	daemon->stops++;
	cond_broadcast(&daemon->stop_asked);
}

static void on_hangup(void *context)
{
	struct daemon *daemon = context;
	char why[256];
	enum err err;

	if (daemon->tls == NULL)
		return;
	err = tls_context_reload(daemon->tls, why);
	if (err == ERR_OK)
		env_log(daemon->env, "event=certificate-reloaded");
	else
		env_log(daemon->env, "event=certificate-kept error=%s reason=\"%s\"", err_name(err),
			why);
}

static enum err catch_signals(struct daemon *daemon)
{
	enum err err = loop_on_signal(daemon->loop, SIGTERM, on_stop, daemon);

	if (err == ERR_OK)
		err = loop_on_signal(daemon->loop, SIGINT, on_stop, daemon);
	return err == ERR_OK ? loop_on_signal(daemon->loop, SIGHUP, on_hangup, daemon) : err;
}

/* ---- starting ---- */

#define RECLAIM_INTERVAL_MS (3600u * 1000)

static enum err open_engine(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	struct engine_options options = {
		.sched = daemon->sched,
		.cluster = config->cluster,
		.node = config->node,
		.node_signing = daemon->keys.signing,
		.fake_salt = bytes_make(daemon->keys.fake_salt, sizeof(daemon->keys.fake_salt)),
		.volumes = (const char *const *)config->volumes.items,
		.volume_count = config->volumes.count,
		.index_directory = config->index,
		.summary = summary_hook,
		.volume_reserve = config->volume_reserve,
		.repair_after_ms = config->repair_after_ms,
		.scrub_days = config->scrub_days,
		.scrub_rate = config->scrub_rate,
		.unlocked_cache_ms = config->unlocked_cache_ms,
		.compact_below = config->compact_below,
		.quarantine_ms = config->quarantine_ms,
		.reclaim_interval_ms = RECLAIM_INTERVAL_MS,
		.reclaim_rate = config->reclaim_rate,
	};
	const char *why = "the directory of the index cannot be made";
	enum err err = io_make_directory(config->index);

	for (size_t i = 0; i < sizeof(options.admin_public); i++)
		options.admin_public[i] = config->admin_public[i];
	if (err == ERR_OK || err == ERR_EXISTS)
		err = engine_open(&options, &daemon->engine, &why);
	if (err != ERR_OK)
		env_log(daemon->env, "event=store-not-opened error=%s reason=\"%s\"", err_name(err),
			why);
	return err;
}

static enum err load_files(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	char why[CONFIG_WHY_SIZE];
	enum err err = node_keys_load(config->keys, &daemon->keys, why);

	if (err == ERR_OK && config->certificate != NULL)
		err = tls_context_load(config->certificate, config->certificate_key, why,
				       &daemon->tls);
	if (err != ERR_OK)
		env_log(daemon->env, "event=file-unusable error=%s reason=\"%s\"", err_name(err),
			why);
	return err;
}

static void init_servers(struct daemon *daemon)
{
	const struct config *config = daemon->config;

	lmtp_server_init(&daemon->lmtp);
	daemon->lmtp.hostname = config->hostname;
	daemon->lmtp.agent = engine_delivery_agent(daemon->engine);
	daemon->lmtp.accounts = (struct account_source){accounts_find, accounts_publish,
							engine_accounts(daemon->engine)};
	daemon->lmtp.env = daemon->env;
	daemon->lmtp.size_limit = config->message_limit;
	daemon->lmtp.recipient_limit = config->recipient_limit;
	imap_server_init(&daemon->imap);
	daemon->imap.home = engine_home(daemon->engine);
	daemon->imap.env = daemon->env;
	daemon->imap.sched = daemon->sched;
	daemon->imap.tls = daemon->tls;
	daemon->imap.append_limit = config->message_limit;
	daemon->admin = (struct admin_server){.env = daemon->env,
					      .engine = daemon->engine,
					      .config = config,
					      .lmtp = &daemon->lmtp,
					      .imap = &daemon->imap,
					      .started_ms = env_now_ms(daemon->env)};
}

static enum err listen_on(struct daemon *daemon, const struct listener_options *options)
{
	enum err err =
		listener_open(daemon->sched, options, &daemon->listeners[daemon->listener_count]);

	if (err == ERR_OK)
		daemon->listener_count++;
	else
		env_log(daemon->env, "event=listen-failed address=\"%s\" error=%s reason=\"%s\"",
			options->address, err_name(err),
			err == ERR_UNAVAILABLE ? "the address is taken by another program"
					       : err_text(err));
	return err;
}

static enum err listen_on_all(struct daemon *daemon, const struct config_list *addresses,
			      struct listener_options options)
{
	enum err err = ERR_OK;

	ASSERT(addresses->count <= CONFIG_LISTENER_MAX);
	options.connection_limit = daemon->config->connection_limit;
	for (size_t i = 0; err == ERR_OK && i < addresses->count; i++) {
		options.address = addresses->items[i];
		/* On loopback one peer is the MTA or the webmail of everybody. */
		options.connection_limit_per_peer =
			config_is_local(options.address)
				? 0
				: daemon->config->connection_limit_per_peer;
		err = listen_on(daemon, &options);
	}
	return err;
}

static enum err listen_everywhere(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	struct listener_options lmtp = {
		.serve = lmtp_serve,
		.context = &daemon->lmtp,
		.unix_mode = config->lmtp_socket_mode,
		.unix_group = config->has_lmtp_socket_group ? &config->lmtp_socket_group : NULL,
		.busy = "421 4.3.2 Too many connections, try again later"};
	struct listener_options imap = {.serve = imap_serve,
					.context = &daemon->imap,
					.busy = "* BYE [UNAVAILABLE] Too many connections"};
	struct listener_options admin = {
		.serve = admin_serve, .context = &daemon->admin, .address = config->admin_socket};
	enum err err = listen_on(daemon, &admin);

	if (err == ERR_OK)
		err = listen_on_all(daemon, &config->lmtp, lmtp);
	if (err == ERR_OK)
		err = listen_on_all(daemon, &config->imap, imap);
	imap.tls = daemon->tls;
	return err == ERR_OK ? listen_on_all(daemon, &config->imaps, imap) : err;
}

static enum err start(struct daemon *daemon)
{
	enum err err = load_files(daemon);

	if (err == ERR_OK)
		err = open_engine(daemon);
	if (err != ERR_OK)
		return err;
	init_servers(daemon);
	err = listen_everywhere(daemon);
	if (err == ERR_OK)
		readiness_tell("READY=1");
	if (err == ERR_OK)
		env_log(daemon->env,
			"event=ready version=" PROGRAM_VERSION " pid=%ld listeners=%zu",
			(long)getpid(), daemon->listener_count);
	return err;
}

/* ---- ending ---- */

static size_t connection_count(const struct daemon *daemon)
{
	size_t count = 0;

	for (size_t i = 0; i < daemon->listener_count; i++)
		count += listener_connections(daemon->listeners[i]);
	return count;
}

static void end_connections(struct daemon *daemon)
{
	uint64_t deadline_ms = env_now_ms(daemon->env) + STOP_GRACE_MS;
	bool cut_off = false;

	for (size_t i = 0; i < daemon->listener_count; i++)
		listener_drain(daemon->listeners[i]);
	while (connection_count(daemon) != 0 && task_sleep(STOP_POLL_MS) == ERR_OK) {
		if (cut_off || (daemon->stops < 2 && env_now_ms(daemon->env) < deadline_ms))
			continue;
		cut_off = true;
		for (size_t i = 0; i < daemon->listener_count; i++)
			listener_abort(daemon->listeners[i]);
	}
	while (daemon->listener_count > 0)
		listener_close(&daemon->listeners[--daemon->listener_count]);
}

static void finish(struct daemon *daemon)
{
	end_connections(daemon);
	/* What a disk that hangs has got nobody gets back, and nobody needs: the process ends. */
	if (engine_close_within(&daemon->engine, CLOSE_PATIENCE_MS) == ERR_TIMEOUT) {
		env_log(daemon->env, "event=stopped reason=\"a disk hangs\"");
		_exit((int)daemon->exit);
	}
	tls_context_destroy(&daemon->tls);
	node_keys_release(&daemon->keys);
}

static void live(void *argument)
{
	struct daemon *daemon = argument;

	if (start(daemon) == ERR_OK) {
		while (daemon->stops == 0)
			if (cond_wait(&daemon->stop_asked, TASK_FOREVER) != ERR_OK)
				break;
		readiness_tell("STOPPING=1");
		env_log(daemon->env, "event=stopping connections=%zu", connection_count(daemon));
		daemon->exit = PROGRAM_OK;
	}
	finish(daemon);
	env_log(daemon->env, "event=stopped");
	loop_stop(daemon->loop);
}

enum program_exit daemon_main(const struct config *config)
{
	struct loop_options options = {.log_descriptor = STDERR_FILENO};
	struct daemon daemon = {.config = config, .exit = PROGRAM_USAGE};
	enum err err = loop_create(&options, &daemon.loop);

	if (err == ERR_OK) {
		daemon.env = loop_env(daemon.loop);
		daemon.sched = sched_create(daemon.env);
		err = daemon.sched != NULL ? catch_signals(&daemon) : ERR_NOMEM;
	}
	if (err == ERR_OK)
		err = task_spawn(daemon.sched, "main", live, &daemon, NULL);
	if (err == ERR_OK)
		loop_run(daemon.loop);
	else
		fprintf(stderr, "aerod: cannot start: %s\n", err_text(err));
	if (daemon.sched != NULL)
		sched_destroy(&daemon.sched);
	loop_destroy(&daemon.loop);
	return daemon.exit;
}
