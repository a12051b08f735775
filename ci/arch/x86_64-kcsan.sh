# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# x86_64 with KCSAN, which finds data races in the C code; that in Rust is not instrumented

# shellcheck source=x86_64.sh
. "$CI/arch/x86_64.sh"
configs=(x86_64 x86_64-kcsan)
