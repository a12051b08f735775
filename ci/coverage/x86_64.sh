# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What make coverage has otherwise than ci/arch: a kernel that knows its lines, in a QEMU that knows what it ran.

build=coverage-$ARCH
fragments+=("$CI/coverage/$ARCH.config")
host_machine=''		# so never KVM
coverage=$CACHE/logs/$build
qemu_args+=(-plugin "$coverage/cover.so,out=$coverage/run")
