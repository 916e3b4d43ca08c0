# SPDX-License-Identifier: MPL-2.0
"""usage: scan.py CANARIES PATH...

Searches every byte of every file below the paths for each canary (a file of lines "name text"): as it is,
in base64 at its three alignments, quoted-printable, hexadecimal, UTF-16, and the same again inside every
zstd stream; in columns also across the frames of sealed blobs, which are taken apart as docs/format.md
says. Prints "found NAME in FILE as FORM" for each canary once a file and form; exits 1 when any was found.
"""
import base64
import ctypes
import ctypes.util
import os
import quopri
import struct
import sys

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK_LIMIT = 4 << 20
COLUMN_HEADER = 8192
RECORD = struct.Struct("<IBBBBII16s16sQ16sQ")
RECORD_HEADER, RECORD_ALIGN, RECORD_MAGIC = 160, 64, 0x4F524541
FRAME, TAG = 65536, 16

zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
zstd.ZSTD_decompressStream.restype = ctypes.c_size_t
zstd.ZSTD_createDStream.restype = ctypes.c_void_p
zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
zstd.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
zstd.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t)]


def decompress(data):
    """What a zstd stream at the start of `data` gives, as far as it goes."""
    source = ctypes.create_string_buffer(data, len(data))
    target = ctypes.create_string_buffer(CHUNK_LIMIT)
    given = Buffer(ctypes.cast(source, ctypes.c_void_p), len(data), 0)
    made = Buffer(ctypes.cast(target, ctypes.c_void_p), CHUNK_LIMIT, 0)
    stream = zstd.ZSTD_createDStream()
    while given.at < given.size and made.at < made.size:
        before = given.at, made.at
        left = zstd.ZSTD_decompressStream(stream, ctypes.byref(made), ctypes.byref(given))
        if zstd.ZSTD_isError(left) or left == 0 or (given.at, made.at) == before:
            break
    zstd.ZSTD_freeDStream(stream)
    return target.raw[: made.at]


def forms(text):
    raw = text.encode()
    yield "plain", raw
    yield "quoted-printable", quopri.encodestring(raw, quotetabs=True)
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "utf-16-le", text.encode("utf-16-le")
    yield "utf-16-be", text.encode("utf-16-be")
    for shift in range(3):
        # The octets that do not depend on what stands before and behind.
        coded = base64.b64encode(b"\0" * shift + raw)
        start = (shift * 8 + 5) // 6
        end = (shift + len(raw)) * 8 // 6
        yield f"base64+{shift}", coded[start:end]


def blobs(data):
    """The blobs of a column or mirror with the tags of their frames taken out."""
    pieces = {}
    at = data.find(struct.pack("<I", RECORD_MAGIC))
    while at >= 0 and at + RECORD_HEADER <= len(data):
        fields = RECORD.unpack_from(data, at)
        size, piece, name = fields[5], fields[6], fields[7]
        if fields[1] == 1 and fields[2] == 1 and at + RECORD_HEADER + size <= len(data):
            pieces.setdefault(name, {})[piece] = data[at + RECORD_HEADER : at + RECORD_HEADER + size]
        at = data.find(struct.pack("<I", RECORD_MAGIC), at + RECORD_ALIGN)
    return pieces


def open_frames(pieces):
    sealed = b"".join(pieces[i] for i in sorted(pieces))
    step = FRAME + TAG
    return b"".join(sealed[i : i + step][:-TAG] for i in range(0, len(sealed), step))


def views(data):
    yield "", data
    at = data.find(ZSTD_MAGIC)
    while at >= 0:
        inside = decompress(data[at : at + CHUNK_LIMIT])
        if inside:
            yield " inside zstd", inside
        at = data.find(ZSTD_MAGIC, at + 1)


def search(path, data, needles, found, pieces):
    for where, view in views(data):
        for name, form, needle in needles:
            if needle in view:
                found.setdefault(name, set()).add((path, form + where))
    for name, parts in blobs(data).items():
        pieces.setdefault(name, {}).update(parts)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        canaries = dict(line.rstrip("\n").split(" ", 1) for line in file if line.strip())
    needles = [(name, form, needle) for name, text in canaries.items() for form, needle in forms(text)]
    found, pieces, files, size = {}, {}, 0, 0
    for top in sys.argv[2:]:
        for folder, _, names in os.walk(top) if os.path.isdir(top) else [(os.path.dirname(top), [], [os.path.basename(top)])]:
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    data = file.read()
                files, size = files + 1, size + len(data)
                search(path, data, needles, found, pieces)
    # A blob's pieces lie in several columns: together they are searched once more.
    for name, parts in pieces.items():
        search(f"blob {name.hex()}", open_frames(parts), needles, found, {})
    for name in sorted(found):
        for path, form in sorted(found[name]):
            print(f"found {name} in {path} as {form}")
    print(f"searched {files} files, {size} bytes, {len(pieces)} blobs: {len(found)} of {len(canaries)} canaries found")
    sys.exit(1 if found else 0)


main()
