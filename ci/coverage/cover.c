// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU plugin that writes down which instructions of the kernel were run: cover.so,out=FILE
 *
 * QEMU translates a block when it is first about to run, and there is no branch in a block. So each instruction that was
 * translated was run, unless one before it in its block trapped each time.
 */
#include <pthread.h>
#include <stdio.h>
#include "../programs/qemu-plugin.h"

static FILE *out;	/* exit() flushes it */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_translated(struct qemu_plugin_tb *tb)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i));

		if (in_kernel(address))
			fprintf(out, "%lx\n", address);
	}
	pthread_mutex_unlock(&lock);
}

static bool begin(const char *file)
{
	out = fopen(file, "w");
	return out;
}
