# SPDX-License-Identifier: MPL-2.0
"""usage: fill.py IMAP LMTP USER PASSWORD CANARIES

Puts a canary into every field that a mailbox has, and writes their list.
"""
import base64
import imaplib
import random
import secrets
import smtplib
import sys

imap, lmtp, user, password, path = sys.argv[1:]
canaries = {}


def canary(name):
    text = f"Canary{name.title().replace('-', '')}{secrets.token_hex(8)}"
    canaries[name] = text
    return text


def message():
    data = random.Random(1).randbytes(300000)
    middle = canary("attachment-content").encode()
    # Where one line of base64 holds all of it.
    start = 57 * 2631 + 3
    data = data[:start] + middle + data[start:]
    return (
        f"From: {canary('from')} <from@example.net>\r\nTo: {user}\r\nSubject: {canary('subject')}\r\n"
        f"X-Header: {canary('header')}\r\nMessage-ID: <{canary('message-id')}@example.net>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
        f"Content-Type: text/plain\r\n\r\n{canary('body')}\r\n--b\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Disposition: attachment; filename=\"{canary('attachment-name')}\"\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(data).decode().replace("\n", "\r\n") + "--b--\r\n"
    ).encode()


client = smtplib.LMTP("127.0.0.1", int(lmtp))
client.sendmail("sender@example.net", [user], message())
client.sendmail("sender@example.net", [user], f"Subject: {canary('short-subject')}\r\n\r\n{canary('short-body')}\r\n".encode())
client.sendmail(
    f"{canary('envelope-sender')}@example.net", [user.replace("@", f"+{canary('detail')}@")], b"Subject: s\r\n\r\nb\r\n"
)
client.quit()

client = imaplib.IMAP4("127.0.0.1", int(imap))
client.login(user, password)
client.create(canary("folder"))
client.subscribe(canaries["folder"])
client.select("INBOX")
client.store("1", "+FLAGS", f"({canary('keyword')})")
client.append("Drafts", None, None, f"Subject: {canary('appended-subject')}\r\n\r\n{canary('appended-body')}\r\n".encode())
client.copy("1:2", canaries["folder"])
client.search(None, "TEXT", canary("searched-for"))
client.fetch("1:*", "(ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
client.logout()

# A password that somebody mistypes must not end in a log either.
client = imaplib.IMAP4("127.0.0.1", int(imap))
try:
    client.login(user, canary("wrong-password"))
except imaplib.IMAP4.error:
    pass
client.shutdown()

canaries["password"] = password
with open(path, "w", encoding="utf-8") as file:
    for name, text in canaries.items():
        print(name, text, file=file)
