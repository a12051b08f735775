#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# slice_test in the way of rseq_v2_test.sh.

RSEQ_V2=1 GLIBC_TUNABLES=glibc.pthread.rseq=0 exec "$(dirname "$0")/slice_test"
