#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""usage: newer_superblock.py FILE   Sets an incompat feature bit that no program knows yet in both
copies of a superblock, with the checksum that belongs to it (engine/format/superblock.h)."""
import ctypes
import struct
import sys

COPY_SIZE = 4096
INCOMPAT_OFFSET = 40
CHECKSUM_OFFSET = 4080


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_128bits.restype = Hash128
xxhash.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def checksum(data):
    value = xxhash.XXH3_128bits(data, len(data))
    return struct.pack("<QQ", value.low, value.high)


with open(sys.argv[1], "r+b") as file:
    content = bytearray(file.read())
    for start in range(0, 2 * COPY_SIZE, COPY_SIZE):
        copy = content[start : start + COPY_SIZE]
        assert bytes(copy[CHECKSUM_OFFSET:]) == checksum(bytes(copy[:CHECKSUM_OFFSET]))
        copy[INCOMPAT_OFFSET + 7] |= 0x80
        copy[CHECKSUM_OFFSET:] = checksum(bytes(copy[:CHECKSUM_OFFSET]))
        content[start : start + COPY_SIZE] = copy
    file.seek(0)
    file.write(content)
