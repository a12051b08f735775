# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# LoongArch: only compiled, as Debian 12 has neither firmware for its QEMU nor a cross compiler for its programs

linux_arch=loongarch
image=vmlinux
build_lines=2200

boots=()
