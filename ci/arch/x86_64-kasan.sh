# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# x86_64 with KASAN, UBSAN and what else finds mistakes in memory

# shellcheck source=x86_64.sh
. "$CI/arch/x86_64.sh"
configs=(x86_64)
test_configs+=(x86_64-kasan)
memory=2G
# With five levels of page tables KASAN takes an interrupt while the kernel looks what the CPU can do for a bad access: it
# asks the CPU's features, which are just being written, how far addresses go.
boots=("${boots[0]} no5lvl")
