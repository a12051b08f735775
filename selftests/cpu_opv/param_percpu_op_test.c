// SPDX-License-Identifier: GPL-2.0
/*
 * Stress for the structures of percpu_uses.h, with parameters: see show_usage().
 * run_param_test.sh runs the matrix.
 *
 * Threads of one or more processes work on the structures of all CPUs in
 * shared memory, mostly on those of their own CPU. In the end each operation
 * and each item is accounted for, but for those that were killed in between.
 */
#include <sys/wait.h>

#include "param_uses.h"

#define RUN_USEC	50000
#define HANG_SEC	60	/* more than that: something hangs */

static bool kills;

static void set_up(void)
{
	int n;

	for (n = 0; n < nr; n++)
		memset(&shared->of_cpu[cpus[n]], 0, sizeof(*shared->of_cpu));
	memset(shared->item, 0, sizeof(shared->item));
	memset(shared->tally, 0, sizeof(shared->tally));
	shared->stop = false;
	for (n = 0; use->push && n < PERCPU_ITEMS; n++) {
		shared->item[n].node.item = n;
		give(cpus[n % nr], n);
	}
}

static pid_t start(int process)
{
	pid_t pid = fork_endless();

	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (!pid)
		run_threads(shared->tally[process]);
	return pid;
}

static struct tally total(struct tally *tallies, int n)
{
	struct tally sum = {};

	while (n--) {
		sum.done += tallies[n].done;
		sum.signals += tallies[n].signals;
		sum.aborts += tallies[n].aborts;
		sum.calls += tallies[n].calls;
	}
	return sum;
}

/* Ends the count that a dead process had begun, and lets go of its locks. */
static void recover_locks(pid_t dead)
{
	struct percpu *p;
	int n;

	for (n = 0; n < nr; n++) {
		p = &shared->of_cpu[cpus[n]];
		if (percpu_read(&p->lock) != dead)
			continue;
		if (p->before != p->after && p->before != p->after + 1)
			fail("others counted under a lock that was held");
		p->after = p->before;
		if (percpu_cmpeqv_storev(CPU_OP_MO_RELEASE, &p->lock, dead, 0,
					 cpus[n]))
			fail("a lock changed that was held by the dead");
	}
}

/* In the middle of what it does, and starts another in its place. */
static void kill_and_replace(pid_t *pid, int process)
{
	struct tally *tallies = shared->tally[process];
	unsigned long done = total(tallies, nr_threads).done;
	long long give_up = now_usec() + 1000000;
	int status;

	while (total(tallies, nr_threads).done == done &&
	       now_usec() < give_up)
		usleep(100);
	usleep(rand_r(&seed) % 3000);
	if (kill(*pid, SIGKILL) || waitpid(*pid, &status, 0) != *pid ||
	    !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("a process ended before it was killed");
	recover_locks(*pid);
	*pid = start(process);
}

/* At most that many operations or items are not accounted for. */
static void verify(const struct tally *sum, unsigned long nr_killed)
{
	unsigned long counted = 0, signals = 0;
	struct percpu *p;
	intptr_t item;
	int n, found = 0;

	for (n = 0; n < nr; n++) {
		p = &shared->of_cpu[cpus[n]];
		if (p->lock || p->before != p->after)
			fail("a lock is held, or others counted under it");
		if (use->count)
			counted += *(intptr_t *)((char *)p + use->counter);
		signals += p->signals;
		while (use->pop && !take(cpus[n], &item))
			found++;
	}
	if (use->count && counted - sum->done > nr_killed)
		fail("%lu done, %lu counted", sum->done, counted);
	if (use->pop && found + nr_killed < PERCPU_ITEMS)
		fail("%d of %d items found", found, PERCPU_ITEMS);
	if (signals - sum->signals > nr_killed)
		fail("%lu signals handled, %lu counted", sum->signals, signals);
}

static struct tally total_of_all(void)
{
	return total(&shared->tally[0][0], MAX_PROCESSES * MAX_THREADS);
}

/* Until time is over, but not before something was done. */
static bool is_to_go_on(long long end, unsigned long nr_killed)
{
	if (shared->stop || nr_killed >= PERCPU_ITEMS / 2)
		return false;
	return now_usec() < end || !total_of_all().done;
}

/* Kills no more than what leaves half of the items. Returns what was done. */
static struct tally run(long long end, unsigned long *nr_killed)
{
	pid_t pid[MAX_PROCESSES];
	struct tally sum;
	int n, status;

	set_up();
	for (n = 0; n < nr_processes; n++)
		pid[n] = start(n);
	for (*nr_killed = 0; is_to_go_on(end, *nr_killed);) {
		usleep(1000);
		if (!kills)
			continue;
		n = rand_r(&seed) % nr_processes;
		kill_and_replace(&pid[n], n);
		*nr_killed += nr_threads;
	}
	shared->stop = true;
	for (n = 0; n < nr_processes; n++) {
		if (waitpid(pid[n], &status, 0) != pid[n] || status)
			fail("a process ended with status %x", status);
	}
	sum = total_of_all();
	verify(&sum, *nr_killed);
	return sum;
}

static __noreturn void show_usage(void)
{
	size_t n;

	printf("usage: %s -u USE [OPTION]...\n"
	       "-t THREADS      of each process, at most %d\n"
	       "-d TURNS        delay in the sequences,\n"
	       "-p POINT        at this point, 1 to %d, else at all\n"
	       "-y              yield between the steps\n"
	       "-s USEC         signals, so often\n"
	       "-k              kill one of %d processes, again and again\n"
	       "-m              last stores are release stores\n"
	       "-o              by cpu_opv(2) only\n"
	       "USE is one of:", program_invocation_short_name, MAX_THREADS,
	       RSEQ_DELAYS - 1, MAX_PROCESSES);
	for (n = 0; n < ARRAY_SIZE(uses); n++)
		printf(" %s", uses[n].name);
	printf("\n");
	exit(KSFT_FAIL);
}

static void parse(int argc, char **argv)
{
	int option, point = 0, turns = 0;
	size_t n;

	while ((option = getopt(argc, argv, "u:t:d:p:ys:kmo")) != -1) {
		switch (option) {
		case 'u':
			for (n = 0; n < ARRAY_SIZE(uses); n++) {
				if (!strcmp(optarg, uses[n].name))
					use = &uses[n];
			}
			break;
		case 't':
			nr_threads = atoi(optarg);
			break;
		case 'd':
			turns = atoi(optarg);
			break;
		case 'p':
			point = atoi(optarg);
			break;
		case 'y':
			yields = true;
			break;
		case 's':
			signal_usec = atoi(optarg);
			break;
		case 'k':
			kills = true;
			nr_processes = MAX_PROCESSES;
			break;
		case 'm':
			mo = CPU_OP_MO_RELEASE;
			break;
		case 'o':
			percpu_op_attempts = 0;
			break;
		default:
			show_usage();
		}
	}
	if (!use || optind != argc || nr_threads < 1 ||
	    nr_threads > MAX_THREADS || point < 0 || point >= RSEQ_DELAYS ||
	    signal_usec > 999999)
		show_usage();
	for (n = 1; n < RSEQ_DELAYS; n++)
		rseq_delay[n] = !point || point == n ? turns : 0;
}

static __noreturn void skip(const char *why)
{
	printf("# SKIP %s\n", why);
	exit(KSFT_SKIP);
}

int main(int argc, char **argv)
{
	struct tally sum, all = {};
	unsigned long nr_killed, all_killed = 0;
	long long end;

	nr = nr_cpus();
	nr_threads = nr + 1 < MAX_THREADS ? nr + 1 : MAX_THREADS;
	parse(argc, argv);
	if (!cpu_opv_available())
		skip(CPU_OPV_ABSENT);
	if (kills && use->is_blocking)
		skip("who is killed in the middle blocks it");
#ifdef RSEQ_NO_DELAYS
	if (rseq_delay[RSEQ_DELAYS - 1])
		skip("no delays are written for this architecture");
#endif
	for (nr = 0; (cpus[nr] = nth_cpu(nr)) >= 0; nr++)
		;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	rseq_register_current_thread();
	seed = getpid();

	end = now_usec() + run_usec(RUN_USEC);
	alarm(run_usec(RUN_USEC) / 1000000 + HANG_SEC);
	do {
		sum = run(end, &nr_killed);
		all.done += sum.done;
		all.signals += sum.signals;
		all.aborts += sum.aborts;
		all.calls += sum.calls;
		all_killed += nr_killed;
	} while (now_usec() < end);
	printf("# %s: %lu operations, %lu calls of cpu_opv(2), %lu aborts, ",
	       use->name, all.done, all.calls, all.aborts);
	printf("%lu signals, %lu threads killed\n", all.signals, all_killed);
	if (!all.done)
		fail("nothing was done");
	return KSFT_PASS;
}
