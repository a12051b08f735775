# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 32-bit ARM v7 with the classic page tables of two levels, and memory beyond what the kernel maps (HIGHMEM)

linux_arch=arm
image=arch/arm/boot/zImage
build_lines=1200

qemu="qemu-system-arm"
qemu_package="qemu-system-arm"
qemu_args=(-machine virt -cpu cortex-a15)
console=ttyAMA0
virtio=device

debian_arch=armhf

abis=("armv7	arm-linux-gnueabihf-gcc	armv7-unknown-linux-gnueabihf	gcc-arm-linux-gnueabihf libc6-dev-armhf-cross")
