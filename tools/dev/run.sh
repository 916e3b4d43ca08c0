#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: run.sh BUILD [DIR [OPTION OF aeroctl init]...]   What `make run` does once all is built: makes a
# store with three volumes in DIR (./run) or finds it again, serves it, sends a message through it,
# says how to set up a mail client, and serves until Ctrl-C.
set -u

build=$1
store=${2:-run}
shift
[ $# -eq 0 ] || shift
config=$store/aerostore.conf
address=demo@example.org
aerod=

fail() {
	echo "make run: $*" >&2
	exit 1
}

ctl() {
	"$build/aeroctl" -c "$config" "$@"
}

stop() {
	[ -z "$aerod" ] || kill -TERM "$aerod" 2>/dev/null
}

# value_of NAME: of a JSON text with one value a line.
value_of() {
	sed -n "s/^ *\"$1\": \"\(.*\)\",*$/\1/p"
}

# What aerod's log says is wrong, in words.
explain_end() {
	address_taken=$(sed -n 's/.*event=listen-failed address="\([^"]*\)" error=UNAVAILABLE.*/\1/p' "$log" | head -n 1)
	[ -z "$address_taken" ] ||
		fail "$address_taken is taken by another program: stop that, or change the address in $config"
	reason=$(sed -n 's/.*reason="\([^"]*\)".*/\1/p' "$log" | tail -n 1)
	[ -n "$reason" ] || reason=$(tail -n 1 "$log")
	fail "aerod did not start: $reason (log: $log)"
}

start() {
	log=$store/aerod.log
	: >"$log" || fail "cannot write $log"
	# In a session of its own, so that Ctrl-C comes here and ends it in order.
	setsid "$build/aerod" -c "$config" 2>"$log" &
	aerod=$!
	tries=0
	until grep -q 'event=ready' "$log"; do
		kill -0 "$aerod" 2>/dev/null || explain_end
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "aerod is not ready after 30 s (log: $log)"
		sleep 0.1
	done
}

# port_of KEY: the port of the first address of a list in the configuration.
port_of() {
	sed -n "s/^$1 = {'[^']*:\([0-9]*\)'.*/\1/p" "$config"
}

print_settings() {
	cat <<EOF

  Set up a mail client:

    server      localhost
    protocol    IMAP, port $(port_of imaps), SSL/TLS, normal password
    user        $address
    password    $1
    certificate self-signed: accept it, or trust $store/certificate.pem

  Mail comes in by LMTP at 127.0.0.1:$(port_of lmtp) and at $store/lmtp.sock.
  Health: $build/aeroctl -c $config status

EOF
}

first_run() {
	created=$(ctl account create "$address" --generate --json) || fail "the account could not be made"
	password=$(printf '%s\n' "$created" | value_of password)
	printf '%s\n' "$password" | ctl check --address "$address" --password-file - --keep ||
		fail "the check failed"
	code=$(printf '%s\n' "$password" | ctl account recovery-code "$address" --current-file - --json | value_of secret)
	[ -n "$code" ] || fail "no recovery code could be made"
	print_settings "$password"
	echo "  Lost the password? With the recovery code a new one can be set:"
	echo "    $code"
	echo "  Both are shown once and stored nowhere."
}

next_run() {
	echo "The store in $store is found again, with its mail."
	print_settings "shown when the store was made; it is stored nowhere"
	echo "  To set a new password, with the old one or the recovery code:"
	echo "    $build/aeroctl -c $config account password $address"
	echo "  To begin anew: rm -rf $store"
}

trap stop INT TERM HUP
if [ ! -e "$config" ]; then
	[ ! -e "$store" ] || fail "$store is there, but not a whole store: remove it and try again"
	"$build/aeroctl" init --dir "$store" --volumes 3 "$@" >/dev/null || exit 1
fi
trap 'stop' EXIT
start
ctl account show "$address" >/dev/null 2>&1
case $? in
0) next_run ;;
2) first_run ;;
*) fail "aerod does not answer (log: $log)" ;;
esac
echo
echo "Serving until Ctrl-C."
# A trap ends the wait, not the process that it waits for.
while kill -0 "$aerod" 2>/dev/null; do
	wait "$aerod"
	status=$?
done
aerod=
grep -q 'event=stopped' "$log" || fail "aerod ended by itself, status $status (log: $log)"
echo "Stopped."
exit 0
