# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# apt beside the system's own: the same Debian archive, though any of its suites and architectures, with lists of our
# own in a directory, so that nothing is added to the system's. Sourced.

# What this machine runs, in the words of os-release: of_system VERSION_CODENAME is bookworm or trixie.
# shellcheck source=/dev/null
of_system() { (. "${os_release:-/etc/os-release}" 2>/dev/null && echo "${!1-}"); }
codename() { of_system VERSION_CODENAME; }

# The entry of Debian's archive, or of what LABEL says, among the system's sources: FILE:INDEX.
own_entry() { # LABEL
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --format '$(ORIGIN)/$(LABEL) $(SOURCESENTRY)' 'Created-By: Packages' |
		sed -n "s,^Debian/$1 ,,p" | head -n 1
}

# A new machine may have sources, and no lists yet.
update_own_lists() {
	if [ "$(id -u)" = 0 ]; then patiently apt-get -q update; else patiently sudo -n apt-get -q update; fi
}

# That entry with other suites, and with MORE appended to its URI.
write_source() { # ENTRY TYPE SUITES PART MORE
	local file=${1%:*} index=${1##*:}
	case $file in
	*.sources)
		awk -v n="$index" 'BEGIN { RS = "" } NR == n' "$file" |
			sed -E "s/^Types:.*/Types: $2/; s/^Suites:.*/Suites: $3/; s/^Components:.*/Components: main/
				s,^(URIs: *[^ ]*[^ /])/?( .*)?\$,\1$5,; /^Architectures:/d" >"$4.sources" ;;
	*)
		for suite in $3; do
			sed -n "${index}p" "$file" |
				sed -E "s,^deb +(\[[^]]*\] +)?([^ ]*[^ /])/? .*,$2 \1\2$5 $suite main,; s/\<arch=[^] ]*//"
		done >"$4.list" ;;
	esac
}

# private_sources DIRECTORY TYPE SUITE...: what private_apt has in DIRECTORY.
private_sources() {
	local dir=$1 type=$2 entry
	shift 2
	entry=$(own_entry Debian)
	if [ -z "$entry" ]; then update_own_lists && entry=$(own_entry Debian); fi
	[ -n "$entry" ] || die "apt knows no Debian archive here; run apt-get update, or look at /etc/apt/sources.list"
	mkdir -p "$dir"/{parts,lists/partial,cache/archives/partial}
	write_source "$entry" "$type" "$*" "$dir/parts/debian" ''
	echo "$entry"
}

# Gives up on what does not answer. Whatever the user set up for their own apt stays with it.
private_apt() { # DIRECTORY ARGUMENT...
	local dir=$1
	shift
	"${as_root[@]}" apt-get -q "${apt_options[@]}" -oAPT::Sandbox::User=root -oAPT::Default-Release= \
		-oAcquire::http::Timeout=30 -oAcquire::https::Timeout=30 -oAcquire::Retries=1 \
		-oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts="$dir/parts" \
		-oDir::Etc::Preferences="$dir/preferences" -oDir::Etc::PreferencesParts=/dev/null \
		-oDir::State::Lists="$dir/lists" -oDir::Cache="$dir/cache" -oAPT::Keep-Downloaded-Packages=false "$@"
}
as_root=() apt_options=()

# Asks for the password, if sudo wants one, before the output goes to a file. What is run so goes on to its end when
# the user ends us, as half an installation would have to be mended by hand.
become_root() {
	as_root=(env DEBIAN_FRONTEND=noninteractive setsid --wait)
	[ "$(id -u)" != 0 ] || return 0
	if ! sudo -n env true 2>/dev/null && sudo -n apt-get --version >/dev/null 2>&1; then
		as_root=(setsid --wait sudo -n)	# for apt-get alone
	else
		sudo -v 2>/dev/null || return
		as_root=(sudo "${as_root[@]}")
	fi
}

# Waits while another apt, as of the machine's own updates, has what this one needs. It waits for dpkg by itself, though
# not for the lists and the archives.
patiently() { # CMD...
	local said=$CACHE/logs/apt-said status _
	for _ in {1..120}; do
		status=0
		"$@" 2>&1 | tee "$said" || status=$?
		if [ $status = 0 ] || ! grep -q '^E: Could not get lock' "$said"; then break; fi
		echo "waiting for another apt to end: $(sed -n 's/^E: \(Could not get lock.*\)/\1/p' "$said")"
		sleep 5
	done
	return $status
}

# The ways to ask apt: as the system is set up; of the archive's whole release, from which a system may name a part only,
# what fits the versions that are installed; and the same, with what backports have of the rest.
ways=(system release backports)
by_system() { "${as_root[@]}" apt-get -q -oDPkg::Lock::Timeout=600 "$@"; }
by_release() { private_apt "$CACHE/apt" -oDPkg::Lock::Timeout=600 "$@"; }
update_release() { local as_root=() && by_release update; }
by_backports() { by_release -t "$(codename)-backports" "$@"; }

# For packages of the sources that something installed is of, the same version comes first.
keep_versions() {
	dpkg-query -W -f 'Package: src:${source:Package}\nPin: version ${Version}\nPin-Priority: 1001\n
Package: src:${source:Package}\nPin: version ${source:Version}\nPin-Priority: 1001\n\n'
}

declare -A updated=()

# Suites that are not there, or lists that the system has trouble with, are apt's to pass over.
update_lists() { # WAY
	local entry security
	[ -z "${updated[$1]-}" ] || return 0
	updated[$1]=yes
	case $1 in
	system) watched "apt-get update" "$CACHE/logs/apt-update.log" patiently by_system update || true ;;
	release)
		entry=$(private_sources "$CACHE/apt" deb "$(codename)" "$(codename)-updates" "$(codename)-backports") || return 0
		security=$(own_entry Debian-Security)
		write_source "${security:-$entry}" deb "$(codename)-security" "$CACHE/apt/parts/security" \
			"$([ -n "$security" ] || echo -security)"
		keep_versions >"$CACHE/apt/preferences"
		watched "apt-get update" "$CACHE/logs/apt-update-release.log" update_release || true ;;
	esac
}

# What keeps apt from just adding these packages; nothing, if it can.
obstacle() { # WAY PACKAGE...
	local plan status=0
	plan=$(as_root=() && "by_$1" -s --no-install-recommends install "${@:2}" 2>&1) || status=$?
	awk -v failed=$status '
		/^Remv / { removed = removed " " $2 }
		/^Inst [^ ]+ \[/ { changed = changed " " $2 }
		/ : [A-Z][a-z]+: / && !unmet { unmet = $0 }
		/^E: / && !error { error = substr($0, 4) }
		END {
			if (removed) print "it would remove" removed
			else if (changed) print "it would upgrade" changed "; to have that: apt-get install --only-upgrade" changed
			else if (unmet) { gsub(/^ +/, "", unmet); print unmet }
			else if (failed) print error
		}' <<<"$plan"
}

# What apt does is not interrupted; whoever wants that is heeded when it is done.
interrupted=''

# Tries each way. Leaves in $in_the_way what was, of the first that knew all packages if there is one.
install_packages() { # PACKAGE...
	local way found
	in_the_way=''
	for way in "${ways[@]}"; do
		update_lists "$way"
		found=$(obstacle "$way" "$@")
		if [ -z "$found" ]; then
			need_space 5 "installing packages"
			say "installing $*"
			logged "installing $# packages" "$CACHE/logs/apt-install.log" \
				patiently "by_$way" -y --no-remove --no-install-recommends install "$@"
			[ -z "$interrupted" ] || die "interrupted, when these packages had been installed"
			return
		fi
		[[ $in_the_way == "it would "* || ($in_the_way && $found != "it would "*) ]] || in_the_way=$found
	done
	return 1
}
