# SPDX-License-Identifier: MPL-2.0
"""usage: deliver.py PORT ADDRESS FILE...   Delivers each file as one message over LMTP on loopback."""
import smtplib
import sys

port, address, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
lmtp = smtplib.LMTP("127.0.0.1", port)
for name in files:
    with open(name, "rb") as file:
        refused = lmtp.sendmail("sender@example.net", [address], file.read())
    if refused:
        sys.exit(f"{name}: refused: {refused}")
lmtp.quit()
