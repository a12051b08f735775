# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 64-bit s390, big-endian

linux_arch=s390
image=arch/s390/boot/bzImage
build_lines=1200

qemu="qemu-system-s390x"
qemu_package="qemu-system-misc"
qemu_args=(-machine s390-ccw-virtio -cpu max)
accel=tcg,thread=single			# QEMU, 10.0 too, may hang when a CPU comes online while another flushes its TLB
console=ttysclp0
virtio=ccw

debian_arch=s390x

abis=("s390x	s390x-linux-gnu-gcc	s390x-unknown-linux-gnu	gcc-s390x-linux-gnu libc6-dev-s390x-cross")
