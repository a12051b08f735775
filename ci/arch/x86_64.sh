# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# x86_64, with i386 programs beside the 64-bit ones

linux_arch=x86_64			# ARCH= of the kernel build
test_configs=(x86_64-test)		# ... more of it for tests, and for `make boot`
boot_configs=(x86_64-boot)
image=arch/x86/boot/bzImage		# what is booted, in the build directory
build_lines=1700			# about what a full build prints, for the progress display

qemu="qemu-system-x86_64"
qemu_package="qemu-system-x86"
qemu_args=(-machine q35 -cpu max)
host_machine=x86_64			# on such a host programs run as they are, and KVM may do, ...
kvm_args=(-machine q35 -cpu host)	# ... with these instead
console=ttyS0
virtio=pci				# virtio-serial-$virtio, for the results
# pages can move to another node, and a CPU has no tick; nor may the timer be late on a busy host
boots=("default	numa=fake=2 no_timer_check nohz_full=3")
nodes=2

debian_arch=amd64			# whose busybox the guest runs

# user ABIs that programs are built for: name, C compiler, Rust target, packages of these
abis=(
	"x86_64	gcc		x86_64-unknown-linux-gnu	gcc libc6-dev"
	"i686	gcc -m32	i686-unknown-linux-gnu	lib32gcc-@gcc@-dev libc6-dev-i386"
)
