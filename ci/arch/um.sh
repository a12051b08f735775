# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# User-mode Linux, which runs as a process and has no rseq: for KUnit alone

linux_arch=um
image=linux
build_lines=1800

# no qemu: the image is run itself
console=tty0
results=tty0
debian_arch=amd64
