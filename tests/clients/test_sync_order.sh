#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# No reply on the wire precedes the return of its syncs: aerod runs under strace, and for each LMTP 250
# and tagged IMAP OK the writes and syncs before it are looked at. And the look finds what it is to
# find: syncs that never happened (strace answers them itself), and syncs that return after the reply.
. "$(dirname "$0")/fixture.sh"

look() {
	python3 "$clients/sync_order.py" "$@"
}

# traced NAME OPTION...   the same work, with the trace in $work/NAME.trace
traced() {
	trace=$work/$1.trace
	shift
	: >"$work/aerod.log"
	strace -f -yy -s 100 -o "$trace" "$@" \
		-e trace=pwrite64,pwritev,pwritev2,fdatasync,fsync,sendto,sendmsg,recvfrom,recvmsg \
		"$build/aerod" -c "$work/store/aerostore.conf" >>"$work/aerod.log" 2>&1 &
	tracer=$!
	for _ in $(seq 600); do
		grep -q 'event=ready' "$work/aerod.log" && break
		kill -0 "$tracer" 2>/dev/null || fail "strace does not run aerod: $(cat "$work/aerod.log")"
		sleep 0.05
	done
	# What ends it if this script is ended: strace passes no signal on.
	aerod_pid=$(sed -n 's/.*event=ready.* pid=\([0-9]*\).*/\1/p' "$work/aerod.log")
	python3 "$clients/sync_load.py" "$lmtp" "$imap" "$user" "$password"
	kill "$aerod_pid"
	wait "$tracer" || fail "aerod ended with status $?"
	aerod_pid=
}

stop_aerod
traced honest
said=$(look "$trace" "$lmtp" "$imap") || fail "a reply came before its syncs: $said"
echo "$said"
pass "each LMTP 250 and IMAP OK after the return of its syncs"
! said=$(look --late "$trace" "$lmtp" "$imap") || fail "syncs that return after the reply are not found"
pass "replies before the return of the sync are found: $(echo "$said" | tail -n 1)"

traced unsynced -e inject=fdatasync:retval=0
! said=$(look "$trace" "$lmtp" "$imap") || fail "syncs that never happened are not found"
pass "replies without a sync are found: $(echo "$said" | tail -n 1)"
