// SPDX-License-Identifier: GPL-2.0
/*
 * Entry of cpu_opv(2)
 *
 * Tracing metadata, the architectures' wrappers and sys_ni.c hang on the
 * SYSCALL_DEFINE macros. Everything else is in cpu_opv.rs.
 */

#include <linux/cpu_opv.h>
#include <linux/mutex.h>
#include <linux/syscalls.h>

/* Serializes vectors for CPUs that are offline. */
DEFINE_MUTEX(cpu_opv_offline_mutex);

/**
 * sys_cpu_opv() - run a vector of operations on a CPU, atomically there
 * @ops: the vector
 * @cpuopcnt: number of operations in the vector, 0 to CPU_OP_VEC_LEN_MAX
 * @cpu: CPU to run on; must be in the allowed mask of the calling thread
 * @flags: 0, or one of enum cpu_op_flags to query a limit instead
 *
 * The operations are run in order, on the memory of the calling process, with
 * interrupts disabled on @cpu. A restartable sequence that is interrupted there
 * is aborted. If @cpu is offline they are run on the current CPU, with @cpu kept
 * offline and one caller at a time.
 *
 * The error is that of the first check that fails; the checks are made in the
 * order of this list, access to operands in the order of the vector.
 *
 * Return:
 * * %0		- all operations were run
 * * 1..4	- this operation, counted from 1, was a comparison that stopped the
 *		  vector; those before it were run
 * * -EINVAL	- bad @flags, @cpu, @cpuopcnt, or an operation's op or len
 * * -EFAULT	- @ops or an operand is not accessible user memory, or it is device
 *		  memory or was inserted by a driver
 * * -EAGAIN	- the same, for an operand whose expect_fault byte is set
 * * -ENOMEM	- no memory to fault an operand in
 *
 * If an error is returned nothing was written.
 */
SYSCALL_DEFINE4(cpu_opv, struct cpu_op __user *, ops, int, cpuopcnt, int, cpu, int, flags)
{
	return cpu_opv_call(ops, cpuopcnt, cpu, flags);
}
