// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU plugin that writes down what runs between two marks: trace.so,out=FILE
 *
 * Of the marks, 0 ends the recording and 1 begins it; another number is just recorded.
 *
 * A record is a word: an address in bits 0 to 47 and 63, the CPU in bits 48 to 51, what it is in bits 52 to 55. There
 * is one for each instruction in the kernel and each access to its memory. Those in user space are counted only, as
 * some just wait. An instruction with a rep prefix is one, however often it repeats, and QEMU calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include "../programs/qemu-plugin.h"

enum kind { OTHER, CLI, STI, RETURN, LOCKED, LOAD, STORE, MARK, USER };

#define CPUS 16

static FILE *out;	/* exit() flushes it */
static bool recording;
static unsigned int current;	/* the CPU that runs */

static uint64_t user[CPUS];	/* instructions of a CPU in user space that have no record yet */
static uint64_t last[CPUS];	/* the instruction that a CPU ran last */

#if PLUGIN_API >= 3
/* Arrays of GLib, which QEMU brings. */
struct array {
	char *data;
	unsigned int len;
};
unsigned int g_array_get_element_size(struct array *);
struct array *g_byte_array_new(void);
struct array *g_byte_array_set_size(struct array *, unsigned int);

struct qemu_plugin_register;
struct descriptor {
	struct qemu_plugin_register *handle;
	const char *name;
	/* and more */
};
struct array *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(struct qemu_plugin_register *, struct array *);

static uint64_t read_register(const char *name, struct qemu_plugin_register **handle)
{
	static struct array *bytes;
	uint64_t value;

	if (!*handle) {
		struct array *all = qemu_plugin_get_registers();

		for (unsigned int i = 0; i < all->len; i++) {
			struct descriptor *one = (void *)(all->data + i * g_array_get_element_size(all));

			if (!strcmp(one->name, name))
				*handle = one->handle;
		}
	}
	bytes = bytes ? g_byte_array_set_size(bytes, 0) : g_byte_array_new();
	if (*handle)
		qemu_plugin_read_register(*handle, bytes);
	if (bytes->len != sizeof(value)) {
		fprintf(stderr, "this QEMU does not tell what %s is\n", name);
		exit(1);
	}
	memcpy(&value, bytes->data, sizeof(value));
	return value;
}

/*
 * Where all CPUs run in one thread, QEMU 10 names the CPU that a block was translated for, whichever runs it. So CPUs
 * are told by where the kernel has their data. In the kernel that is GS's base; in user space it is what SWAPGS will
 * bring back, and GS's base is 0, as no program in the guest sets it. So at each instruction one of the two is it, and
 * the other is 0 or the same. The first CPU that runs a mark is CPU 0.
 */
static unsigned int running_cpu(unsigned int named)
{
	static struct qemu_plugin_register *gs_base, *kernel_gs_base;
	static uint64_t bases[CPUS];
	uint64_t base = read_register("gs_base", &gs_base) | read_register("k_gs_base", &kernel_gs_base);
	unsigned int cpu = 0;

	while (cpu < CPUS && bases[cpu] && bases[cpu] != base)
		cpu++;
	if (!base || cpu == CPUS) {
		fprintf(stderr, "GS's base does not tell which CPU this is\n");
		exit(1);
	}
	bases[cpu] = base;
	return cpu;
}
#else
static unsigned int running_cpu(unsigned int named)
{
	return named;
}
#endif

static uint64_t record(enum kind kind, uint64_t address)
{
	return (address & 0x8000ffffffffffff) | (uint64_t)kind << 52;
}

static void write_record(unsigned int cpu, uint64_t record)
{
	record |= (uint64_t)cpu << 48;
	fwrite(&record, sizeof(record), 1, out);
}

static void write_user(unsigned int cpu)
{
	if (user[cpu])
		write_record(cpu, record(USER, user[cpu]));
	user[cpu] = 0;
}

/* CPUs take turns between blocks, never in one, so this is often enough. */
static void on_block(unsigned int cpu, void *unused)
{
	if (recording)
		current = running_cpu(cpu);
}

static void on_instruction(unsigned int cpu, void *record)
{
	if (!recording)
		return;
	last[current] = (uint64_t)record;
	if (!in_kernel((uint64_t)record)) {
		user[current]++;
		return;
	}
	write_user(current);
	write_record(current, (uint64_t)record);
}

static void on_repeated(unsigned int cpu, void *record)
{
	if (last[current] != (uint64_t)record)
		on_instruction(cpu, record);
}

static void on_access(unsigned int cpu, uint32_t info, uint64_t address, void *unused)
{
	if (recording && in_kernel(address))
		write_record(current, record(qemu_plugin_mem_is_store(info) ? STORE : LOAD, address));
}

static void on_mark(unsigned int cpu, void *record)
{
	current = running_cpu(cpu);
	for (unsigned int i = 0; i < CPUS; i++) {
		write_user(i);
		last[i] = 0;
	}
	recording = ((uint64_t)record & 0xffff) == 1;
	write_record(current, (uint64_t)record);
}

static enum kind kind_of(const unsigned char *code, size_t size)
{
	const unsigned char *opcode = code + (size > 1 && (code[0] & 0xf0) == 0x40);	/* after a REX prefix */

	if (is_mark(code, size))
		return MARK;
	if (size == 1 && code[0] == 0xfa)
		return CLI;
	if (size == 1 && code[0] == 0xfb)
		return STI;
	if (opcode[0] == 0xcf || (size == 3 && opcode[0] == 0x0f && opcode[1] == 0x07))	/* iretq, sysretq */
		return RETURN;
	if (code[0] == 0xf0 || ((opcode[0] & 0xfe) == 0x86 && opcode[1] < 0xc0))	/* lock, xchg with memory */
		return LOCKED;
	return OTHER;
}

static bool is_repeated(const unsigned char *code)
{
	const unsigned char *opcode = code + 1 + ((code[1] & 0xf0) == 0x40);	/* after a REX prefix */

	return (code[0] & 0xfe) == 0xf2 && (*opcode & 0xf0) == 0xa0;	/* repne, rep; movs, cmps, stos, lods, scas */
}

static void on_translated(struct qemu_plugin_tb *tb)
{
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_R_REGS, NULL);
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned char code[16];
		size_t size = insn_code(insn, code);
		enum kind kind = kind_of(code, size);
		uint64_t address = kind == MARK ? mark_number(code) : qemu_plugin_insn_vaddr(insn);
		void *what = (void *)record(kind, address);

		if (kind == MARK)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_R_REGS, what);
		else
			qemu_plugin_register_vcpu_insn_exec_cb(insn, is_repeated(code) ? on_repeated : on_instruction,
							       QEMU_PLUGIN_CB_NO_REGS, what);
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
	}
}

static bool begin(const char *file)
{
	out = fopen(file, "wb");
	return out;
}
