# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 32-bit PowerPC, big-endian

linux_arch=powerpc
image=vmlinux
targets=vmlinux				# `all` wants more tools of the architecture
build_lines=1000

qemu="qemu-system-ppc"
qemu_package="qemu-system-ppc"
qemu_args=(-machine ppce500 -cpu e500mc)
console=ttyS0
virtio=pci

debian_arch=-				# not released, so busybox has to be built
memory=512M
boots=("default	powersave=off")	# QEMU's e500mc does not wake up from its idle state

abis=("powerpc	powerpc-linux-gnu-gcc	powerpc-unknown-linux-gnu	gcc-powerpc-linux-gnu libc6-dev-powerpc-cross dpkg-dev")
