# SPDX-License-Identifier: MPL-2.0
"""usage: imaplib_session.py [--after-restart] IMAP IMAPS USER PASSWORD MAILDIRECTORY"""
import imaplib
import pathlib
import re
import ssl
import sys

again = sys.argv[1] == "--after-restart"
imap, imaps, user, password, directory = sys.argv[2:] if again else sys.argv[1:]
sent = [p.read_bytes() for p in sorted(pathlib.Path(directory).iterdir())]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


def stored(message):
    return b"Return-Path: <sender@example.net>\r\nDelivered-To: " + user.encode() + b"\r\n" + message


def wrong_password():
    client = imaplib.IMAP4("127.0.0.1", int(imap))
    words = []
    for name in (user, "nobody@example.org"):
        try:
            client.login(name, "wrong")
            raise SystemExit("a wrong password opens the account")
        except imaplib.IMAP4.error as error:
            words.append(str(error))
    assert words[0] == words[1], words
    client.shutdown()


def too_many_keywords(client):
    """A folder has room for 128 different ones; those it has go on working, also what came with them."""
    flags = ok(client.fetch("1", "(FLAGS)"))[0]
    known = len(re.findall(rb"Label1", flags))
    words = " ".join(f"k{i}" for i in range(128 - known))
    for refused in (words + " more and", words + " more"):
        answer = client.store("1", "+FLAGS", f"({refused})")
        assert answer[0] == "NO" and answer[1][0].startswith(b"[LIMIT]"), answer
        assert ok(client.fetch("1", "(FLAGS)"))[0] == flags
    ok(client.store("1", "+FLAGS", f"({words})"))
    answer = client.store("2", "+FLAGS", "(onemore)")
    assert answer[0] == "NO" and answer[1][0].startswith(b"[LIMIT]"), answer
    answer = client.append("Projects/Alpha", "(onemore)", None, b"Subject: a\r\n\r\nb\r\n")
    assert answer[0] == "NO" and answer[1][0].startswith(b"[LIMIT]"), answer
    ok(client.store("2", "+FLAGS", "(k5)"))
    ok(client.store("1:2", "-FLAGS", f"({words})"))


def first():
    client = imaplib.IMAP4_SSL("127.0.0.1", int(imaps), ssl_context=context)
    ok(client.login(user, password))
    names = " ".join(line.decode() for line in ok(client.list()))
    for attribute in ("\\Drafts", "\\Sent", "\\Trash", "\\Junk", "\\Archive"):
        assert attribute in names, names
    assert int(ok(client.select("INBOX"))[0]) == len(sent)
    uids = ok(client.uid("search", "ALL"))[0].split()
    assert len(uids) == len(sent)
    for uid, message in zip(uids, sent):
        data = ok(client.uid("fetch", uid, "(RFC822.SIZE BODY.PEEK[])"))
        assert data[0][1] == stored(message), (uid, len(data[0][1]), len(message))
        size = int(re.search(rb"RFC822.SIZE (\d+)", data[0][0]).group(1))
        assert size == len(stored(message))
    part = ok(client.fetch("3", "(BODY.PEEK[]<10.20>)"))[0][1]
    assert part == stored(sent[2])[10:30]
    client.literal = "GRÜSSE".encode()
    assert ok(client.search("UTF-8", "TEXT"))[0].split(), "SEARCH in UTF-8 finds nothing"
    assert ok(client.search(None, "SUBJECT", '"message 7"'))[0] == b"8"
    assert ok(client.search(None, "SENTSINCE", "20-Oct-2024", "NOT", "SEEN"))[0]
    ok(client.store("1:3", "+FLAGS", r"(\Seen $Label1)"))
    assert ok(client.search(None, "KEYWORD", "$Label1"))[0] == b"1 2 3"
    ok(client.create("Projects/Alpha"))
    ok(client.copy("1:2", "Projects/Alpha"))
    ok(client.uid("move", uids[4], "Projects/Alpha"))
    ok(client.store("1", "+FLAGS", r"\Deleted"))
    # imaplib gives what MOVE expunged before, too.
    assert ok(client.expunge())[-1] == b"1"
    answer = client.append("Projects/Alpha", r"(\Draft)", '" 1-Feb-2020 10:00:00 +0100"', b"Subject: a\r\n\r\nb\r\n")
    assert b"APPENDUID" in ok(answer)[0]
    assert int(ok(client.select("Projects/Alpha"))[0]) == 4
    dates = ok(client.fetch("4", "(INTERNALDATE FLAGS)"))[0]
    assert b'1-Feb-2020 10:00:00 +0100"' in dates and rb"\Draft" in dates, dates
    too_many_keywords(client)
    ok(client.rename("Projects/Alpha", "Projects/Beta"))
    client.logout()


def second():
    client = imaplib.IMAP4("127.0.0.1", int(imap))
    ok(client.starttls(context))
    ok(client.login(user, password))
    assert int(ok(client.select("INBOX", readonly=True))[0]) == len(sent) - 2
    data = ok(client.uid("fetch", "1:*", "(UID FLAGS BODY.PEEK[])"))
    bodies = [item[1] for item in data if isinstance(item, tuple)]
    assert bodies == [stored(m) for i, m in enumerate(sent) if i not in (0, 4)]
    assert ok(client.search(None, "KEYWORD", "$Label1"))[0] == b"1 2"
    assert int(ok(client.select("Projects/Beta"))[0]) == 4
    client.logout()


wrong_password()
second() if again else first()
