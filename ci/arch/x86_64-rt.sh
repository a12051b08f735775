# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# x86_64 with CONFIG_PREEMPT_RT

# shellcheck source=x86_64.sh
. "$CI/arch/x86_64.sh"
configs=(x86_64 x86_64-rt)
# of KUnit, cpu_opv_* and user_*: a test of 7.3.4 itself takes SpinLockIrq to disable interrupts
boots=("default	numa=fake=2 no_timer_check nohz_full=3 isolcpus=3 kunit.filter_glob=[cu]*")
