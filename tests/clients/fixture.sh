# SPDX-License-Identifier: MPL-2.0
# Sourced by the client tests: a store of its own in a temporary directory, on free loopback ports, with
# one account; aerod runs in the background and ends with the script.
#
#   $work       the directory; $work/store is the store, $work/store/aerostore.conf its configuration
#   $user $password $imap $imaps $lmtp
#   pass        counts one thing that was shown; the last line is "N passed"

set -eu

build=$(cd "${AEROSTORE_BUILD:-build/release}" && pwd)
clients=$(cd "$(dirname "$0")/../clients" && pwd)
work=$(mktemp -d)
aerod_pid=
passed=0
user=ada@example.org
password=correct-horse-battery-staple

finish() {
	status=$?
	trap - EXIT
	if [ -n "$aerod_pid" ]; then
		kill "$aerod_pid" 2>/dev/null || true
		wait "$aerod_pid" 2>/dev/null || true
	fi
	if [ $status -ne 0 ] && [ -f "$work/aerod.log" ]; then
		echo "--- aerod's log:"
		tail -n 40 "$work/aerod.log"
	fi
	rm -rf "$work"
	[ $status -ne 0 ] || echo "$passed passed"
	exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

pass() {
	passed=$((passed + 1))
	echo "ok: $*"
}

fail() {
	echo "FAIL: $*"
	exit 1
}

free_ports() {
	python3 - "$1" <<-'EOF'
		import socket, sys
		sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
		for s in sockets:
		    s.bind(("127.0.0.1", 0))
		print(*(s.getsockname()[1] for s in sockets))
	EOF
}

start_aerod() {
	touch "$work/aerod.log"
	"$build/aerod" -c "$work/store/aerostore.conf" >>"$work/aerod.log" 2>&1 &
	aerod_pid=$!
	for _ in $(seq 200); do
		grep -q 'event=ready' "$work/aerod.log" && return
		kill -0 "$aerod_pid" 2>/dev/null || break
		sleep 0.05
	done
	fail "aerod does not become ready"
}

stop_aerod() {
	kill "$aerod_pid"
	wait "$aerod_pid" || fail "aerod ended with status $?"
	aerod_pid=
	: >"$work/aerod.log"
}

make_store() {
	read -r imap imaps lmtp <<-EOF
		$(free_ports 3)
	EOF
	"$build/aeroctl" init --dir "$work/store" --imap "$imap" --imaps "$imaps" --lmtp "$lmtp" \
		>"$work/init.log" || fail "aeroctl init: $(cat "$work/init.log")"
	start_aerod
	printf '%s\n' "$password" |
		"$build/aeroctl" -c "$work/store/aerostore.conf" account create "$user" --password-file - \
			>"$work/create.log" || fail "account create: $(cat "$work/create.log")"
}

# deliver FILE...   each as one message, over LMTP
deliver() {
	python3 "$clients/deliver.py" "$lmtp" "$user" "$@"
}

make_store
