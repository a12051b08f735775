# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 64-bit RISC-V

linux_arch=riscv
image=arch/riscv/boot/Image
build_lines=1400

qemu="qemu-system-riscv64"
qemu_package="qemu-system-misc"
qemu_args=(-machine virt)
console=ttyS0
virtio=device
boots=(
	"default"
	"svnapot	default_hugepagesz=64K	-cpu rv64,svnapot=true"
)

debian_arch=riscv64
debian_suite=trixie			# the first with it

# the C library cannot be linked to more than 1 MiB of code
export CARGO_PROFILE_DEV_OPT_LEVEL=1
abis=("riscv64	riscv64-linux-gnu-gcc	riscv64gc-unknown-linux-gnu	gcc-riscv64-linux-gnu libc6-dev-riscv64-cross")
