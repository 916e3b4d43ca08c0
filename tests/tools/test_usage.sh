#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# What aeroctl says that the volumes occupy, against du.
. "$(dirname "$0")/common.sh"

new_store
echo "a password" >"$scratch/password"
check "it serves" start_aerod
expect 0 "an account" ctl account create anna@example.org --password-file "$scratch/password"
expect 0 "mail goes in" python3 -c "
import os, smtplib
s = smtplib.LMTP('127.0.0.1', $lmtp)
for i in range(40):
    s.sendmail('bob@example.org', ['anna@example.org'], b'Subject: x\r\n\r\n' + os.urandom(60000).hex().encode())"
# Sets that were left open are finished by the next process: all kinds are there then.
end_aerod TERM
check "it serves again" start_aerod
sleep 3
expect 0 "in words" ctl volume usage
says "PARITY"
expect 0 "as du says, within 1 %" python3 -c "
import json, subprocess, sys
volumes = json.loads(subprocess.check_output(['$build/aeroctl', '-c', '$config', '--json', 'volume', 'usage']))['volumes']
assert len(volumes) >= 3
kinds = {}
for volume in volumes:
    du = int(subprocess.check_output(['du', '-s', '-B1', volume['directory']]).split()[0])
    total = volume['total_bytes']
    print(volume, du)
    assert total == sum(volume['bytes'].values())
    assert abs(total - du) * 100 <= du, (total, du)
    for kind, size in volume['bytes'].items():
        kinds[kind] = kinds.get(kind, 0) + size
assert kinds['data'] > 2000000 and kinds['journal'] > 0 and kinds['other'] > 0, kinds
assert kinds['parity'] + kinds['mirror'] > 1000000, kinds"
check "the end" end_aerod TERM

finish
