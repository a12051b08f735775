# shellcheck shell=bash
# LoongArch: only compiled, as Debian 12 has no cross compiler for its programs

linux_arch=loongarch
image=vmlinux
build_lines=2200

boots=()
