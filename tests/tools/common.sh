# SPDX-License-Identifier: MPL-2.0
# For the scripts of this folder, which read it with `.`: a scratch directory, free ports, an aerod that
# is ended by its process id, and expectations that are counted. A script ends with `finish`.
set -u

build=${AEROSTORE_BUILD:-build/release}
case $build in
/*) ;;
*) build=$PWD/$build ;;
esac
scratch=$(mktemp -d)
store=$scratch/store
config=$store/aerostore.conf
log=$scratch/aerod.log
out=$scratch/out
aerod=
passed=0
failed=0

clean_up() {
	if [ -n "$aerod" ]; then
		kill -KILL "$aerod" 2>/dev/null
		wait "$aerod" 2>/dev/null
	fi
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

ok() {
	passed=$((passed + 1))
	echo "ok: $1"
}

# not_ok NAME FILE: with what FILE says of it.
not_ok() {
	failed=$((failed + 1))
	echo "not ok: $1"
	sed 's/^/    | /' "$2"
}

# expect STATUS NAME COMMAND...: runs it, with its output in $out, and wants this exit status.
expect() {
	wanted=$1
	name=$2
	shift 2
	"$@" >"$out" 2>&1
	status=$?
	if [ "$status" -eq "$wanted" ]; then
		ok "$name"
	else
		echo "status $status, not $wanted" >>"$out"
		not_ok "$name" "$out"
	fi
}

# says TEXT...: the last output has each of them.
says() {
	for text in "$@"; do
		if grep -qF -- "$text" "$out"; then
			ok "it says: $text"
		else
			not_ok "it says: $text" "$out"
		fi
	done
}

silent_about() {
	if grep -qF -- "$1" "$out"; then
		not_ok "it does not say: $1" "$out"
	else
		ok "it does not say: $1"
	fi
}

# check NAME COMMAND...: a plain condition; leaves $out as it is.
check() {
	name=$1
	shift
	if "$@" >"$scratch/check" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "$scratch/check"
	fi
}

ctl() {
	"$build/aeroctl" -c "$config" "$@"
}

# Sets lmtp, imap and imaps to ports that are free now.
free_ports() {
	set -- $(python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
	lmtp=$1
	imap=$2
	imaps=$3
}

# new_store OPTION...: one with these options of aeroctl init, on free ports.
new_store() {
	free_ports
	"$build/aeroctl" init --dir "$store" --lmtp "$lmtp" --imap "$imap" --imaps "$imaps" "$@" >"$out" 2>&1 || {
		cat "$out"
		exit 1
	}
}

# True when it serves.
start_aerod() {
	touch "$log"
	served=$(grep -c event=ready "$log")
	"$build/aerod" -c "$config" 2>>"$log" &
	aerod=$!
	for _ in $(seq 300); do
		[ "$(grep -c event=ready "$log")" -gt "$served" ] && return 0
		kill -0 "$aerod" 2>/dev/null || break
		sleep 0.1
	done
	cat "$log"
	return 1
}

# end_aerod SIGNAL: returns its exit status.
end_aerod() {
	kill "-$1" "$aerod"
	wait "$aerod" 2>/dev/null
	status=$?
	aerod=
	return $status
}

finish() {
	[ "$failed" -eq 0 ] || {
		echo "$failed failed"
		exit 1
	}
	echo "$passed passed"
	exit 0
}
