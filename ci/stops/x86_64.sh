# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What make stops has otherwise than ci/arch: guests of QEMU with a plugin, which can stop one CPU while others run.

programs=stops-$ARCH
host_machine=''		# so never KVM
accel=tcg,thread=multi,one-insn-per-tb=on
silence=600
row_limit=7200
limit=14400
stops=$CACHE/logs/$programs
qemu_args+=(-plugin "$stops/stop.so,out=$stops/points")
