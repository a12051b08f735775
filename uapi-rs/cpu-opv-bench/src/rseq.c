// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What one would write in C without cpu_opv: the sequences of librseq for x86_64, with no way to
 * reach another CPU's data, and no flag that would allow for one. Each function loops by itself, so
 * that the sequences are inlined as those of the crate are.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/rseq.h>

#define ITEMS 64

struct slot {
	uintptr_t word;			/* the count, the first node, or the number of items */
	uintptr_t items[ITEMS];
} __attribute__((aligned(128)));

struct counter {
	uintptr_t word;
} __attribute__((aligned(128)));

static inline uint32_t cpu_start(void)
{
	struct rseq *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);

	return *(volatile uint32_t *)&area->cpu_id_start;
}

#define START								\
	".pushsection __rseq_cs, \"aw\"\n"				\
	".balign 32\n"							\
	"3: .long 0, 0\n"						\
	".quad 1f, 2f - 1f, 4f\n"					\
	".popsection\n"							\
	"leaq 3b(%%rip), %%rax\n"					\
	"movq %%rax, %%fs:8(%[area])\n"					\
	"1:\n"								\
	"cmpl %[cpu], %%fs:4(%[area])\n"				\
	"jnz 4f\n"

#define END								\
	"2:\n"								\
	".pushsection __rseq_failure, \"ax\"\n"				\
	".byte 0x0f, 0xb9, 0x3d\n"					\
	".long 0x53053053\n"						\
	"4: jmp %l[again]\n"						\
	".popsection\n"

#define AT [area] "r" (__rseq_offset), [cpu] "r" (cpu)

/* *v += n */
static inline bool addv(uintptr_t *v, intptr_t n, uint32_t cpu)
{
	asm goto (START "addq %[n], %[v]\n" END
		  : : AT, [v] "m" (*v), [n] "er" (n) : "memory", "cc", "rax" : again);
	return true;
again:
	return false;
}

/* if (*v == expect) *v = new */
static inline bool cmpeqv_storev(uintptr_t *v, uintptr_t expect, uintptr_t new, uint32_t cpu)
{
	asm goto (START
		  "cmpq %[v], %[expect]\n"
		  "jnz %l[again]\n"
		  "movq %[new], %[v]\n"
		  END
		  : : AT, [v] "m" (*v), [expect] "r" (expect), [new] "r" (new)
		  : "memory", "cc", "rax" : again);
	return true;
again:
	return false;
}

/* *head = *v; if (*head) *v = **head */
static inline bool pop(uintptr_t *v, uintptr_t *head, uint32_t cpu)
{
	asm goto (START
		  "movq %[v], %%rbx\n"
		  "movq %%rbx, %[head]\n"
		  "testq %%rbx, %%rbx\n"
		  "jz %l[empty]\n"
		  "movq (%%rbx), %%rbx\n"
		  "movq %%rbx, %[v]\n"
		  END
		  : : AT, [v] "m" (*v), [head] "m" (*head)
		  : "memory", "cc", "rax", "rbx" : again, empty);
empty:
	return true;
again:
	return false;
}

/* if (*v == expect) { *v2 = new2; *v = new } */
static inline bool cmpeqv_trystorev_storev(uintptr_t *v, uintptr_t expect, uintptr_t *v2, uintptr_t new2,
					   uintptr_t new, uint32_t cpu)
{
	asm goto (START
		  "cmpq %[v], %[expect]\n"
		  "jnz %l[again]\n"
		  "movq %[new2], %[v2]\n"
		  "movq %[new], %[v]\n"
		  END
		  : : AT, [v] "m" (*v), [expect] "r" (expect), [v2] "m" (*v2), [new2] "r" (new2),
		  [new] "r" (new) : "memory", "cc", "rax" : again);
	return true;
again:
	return false;
}

/* if (*v == expect && *v2 == expect2) *v = new */
static inline bool cmpeqv_cmpeqv_storev(uintptr_t *v, uintptr_t expect, uintptr_t *v2, uintptr_t expect2,
					uintptr_t new, uint32_t cpu)
{
	asm goto (START
		  "cmpq %[v], %[expect]\n"
		  "jnz %l[again]\n"
		  "cmpq %[v2], %[expect2]\n"
		  "jnz %l[again]\n"
		  "movq %[new], %[v]\n"
		  END
		  : : AT, [v] "m" (*v), [expect] "r" (expect), [v2] "m" (*v2), [expect2] "r" (expect2),
		  [new] "r" (new) : "memory", "cc", "rax" : again);
	return true;
again:
	return false;
}

void c_increment(struct counter *counters, unsigned long times)
{
	while (times--) {
		uint32_t cpu;

		do {
			cpu = cpu_start();
		} while (!addv(&counters[cpu].word, 1, cpu));
	}
}

static inline uintptr_t *list_pop(struct slot *slots)
{
	uintptr_t head;
	uint32_t cpu;

	do {
		cpu = cpu_start();
	} while (!pop(&slots[cpu].word, &head, cpu));
	return (uintptr_t *)head;
}

static inline void list_push(struct slot *slots, uintptr_t *node)
{
	uintptr_t below;
	uint32_t cpu;

	do {
		cpu = cpu_start();
		below = *(volatile uintptr_t *)&slots[cpu].word;
		*node = below;
	} while (!cmpeqv_storev(&slots[cpu].word, below, (uintptr_t)node, cpu));
}

void c_list(struct slot *slots, unsigned long times)
{
	while (times--) {
		uintptr_t *node = list_pop(slots);

		if (node)
			list_push(slots, node);
	}
}

static inline bool stack_pop(struct slot *slots, uintptr_t *item)
{
	for (;;) {
		uint32_t cpu = cpu_start();
		struct slot *slot = &slots[cpu];
		uintptr_t len = *(volatile uintptr_t *)&slot->word;

		if (!len)
			return false;
		*item = *(volatile uintptr_t *)&slot->items[len - 1];
		if (cmpeqv_cmpeqv_storev(&slot->word, len, &slot->items[len - 1], *item, len - 1, cpu))
			return true;
	}
}

static inline bool stack_push(struct slot *slots, uintptr_t item)
{
	for (;;) {
		uint32_t cpu = cpu_start();
		struct slot *slot = &slots[cpu];
		uintptr_t len = *(volatile uintptr_t *)&slot->word;

		if (len == ITEMS)
			return false;
		if (cmpeqv_trystorev_storev(&slot->word, len, &slot->items[len], item, len + 1, cpu))
			return true;
	}
}

void c_stack(struct slot *slots, unsigned long times)
{
	while (times--) {
		uintptr_t item;

		if (stack_pop(slots, &item))
			stack_push(slots, item);
	}
}
