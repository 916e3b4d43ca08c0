#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# What becomes of sessions that are open when what they rest on goes: an app password that is removed,
# an account that is disabled, deleted.
. "$(dirname "$0")/common.sh"

new_store
echo "a password" >"$scratch/password"
check "it serves" start_aerod
for who in anna bea; do
	expect 0 "an account" ctl account create $who@example.org --password-file "$scratch/password"
	expect 0 "logs in" ctl check --address $who@example.org --password-file "$scratch/password" --keep
done

expect 0 "an app password" ctl account add-app-password anna@example.org --current-file "$scratch/password"
head -n 1 "$out" >"$scratch/app"
ctl account slots anna@example.org --json >"$scratch/slots.json"

# The rest is one conversation: sessions stay open while aeroctl changes things below them.
expect 0 "sessions" python3 - "$build/aeroctl" "$config" "$imap" "$lmtp" "$scratch" <<'EOF'
import imaplib, json, smtplib, socket, subprocess, sys, time

aeroctl, config, imap, lmtp, scratch = sys.argv[1:]
imap, lmtp = int(imap), int(lmtp)
app = open(scratch + "/app").read().strip()
password = "a password"


def ctl(*arguments):
    subprocess.run([aeroctl, "-c", config, "account", *arguments], check=True, stdout=subprocess.DEVNULL)


def login(address, secret):
    client = imaplib.IMAP4("127.0.0.1", imap, timeout=30)
    client.login(address, secret)
    return client


def refused(address, secret):
    try:
        login(address, secret)
    except imaplib.IMAP4.error as error:
        return "AUTHENTICATIONFAILED" in str(error)
    return False


def delivery(address):
    with smtplib.LMTP("127.0.0.1", lmtp) as client:
        client.ehlo()
        client.mail("bob@example.net")
        return client.rcpt(address)


def idle(address):
    client = socket.create_connection(("127.0.0.1", imap), 30)
    lines = client.makefile("rb")
    lines.readline()
    client.sendall(f'a LOGIN {address} "{password}"\r\nb SELECT INBOX\r\nc IDLE\r\n'.encode())
    while not lines.readline().startswith(b"+"):
        pass
    return lines


def says_goodbye(lines):
    line = lines.readline()
    while line and not line.startswith(b"* BYE"):
        line = lines.readline()
    return b"disabled" in line and lines.readline() == b""


def cut_off(client):
    """Within seconds a command is answered with BYE and the end, or not at all."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.noop()
        except (imaplib.IMAP4.abort, OSError):
            return True
        time.sleep(0.2)
    return False


first = login("anna@example.org", app)
assert first.select("INBOX") == ("OK", [b"1"])
slot = [s["slot"] for s in json.load(open(scratch + "/slots.json"))["slots"] if s["kind"] == "app"][0]
ctl("remove-slot", "anna@example.org", str(slot), "--current-file", scratch + "/password")
assert refused("anna@example.org", app), "a removed app password opens the account"
first.shutdown()

waiting, busy, other = idle("anna@example.org"), login("anna@example.org", password), login("bea@example.org", password)
ctl("disable", "anna@example.org")
assert refused("anna@example.org", password), "a disabled account opens"
assert delivery("anna@example.org")[0] == 450, "a disabled account takes mail"
assert says_goodbye(waiting), "the idle session goes on"
assert cut_off(busy), "the other session goes on"
assert other.noop()[0] == "OK"
ctl("enable", "anna@example.org")
assert login("anna@example.org", password).select("INBOX") == ("OK", [b"1"])

waiting, busy = idle("anna@example.org"), login("anna@example.org", password)
ctl("delete", "anna@example.org", "--yes")
assert refused("anna@example.org", password), "a deleted account opens"
assert delivery("anna@example.org")[0] == 550, "a deleted account takes mail"
assert says_goodbye(waiting), "the idle session of a deleted account goes on"
assert cut_off(busy), "the other session of a deleted account goes on"
assert other.noop()[0] == "OK"
EOF

expect 0 "the others' mail" ctl check --address bea@example.org --password-file "$scratch/password"
check "the end" end_aerod TERM

finish
