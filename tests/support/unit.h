/* SPDX-License-Identifier: MPL-2.0 */
/*
 * unit - what every cmocka test includes, in the order that cmocka wants, and
 * two helpers. FOR_EACH_ALLOCATION runs its body again and again, each time with
 * one allocation later failing, until a run needed no more; the body sets
 * `failed` to whether it met ERR_NOMEM.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_UNIT_H
#define AEROSTORE_TESTS_SUPPORT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/bytes.h"
#include "engine/base/memory.h"

#define FOR_EACH_ALLOCATION(failed)                                                                \
	for (uint64_t fail_after_ = ((failed) = true, memory_fail_after(0), 0); (failed);          \
	     memory_fail_after((failed) ? ++fail_after_ : UINT64_MAX))

#define assert_ok(call) assert_int_equal((call), ERR_OK)

/* "0a1b" to octets; the text is the test's own. */
static inline size_t unhex(const char *text, uint8_t *out, size_t out_max)
{
	size_t size = strlen(text) / 2;

	assert_true(size <= out_max);
	for (size_t i = 0; i < size; i++) {
		unsigned value;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
		out[i] = (uint8_t)value;
	}
	return size;
}

static inline void assert_hex(const uint8_t *octets, size_t size, const char *text)
{
	uint8_t expected[256];

	assert_int_equal(unhex(text, expected, sizeof(expected)), size);
	assert_memory_equal(octets, expected, size);
}

#endif
