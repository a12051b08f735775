// SPDX-License-Identifier: GPL-2.0
/*
 * What of cpu_opv(2) has to be in C
 *
 * Tracing metadata, the architectures' wrappers and sys_ni.c hang on the
 * SYSCALL_DEFINE macros, per-CPU variables on DEFINE_PER_CPU. Everything else
 * is in cpu_opv.rs.
 */

#include <linux/cpu_opv.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/syscalls.h>

/* One vector at a time for each CPU that is not the caller's. */
static DEFINE_PER_CPU(struct mutex, cpu_opv_mutexes);

static int __init cpu_opv_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		mutex_init(per_cpu_ptr(&cpu_opv_mutexes, cpu));
	return 0;
}
core_initcall(cpu_opv_init);

bool cpu_opv_trylock(int cpu)
{
	return mutex_trylock(per_cpu_ptr(&cpu_opv_mutexes, cpu));
}

int cpu_opv_lock_interruptible(int cpu)
{
	return mutex_lock_interruptible(per_cpu_ptr(&cpu_opv_mutexes, cpu));
}

void cpu_opv_unlock(int cpu)
{
	mutex_unlock(per_cpu_ptr(&cpu_opv_mutexes, cpu));
}

/*
 * Not cpus_ptr, which a task that disabled migration has narrowed to where it
 * is. The mask may change at any time: this is a permission, and nothing
 * depends on where the task runs.
 */
bool cpu_opv_cpu_may_be_interrupted(int cpu)
{
	return cpumask_test_cpu(cpu, &current->cpus_mask);
}

/*
 * A vector for a CPU that is offline disturbs nobody, and cpusets take such
 * CPUs out of the mask. One without an idle task, for which there was no memory
 * at boot, can never come online.
 */
bool cpu_opv_cpu_is_allowed(int cpu)
{
	return cpu_possible(cpu) && idle_task(cpu) &&
	       (cpu_opv_cpu_may_be_interrupted(cpu) || !cpu_online(cpu));
}

/**
 * sys_cpu_opv() - run a vector of operations on a CPU, atomically there
 * @ops: the vector
 * @cpuopcnt: number of operations in the vector, 0 to CPU_OP_VEC_LEN_MAX
 * @cpu: CPU to run on; must be offline, or in the allowed mask of the calling
 *	thread
 * @flags: 0, or one of enum cpu_op_flags to query a limit instead
 *
 * The operations are run in order, on the memory of the calling process, with
 * interrupts disabled on @cpu. A restartable sequence that is interrupted there
 * is aborted. If @cpu is idle or offline they are run on the current CPU, with
 * @cpu kept from running anything else, and undisturbed.
 *
 * The error is that of the first check that fails: of @flags, @cpuopcnt and
 * @cpu; that @ops can be read; of each operation, then of the sum of their len;
 * that all operands are in the address space; and of access to them, in the
 * order of the vector.
 *
 * Return:
 * * %0 - all operations were run
 * * 1 to 4 - this operation, counted from 1, was a comparison that stopped the
 *   vector; those before it were run
 * * %-EINVAL - bad @flags, @cpu, @cpuopcnt, or an operation's op, len or
 *   reserved bytes
 * * %-EFAULT - @ops or an operand is not accessible user memory, or it is
 *   device memory (also by DAX) or was inserted by a driver
 * * %-EAGAIN - the same, for an operand in the address space whose expect_fault
 *   byte is set
 * * %-ENOMEM - no memory to fault an operand in, or to copy between operands
 *   that overlap
 *
 * If an error is returned nothing was written.
 */
SYSCALL_DEFINE4(cpu_opv, struct cpu_op __user *, ops, int, cpuopcnt, int, cpu, int, flags)
{
	/* What is out of range becomes -1, also where a CPU speculates. */
	cpu |= ~array_index_mask_nospec((unsigned int)cpu, nr_cpu_ids);
	return cpu_opv_call(ops, cpuopcnt, cpu, flags);
}
