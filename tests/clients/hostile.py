# SPDX-License-Identifier: MPL-2.0
"""usage: hostile.py LMTP IMAP IMAPS ADDRESS PASSWORD PID   Clients that mean no good, on the wire of a real
aerod. After each of them a delivery and a login must work at once, and the process must not have grown."""
import imaplib
import resource
import smtplib
import socket
import ssl
import sys
import time

lmtp_port, imap_port, imaps_port = map(int, sys.argv[1:4])
address, password, pid = sys.argv[4:7]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
imaplib._MAXLINE = 10_000_000
CONNECTION_LIMIT = 1000  # aerostore.conf(5), connection-limit
shown = 0


def connect(port, say=b""):
    client = socket.create_connection(("127.0.0.1", port), 20)
    if say:
        client.sendall(say)
    return client


def read_until(client, end):
    got = b""
    while end not in got:
        piece = client.recv(65536)
        if not piece:
            break
        got += piece
    return got


def memory_kib():
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def others_are_served():
    begun = time.monotonic()
    lmtp = smtplib.LMTP("127.0.0.1", lmtp_port, timeout=20)
    assert lmtp.sendmail("bob@example.net", [address], b"Subject: meanwhile\r\n\r\nx\r\n") == {}
    lmtp.quit()
    imap = imaplib.IMAP4_SSL("127.0.0.1", imaps_port, ssl_context=ssl._create_unverified_context(), timeout=20)
    assert imap.login(address, password)[0] == "OK"
    imap.logout()
    return time.monotonic() - begun


def passed(what):
    global shown
    shown += 1
    print(f"ok: {what}; others served in {others_are_served():.1f} s")


def crowd():
    """More connections than the limit: what is over it is told so, the others stay, IMAPS is another address."""
    clients = [connect(imap_port) for _ in range(CONNECTION_LIMIT + 50)]
    greetings = [read_until(client, b"\r\n") for client in clients]
    served = sum(greeting.startswith(b"* OK") for greeting in greetings)
    assert served == CONNECTION_LIMIT, served
    assert all(g.startswith((b"* OK", b"* BYE")) for g in greetings), set(greetings)
    passed(f"{len(clients)} connections at once, {served} of them served")
    for client in clients:
        client.close()


def stalled():
    """In the handshake, in a literal, in DATA, in a line, in the middle of AUTHENTICATE."""
    clients = []
    for _ in range(40):
        clients.append(connect(imaps_port, b"\x16\x03\x01\x02"))
        clients.append(connect(imap_port, b"a LOGIN {20}\r\nhalf"))
        clients.append(connect(imap_port, b"a AUTHENTICATE PLAIN\r\n"))
        clients.append(connect(lmtp_port, b"LHLO x\r\nMAIL FROM:<b@c.d>\r\nRCPT TO:<" + address.encode() +
                               b">\r\nDATA\r\nSubject: never"))
        clients.append(connect(lmtp_port, b"LHLO " + b"x" * 100))
    time.sleep(0.5)
    passed(f"{len(clients)} clients that stall")
    for client in clients:
        client.close()


def too_much():
    """Lines, literals, commands and headers over every limit: an answer, and no memory for them."""
    before = memory_kib()
    for say, answers in (
            (b"a " + b"x" * 1_000_000 + b"\r\n", (b"* BYE", b"BAD")),
            (b"a LOGIN {99999999999}\r\n", (b"BAD", b"* BYE")),
            (b"a LOGIN {4000000000+}\r\n" + b"y" * 100_000, (b"BAD", b"* BYE")),
            (b"a SEARCH " + b"(" * 60_000 + b"\r\n", (b"BAD",)),
            (b"a FETCH " + b"1," * 30_000 + b"1 FLAGS\r\n", (b"BAD",)),
            (b"\0\0\0\0\r\n", (b"BAD", b"* BYE"))):
        client = connect(imap_port)
        read_until(client, b"\r\n")
        try:
            client.sendall(say)
        except (ConnectionResetError, BrokenPipeError):
            pass
        try:
            got = read_until(client, b"\r\n")
        except ConnectionResetError:
            got = b"* BYE (reset)"
        assert any(answer in got for answer in answers), (say[:40], got[:200])
        client.close()
    client = connect(lmtp_port)
    read_until(client, b"\r\n")
    client.sendall(b"MAIL FROM:<" + b"x" * 100_000 + b">\r\n")
    assert read_until(client, b"\r\n").startswith(b"50"), "a long LMTP line"
    client.close()
    lmtp = smtplib.LMTP("127.0.0.1", lmtp_port, timeout=60)
    huge = b"X-Huge: " + b"h" * 3_000_000 + b"\r\nSubject: huge\r\n\r\nbody\r\n"
    assert lmtp.sendmail("bob@example.net", [address], huge) == {}
    many = b"".join(b"X-%d: y\r\n" % i for i in range(100_000)) + b"\r\nbody\r\n"
    assert lmtp.sendmail("bob@example.net", [address], many) == {}
    lmtp.quit()
    grown = memory_kib() - before
    assert grown < 48 * 1024, f"{grown} KiB more"
    passed(f"lines, literals, commands and headers over every limit ({max(grown, 0)} KiB more)")


def odd_octets():
    """NUL, bare CR and LF, 8 bit: as they came; a NUL is shown as 0x80 where IMAP cannot carry it."""
    sent = b"Subject: odd\r\n\r\nnul\0nul\nlf\rcr\r\r\n\xff\xfe 8bit\r\n..two dots\r\n.\nnot the end\r\n"
    client = connect(lmtp_port, b"LHLO x\r\nMAIL FROM:<b@c.d>\r\nRCPT TO:<" + address.encode() + b">\r\nDATA\r\n")
    read_until(client, b"354")
    stuffed = b"\r\n".join(b"." + l if l.startswith(b".") else l for l in sent.split(b"\r\n"))
    client.sendall(stuffed + b".\r\n")
    assert b"250 2.0.0" in read_until(client, b"250 2.0.0"), "odd octets"
    client.close()
    imap = imaplib.IMAP4("127.0.0.1", imap_port)
    imap.login(address, password)
    imap.select("INBOX")
    found = imap.search(None, "SUBJECT", "odd")[1][0].split()[-1].decode()
    got = imap.fetch(found, "(BODY.PEEK[])")[1][0][1]
    imap.logout()
    assert got.endswith(sent.replace(b"\0", b"\x80")), got[-200:]
    passed("NUL, bare CR and LF, 8 bit")


def guesses():
    """A wrong password, an unknown user, a user without a domain: the same words for all."""
    words = set()
    for user in (address, "nobody@example.org", "nobody"):
        imap = imaplib.IMAP4("127.0.0.1", imap_port)
        try:
            imap.login(user, "wrong password")
        except imaplib.IMAP4.error as error:
            words.add(str(error))
        imap.shutdown()
    assert len(words) == 1, words
    passed(f"guesses: {words.pop()}")


for attack in (crowd, stalled, too_much, odd_octets, guesses):
    attack()
print(f"{shown} passed")
