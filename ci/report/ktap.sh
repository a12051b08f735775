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

# Rows that did not get to run have no output, and so no plan: a failure.
report_rows() { # PREFIX PLAN OUT
	local name kind _ status file
	while IFS=$'\t' read -r name kind _; do
		file=$3/$name.out
		[ -f "$file" ] || { mkdir -p "${file%/*}" && echo "did not run" >"$file"; }
		status=$(awk -v name="$name" '$1 == name { print $2 }' "$3/status")
		case $kind:$status in
		libtest:*) group_libtest "$1$name" "${status:-none}" "$file" ;;
		ktap:4) group "$1$name" 0 <"$file" ;;	# kselftest's way to say that all was skipped
		*) group "$1$name" "${status:-none}" <"$file" ;;
		esac
	done <"$2"
}

# run_guest PREFIX PLAN OUT: the rows in a guest, each reported, and how it went.
run_guest() {
	check "$1guest runs to its end" "$CI/guest/start" run "$2" "$3" || true
	mkdir -p "$3" && touch "$3/status"	# nothing of it ran, perhaps
	check "$1guest's console has no kernel report" "$CI/report/console" "$3/console.log" || true
	report_rows "$@"
}

finish() {
	echo "KTAP version 1"
	echo "1..$cases"
	cat "$results"
}
