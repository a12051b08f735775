#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs param_percpu_op_test for each use with each disturbance: a moment each,
# or CPU_OPV_SECONDS for all of it, and then with more disturbances. Options are
# passed on ("-t 16").

die()
{
	echo "$0: $1" >&2
	exit 1
}

DIR="$(dirname "$(readlink -f "$0")")"
[ -r "$DIR"/../kselftest/ktap_helpers.sh ] || die "there is no ktap_helpers.sh"
. "$DIR"/../kselftest/ktap_helpers.sh

case "${CPU_OPV_SECONDS:-0}" in
*[!0-9]*) die "CPU_OPV_SECONDS=$CPU_OPV_SECONDS is no whole number" ;;
esac

USES="spinlock counter list buffer memcpy ring"

# Options, and what they stand for.
DISTURBANCES=":undisturbed
-m:release stores
-o:by cpu_opv only
-y:yields
-s 500:signals
-d 20000:delays
-d 5000 -y -s 1000 -m:delays, yields and signals
-k:kills
-k -d 5000 -y -s 1000:kills, delays, yields and signals"

LONG_DISTURBANCES="-t 1:one thread
-t 16:16 threads
-o -k:by cpu_opv only, kills
-d 50000 -p 1:delays before the start
-d 50000 -p 2:delays before the CPU is compared
-d 50000 -p 3:delays after the CPU is compared
-d 50000 -p 4:delays after the first comparison
-d 50000 -p 5:delays before the last store
-d 50000 -p 6:delays after the last store"

if [ -n "${CPU_OPV_SECONDS:-}" ]; then
	DISTURBANCES="$DISTURBANCES
$LONG_DISTURBANCES"
	REGISTRATIONS="libc own"
else
	REGISTRATIONS="libc"
fi

# Who registers restartable sequences: the C library, or ../rseq/rseq.c, for
# which see rseq_v2_test.sh.
LIBC_TUNABLES="${GLIBC_TUNABLES:-}"
set_registration() # libc|own
{
	export GLIBC_TUNABLES="$LIBC_TUNABLES"
	[ "$1" = libc ] ||
		GLIBC_TUNABLES="${LIBC_TUNABLES:+$LIBC_TUNABLES:}glibc.pthread.rseq=0"
}

run() # DESCRIPTION OPTION...
{
	local description="$1"
	shift

	"$DIR"/param_percpu_op_test "$@"
	case $? in
	"$KSFT_PASS") ktap_test_pass "$description" ;;
	"$KSFT_SKIP") ktap_test_skip "$description" ;;
	*) ktap_test_fail "$description" ;;
	esac
}

run_disturbances() # REGISTRATION USE OPTION...
{
	local registration="$1" use="$2" options disturbance
	shift 2

	while IFS=: read -r options disturbance; do
		# shellcheck disable=SC2086 # options are words
		run "$use: $disturbance (rseq of $registration)" \
			-u "$use" $options "$@" </dev/null
	done <<-END
		$DISTURBANCES
	END
}

rows=$(($(echo "$REGISTRATIONS" | wc -w) * $(echo "$USES" | wc -w) *
	$(echo "$DISTURBANCES" | wc -l)))

# Each row gets its share.
if [ -n "${CPU_OPV_SECONDS:-}" ]; then
	msec=$((CPU_OPV_SECONDS * 1000 / rows))
	CPU_OPV_SECONDS=$((msec / 1000)).$(printf %03d $((msec % 1000)))
fi

ktap_print_header
ktap_set_plan "$rows"
for registration in $REGISTRATIONS; do
	set_registration "$registration"
	for use in $USES; do
		run_disturbances "$registration" "$use" "$@"
	done
done
ktap_finished
