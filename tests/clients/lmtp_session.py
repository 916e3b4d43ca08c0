# SPDX-License-Identifier: MPL-2.0
"""usage: lmtp_session.py LMTP IMAP USER SECOND PASSWORD PID LOG"""
import imaplib
import random
import socket
import sys
import time

port, imap, user, second, password, pid, log = sys.argv[1:]


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
        self.file = self.socket.makefile("rb")
        self.expect(220)

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        lines = []
        while True:
            line = self.file.readline()
            assert line.endswith(b"\r\n"), (lines, line)
            lines.append(line)
            if line[3:4] == b" ":
                return b"".join(lines)

    def expect(self, code, enhanced=None):
        got = self.reply()
        assert got[:3] == str(code).encode(), (code, got)
        if enhanced is not None:
            assert got[4:].startswith(enhanced.encode()), (enhanced, got)
        return got

    def say(self, line, code, enhanced=None):
        self.send(line.encode() + b"\r\n")
        return self.expect(code, enhanced)

    def greet(self):
        return self.say("LHLO client.example.net", 250)

    def data(self, message, codes):
        self.say("DATA", 354)
        self.send(message)
        return [self.expect(code) for code in codes]


def inbox(name=user):
    client = imaplib.IMAP4("127.0.0.1", int(imap))
    client.login(name, password)
    client.select("INBOX", readonly=True)
    status, data = client.fetch("1:*", "(BODY.PEEK[])")
    assert status == "OK", data
    bodies = [item[1] for item in data if isinstance(item, tuple)]
    client.logout()
    return bodies


def stored(message, sender="s@example.net", name=user):
    return f"Return-Path: <{sender}>\r\nDelivered-To: {name}\r\n".encode() + message


def resident_kib():
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_syntax():
    c = Client()
    c.say("MAIL FROM:<s@example.net>", 503)
    c.say("EHLO x", 500)
    c.say("LHLO", 501)
    answer = c.greet()
    for extension in (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"SIZE "):
        assert extension in answer, answer
    c.say("RCPT TO:<a@b>", 503)
    c.say("DATA", 503)
    c.say("MAIL FROM:s@example.net", 501)
    c.say("MAIL FROM:<s@example.net> WRONG=1", 555)
    c.say("MAIL FROM:<s@example.net> SIZE=99999999999", 552, "5.3.4")
    c.say("MAIL FROM:<s@example.net> BODY=8BITMIME SMTPUTF8 RET=HDRS", 250, "2.1.0")
    c.say("MAIL FROM:<s@example.net>", 503)
    c.say("RCPT TO:<nobody@example.org>", 550, "5.1.1")
    c.say("DATA", 503)
    c.say("RSET", 250)
    c.say("NONSENSE", 500, "5.5.2")
    c.say("X" * 5000, 500, "5.5.2")
    c.send(b"NO\0OP\r\n")
    c.expect(500, "5.5.2")
    c.say("VRFY x", 252)
    c.say("NOOP", 250)
    c.say("QUIT", 221)
    assert c.file.read() == b""


def test_transparency(sent):
    messages = [
        b"Subject: dots\r\n\r\n..\r\n...\r\n. a\r\n",
        b"Subject: bare\r\n\r\na\n.\nb\n.\r\nc\r.\r\nd\re\r\n",
        b"Subject: eight \xe9\xff bits\r\n\r\n\x80\x81\r\n",
        b"\r\nno header\r\n",
        b"Subject: ends without\r\n\r\n",
        b"",
    ]
    c = Client()
    c.greet()
    for number, message in enumerate(messages):
        c.say(f"MAIL FROM:<s{number}@example.net>", 250)
        c.say(f"RCPT TO:<{user}>", 250, "2.1.5")
        wire = message.replace(b"\r\n.", b"\r\n..")
        wire = b"." + wire if wire.startswith(b".") else wire
        for reply in c.data(wire + b".\r\n", [250]):
            assert b"2.0.0" in reply
        sent.append(stored(message, f"s{number}@example.net"))
    c.say("QUIT", 221)
    assert inbox() == sent, "a message came back changed"


def test_nul(sent):
    c = Client()
    c.greet()
    c.say("MAIL FROM:<>", 250)
    c.say(f"RCPT TO:<{user}>", 250)
    c.data(b"Subject: nul\r\n\r\na\0b\r\n.\r\n", [250])
    sent.append(stored(b"Subject: nul\r\n\r\na\x80b\r\n", ""))
    got = inbox()
    assert got == sent, ("NUL is shown as 0x80", got[-1], sent[-1])


def test_recipients(sent):
    c = Client()
    # Everything in one write: PIPELINING.
    c.send(
        f"LHLO x\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<{user}>\r\nRCPT TO:<nobody@example.org>\r\n"
        f"RCPT TO:<{second}>\r\nRCPT TO:<{user.upper()}>\r\nDATA\r\n".encode()
    )
    for code in (250, 250, 250, 550, 250, 250, 354):
        c.expect(code)
    c.send(b"Subject: many\r\n\r\nx\r\n.\r\nQUIT\r\n")
    for code in (250, 250, 250, 221):
        c.expect(code)
    sent.append(stored(b"Subject: many\r\n\r\nx\r\n"))
    assert inbox() == sent, "one copy for one account"
    assert inbox(second) == [stored(b"Subject: many\r\n\r\nx\r\n", name=second)]
    c = Client()
    c.greet()
    c.say("MAIL FROM:<s@example.net>", 250)
    codes = []
    for number in range(101):
        c.send(f"RCPT TO:<{user}>\r\n".encode())
        codes.append(c.reply()[:3])
    assert codes == [b"250"] * 100 + [b"452"], codes[-2:]


def test_repeated(sent):
    """The reply got lost, the MTA sends the same transaction again: one message in the mailbox."""
    message = b"Subject: once\r\nMessage-ID: <once@example.net>\r\n\r\nx\r\n"
    for _ in range(3):
        c = Client()
        c.greet()
        c.say("MAIL FROM:<s@example.net>", 250)
        c.say(f"RCPT TO:<{user}>", 250)
        c.data(message + b".\r\n", [250])
        c.socket.close()
    sent.append(stored(message))
    assert inbox() == sent, "a repeated transaction is recognised"


def test_cut_off(sent):
    """A connection that breaks in DATA delivers nothing."""
    c = Client()
    c.greet()
    c.say("MAIL FROM:<s@example.net>", 250)
    c.say(f"RCPT TO:<{user}>", 250)
    c.say("DATA", 354)
    c.send(b"Subject: half\r\n\r\nhalf a mess")
    c.socket.shutdown(socket.SHUT_RDWR)
    time.sleep(0.3)
    assert inbox() == sent, "half a message was delivered"


def test_large(sent):
    line = random.Random(3).randbytes(57).hex().encode() + b"\r\n"
    message = b"Subject: large\r\n\r\n" + line * ((50 << 20) // len(line))
    before = resident_kib()
    c = Client()
    c.greet()
    c.say("MAIL FROM:<s@example.net>", 250)
    c.say(f"RCPT TO:<{user}>", 250)
    c.say("DATA", 354)
    highest = before
    for at in range(0, len(message), 1 << 20):
        c.send(message[at : at + (1 << 20)])
        highest = max(highest, resident_kib())
    c.send(b".\r\n")
    c.expect(250)
    grown = max(highest, resident_kib()) - before
    assert grown < 24 << 10, f"a 50 MiB message took {grown} KiB"
    assert inbox()[-1] == stored(message), "the large message differs"
    # Too large: everything is read, one reply, and the connection goes on.
    c.say("MAIL FROM:<s@example.net>", 250)
    c.say(f"RCPT TO:<{user}>", 250)
    c.say("DATA", 354)
    for _ in range(66):
        c.send(line * ((1 << 20) // len(line)))
    c.send(b".\r\n")
    c.expect(552, "5.3.4")
    c.say("NOOP", 250)


def main():
    sent = []
    test_syntax()
    test_transparency(sent)
    test_nul(sent)
    test_recipients(sent)
    test_repeated(sent)
    test_cut_off(sent)
    test_large(sent)
    with open(log, encoding="utf-8") as file:
        text = file.read()
    for private in (user, second, "once@example.net", "Subject"):
        assert private not in text, f"{private} stands in the log"


main()
