# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 64-bit POWER, little-endian, with pages of 64 KiB, on each of its two kinds of page tables

linux_arch=powerpc
image=vmlinux
targets=vmlinux				# `all` wants more tools of the architecture
build_lines=1200

qemu="qemu-system-ppc64"
qemu_package="qemu-system-ppc"
# TCG has not the mitigations that the machine offers by default; huge pages on the hash MMU have to be asked for
qemu_args=(-machine "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-hpt-max-page-size=16m" -cpu power9)
console=hvc0
virtio=pci

# the same kernel is booted for each: name, what is added to its command line, arguments for QEMU
boots=(
	"radix	disable_radix=no"
	"hash	disable_radix=yes"
)
mmus=([radix]=Radix [hash]=Hash)

debian_arch=ppc64el

abis=("powerpc64le	powerpc64le-linux-gnu-gcc	powerpc64le-unknown-linux-gnu	gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross")
