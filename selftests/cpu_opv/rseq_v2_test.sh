#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The restartable sequences of rseq_test, registered by ../rseq/rseq.c instead
# of the C library: with all features of this kernel, which then treats them
# in another way (see rseq_v2() in include/linux/rseq.h). A kernel that has no
# other way skips.

RSEQ_V2=1 GLIBC_TUNABLES=glibc.pthread.rseq=0 exec "$(dirname "$0")/rseq_test"
