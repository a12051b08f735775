# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What ci/bench has otherwise than ci/arch: its own kernel, and guests in which the same happens each time.

build=bench-$ARCH
programs=$build
fragments=("$CI/bench/$ARCH.config")
build_lines=1500

# All CPUs take turns in one thread of QEMU. The guest's time is the number of its instructions, and when all CPUs
# sleep it goes on to the next event; its random numbers are always the same.
accel=tcg,thread=single
host_machine=''		# so never KVM
silence=600		# as its seconds are long
bench=$CACHE/logs/$build

# The same CPU with each QEMU, or QEMU does not start (enforce), as the kernel picks its code by what the CPU has: all
# that matters to the kernel in -cpu max of QEMU 7.2. So no FSRM, with which memcpy() would be one instruction, and no
# x2APIC.
cpu=qemu64,enforce,+erms,+fsgsbase,+la57,+popcnt,+rdrand,+rdtscp,+smap,+smep,+umip,+xsave,+xsaveopt
qemu_args=(-machine q35 -cpu "$cpu" -icount "shift=0,sleep=off" -rtc "clock=vm,base=2026-01-01" -seed 1
	-plugin "$bench/trace.so,out=$bench/${BOOT-}.trace")

# boots, by the argument of the program `calls`
boots=(
	"own	norandmaps	-smp 1"
	"other	norandmaps	-smp 2"
	"scale	norandmaps	-smp 8"
)
