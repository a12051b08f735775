# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# x86_64 with KASAN, UBSAN and what else finds mistakes in memory

# shellcheck source=x86_64.sh
. "$CI/arch/x86_64.sh"
configs=(x86_64)
test_configs+=(x86_64-kasan)
memory=2G
