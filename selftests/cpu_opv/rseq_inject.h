/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Delays between the instructions of the sequences in ../rseq/rseq.h, which is
 * to be included after this: at each of its points 1 to 6, rseq_delay[point]
 * turns of a loop. The program defines rseq_inject(), which rseq.h then calls
 * before each sequence, and the counter rseq_aborts.
 */
#ifndef RSEQ_INJECT_H
#define RSEQ_INJECT_H

#define RSEQ_DELAYS	7

/* Named in assembly: not static. */
int rseq_delay[RSEQ_DELAYS];

#define RSEQ_INJECT_C(n)	{ rseq_inject(); }
#define RSEQ_INJECT_FAILED	{ rseq_aborts++; }

/* rseq.h puts it at the end of a list. */
#define RSEQ_ALSO(...)		, __VA_ARGS__

/* Loads the number of turns, counts it down to -1. */
#if defined(__x86_64__)

#define RSEQ_INJECT_ASM(n)						\
	"movl	rseq_delay + 4 * " #n "(%%rip), %%eax\n"		\
	"777:	decl %%eax\n"						\
	"	jns 777b\n\t"
#define RSEQ_INJECT_CLOBBER	RSEQ_ALSO("rax")

#elif defined(__i386__)

#define RSEQ_INJECT_ASM(n)						\
	"movl	rseq_delay + 4 * " #n ", %%eax\n"			\
	"777:	decl %%eax\n"						\
	"	jns 777b\n\t"
#define RSEQ_INJECT_CLOBBER	RSEQ_ALSO("eax")

#elif defined(__ARMEL__)

#define RSEQ_INJECT_ASM(n)						\
	"ldr	r4, [%[delay], #4 * " #n "]\n"				\
	"777:	subs r4, r4, #1\n"					\
	"	bpl 777b\n\t"
#define RSEQ_INJECT_INPUT	RSEQ_ALSO([delay] "r" (rseq_delay))
#define RSEQ_INJECT_CLOBBER	RSEQ_ALSO("r4")

#elif defined(__AARCH64EL__)

#define RSEQ_INJECT_ASM(n)						\
	"ldr	" RSEQ_ASM_TMP_REG32 ", [%[delay], #4 * " #n "]\n"	\
	"777:	sub " RSEQ_ASM_TMP_REG32 ", " RSEQ_ASM_TMP_REG32 ", #1\n" \
	"	tbz " RSEQ_ASM_TMP_REG32 ", #31, 777b\n\t"
#define RSEQ_INJECT_INPUT	RSEQ_ALSO([delay] "r" (rseq_delay))

#elif defined(__PPC__)

#define RSEQ_INJECT_ASM(n)						\
	"lwz	%%r18, 4 * " #n "(%[delay])\n"				\
	"777:	addi %%r18, %%r18, -1\n"				\
	"	cmpwi %%r18, 0\n"					\
	"	bge 777b\n\t"
#define RSEQ_INJECT_INPUT	RSEQ_ALSO([delay] "b" (rseq_delay))
#define RSEQ_INJECT_CLOBBER	RSEQ_ALSO("r18")

#elif defined(__riscv)

#define RSEQ_INJECT_ASM(n)						\
	"lw	t2, 4 * " #n "(%[delay])\n"				\
	"777:	addi t2, t2, -1\n"					\
	"	bgez t2, 777b\n\t"
#define RSEQ_INJECT_INPUT	RSEQ_ALSO([delay] "r" (rseq_delay))
#define RSEQ_INJECT_CLOBBER	RSEQ_ALSO("t2")

#elif defined(__s390__)

#define RSEQ_INJECT_ASM(n)						\
	"l	%%r4, 4 * " #n "(%[delay])\n"				\
	"777:	ahi %%r4, -1\n"					\
	"	jnm 777b\n\t"
#define RSEQ_INJECT_INPUT	RSEQ_ALSO([delay] "a" (rseq_delay))
#define RSEQ_INJECT_CLOBBER	RSEQ_ALSO("r4")

#else

#define RSEQ_NO_DELAYS

#endif

#endif /* RSEQ_INJECT_H */
