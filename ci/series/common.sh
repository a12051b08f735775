# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the scripts here share: who the series is from, what it is made of, and how to read a piece of it.

# shellcheck source=identity
. "$CI/series/identity"

sign_off=()
[ -z "$NAME" ] || sign_off=(-s)
NAME=${NAME:-The cpu_opv project}
EMAIL=${EMAIL:-cpu-opv@example.org}
export TZ=UTC \
	GIT_AUTHOR_NAME=$NAME GIT_AUTHOR_EMAIL=$EMAIL GIT_AUTHOR_DATE=$DATE \
	GIT_COMMITTER_NAME=$NAME GIT_COMMITTER_EMAIL=$EMAIL GIT_COMMITTER_DATE=$DATE

# The series in the sources $1, in order: directories here, branches in a repository.
series_in() { (cd "$1/arch-wiring" && printf '%s\n' [0-9]*/ | tr -d /); }

# Files that the series adds to Linux are kept here whole, to be read: these say where each is here, and there.
to_linux() { sed -E 's,^selftests/cpu.opv/,tools/testing/&,; \,^kernel/cpu_opv/,b; s,^kernel/,,'; }
from_linux() { sed -E '\,^kernel/cpu_opv/,b; s,^tools/testing/(selftests/cpu.opv/),\1,; t; s,^,kernel/,'; }

# All of them, but not what an editor left, nor what was built in place.
whole_files() { # SOURCES
	GIT_INDEX_FILE=$WORK/none git --git-dir="$REPO/.git" --work-tree="$1" -C "$1" \
		ls-files -o --exclude-per-directory=.gitignore kernel selftests
}

# The parts of a piece: its message, the whole files that arrive with it, its diff; everywhere the identity filled in.
piece() { sed "s|@IDENTITY@|$NAME <$EMAIL>|g" "$1"; }
message_of() { piece "$1" | sed '/^---$/,$d; /^New-file: /d'; }
new_files_of() { piece "$1" | sed -n '1,/^---$/s/^New-file: //p'; }
diff_of() { piece "$1" | sed '1,/^---$/d'; }

# The patch whose subject begins so, as in the name of its file.
patch_of() { # SUBJECT
	local found
	lines_of found find "$ROOT/patches" -name "[0-9]*-$1*.patch"
	[ ${#found[@]} = 1 ] || die "patches/ has ${#found[@]} patches whose subject begins with $1"
	echo "${found[0]}"
}

# A git repository of what the pristine kernel has of the files that are named on stdin. The commit is tagged "base".
start_repository() { # DIRECTORY
	local file
	rm -rf "$1"
	mkdir -p "$1"
	git -C "$1" init -q --template= -b series
	{ echo .gitattributes && sort -u; } | while read -r file; do
		[ -f "$SRC/$file" ] || continue		# made by an earlier piece, or `git apply` will say
		mkdir -p "$(dirname "$1/$file")"
		cp "$SRC/$file" "$1/$file"
	done
	git -C "$1" add -A
	git -C "$1" commit -q --allow-empty -m "Linux $(kernel_version "$SRC")"
	git -C "$1" tag base
}
