# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What a check is written with. It prints KTAP on stdout at its end, when the number of its cases is known.

# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

log_of() { printf '%s/%s.log' "$LOGS/$(basename "$0")" "${1//[^A-Za-z0-9._-]/_}"; }

cases=0
results=$LOGS/$(basename "$0").results
mkdir -p "$LOGS"
: >"$results"

# report STATUS NAME: one result. Whatever is on stdin is what there is to say of it.
report() {
	cases=$((cases + 1))
	sed 's/^/# /' >>"$results"
	if [ "$1" = 0 ]; then echo "ok $cases $2"; else echo "not ok $cases $2"; fi >>"$results"
}

# check NAME CMD...: the case passes if the command does.
check() {
	local name=$1 log status=0
	shift
	log=$(log_of "$name")
	watched "$name" "$log" "$@" || status=$?
	if [ $status = 0 ]; then : >"$log.end"; else { tail -n 60 "$log"; echo "(all of it: $log)"; } >"$log.end"; fi
	report $status "$name" <"$log.end"
	return $status
}

# group NAME STATUS <KTAP: the output of a program is a group of cases, which fails with the program.
# (Not at the end of a pipe, where a shell of its own would count.)
group() {
	cases=$((cases + 1))
	{
		echo "KTAP version 1"
		echo "# Subtest: $1"
		awk '!headed && /^K?TAP version / { headed = 1; next } { print }'
		if [ "$2" = 0 ]; then echo "ok $cases $1"; else echo "# exit status $2"; echo "not ok $cases $1"; fi
	} >>"$results"
}

# group_libtest NAME STATUS FILE: the same for one of Rust's test programs; `running N tests` is its plan.
group_libtest() {
	if [ "$2" = 0 ] && grep -q '^running 0 tests' "$3"; then return; fi
	group "$1" "$2" < <(awk '
		/^running [0-9]+ tests?$/ { print "1.." $2; n = 0; next }
		/^test .* \.\.\. (ok|FAILED|ignored.*)$/ {
			name = $0; sub(/^test /, "", name); sub(/ \.\.\. .*$/, "", name)
			verdict = $0; sub(/^.* \.\.\. /, "", verdict)
			print (verdict == "FAILED" ? "not ok " : "ok ") ++n " " name (verdict ~ /^ignored/ ? " # SKIP " verdict : "")
			next
		}
		{ print "# " $0 }' "$3")
}

finish() {
	echo "KTAP version 1"
	echo "1..$cases"
	cat "$results"
}
