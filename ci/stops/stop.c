// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU plugin that stops a CPU at each instruction of a call in turn, while another CPU does something:
 * stop.so,out=FILE
 *
 * Each CPU has to be a thread of QEMU's, and each instruction a block of its own, before which interrupts are taken
 * (one-insn-per-tb). The marks, which are those of uapi-rs/cpu-opv-bench/src/bin/stops/marks.rs:
 *
 *   CASE       what comes is another case: from its first instruction
 *   USER       and it is instructions in user space that count in it, of the caller alone
 *   ARM        the caller begins a call. If that gets to its next instruction, the CPU that runs it stops there
 *   DISARM     it is over
 *   TARGET     this CPU is the call's target, so what it runs in the kernel is part of the call
 *   NO_TARGET  there is none any more
 *   WAIT       the disturber waits until a CPU has stopped, or the call is over
 *   DONE       the disturber has done what it does: that CPU goes on
 *   SKIP       the next call is not to stop at its next instruction, but at one after that
 *
 * It also goes on once the disturber can do no more without it: when that waits for it in the kernel, in a loop with
 * PAUSE, or sleeps. Should that not show, PATIENCE_S ends it, which is counted; as are the calls that were disturbed before
 * they came to their instruction, as the disturber had no more patience.
 *
 * An instruction counts a few times in a call. So who waits in a loop gets over it.
 *
 * In the end FILE has a row for each instruction that a call ran, with how often a CPU stopped there.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "../programs/qemu-plugin.h"

enum mark { CASE = 0x10, USER, ARM, DISARM, TARGET, NO_TARGET, WAIT, DONE, SKIP };

#define PATIENCE_S 1
#define TIMES_MAX 8	/* that an instruction counts in a call */
#define PAUSES_MAX 200	/* of a disturber that does not wait for the stopped CPU */
#define POINTS_BITS 20

struct point {
	uint64_t address;
	unsigned int call;	/* in which it was last run */
	unsigned int times;	/* in that */
	unsigned int runs, stops;
};

static FILE *out;
static struct point points[1 << POINTS_BITS];	/* by a hash of the address */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of what follows */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Also looked at without the lock. */
static volatile enum state { NO_CALL, RUNS, STOPPED, WENT_ON } state;	/* of the call */

static int caller, disturber = -1, target = -1;
static bool user;
static unsigned int wanted, count;	/* instructions of this call: at which to stop, and so far */
static unsigned int calls, pauses;
static unsigned int let_go, missed;	/* for want of patience: stopped CPUs, and instructions to stop at */

static struct point *point_of(uint64_t address)
{
	size_t i = (address * 0x9e3779b97f4a7c15) >> (64 - POINTS_BITS);

	while (points[i].address && points[i].address != address)
		i = (i + 1) & ((1 << POINTS_BITS) - 1);
	points[i].address = address;
	return &points[i];
}

static void set_state(enum state to)
{
	state = to;
	pthread_cond_broadcast(&changed);
}

/* Waits as long as this is the state, but no longer than anything takes: counts that. The lock is held. */
static void wait_while(enum state is, unsigned int *impatient)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_S;
	while (state == is) {
		if (pthread_cond_timedwait(&changed, &lock, &end)) {
			++*impatient;
			return;
		}
	}
}

/* In a call in which nobody has stopped yet. The lock is held. */
static void run_in_call(struct point *point)
{
	if (point->call != calls) {
		point->call = calls;
		point->times = 0;
	}
	point->runs++;
	if (point->times == TIMES_MAX)
		return;
	point->times++;
	if (count++ < wanted)
		return;
	point->stops++;
	set_state(STOPPED);
	wait_while(STOPPED, &let_go);
	state = WENT_ON;
}

static void on_instruction(unsigned int cpu, void *data)
{
	struct point *point = data;

	if (state != RUNS || user == in_kernel(point->address))
		return;
	if ((int)cpu != caller && (user || (int)cpu != target))
		return;
	pthread_mutex_lock(&lock);
	if (state == RUNS)
		run_in_call(point);
	pthread_mutex_unlock(&lock);
}

/* PAUSE and HLT, by which a CPU shows that it waits. */
static void on_pause(unsigned int cpu, void *halts)
{
	if (state != STOPPED || (int)cpu != disturber)
		return;
	pthread_mutex_lock(&lock);
	if (state == STOPPED && (halts || ++pauses == PAUSES_MAX))
		set_state(WENT_ON);
	pthread_mutex_unlock(&lock);
}

static void on_mark(unsigned int cpu, void *data)
{
	pthread_mutex_lock(&lock);
	switch ((enum mark)(uintptr_t)data) {
	case CASE:
		wanted = 0;
		user = false;
		break;
	case USER:
		user = true;
		break;
	case ARM:
		caller = cpu;
		count = pauses = 0;
		calls++;
		state = RUNS;
		break;
	case DISARM:
		wanted++;
		set_state(NO_CALL);
		break;
	case TARGET:
		target = cpu;
		break;
	case NO_TARGET:
		target = -1;
		break;
	case WAIT:
		disturber = cpu;
		wait_while(RUNS, &missed);
		break;
	case DONE:
		if (state != NO_CALL)
			set_state(WENT_ON);
		break;
	case SKIP:
		wanted++;
		break;
	}
	pthread_mutex_unlock(&lock);
}

static void on_translated(struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		unsigned char code[16];
		size_t size = insn_code(insn, code);
		bool halts = size == 1 && code[0] == 0xf4;
		struct point *point;

		if (is_mark(code, size) && mark_number(code) >= CASE) {
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)mark_number(code));
			continue;
		}
		pthread_mutex_lock(&lock);
		point = point_of(address);
		pthread_mutex_unlock(&lock);
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, QEMU_PLUGIN_CB_NO_REGS, point);
		if (in_kernel(address) && (halts || !memcmp(code, "\xf3\x90", 2)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_pause, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)halts);
	}
}

static void report(void)
{
	fprintf(out, "# %u calls; %u went on, and %u were disturbed, for want of patience\n", calls, let_go, missed);
	for (size_t i = 0; i < 1 << POINTS_BITS; i++)
		if (points[i].runs)
			fprintf(out, "%lx %u %u\n", points[i].address, points[i].runs, points[i].stops);
	fclose(out);
}

static bool begin(const char *file)
{
	out = fopen(file, "w");
	return out && !atexit(report);
}
