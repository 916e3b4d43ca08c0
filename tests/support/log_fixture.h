/* SPDX-License-Identifier: MPL-2.0 */
/*
 * log_fixture - one small log on the fixture's volume, and what a scan of it says.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_LOG_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_LOG_FIXTURE_H

#include "tests/support/volume_fixture.h"

#define LOG_NAME "journal/0000000000000001.seg"
#define LOG_PATH FIXTURE_VOLUME "/" LOG_NAME
#define LOG_SET 1
#define LOG_PAYLOAD_MAX 4096
#define VISITS_MAX 512

/* What a scan reported, in order. */
struct visits {
	size_t count;
	struct {
		enum log_event event;
		uint64_t offset, size, number, durable;
	} items[VISITS_MAX];
};

struct log_options fixture_log_options(void);
WAITS struct log *fixture_create_log(struct volume *volume);
WAITS struct log *fixture_open_log(struct volume *volume);
/* A journal entry whose payload is `size` times the low byte of number + 1. */
struct record fixture_entry(uint64_t number, size_t size, uint8_t payload[LOG_PAYLOAD_MAX]);
WAITS enum err fixture_put(struct log *log, uint64_t number, size_t size);
/* Scans the whole log with payloads, and asserts that every one handed out is right. */
WAITS void fixture_scan(struct log *log, uint64_t hint, struct visits *visits);

#endif
