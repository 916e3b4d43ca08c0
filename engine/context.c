/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/context.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/assert.h"

#if CONTEXT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

/* ---- stacks ---- */

/* Sits at the high end of its own mapping, above what the code on the stack uses. */
struct context_stack {
	struct context_stack *next;
	uint8_t *mapping; /* the guard page */
	size_t mapping_size, page_size;
};

/* Room for it at the top, keeping the stack's end aligned as every ABI wants it. */
#define STACK_HEADER_SIZE ((sizeof(struct context_stack) + 63) / 64 * 64)

static uint8_t *stack_low(const struct context_stack *stack)
{
	return stack->mapping + stack->page_size;
}

static size_t stack_size(const struct context_stack *stack)
{
	return stack->mapping_size - stack->page_size - STACK_HEADER_SIZE;
}

enum err context_stack_take(struct context_stacks *pool, size_t size, struct context_stack **out)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
	size_t mapping_size;
	struct context_stack *stack = pool->first;
	uint8_t *mapping;

	if (stack != NULL) {
		pool->first = stack->next;
		pool->count--;
		*out = stack;
		return ERR_OK;
	}
	mapping_size = page_size + (size + page_size - 1) / page_size * page_size;
	mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (mapping == MAP_FAILED)
		return ERR_NOMEM;
	if (mprotect(mapping, page_size, PROT_NONE) != 0) {
		munmap(mapping, mapping_size);
		return ERR_NOMEM;
	}
	stack = (struct context_stack *)(void *)(mapping + mapping_size - STACK_HEADER_SIZE);
	stack->mapping = mapping;
	stack->mapping_size = mapping_size;
	stack->page_size = page_size;
	*out = stack;
	return ERR_OK;
}

static void stack_unmap(struct context_stack *stack)
{
	munmap(stack->mapping, stack->mapping_size);
}

void context_stack_give(struct context_stacks *pool, struct context_stack *stack)
{
#if CONTEXT_ASAN
	/* Its last frames never returned, so their red zones are still poisoned. */
	__asan_unpoison_memory_region(stack_low(stack), stack_size(stack));
#endif
	if (pool->count >= pool->limit) {
		stack_unmap(stack);
		return;
	}
	stack->next = pool->first;
	pool->first = stack;
	pool->count++;
}

void context_stacks_finish(struct context_stacks *pool)
{
	while (pool->first != NULL) {
		struct context_stack *stack = pool->first;

		pool->first = stack->next;
		stack_unmap(stack);
	}
	pool->count = 0;
}

/* ---- the switch of the machine ---- */

#if CONTEXT_UCONTEXT

static void machine_make(struct context *context, uint8_t *low, size_t size, void (*entry)(void))
{
	getcontext(&context->machine);
	context->machine.uc_stack.ss_sp = low;
	context->machine.uc_stack.ss_size = size;
	context->machine.uc_link = NULL;
	makecontext(&context->machine, entry, 0);
}

static void machine_switch(struct context *from, struct context *to)
{
	swapcontext(&from->machine, &to->machine);
}

#else

/*
 * Pushes the callee-saved registers, stores the stack pointer in *save, takes
 * `load` as the stack pointer, pops the registers saved there and returns, now
 * to where that stack's switch was called. A new stack is laid out as if its
 * entry function had called the switch.
 */
void context_machine_switch(void **save, void *load);

#if defined(__x86_64__)

__asm__(".text\n"
	".p2align 4\n"
	".globl context_machine_switch\n"
	".hidden context_machine_switch\n"
	".type context_machine_switch, @function\n"
	"context_machine_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	ldmxcsr (%rsp)\n"
	"	fldcw 4(%rsp)\n"
	"	addq $8, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size context_machine_switch, .-context_machine_switch\n");

/* Lowest address first: what the switch pops, its return address, and entry's own: none. */
enum { MACHINE_CONTROL = 0, MACHINE_RETURN = 7, MACHINE_WORDS = 9 };

static void machine_control(uint64_t *frame)
{
	uint32_t mxcsr;
	uint16_t x87;
	uint8_t *at = (uint8_t *)&frame[MACHINE_CONTROL];

	__asm__("stmxcsr %0" : "=m"(mxcsr));
	__asm__("fnstcw %0" : "=m"(x87));
	memcpy(at, &mxcsr, sizeof(mxcsr));
	memcpy(at + 4, &x87, sizeof(x87));
}

#elif defined(__aarch64__)

__asm__(".text\n"
	".p2align 4\n"
	".globl context_machine_switch\n"
	".hidden context_machine_switch\n"
	".type context_machine_switch, %function\n"
	"context_machine_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size context_machine_switch, .-context_machine_switch\n");

/* x29 zero ends the chain of frames; x30 is where the switch returns to. */
enum { MACHINE_RETURN = 11, MACHINE_WORDS = 20 };

static void machine_control(uint64_t *frame)
{
	(void)frame;
}

#endif

static void machine_make(struct context *context, uint8_t *low, size_t size, void (*entry)(void))
{
	/* The end of the stack is aligned to 64 bytes; entry starts as after a call. */
	uint64_t *frame = (uint64_t *)(void *)(low + size) - MACHINE_WORDS;

	memset(frame, 0, MACHINE_WORDS * sizeof(*frame));
	machine_control(frame);
	frame[MACHINE_RETURN] = (uint64_t)(uintptr_t)entry;
	context->stack_pointer = frame;
}

static void machine_switch(struct context *from, struct context *to)
{
	context_machine_switch(&from->stack_pointer, to->stack_pointer);
}

#endif

/* ---- contexts ---- */

void context_make(struct context *context, struct context_stack *stack, void (*entry)(void))
{
	*context = (struct context){.stack_low = stack_low(stack), .stack_size = stack_size(stack)};
	machine_make(context, stack_low(stack), stack_size(stack), entry);
}

void context_entered(struct context *from)
{
#if CONTEXT_ASAN
	/* The only way to learn where a thread's own stack is. */
	__sanitizer_finish_switch_fiber(NULL, &from->stack_low, &from->stack_size);
#else
	(void)from;
#endif
}

void context_switch(struct context *from, struct context *to)
{
#if CONTEXT_ASAN
	__sanitizer_start_switch_fiber(&from->fake_stack, to->stack_low, to->stack_size);
#endif
	machine_switch(from, to);
#if CONTEXT_ASAN
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

_Noreturn void context_leave(struct context *from, struct context *to)
{
#if CONTEXT_ASAN
	__sanitizer_start_switch_fiber(NULL, to->stack_low, to->stack_size);
#endif
	machine_switch(from, to);
	ASSERT(!"a context that left was resumed");
	__builtin_unreachable();
}
