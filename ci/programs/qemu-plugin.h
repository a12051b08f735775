/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rig's plugins use of qemu-plugin.h, which Debian does not package, and the marks that programs set for them.
 *
 * PLUGIN_API is the version of QEMU's interface that it is built for: 1 (QEMU 7.2), 3 (9.1 to 10) or 7 (11.1).
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct qemu_info qemu_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
#if PLUGIN_API >= 7
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*)(struct qemu_plugin_tb *, void *), void *);
#else
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*)(uint64_t, struct qemu_plugin_tb *));
#endif
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned int, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned int, void *), int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned int, uint32_t, uint64_t, void *),
				      int, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
#if PLUGIN_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#endif
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
bool qemu_plugin_mem_is_store(uint32_t info);
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_CB_R_REGS = 1, QEMU_PLUGIN_MEM_RW = 3 };

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_API;

/* Each plugin has these. */
static void on_translated(struct qemu_plugin_tb *tb);
static bool begin(const char *file);

#if PLUGIN_API >= 7
static void on_translation(struct qemu_plugin_tb *tb, void *unused)
#else
static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
#endif
{
	on_translated(tb);
}

/* With out=FILE. */
__attribute__((visibility("default")))
int qemu_plugin_install(uint64_t id, const qemu_info *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4) || !begin(argv[0] + 4))
		return -1;
#if PLUGIN_API >= 7
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
#else
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
#endif
	return 0;
}

/* Puts the bytes of an instruction into code, and returns how many it has. */
static inline size_t insn_code(const struct qemu_plugin_insn *insn, unsigned char code[16])
{
	size_t size = qemu_plugin_insn_size(insn);

	memset(code, 0, 16);
#if PLUGIN_API >= 3
	qemu_plugin_insn_data(insn, code, 16);
#else
	memcpy(code, qemu_plugin_insn_data(insn), size);
#endif
	return size;
}

/* A mark is an instruction that does nothing, nopl 0x0b0e....(%rax). Its last 16 bits say what it is for. */
static inline bool is_mark(const unsigned char *code, size_t size)
{
	return size == 7 && !memcmp(code, "\x0f\x1f\x80", 3) && !memcmp(code + 5, "\x0e\x0b", 2);
}

static inline unsigned int mark_number(const unsigned char *code)
{
	return code[3] | code[4] << 8;
}

static inline bool in_kernel(uint64_t address)
{
	return address >> 63;
}
