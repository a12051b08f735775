# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# LoongArch

linux_arch=loongarch
image=vmlinux
build_lines=2200

qemu="qemu-system-loongarch64"
qemu_package="qemu-system-misc"
qemu_args=(-machine virt -cpu max)
console=ttyS0
virtio=pci
# The oldest that was seen to boot a kernel without firmware.
if qemu_is_older_than 10; then boots=() no_boots="needs QEMU 10"; fi

debian_arch=loong64
debian_suite=forky			# the first with it

# Not every Debian has a cross compiler, but the kernel's will do.
sysroot=$CACHE/sysroot-loong64
sysroot_packages=(libc6-dev libgcc-16-dev linux-libc-dev)
abis=("loongarch64	clang-$LLVM --target=loongarch64-linux-gnu --sysroot=$sysroot -fuse-ld=lld-$LLVM	loongarch64-unknown-linux-gnu")
