# shellcheck shell=bash
# x86_64 with CONFIG_PREEMPT_RT

# shellcheck source=x86_64.sh
. "$CI/arch/x86_64.sh"
configs=(x86_64 x86_64-rt)
