/* SPDX-License-Identifier: MPL-2.0 */
/*
 * assert - ASSERT is always compiled in and aborts the process.
 *
 * It states what this program's own code guarantees. It is never about input,
 * disk content, a peer or memory running out: those are errors, not bugs.
 */
#ifndef AEROSTORE_ENGINE_BASE_ASSERT_H
#define AEROSTORE_ENGINE_BASE_ASSERT_H

#include <assert.h>

_Noreturn void assert_failed(const char *expression, const char *file, int line);

#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__))

#endif
