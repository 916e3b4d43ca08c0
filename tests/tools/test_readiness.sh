#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# What a service manager hears, on a socket with a path and on one of an abstract name; and what
# `make install` puts where for it.
. "$(dirname "$0")/common.sh"

new_store
hears() {
	expect 0 "$1" python3 - "$build/aerod" "$config" "$2" <<'EOF'
import os, signal, socket, subprocess, sys

aerod, config, name = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.bind("\0" + name[1:] if name[0] == "@" else name)
    manager.settimeout(60)
    process = subprocess.Popen([aerod, "-c", config], env={**os.environ, "NOTIFY_SOCKET": name}, stderr=subprocess.PIPE)
    assert manager.recv(100) == b"READY=1"
    process.send_signal(signal.SIGTERM)
    assert manager.recv(100) == b"STOPPING=1"
    log = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and b"event=ready" in log
EOF
}
hears "ready and stopping" "$scratch/notify"
hears "by an abstract name" "@aerostore-test-$$"
NOTIFY_SOCKET=$scratch/nobody
export NOTIFY_SOCKET
check "nobody listens: it serves" start_aerod
check "and ends" end_aerod TERM

expect 0 "install" make -s install DESTDIR="$scratch/root" PREFIX=/opt/aero B="$build"
unit=$scratch/root/opt/aero/lib/systemd/system/aerod.service
check "the unit runs what was installed" grep -q '^ExecStart=/opt/aero/sbin/aerod -c ' "$unit"
check "that is there" [ -x "$scratch/root/opt/aero/sbin/aerod" ]
check "nothing is left to fill in" sh -c "! grep -q @PREFIX@ '$unit'"
if command -v systemd-analyze >/dev/null; then
	sed "s|/opt/aero|$scratch/root/opt/aero|" "$unit" >"$scratch/aerod.service"
	expect 0 "systemd takes it" systemd-analyze verify --man=no "$scratch/aerod.service"
	silent_about "Unknown"
fi

finish
