/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Three callers, on three CPUs, each for the CPU of the next: none waits for ever. Each CPU is idle while its caller
 * sleeps in a page fault.
 */
#define CPUS	3
#define NEXT(cpu)	((cpu + 1) % CPUS)

bool sleeps[CPUS];
bool irqs_off[CPUS];
bool rq_locked[CPUS];

proctype Caller(byte cpu) {
	bool idle_way;

	/* a page fault: schedule() locks the runqueue, with interrupts disabled */
	if
	:: true
	:: atomic { !irqs_off[cpu] && !rq_locked[cpu] -> sleeps[cpu] = true; printf("CPU %d: idle\n", cpu) }
	   atomic { !irqs_off[cpu] && !rq_locked[cpu] -> sleeps[cpu] = false; printf("CPU %d: its caller is back\n", cpu) }
	fi;

	atomic { !irqs_off[cpu] -> idle_way = sleeps[NEXT(cpu)] };
	if
	:: idle_way ->
		/* task_call_func() disables interrupts, then waits for the lock */
		atomic { !irqs_off[cpu] -> irqs_off[cpu] = true };
		atomic {
			!rq_locked[NEXT(cpu)] -> rq_locked[NEXT(cpu)] = true;
			printf("CPU %d: locks the runqueue of %d\n", cpu, NEXT(cpu))
		};
		atomic { idle_way = sleeps[NEXT(cpu)]; rq_locked[NEXT(cpu)] = false; irqs_off[cpu] = false }
	:: else
	fi;
	if
	:: idle_way	/* the vector was run */
	:: else ->
#ifdef WAIT_WITH_IRQS_OFF
		atomic { !irqs_off[cpu] -> irqs_off[cpu] = true };
#endif
		atomic { printf("CPU %d: interrupts %d and waits\n", cpu, NEXT(cpu)) };
		atomic { !irqs_off[NEXT(cpu)] -> irqs_off[NEXT(cpu)] = true };
		atomic { irqs_off[NEXT(cpu)] = false; printf("CPU %d: handled the interrupt\n", NEXT(cpu)) }
#ifdef WAIT_WITH_IRQS_OFF
		irqs_off[cpu] = false
#endif
	fi
}

init {
	atomic { run Caller(0); run Caller(1); run Caller(2) }
}
