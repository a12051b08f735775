# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the scripts share: paths, messages, long commands. Sourced first by each of them.

set -euo pipefail
shopt -s inherit_errexit

# The first script starts over with nothing of the caller's environment but what is the user's to say, and what leads to
# programs, files and the network: a CFLAGS or KBUILD_ something is not for our builds.
# A script dies with the one that started it, so ending any of them ends all that it started.
if [ "${CPU_OPV_TIED-}" != $$ ]; then
	clean=(env)
	if [ -z "${CPU_OPV_TIED-}" ]; then
		HOME=${HOME:-~}
		clean=(env -i "HOME=$HOME")
		for name in $(compgen -e | grep -xE -e 'ARCH|BOOT|KDIR|KERNEL|NATIVE|CPU_OPV_CACHE' \
			-e 'PATH|TERM|USER|LOGNAME|TMPDIR|DISPLAY|XAUTHORITY|SSH_AUTH_SOCK|SUDO_ASKPASS|XDG_(CACHE|CONFIG|DATA)_HOME' \
			-e '([a-z]+_proxy|[A-Z]+_PROXY)|(SSL|CURL|REQUESTS)_[A-Z_]+|CARGO_HOME|(CARGO_(HTTP|NET|REGISTRIES|SOURCE)|RUSTUP)_.*'); do
			clean+=("$name=${!name}")
		done
	fi
	exec "${clean[@]}" "CPU_OPV_TIED=$$" setpriv --pdeathsig TERM -- "$BASH" "$0" "$@"
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CI=$ROOT/ci
export LC_ALL=C.UTF-8

# Nor are the user's settings of git for what it does here, which may be in a directory of somebody else's.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
	GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

say() { printf '%s\n' "$*" >&2; }
die() { say "cpu_opv: $*"; exit 1; }

# Not every shell expands what make is given, and other scripts may be somewhere else.
absolute() { # PATH
	local path=$1
	case $path in \~ | \~/*) path=$HOME${path:1} ;; [!/]*) path=$PWD/$path ;; esac
	path=${path%/}
	echo "${path:-/}"
}

# Names of the files of a kind, for tables and messages: names_of DIR SUFFIX
names_of() { (cd "$1" && for f in *"$2"; do printf '%s ' "${f%"$2"}"; done); }

# shellcheck source=versions
. "$CI/versions"

[[ $HOME = /* ]] || die "HOME is '$HOME', not the path of your directory"
CACHE=$(absolute "${CPU_OPV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cpu-opv}")
[[ $CACHE != *[!/[:alnum:]._+@=~-]* ]] ||
	die "the cache $CACHE has a character in its path that make or QEMU takes for something else; set CPU_OPV_CACHE"
mkdir -p "$CACHE" 2>/dev/null || die "cannot make $CACHE; set CPU_OPV_CACHE to a directory that you may write"
export CPU_OPV_CACHE=$CACHE
# What is built replaces what is there, and make clean removes it: so it has to be ours, which this file says.
[ -z "$(ls -A "$CACHE")" ] || [ -e "$CACHE/lock" ] ||
	die "the cache $CACHE has other files in it; set CPU_OPV_CACHE to a new or an empty directory"
{ : >>"$CACHE/lock"; } 2>/dev/null || die "you may not write in the cache $CACHE; set CPU_OPV_CACHE to a directory that you may write"

# Debian's tools before those of rustup or pyenv.
PATH=$CACHE/tools/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH

# Whether a VERSION is there, and not older than another.
at_least() { # VERSION OLDEST
	[ -n "$1" ] && [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

qemu_version() { # PROGRAM
	"$1" --version 2>/dev/null | sed -nE '1s/.* version ([0-9.]+).*/\1/p'
}

# Of the architecture that is loaded. One that has yet to be installed is not.
qemu_is_older_than() { # VERSION
	command -v "$qemu" >/dev/null && ! at_least "$(qemu_version "$qemu")" "$1"
}

# What ci/arch says of an architecture, and what it need not say.
load_architecture() { # NAME
	configs=("$1") test_configs=() boot_configs=() targets=all
	qemu='' qemu_package='' host_machine='' console='' results=vport0p1 memory=1G debian_suite=- boots=(default) abis=()
	accel=tcg,thread=multi build=$1 silence=60 nodes=1
	declare -gA mmus=()	# by boot
	sysroot='' sysroot_packages=() no_boots='' row_limit='' limit=''
	# shellcheck source=arch/x86_64.sh
	. "$CI/arch/$1.sh"
	programs=${configs[0]}		# those of its variants are the same
}

ARCH=${ARCH:-x86_64}
[[ $ARCH != *[[:space:]]* ]] || die "this does one architecture at a time, not '$ARCH'"
[ -f "$CI/arch/$ARCH.sh" ] || die "no architecture '$ARCH' here; there is: $(names_of "$CI/arch" .sh)"
load_architecture "$ARCH"

# What the kernel is for: "test", with all that the tests look at and debugging; "faults", to be broken; "coverage", knowing
# its lines; "boot", for a shell, without debugging; "stops", the same, to be stopped at each instruction; "demo", with what
# one program needs; "bench"; "reproducer", without the series; "stock", which is none of ours. The last word is the
# architecture's, which so takes back what it has not.
fragments=("$CI/kernel/base.config")
case ${CPU_OPV_FOR:=test} in
test | faults | coverage)
	fragments+=("$CI/kernel/test.config" "$CI/kernel/debug.config" "$ROOT/selftests/cpu_opv/config")
	configs=("${test_configs[@]}" "${configs[@]}")
	[ "$CPU_OPV_FOR" != faults ] || fragments+=("$CI/kernel/faults.config")
	[ "$CPU_OPV_FOR" = test ] || build=$CPU_OPV_FOR-$ARCH ;;
boot | stops)
	fragments+=("$CI/kernel/test.config" "$ROOT/selftests/cpu_opv/config")
	configs=("${test_configs[@]}" "${boot_configs[@]}" "${configs[@]}")
	build=boot-$ARCH ;;
demo) build=demo-$ARCH programs=$build ;;
stock) build=stock-$ARCH virtio='' results=ttyS1 ;;
reproducer) build=reproducer-$ARCH programs=$build ;;
esac
for config in "${configs[@]}"; do fragments+=("$CI/arch/$config.config"); done
# What these have otherwise than ci/arch.
case $CPU_OPV_FOR in
bench | coverage | stops)
	[ -f "$CI/$CPU_OPV_FOR/$ARCH.sh" ] || die "make $CPU_OPV_FOR does not know $ARCH, but: $(names_of "$CI/$CPU_OPV_FOR" .sh)"
	# shellcheck source=bench/x86_64.sh
	. "$CI/$CPU_OPV_FOR/$ARCH.sh" ;;
esac

# The pristine kernel, and where all that is made from it goes.
KERNEL=${KERNEL:-$KERNEL_DEFAULT}
[[ $KERNEL =~ ^[0-9]+\.[0-9]+$ ]] || die "KERNEL=$KERNEL is no release of Linux; say it like $KERNEL_DEFAULT (the newest $KERNEL_DEFAULT.y is taken)"
if [ -n "${KDIR-}" ]; then
	KDIR=$(absolute "$KDIR")
	[ -d "$KDIR" ] || die "KDIR=$KDIR is no directory"
	SRC=$(cd "$KDIR" 2>/dev/null && pwd) || die "KDIR=$KDIR cannot be entered"
	export KDIR=$SRC
	WORK=$CACHE/kdir-$(printf '%s' "$SRC" | sha256sum | cut -c1-12)
else
	SRC=$CACHE/linux-$KERNEL
	WORK=$CACHE/work-$KERNEL
fi
REPO=$WORK/series		# git repository of the series: only the files that it touches
TREE=$WORK/tree			# patched kernel source
BUILD=$WORK/build/$build		# kernel build
IMAGE=$BUILD/booted/${image##*/}	# complete, or not there
PROGRAMS=$WORK/programs/$programs	# what goes into the guest
CARGO=$CACHE/cargo		# build directories of the crates
LOGS=$CACHE/logs/$build
export CARGO_TARGET_DIR=$CARGO LIBCLANG_PATH=/usr/lib/llvm-$LLVM/lib RUSTC=/usr/bin/rustc

# Rows of a guest's plan: what the kernel's own tests said at boot, and how the guest is left.
kunit_row=$'kunit\tktap\tdmesg | sed -n \'/KTAP version/,$p\''
health_row=$'health\tktap\thealth'

# One run at a time: two would trample each other's builds. Scripts started by the holder inherit the lock.
lock() {
	[ -z "${CPU_OPV_LOCKED-}" ] || return 0
	exec 9>>"$CACHE/lock"
	if ! flock -n 9; then
		say "another run works in $CACHE; waiting for it to end"
		flock 9
	fi
	export CPU_OPV_LOCKED=1
}

# Some architectures are only compiled, or run nothing but what is in the kernel.
need_programs() {
	if [ ${#boots[@]} = 0 ] || [ ${#abis[@]} = 0 ]; then die "no programs run on $ARCH here${no_boots:+, which $no_boots}; make kernel and make test take it"; fi
}

# What kernels are made with.
kernel_tools() {
	cat "$CI/kernel/kbuild"
	declare -p linux_arch targets image
	"clang-$LLVM" --version
	"ld.lld-$LLVM" --version
	"$RUSTC" --version
	command -v bindgen
	bindgen --version
}

# Prints a path at which the image stays as it is, whatever is built next.
lasting_image() {
	local id
	id=$(sha256sum <"$IMAGE" | cut -c1-12)
	[ -e "${IMAGE%/*}/$id" ] || ln "$IMAGE" "${IMAGE%/*}/$id"
	echo "${IMAGE%/*}/$id"
}

# lines_of ARRAY CMD...: what a command prints. If it fails, so does this, unlike mapfile at the end of a pipe.
lines_of() {
	local output
	output=$("${@:2}")
	# shellcheck disable=SC2181 # before || that would have a function go on after what fails in it
	[ $? = 0 ] || return
	mapfile -t "$1" < <(printf %s "$output")
}

# need_space GIB WHAT
need_space() {
	local free
	free=$(df --output=avail -B1G "$CACHE" | tail -n 1)
	[ "$free" -ge "$1" ] || die "$2 needs $1 GiB, $CACHE has ${free// /} GiB free; free some or set CPU_OPV_CACHE"
}

kernel_version() { # of the tree $1
	awk '/^(VERSION|PATCHLEVEL|SUBLEVEL) = /{v[$1]=$3} {if (/^NAME/) exit}
		END{print v["VERSION"] "." v["PATCHLEVEL"] "." v["SUBLEVEL"]}' "$1/Makefile"
}

# Shows that WHAT goes on: one changing line on a terminal, else a line now and then.
# With LINES_IN_ALL, says how far it is.
show_progress() { # WHAT LOG
	local seconds=0 line
	trap '' INT	# as what it shows may go on
	while sleep 1 && kill -0 $$ 2>/dev/null; do
		seconds=$((seconds + 1))
		line="$1: $seconds s, $(wc -l <"$2")${LINES_IN_ALL:+ of about $LINES_IN_ALL} lines, $(tail -n 1 "$2" | cut -c1-70)"
		if [ -t 2 ]; then
			printf '\r\033[K%s' "$line" >&2
		elif [ $((seconds % 20)) = 0 ]; then
			say "$line"
		fi
	done
}

# watched WHAT LOG CMD...: runs a long command, or a function, with its output in LOG and shows that it goes on.
watched() {
	local what=$1 log=$2 watcher status=0
	shift 2
	[ "$(type -t "$1")" = function ] || set -- setpriv --pdeathsig TERM -- "$@"
	mkdir -p "${log%/*}"
	: >"$log"
	show_progress "$what" "$log" 9>&- &
	watcher=$!
	"$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
	kill $watcher
	wait $watcher 2>/dev/null || true
	[ ! -t 2 ] || printf '\r\033[K' >&2
	return $status
}

# The same, for a command without which nothing can go on.
logged() {
	watched "$@" && return
	tail -n "${TAIL:-30}" "$2" >&2
	die "$1 failed; all of it: $2"
}
