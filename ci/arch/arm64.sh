# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 64-bit ARM, with 32-bit programs beside the 64-bit ones

linux_arch=arm64
image=arch/arm64/boot/Image
build_lines=1400

qemu="qemu-system-aarch64"
qemu_package="qemu-system-arm"
qemu_args=(-machine virt -cpu "max,pauth-impdef=on")	# pointer authentication by QARMA would take TCG half its time
console=ttyAMA0
virtio=device

debian_arch=arm64

# the fifth column: ARCH= of the ABI's kernel headers, where that is another
abis=(
	"aarch64	aarch64-linux-gnu-gcc	aarch64-unknown-linux-gnu	gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
	"armv7	arm-linux-gnueabihf-gcc	armv7-unknown-linux-gnueabihf	gcc-arm-linux-gnueabihf libc6-dev-armhf-cross	arm"
)
