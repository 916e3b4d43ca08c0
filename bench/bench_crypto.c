/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What encryption costs: throughput of blobs, and the time of one delivery of a
 * 12 KiB mail (blob and envelope) to recipients seen before and to new ones. All
 * times are of the processor, so that neighbours matter less.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "engine/account/account.h"
#include "engine/base/memory.h"
#include "engine/crypto/sealed.h"

#define MAIL_SIZE 12288u
#define RECIPIENTS 4096u

static uint64_t now_us(struct env *env)
{
	struct timespec now;

	(void)env;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t now_ms(struct env *env)
{
	return now_us(env) / 1000;
}

static void from_system(struct env *env, void *out, size_t size)
{
	(void)env;
	if (getrandom(out, size, 0) != (ssize_t)size)
		abort();
}

static void no_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	(void)env;
	(void)delay_ms;
	timer->armed = true;
}

static void no_timer_stop(struct env *env, struct env_timer *timer)
{
	(void)env;
	timer->armed = false;
}

static const struct env_ops ops = {
	.now_ms = now_ms,
	.now_us = now_us,
	.wall_ms = now_ms,
	.random = from_system,
	.timer_start = no_timer_start,
	.timer_stop = no_timer_stop,
};
static struct env bench_env = {.ops = &ops};

static void must(enum err err)
{
	if (err == ERR_OK)
		return;
	fprintf(stderr, "bench_crypto: %s\n", err_text(err));
	exit(1);
}

/* Header-like lines first, then words in no order: compresses to about a half, as mail does. */
static void fill_mail(struct buf *mail, size_t size)
{
	static const char *const words[] = {"the",     "meeting", "on",	       "Thursday",
					    "is",      "moved",	  "please",    "send",
					    "minutes", "to",	  "everybody", "who"};
	uint32_t state = 1;

	while (mail->size < size) {
		state = state * 1664525 + 1013904223;
		if (state >> 28 == 0)
			buf_printf(mail, "X-Header-%u: %08x@example.org\r\n", state >> 8, state);
		buf_put_string(mail, words[(state >> 16) % 12]);
		buf_put_string(mail, (state >> 20) % 9 == 0 ? "\r\n" : " ");
	}
	mail->size = size;
}

static const struct sealed_name name = {.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
					.type = SEALED_MESSAGE};

static void seal_blob(struct bytes plain, uint8_t key[KEY_SIZE], struct buf *frames)
{
	struct blob_sealer *sealer;

	must(blob_sealer_create(&bench_env, &name, &sealer));
	must(blob_sealer_update(sealer, plain, frames));
	must(blob_sealer_finish(sealer, frames));
	for (size_t i = 0; i < KEY_SIZE; i++)
		key[i] = blob_sealer_key(sealer)[i];
	blob_sealer_destroy(&sealer);
}

static enum err fetch(void *context, uint64_t offset, uint64_t size, struct lent *out)
{
	out->bytes = bytes_slice(bytes_of_buf(context), (size_t)offset, (size_t)size);
	return ERR_OK;
}

static void bench_blob(const char *what, struct bytes plain, unsigned rounds)
{
	struct buf frames = {0}, opened = {0};
	uint8_t key[KEY_SIZE];
	uint64_t start, seal_us, open_us;

	start = now_us(&bench_env);
	for (unsigned i = 0; i < rounds; i++) {
		buf_clear(&frames);
		seal_blob(plain, key, &frames);
	}
	seal_us = now_us(&bench_env) - start;
	start = now_us(&bench_env);
	for (unsigned i = 0; i < rounds; i++) {
		buf_clear(&opened);
		must(blob_open_range(&name, key, frames.size, fetch, &frames, 0, UINT64_MAX,
				     &opened));
	}
	open_us = now_us(&bench_env) - start;
	printf("%-28s %9zu -> %9zu B   seal %8.1f us %7.0f MB/s   open %8.1f us %7.0f MB/s\n", what,
	       plain.size, frames.size, (double)seal_us / rounds,
	       (double)plain.size * rounds / (double)seal_us, (double)open_us / rounds,
	       (double)plain.size * rounds / (double)open_us);
	buf_finish(&frames);
	buf_finish(&opened);
}

/* One delivery: fresh blob, fresh envelope with its key and a summary of 700 bytes. */
static void bench_delivery(const char *what, struct bytes mail, size_t recipients)
{
	/* As many as recipients, so that the last case never meets one twice. */
	enum { ROUNDS = RECIPIENTS };
	static uint8_t public_keys[RECIPIENTS][X25519_SIZE];
	struct envelope_sender *sender;
	struct buf frames = {0}, envelope = {0}, secret = {0};
	uint64_t start;

	for (size_t i = 0; i < recipients; i++) {
		struct key *key;

		must(key_random(&bench_env, &key));
		x25519_public(key, public_keys[i]);
		key_release(&key);
	}
	must(envelope_sender_create(&bench_env, RECIPIENTS, &sender));
	start = now_us(&bench_env);
	for (size_t i = 0; i < ROUNDS; i++) {
		struct id128 use = env_random_id(&bench_env);
		struct id128 account = {
			{(uint8_t)(i % recipients), (uint8_t)(i % recipients >> 8)}};
		uint8_t key[KEY_SIZE];

		buf_clear(&frames);
		buf_clear(&envelope);
		buf_clear(&secret);
		seal_blob(mail, key, &frames);
		buf_put(&secret, key, KEY_SIZE);
		buf_put_bytes(&secret, bytes_slice(mail, 0, 700));
		must(envelope_seal(sender, public_keys[i % recipients], account, use,
				   bytes_make(use.octets, 16), bytes_of_buf(&secret), &envelope));
	}
	printf("%-28s %9zu B                seal %8.1f us\n", what, mail.size,
	       (double)(now_us(&bench_env) - start) / ROUNDS);
	envelope_sender_destroy(&sender);
	buf_finish(&frames);
	buf_finish(&envelope);
	buf_finish(&secret);
}

int main(void)
{
	struct buf mail = {0}, large = {0}, random = {0};

	must(key_library_init());
	fill_mail(&mail, MAIL_SIZE);
	fill_mail(&large, 8u << 20);
	from_system(&bench_env, buf_extend(&random, MAIL_SIZE), MAIL_SIZE);
	bench_blob("mail, text", bytes_of_buf(&mail), 20000);
	bench_blob("mail, random", bytes_of_buf(&random), 20000);
	bench_blob("8 MiB, text", bytes_of_buf(&large), 10);
	bench_delivery("delivery, one recipient", bytes_of_buf(&mail), 1);
	bench_delivery("delivery, always another", bytes_of_buf(&mail), RECIPIENTS);
	buf_finish(&mail);
	buf_finish(&large);
	buf_finish(&random);
	return 0;
}
