# SPDX-License-Identifier: MPL-2.0
"""usage: sync_load.py LMTP IMAP ADDRESS PASSWORD   Deliveries and changes, one after another."""
import base64
import imaplib
import os
import smtplib
import sys

lmtp_port, imap_port, address, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]


def message(subject):
    # Nothing that zstd could make smaller than half of it.
    body = base64.encodebytes(os.urandom(20000)).replace(b"\n", b"\r\n")
    return b"Subject: " + subject.encode() + b"\r\n\r\n" + body


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


lmtp = smtplib.LMTP("127.0.0.1", lmtp_port)
for i in range(8):
    assert lmtp.sendmail("sender@example.net", [address], message(f"delivered {i}")) == {}
lmtp.quit()
imap = imaplib.IMAP4("127.0.0.1", imap_port)
ok(imap.login(address, password))
for i in range(4):
    ok(imap.append("INBOX", "", None, message(f"appended {i}")))
ok(imap.select("INBOX"))
# Each changes what the ones before have left.
for number in range(1, 5):
    ok(imap.store(str(number), "+FLAGS.SILENT", "(\\Flagged)"))
ok(imap.copy("1:2", "Archive"))
ok(imap.create(f"Made-{os.getpid()}"))
ok(imap.store("1", "+FLAGS.SILENT", "(\\Deleted)"))
ok(imap.expunge())
imap.logout()
