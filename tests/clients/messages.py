# SPDX-License-Identifier: MPL-2.0
"""usage: messages.py DIRECTORY COUNT   Writes COUNT messages of many shapes, the same at every run."""
import base64
import pathlib
import random
import sys

directory, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
directory.mkdir(parents=True, exist_ok=True)
random.seed(7)


def attachment(size):
    data = base64.encodebytes(random.randbytes(size)).decode().replace("\n", "\r\n")
    return (
        'Content-Type: application/octet-stream; name="data.bin"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="data.bin"\r\n\r\n' + data
    )


def body(i):
    kind = i % 5
    if kind == 0:
        return "Content-Type: text/plain\r\n\r\nplain text %d\r\n" % i
    if kind == 1:
        return "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße %d\r\n" % i
    if kind == 2:
        return (
            'Content-Type: multipart/mixed; boundary="edge"\r\n\r\npreamble\r\n--edge\r\n'
            "Content-Type: text/plain\r\n\r\nsee attachment\r\n--edge\r\n"
            + attachment(random.randrange(1, 200000)) + "--edge--\r\n"
        )
    if kind == 3:
        return (
            "Content-Type: message/rfc822\r\n\r\nSubject: inner %d\r\nFrom: x@example.net\r\n"
            "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\ninner body\r\n..dots\r\n.\r\n" % i
        )
    return "\r\n" + "".join("line %d of %d\r\n" % (j, i) for j in range(random.randrange(1, 400)))


for i in range(count):
    text = (
        f"From: Sender {i} <sender{i}@example.net>\r\nTo: ada@example.org\r\nSubject: message {i}\r\n"
        f"Date: Tue, {1 + i % 28} Oct 2024 12:{i % 60:02}:00 +0200\r\nMessage-ID: <{i}@example.net>\r\n"
        "MIME-Version: 1.0\r\n" + body(i)
    )
    (directory / f"{i:04}.eml").write_bytes(text.encode())
