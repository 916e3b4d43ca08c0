#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
. "$(dirname "$0")/fixture.sh"

python3 "$clients/messages.py" "$work/mail" 20
deliver "$work"/mail/*.eml
python3 "$clients/imaplib_session.py" "$imap" "$imaps" "$user" "$password" "$work/mail"
pass "every byte, flags, folders, moves and searches by Python's imaplib"

stop_aerod
start_aerod
python3 "$clients/imaplib_session.py" --after-restart "$imap" "$imaps" "$user" "$password" "$work/mail"
pass "the same after a restart"
