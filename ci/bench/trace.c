// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU plugin (API 1) that writes down what runs between two marks: trace.so,out=FILE
 *
 * A mark is an instruction that does nothing, nopl 0x0b0e....(%rax). Its last 16 bits say what it is for: 0 ends the
 * recording, 1 begins it; another number is just recorded.
 *
 * A record is a word: an address in bits 0 to 47 and 63, the CPU in bits 48 to 51, what it is in bits 52 to 55. There
 * is one for each instruction in the kernel and each access to its memory. Those in user space are counted only, as
 * some just wait.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum kind { OTHER, CLI, STI, RETURN, LOCKED, LOAD, STORE, MARK, USER };

/* What is used of qemu-plugin.h, which Debian does not package. */
typedef struct qemu_info qemu_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned int, void *), int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned int, uint32_t, uint64_t, void *),
				      int, int, void *);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*)(uint64_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const unsigned char *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
bool qemu_plugin_mem_is_store(uint32_t info);
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_MEM_RW = 3 };

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static FILE *out;
static bool recording;

static uint64_t user[16];	/* instructions of a CPU in user space that have no record yet */

static uint64_t record(enum kind kind, uint64_t address)
{
	return (address & 0x8000ffffffffffff) | (uint64_t)kind << 52;
}

static bool in_kernel(uint64_t address)
{
	return address >> 63;
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

static void on_instruction(unsigned int cpu, void *record)
{
	if (!recording)
		return;
	if (!in_kernel((uint64_t)record)) {
		user[cpu]++;
		return;
	}
	write_user(cpu);
	write_record(cpu, (uint64_t)record);
}

static void on_access(unsigned int cpu, uint32_t info, uint64_t address, void *unused)
{
	if (recording && in_kernel(address))
		write_record(cpu, record(qemu_plugin_mem_is_store(info) ? STORE : LOAD, address));
}

static void on_mark(unsigned int cpu, void *record)
{
	for (unsigned int i = 0; i < 16; i++)
		write_user(i);
	recording = ((uint64_t)record & 0xffff) == 1;
	write_record(cpu, (uint64_t)record);
}

static enum kind kind_of(const unsigned char *code, size_t size)
{
	const unsigned char *opcode = code + (size > 1 && (code[0] & 0xf0) == 0x40);	/* after a REX prefix */

	if (size == 7 && !memcmp(code, "\x0f\x1f\x80", 3) && !memcmp(code + 5, "\x0e\x0b", 2))
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

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const unsigned char *code = qemu_plugin_insn_data(insn);
		enum kind kind = kind_of(code, qemu_plugin_insn_size(insn));
		uint64_t address = kind == MARK ? code[3] | code[4] << 8 : qemu_plugin_insn_vaddr(insn);

		qemu_plugin_register_vcpu_insn_exec_cb(insn, kind == MARK ? on_mark : on_instruction,
						       QEMU_PLUGIN_CB_NO_REGS, (void *)record(kind, address));
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
	}
}

static void on_end(uint64_t id, void *unused)
{
	fclose(out);
}

__attribute__((visibility("default")))
int qemu_plugin_install(uint64_t id, const qemu_info *info, int argc, char **argv)
{
	if (argc == 1 && !strncmp(argv[0], "out=", 4))
		out = fopen(argv[0] + 4, "wb");
	if (!out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
