# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The series as commits of a git tree, and back.

checkout=$scratch/checkout
commits=$scratch/commits
with_mini() { afresh env KDIR="$mini" "$@"; }
by_someone() { git -c user.name=x -c user.email=x@example.org "$@"; }
in_commits() { git -C "$commits" "$@"; }
import() { with_mini "$checkout/ci/series/import" "$commits"; }

# As `make patches` leaves it for this kernel, and committed.
make_committed_checkout() {
	make_mini && make_checkout "$checkout" && rm -rf "$commits" || return
	with_mini "$checkout/ci/commands/patches" || return
	git -C "$checkout" init -q --template= && git -C "$checkout" add -A && by_someone -C "$checkout" commit -q -m x
}

make_both() {
	local branch
	make_committed_checkout && with_mini "$checkout/ci/series/branch" "$commits" || return
	for branch in 1-fixes 2-cpu_opv 3-selftests; do in_commits tag "was-$branch" $branch || return; done
}

changed() { git -C "$checkout" status --porcelain; }
reset() { # to where make_both left both
	git -C "$checkout" reset -q --hard && git -C "$checkout" clean -q -f -d &&
		in_commits checkout -q -f -B 3-selftests was-3-selftests &&
		in_commits branch -q -f 1-fixes was-1-fixes && in_commits branch -q -f 2-cpu_opv was-2-cpu_opv
}

# edit SUBJECT CMD...: stops at that commit of a rebase to run the command, amends the commit, and goes on.
edit() {
	local id
	id=$(in_commits log --format=%h --grep="^$1\$" base..3-selftests)
	in_commits -c sequence.editor="sed -i 's/^pick $id/edit $id/'" rebase -q -i base || return
	(cd "$commits" && "${@:2}") && in_commits commit -q -a --amend --no-edit &&
		GIT_EDITOR=true in_commits rebase --continue
}

there_and_back() {
	make_both && import || return
	changed
	[ -z "$(changed)" ]
}

# Of a commit in the middle, a file that Linux has: its piece and its mail are others then.
an_amended_commit() {
	reset && edit "cpu_opv: Add KUnit tests" sed -i 's/take well under a/take less than a/' init/Kconfig && import || return
	changed
	[ "$(changed | cut -c4- | tr '\n' ' ')" = "$(cd "$checkout" && echo {arch-wiring,patches}/2-cpu_opv/*-cpu_opv-Add-KUnit-tests.patch) " ] &&
		git -C "$checkout" diff | grep '^++.*take less than a'
}

# And a whole file, in the part of it that comes with that commit.
an_amended_part() {
	reset && edit "cpu_opv: Count which ways calls take" sed -i 's/Event::Denied/Event::Kept/' kernel/cpu_opv/cpu_opv.rs && import || return
	[ "$(grep -c 'Event::Kept' "$checkout/kernel/cpu_opv/cpu_opv.rs")" = 2 ] &&
		[ "$(grep -c '^+.*Event::Kept' "$checkout"/arch-wiring/2-cpu_opv/*-Count-which-ways-calls-take.patch)" = 2 ] &&
		[ "$(changed | grep -c arch-wiring/)" = 1 ]
}

a_new_commit() {
	reset && echo "# more" >"$commits/kernel/cpu_opv/NOTES" && in_commits add -A && in_commits commit -q -m "cpu_opv: Say more

Why not." && import || return
	grep -x "# more" "$checkout/kernel/cpu_opv/NOTES" && tail -n 3 "$checkout"/arch-wiring/3-selftests/*-cpu_opv-Say-more.patch |
		grep -x "New-file: kernel/cpu_opv/NOTES"
}

what_cannot_be_held() {
	reset && echo >>"$commits/init/Kconfig" && refuses "there are uncommitted changes" import || return
	reset && by_someone -C "$commits" commit -q --allow-empty --author="x <x@example.org>" -m x &&
		refuses "has another author" import || return
	reset && in_commits commit -q --allow-empty -m x && refuses "changes nothing" import || return
	reset && in_commits checkout -q HEAD^ && refuses "HEAD is not 3-selftests" import || return
	reset && in_commits branch -q -f 1-fixes 3-selftests && refuses "the branch 2-cpu_opv does not contain 1-fixes" import || return
	reset && touch "$commits/new" && in_commits add new && in_commits commit -q -m x &&
		in_commits rm -q new && in_commits commit -q -m x && refuses "added and removed again" import || return
	reset && echo >>"$commits/init/Kconfig" && in_commits commit -q -a -m x -m --- -m y && refuses "" import || return
	reset && echo >>"$checkout/kernel/cpu_opv/vector.rs" && refuses "have uncommitted changes" import || return
	reset && rm -rf "$checkout/.git" && refuses "is no git checkout" import
}

# An edit of a source in a part that a later piece brings.
an_edited_source() {
	make_committed_checkout && sed -i 's/Event::Denied/Event::Kept/' "$checkout/kernel/cpu_opv/cpu_opv.rs" || return
	refuses "run: make patches" with_mini "$checkout/ci/series/make" || return
	with_mini "$checkout/ci/commands/patches" && with_mini "$checkout/ci/series/verify" current || return
	[ "$(grep -c '^+.*Event::Kept' "$checkout"/arch-wiring/2-cpu_opv/*-Count-which-ways-calls-take.patch)" = 2 ] &&
		[ "$(changed | grep -c arch-wiring/)" = 1 ]
}

signed_off() {
	make_mini && make_checkout "$checkout" || return
	sed -i 's/^NAME=.*/NAME="N. O. Body"/; s/^EMAIL=.*/EMAIL=nobody@example.org/' "$checkout/ci/series/identity"
	with_mini "$checkout/ci/commands/patches" || return
	[ "$(grep -lx 'Signed-off-by: N. O. Body <nobody@example.org>' "$checkout"/patches/*/*.patch | wc -l)" = \
		"$(find "$checkout/patches" -name '*.patch' | wc -l)" ] || return
	if grep -r 'Signed-off-by' "$checkout/arch-wiring"; then return 1; fi
	grep -r '^+M:.*N. O. Body <nobody@example.org>' "$checkout/patches"
}

ln -sf "$(command -v bindgen)" "$scratch/cache/tools/bin/"	# that nobody gets another
check "commits of the series, and back" there_and_back || true
check "a commit that was amended" an_amended_commit || true
check "a part of a file that was amended" an_amended_part || true
check "a new commit" a_new_commit || true
check "commits that a piece cannot hold" what_cannot_be_held || true
check "a source that was edited in a later part" an_edited_source || true
check "a series that someone submits" signed_off || true
rm "$scratch/cache/tools/bin/bindgen"
