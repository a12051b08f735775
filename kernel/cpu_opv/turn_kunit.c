// SPDX-License-Identifier: GPL-2.0
/* The turn to run a vector on a CPU, while another task has it. */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpu_opv.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>

#define GIVES_UP_AFTER	(60 * HZ)	/* or who waits all the same would hang */

/* The task that has it. */
struct other {
	int cpu;
	int ret;
	struct completion has_it, is_to_end, has_ended;
};

static int have_turn(void *arg)
{
	struct other *other = arg;

	other->ret = cpu_opv_lock_interruptible(other->cpu);
	complete(&other->has_it);
	wait_for_completion_timeout(&other->is_to_end, GIVES_UP_AFTER);
	if (!other->ret)
		cpu_opv_unlock(other->cpu);
	complete(&other->has_ended);
	return 0;
}

static void is_not_waited_for_if_killed(struct kunit *test)
{
	struct other other = { .cpu = cpumask_first(cpu_possible_mask) };
	struct task_struct *task;
	int ret;

	init_completion(&other.has_it);
	init_completion(&other.is_to_end);
	init_completion(&other.has_ended);
	task = kthread_run(have_turn, &other, "cpu_opv_turn");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	wait_for_completion(&other.has_it);

	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	ret = cpu_opv_lock_interruptible(other.cpu);
	flush_signals(current);
	disallow_signal(SIGKILL);
	if (!ret)
		cpu_opv_unlock(other.cpu);

	complete(&other.is_to_end);
	wait_for_completion(&other.has_ended);
	KUNIT_EXPECT_EQ(test, 0, other.ret);
	KUNIT_EXPECT_EQ(test, -EINTR, ret);
}

static struct kunit_case cpu_opv_turn_cases[] = {
	KUNIT_CASE(is_not_waited_for_if_killed),
	{}
};

static struct kunit_suite cpu_opv_turn_suite = {
	.name = "cpu_opv_turn",
	.test_cases = cpu_opv_turn_cases,
};

kunit_test_suite(cpu_opv_turn_suite);

MODULE_DESCRIPTION("KUnit test of the turns of cpu_opv()");
MODULE_LICENSE("GPL");
