// SPDX-License-Identifier: GPL-2.0
/*
 * Counts of the ways and edges that calls of cpu_opv(2) take, for tests: a run
 * that never met an edge has not tested it
 */

#include <linux/cpu_opv.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

static const char * const names[NR_CPU_OPV_EVENTS] = {
	[CPU_OPV_OWN]		= "own",
	[CPU_OPV_IDLE]		= "idle",
	[CPU_OPV_OFFLINE]	= "offline",
	[CPU_OPV_BUSY]		= "busy",
	[CPU_OPV_UNPINNED]	= "unpinned",
	[CPU_OPV_WORDS_LOST]	= "words_lost",
	[CPU_OPV_STALE]		= "stale",
	[CPU_OPV_IDLE_LOST]	= "idle_lost",
	[CPU_OPV_IDLE_BUSY]	= "idle_busy",
	[CPU_OPV_MOVED]		= "moved",
	[CPU_OPV_FOREIGN]	= "foreign",
	[CPU_OPV_NOT_ONLINE]	= "not_online",
	[CPU_OPV_CONTENDED]	= "contended",
	[CPU_OPV_FAULTED]	= "faulted",
	[CPU_OPV_KEPT]		= "kept",
	[CPU_OPV_BUFFERED]	= "buffered",
	[CPU_OPV_RESTARTED]	= "restarted",
	[CPU_OPV_DENIED]	= "denied",
};

static DEFINE_PER_CPU(unsigned long [NR_CPU_OPV_EVENTS], counts);

void cpu_opv_count(enum cpu_opv_event event)
{
	this_cpu_inc(counts[event]);
}

void cpu_opv_count_idle(int cpu)
{
	cpu_opv_count(cpu_online(cpu) ? CPU_OPV_IDLE : CPU_OPV_OFFLINE);
}

/* Not is_idle_task(), which is true for threads that inject idleness. */
void cpu_opv_count_idle_interrupted(void)
{
	if (current == idle_task(smp_processor_id()))
		cpu_opv_count(CPU_OPV_IDLE_BUSY);
}

static int stats_show(struct seq_file *m, void *v)
{
	unsigned long sum;
	int event, cpu;

	for (event = 0; event < NR_CPU_OPV_EVENTS; event++) {
		sum = 0;
		for_each_possible_cpu(cpu) {
			/* Others may count meanwhile. */
			sum += data_race(per_cpu(counts[event], cpu));
		}
		seq_printf(m, "%s %lu\n", names[event], sum);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int __init stats_init(void)
{
	debugfs_create_file("stats", 0400, debugfs_create_dir("cpu_opv", NULL),
			    NULL, &stats_fops);
	return 0;
}
fs_initcall(stats_init);
