#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# What `make run` does: makes a store, checks it, finds it again, and does not give the password away.
. "$(dirname "$0")/common.sh"

run=$(dirname "$0")/../../tools/dev/run.sh

# run_in_background OPTION...: until it serves; its process is in $aerod.
run_in_background() {
	"$run" "$build" "$store" "$@" >"$out" 2>&1 &
	aerod=$!
	for _ in $(seq 300); do
		grep -q '^Serving until' "$out" && return 0
		kill -0 "$aerod" 2>/dev/null || break
		sleep 0.1
	done
	return 1
}

free_ports
if run_in_background --lmtp "$lmtp" --imap "$imap" --imaps "$imaps"; then ok "the first run serves"; else not_ok "the first run serves" "$out"; fi
says "all others as sent" "port $imaps, SSL/TLS" "127.0.0.1:$lmtp" "shown once and stored nowhere"
password=$(sed -n 's/^ *password *//p' "$out")
echo "$password" >"$scratch/password"
expect 0 "the password that it printed opens" ctl check --address demo@example.org --password-file "$scratch/password"
check "and is in no file of the store" sh -c "! grep -raqF '$password' '$store'"

free_lmtp=$lmtp
free_ports
expect 1 "a second one on the same port" "$run" "$build" "$scratch/second" --lmtp "$free_lmtp" --imap "$imap" --imaps "$imaps"
says "make run: 127.0.0.1:$free_lmtp is taken by another program"
check "in one line" [ "$(wc -l <"$out")" -eq 1 ]

check "it ends well" end_aerod TERM
if run_in_background; then ok "a second run serves"; else not_ok "a second run serves" "$out"; fi
says "is found again, with its mail" "stored nowhere" "account password demo@example.org"
silent_about "$password"
expect 0 "the mail of the first" curl -sk --user "demo@example.org:$password" "imaps://127.0.0.1:$(sed -n "s/^imaps = {'127.0.0.1:\([0-9]*\)'.*/\1/p" "$config")/INBOX;MAILINDEX=1"
says "Aerostore_is_checked"
check "it ends well again" end_aerod TERM

# A terminal sends Ctrl-C to make, to the script, to all that they run in the foreground.
expect 0 "Ctrl-C" python3 - "$run" "$build" "$store" <<'EOF'
import os, pty, select, signal, sys

child, terminal = pty.fork()
if child == 0:
    # Who runs this in the background ignores it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
asked = False
while select.select([terminal], [], [], 60)[0]:
    try:
        said += os.read(terminal, 4096)
    except OSError:
        break
    if b"Serving until Ctrl-C" in said and not asked:
        os.write(terminal, b"\x03")
        asked = True
print(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
EOF
says "is found again" "^C" "Stopped."
check "nobody is left" sh -c "! $build/aeroctl -c '$config' status"

finish
