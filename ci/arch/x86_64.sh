# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# x86_64, with i386 programs beside the 64-bit ones

linux_arch=x86_64			# ARCH= of the kernel build
image=arch/x86/boot/bzImage		# what is booted, in the build directory
build_lines=2800			# about what a full build prints, for the progress display

qemu="qemu-system-x86_64"
qemu_args=(-machine q35 -cpu max)
host_machine=x86_64			# on such a host programs run as they are, and KVM may do, ...
kvm_args=(-machine q35 -cpu host)	# ... with these instead
console=ttyS0
virtio=pci				# virtio-serial-$virtio, for the results
boots=("default	numa=fake=2")		# pages can move to another node

debian_arch=amd64			# whose busybox the guest runs
packages=(qemu-system-x86)

# user ABIs that programs are built for: name, C compiler, Rust target
abis=(
	"x86_64	gcc		x86_64-unknown-linux-gnu"
	"i686	gcc -m32	i686-unknown-linux-gnu"
)
