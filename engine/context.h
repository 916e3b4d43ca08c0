/* SPDX-License-Identifier: MPL-2.0 */
/*
 * context - a machine stack of its own, and the switch to it and back.
 *
 * What task.c is made of; nothing else uses it. The switch saves what the ABI
 * calls callee-saved and nothing more: swapcontext(3) would also save the signal
 * mask, two system calls a switch. x86-64 and AArch64 have it in assembly, other
 * machines (and builds with a shadow stack, which a bare switch would break) use
 * ucontext.
 *
 * A stack is STACK_SIZE usable bytes above a guard page: running over it is a
 * fault, never damage to somebody else's memory. Stacks come from a pool that
 * keeps a few of them and gives the others back to the kernel.
 */
#ifndef AEROSTORE_ENGINE_CONTEXT_H
#define AEROSTORE_ENGINE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#if defined(__SANITIZE_ADDRESS__)
#define CONTEXT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONTEXT_ASAN 1
#endif
#endif
#ifndef CONTEXT_ASAN
#define CONTEXT_ASAN 0
#endif

#if defined(__CET__) && (__CET__ & 2)
#define CONTEXT_UCONTEXT 1
#elif defined(__x86_64__) && defined(__LP64__)
#define CONTEXT_UCONTEXT 0
#elif defined(__aarch64__)
#define CONTEXT_UCONTEXT 0
#else
#define CONTEXT_UCONTEXT 1
#endif

#if CONTEXT_UCONTEXT
#include <ucontext.h>
#endif

/* One that runs, or is suspended in context_switch(). A thread's own needs no more than zero. */
struct context {
#if CONTEXT_UCONTEXT
	ucontext_t machine;
#else
	void *stack_pointer;
#endif
#if CONTEXT_ASAN
	void *fake_stack;
#endif
	const void *stack_low; /* lowest usable byte */
	size_t stack_size;
};

struct context_stack;

/* Free stacks, at most `limit`. Zero but for the limit before first use. */
struct context_stacks {
	struct context_stack *first;
	size_t count, limit;
};

/* `size` usable bytes, rounded up to pages, the same for all of one pool. ERR_NOMEM. */
MUST_USE enum err context_stack_take(struct context_stacks *pool, size_t size,
				     struct context_stack **out);
/* Its context has left for good. */
void context_stack_give(struct context_stacks *pool, struct context_stack *stack);
void context_stacks_finish(struct context_stacks *pool);

/* The first switch to it calls entry(), on that stack; entry ends in context_leave(). */
void context_make(struct context *context, struct context_stack *stack, void (*entry)(void));
/* First thing in entry(): `from` is the context that switched here. */
void context_entered(struct context *from);
void context_switch(struct context *from, struct context *to);
/* As context_switch(), for the last time. */
_Noreturn void context_leave(struct context *from, struct context *to);

#endif
