#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""usage: reader.py ADMIN_PUBLIC ADDRESS OUTPUT VOLUME...  <password

Opens an account from the volumes of a store that nothing has open, and writes each of its messages to
OUTPUT/<folder>/cur/<uid>:2,<flags>, those not yet drained to OUTPUT/<folder>/new/<blob id>. ADMIN_PUBLIC: 64
hex digits. Volumes may be missing, as far as the others make up for them.

Follows docs/format.md alone, as a check of that document: it shares nothing with the program. It reads
whole files into memory, and is for small stores.
"""
import hashlib
import os
import re
import sys
import unicodedata

import argon2.low_level
import nacl.bindings
import nacl.exceptions
import nacl.signing
import xxhash
import zstandard

FILE_HEADER = 8192
FRAME = 65536
ZERO = bytes(16)


class Damaged(Exception):
    pass


class Newer(Exception):
    """Written by a later version: to be left alone."""


# ---- Conventions ----


def u16(data, at=0):
    return int.from_bytes(data[at:at + 2], "little")


def u32(data, at=0):
    return int.from_bytes(data[at:at + 4], "little")


def u64(data, at=0):
    return int.from_bytes(data[at:at + 8], "little")


def xxh64(data):
    return xxhash.xxh3_64_intdigest(data)


def xxh128(data):
    """As stored: low half first."""
    return xxhash.xxh3_128_intdigest(data).to_bytes(16, "little")


def blake2b(data, key=b""):
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def check(condition, what):
    if not condition:
        raise Damaged(what)


class Cursor:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, size):
        check(size <= self.left(), "too short")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def id(self):
        return bytes(self.take(16))

    def varint(self):
        value = shift = 0
        while True:
            octet = self.number(1)
            value |= (octet & 0x7F) << shift
            if not octet & 0x80:
                check((octet or not shift) and value < 1 << 64, "varint")
                return value
            shift += 7
            check(shift < 70, "varint")

    def block(self):
        return bytes(self.take(self.varint()))

    def zeros(self, size):
        check(not any(self.take(size)), "reserved bytes")

    def version(self, known=1):
        version = self.number(1)
        if version > known:
            raise Newer()
        check(version, "version")
        return version

    def end(self):
        check(not self.left(), "bytes left over")


def vector(cursor):
    result = {}
    for _ in range(cursor.varint()):
        incarnation = cursor.id()
        result[incarnation] = cursor.varint()
    return result


def covers(a, b):
    return all(a.get(incarnation, 0) >= seq for incarnation, seq in b.items())


# ---- Superblock, logs ----


def read_superblock(path):
    with open(os.path.join(path, "superblock"), "rb") as file:
        both = file.read()
    best = None
    for copy in (0, 1):
        block = both[copy * 4096:copy * 4096 + 4096]
        if block[:8] != b"AEROVOL\0" or xxh128(block[:4080]) != block[4080:]:
            continue
        if u32(block, 12) != copy or any(block[136:4080]):
            continue
        if u32(block, 8) > 1 or u64(block, 40):
            raise Newer()
        if best is None or u64(block, 16) > u64(best, 16):
            best = block
    check(best, "superblock of " + path)
    return {"cluster": best[48:64], "volume": best[80:96]}


class Record:
    def __init__(self, header):
        self.header = header
        self.type, self.flags = header[5], header[6]
        self.size = u32(header, 8)
        self.piece = u32(header, 12)
        self.id, self.tag = header[16:32], header[32:48]
        self.birth_set = u64(header, 48)
        self.incarnation = header[56:72]
        self.number = u64(header, 72)
        self.set, self.offset = u64(header, 96), u64(header, 104)
        self.column = header[120]
        self.running = header[128:144]
        self.whole = (160 + self.size + 63) // 64 * 64
        self.payload = b""


def record_header(data, at):
    """None: not an intact header."""
    header = data[at:at + 160]
    if len(header) < 160 or header[:4] != b"AERO" or xxh64(header[:152]) != u64(header, 152):
        return None
    if header[4] == 0 or header[5] == 0:
        return None
    if header[4] > 1 or header[5] > 10:
        raise Newer()
    record = Record(header)
    if any(header[121:128]) or any(header[144:152]) or header[6] & ~1 or record.size > 4 << 20:
        return None
    if record.offset % 64 or u64(header, 112) % 64 or u64(header, 112) > record.offset:
        return None
    return record


def record_at(data, at, number, column):
    """The record at an offset of a log, its running hash not looked at; None: not good."""
    record = record_header(data, at)
    if record is None or (record.set, record.column, record.offset) != (number, column, at):
        return None
    body = data[at + 160:at + record.whole]
    record.payload = body[:record.size]
    if len(body) != record.whole - 160 or any(body[record.size:]):
        return None
    return record if xxh128(record.payload) == record.header[80:96] else None


def scan(data, number, column):
    """The good records of a log (the bytes behind its file header)."""
    at, running = 0, ZERO
    while at + 160 <= len(data):
        record = record_at(data, at, number, column)
        if record and running is not None:
            if xxh128(running + record.header[:128]) != record.running:
                record = None
        if record is None:
            at, running = at + 64, None
            continue
        yield record
        at += record.whole
        running = None if record.type == 3 else record.running


# ---- Sets ----


def gf_tables():
    exponents, logarithms, value = [0] * 510, [0] * 256, 1
    for i in range(255):
        exponents[i] = exponents[i + 255] = value
        logarithms[value] = i
        value = value << 1 ^ (0x11D if value & 0x80 else 0)
    return exponents, logarithms


EXPONENTS, LOGARITHMS = gf_tables()


def gf_multiply(a, b):
    return EXPONENTS[LOGARITHMS[a] + LOGARITHMS[b]] if a and b else 0


def gf_inverse(a):
    return EXPONENTS[255 - LOGARITHMS[a]]


def gf_add_scaled(total, column, factor):
    """total + factor * column, over whole columns; both as integers of their octets."""
    scaled = column.translate(bytes(gf_multiply(factor, octet) for octet in range(256)))
    return total ^ int.from_bytes(scaled, "little")


class Column:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.file = file.read()
        self.header = self.find_header()
        self.data = self.file[FILE_HEADER:]
        self.trailer = self.find_trailer()

    def find_header(self):
        for at in (0, 4096):
            header = self.file[at:at + 1024]
            if header[:8] != b"AEROCOLU" or xxh64(header[:1016]) != u64(header, 1016):
                continue
            if u16(header, 8) != 1 or any(header[16:24]):
                raise Newer()
            self.kind = header[10]
            self.set, self.uuid = u64(header, 24), header[32:48]
            self.column, self.k, self.m = header[128], header[129], header[130]
            return header
        raise Damaged("column header")

    def find_trailer(self):
        trailer = self.file[-1024:]
        if self.kind == 2 or trailer[:8] != b"AEROSEAL" or xxh64(trailer[:1016]) != u64(trailer, 1016):
            return None
        if u16(trailer, 8) != 1:
            raise Newer()
        if (u64(trailer, 16), trailer[24:40], trailer[11]) != (self.set, self.uuid, self.column):
            return None
        return trailer

    def body(self):
        """What parity covers."""
        return self.data[:u64(self.trailer, 56)]

    def length_of(self, column):
        return u64(self.trailer, 96 + 24 * column)

    def index(self):
        """(blob id, piece, column, offset) of each record of the set."""
        start, pages = u64(self.trailer, 64), u32(self.trailer, 72)
        index = self.file[start:start + 4096 * pages]
        check(xxh128(index) == self.trailer[80:96], "index")
        for at in range(0, len(index), 4096):
            page = index[at:at + 4096]
            check(xxh64(page[:4088]) == u64(page, 4088), "index page")
            for i in range(u16(page, 4080)):
                entry = page[40 * i:40 * i + 40]
                if entry[21] == 1:
                    yield entry[:16], u32(entry, 16), entry[20], u64(entry, 24)


class Sets:
    """Every piece of every blob that is there: (birth set, blob id, piece) -> payload."""

    def __init__(self, volumes):
        self.pieces = {}
        sealed = {}
        for path in volumes:
            directory = os.path.join(path, "columns")
            for name in sorted(os.listdir(directory)):
                if re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{2}\.(col|par|mir)", name):
                    self.open_column(os.path.join(directory, name), sealed)
        for columns in sealed.values():
            self.take_sealed(columns)

    def open_column(self, path, sealed):
        try:
            column = Column(path)
        except Damaged:
            return
        if column.trailer:
            sealed.setdefault((column.set, column.trailer[40:56]), {})[column.column] = column
        elif column.kind != 3:
            self.take_log(column)

    def take_log(self, column):
        for record in scan(column.data, column.set, 255 if column.kind == 2 else column.column):
            if record.type == 2:
                within = record_header(record.payload, 0)
                if within is None or within.type != 1:
                    continue
                within.payload = record.payload[160:160 + within.size]
                record = within
            if record.type == 1:
                self.take(record)

    def take(self, record):
        if xxh128(record.payload) == record.header[80:96]:
            self.pieces[(record.birth_set, record.id, record.piece)] = record.payload

    def take_sealed(self, columns):
        some = next(iter(columns.values()))
        data = {i: column.body() for i, column in columns.items() if i < some.k}
        for _, _, column, offset in some.index():
            if column not in data and len(columns) >= some.k:
                data[column] = decode(columns, column)
            if column in data:
                record = record_at(data[column], offset, some.set, column)
                if record:
                    self.take(record)


def decode(columns, wanted):
    """A data column from k others: Gauss over the rows that are there."""
    some = next(iter(columns.values()))
    k, size = some.k, max(some.length_of(i) for i in range(some.k))
    rows = []
    for i in sorted(columns)[:k]:
        row = [int(i == j) if i < k else gf_inverse(i ^ j) for j in range(k)]
        rows.append((row, columns[i].body().ljust(size, b"\0")))
    # solution[j]: by which factor row j counts in the wanted column.
    matrix = [[rows[r][0][c] for r in range(k)] + [int(c == wanted)] for c in range(k)]
    for c in range(k):
        pivot = next(r for r in range(c, k) if matrix[r][c])
        matrix[c], matrix[pivot] = matrix[pivot], matrix[c]
        scale = gf_inverse(matrix[c][c])
        matrix[c] = [gf_multiply(scale, value) for value in matrix[c]]
        for r in range(k):
            if r != c and matrix[r][c]:
                factor = matrix[r][c]
                matrix[r] = [a ^ gf_multiply(factor, b) for a, b in zip(matrix[r], matrix[c])]
    total = 0
    for r in range(k):
        total = gf_add_scaled(total, rows[r][1], matrix[r][k])
    return total.to_bytes(size, "little")[:some.length_of(wanted)]


# ---- Journal ----


def blob_reference(cursor):
    start = cursor.at
    reference = {"id": cursor.id(), "size": cursor.varint(), "extents": []}
    for _ in range(cursor.varint()):
        reference["extents"].append((cursor.number(8), cursor.varint(), cursor.varint()))
    reference["bytes"] = bytes(cursor.data[start:cursor.at])
    return reference


def blob_references(cursor, count):
    return [blob_reference(cursor) for _ in range(count)]


class Entry:
    def __init__(self, record):
        data = record.payload
        cursor = Cursor(data)
        cursor.version()
        cursor.take(1)
        self.kind, flags, size = cursor.number(1), cursor.number(1), cursor.number(4)
        self.seq, self.stream, self.incarnation = cursor.number(8), cursor.id(), cursor.id()
        self.epoch, self.floor = cursor.number(8), cursor.number(8)
        self.blob_incarnation, self.signer = cursor.id(), cursor.id()
        count = cursor.number(2)
        cursor.zeros(6)
        self.blobs = blob_references(cursor, count)
        self.payload = bytes(cursor.take(size))
        if flags & 1:
            cursor.take(64)
        cursor.end()
        place = (record.id, record.incarnation, record.number)
        check(place == (self.stream, self.incarnation, self.seq), "entry in another's record")


class Manifest:
    def __init__(self, data):
        cursor = Cursor(data)
        cursor.version()
        cursor.zeros(7)
        self.stream, self.id, self.incarnation = cursor.id(), cursor.id(), cursor.id()
        self.epoch, self.floor = cursor.number(8), cursor.number(8)
        self.vector = vector(cursor)
        self.pages = [cursor.id() for _ in range(cursor.varint())]
        self.blobs = blob_references(cursor, cursor.varint())
        self.payload = cursor.block()
        cursor.end()

    def dominates(self, other):
        if covers(other.vector, self.vector):
            return covers(self.vector, other.vector) and (self.epoch, self.id) > (other.epoch, other.id)
        return covers(self.vector, other.vector)


class Stream:
    def __init__(self):
        self.entries, self.manifests, self.pages = {}, {}, {}

    def take(self, record):
        if record.type == 6:
            entry = Entry(record)
            self.entries.setdefault((entry.incarnation, entry.seq), entry)
        elif record.type == 7:
            manifest = Manifest(record.payload)
            self.manifests[manifest.id] = manifest
        elif record.type == 8:
            cursor = Cursor(record.payload)
            cursor.version()
            cursor.zeros(7)
            page = cursor.id()
            blob_references(cursor, cursor.varint())
            self.pages[page] = cursor.block()
            cursor.end()

    def heads(self):
        complete = [manifest for manifest in self.manifests.values()
                    if all(page in self.pages for page in manifest.pages)]
        return [a for a in complete if not any(b.dominates(a) for b in complete if b is not a)]

    def snapshot(self):
        """The manifest to start from; None when there is none."""
        heads = self.heads()
        check(len(heads) <= 1, "sibling manifests")
        return heads[0] if heads else None

    def table_records(self):
        """Those of snapshots, then those of entries that these do not cover."""
        covered = {}
        for head in self.heads():
            check_table_root(head, [self.pages[page] for page in head.pages])
            for page in head.pages:
                yield from table_page(self.pages[page])
            for incarnation, seq in head.vector.items():
                covered[incarnation] = max(seq, covered.get(incarnation, 0))
        for entry in self.entries.values():
            if entry.seq > covered.get(entry.incarnation, 0):
                yield entry.payload


def check_table_root(manifest, pages):
    """Everything but the signature: the node's public key is not on the volumes."""
    cursor = Cursor(manifest.payload)
    cursor.version()
    cursor.zeros(7)
    vouched = cursor.id() != ZERO
    for page in pages:
        check(cursor.take(32) == blake2b(page), "digest of a table's page")
    if vouched:
        cursor.take(64)
    cursor.end()


def table_page(payload):
    cursor = Cursor(payload)
    cursor.version()
    cursor.zeros(7)
    records = []
    while cursor.left():
        records.append(cursor.block())
        check(records[-1], "empty record")
    return records


def read_journal(volumes):
    streams = {}
    for path in volumes:
        directory = os.path.join(path, "journal")
        for name in sorted(os.listdir(directory)):
            if not re.fullmatch(r"[0-9a-f]{16}\.seg", name):
                continue
            with open(os.path.join(directory, name), "rb") as file:
                data = file.read()
            for record in scan(data[FILE_HEADER:], int(name[:16], 16), 255):
                if record.type in (6, 7, 8):
                    try:
                        streams.setdefault(record.tag, Stream()).take(record)
                    except Damaged:
                        pass
    return streams


# ---- Encryption ----


def labelled(label, message):
    text = label.encode()
    return bytes([len(text)]) + text + len(message).to_bytes(8, "little") + message


def kdf(key, label, message=b""):
    return blake2b(labelled(label, message), key)


def signed_by(public, label, message, signature):
    try:
        nacl.signing.VerifyKey(public).verify(blake2b(labelled(label, message)), signature)
        return True
    except nacl.exceptions.BadSignatureError:
        return False


def aead_open(key, nonce, associated, sealed):
    """None: it does not open."""
    try:
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, nonce, key)
    except nacl.exceptions.CryptoError:
        return None


def decompress(stored, size):
    if len(stored) == size:
        return stored
    plain = zstandard.ZstdDecompressor().decompress(stored, max_output_size=size)
    check(len(plain) == size, "zstd")
    return plain


def body_open(body):
    size, stored = u32(body), u32(body, 4)
    check(stored <= size and 8 + stored <= len(body) and not any(body[8 + stored:]), "body")
    return decompress(body[8:8 + stored], size)


def payload_open(key, label, use, associated, sealed):
    if sealed[0] != 1:
        raise Newer()
    body = aead_open(kdf(key, label, use), bytes(24), associated, sealed[1:])
    return None if body is None else body_open(body)


def unwrap(key, label, use, wrapped):
    sub_key = kdf(key, label, use)
    stream = kdf(sub_key, "aerostore wrap stream", wrapped[:16])
    plain = bytes(a ^ b for a, b in zip(wrapped[16:], stream))
    return plain if kdf(sub_key, "aerostore wrap mac", plain)[:16] == wrapped[:16] else None


def envelope_open(secret, account, use, associated, envelope):
    if envelope[0] != 1:
        raise Newer()
    public = nacl.bindings.crypto_scalarmult_base(secret)
    shared = nacl.bindings.crypto_scalarmult(secret, bytes(envelope[8:40]))
    key = kdf(shared, "aerostore envelope", envelope[:40] + public + account + use)
    body = aead_open(key, bytes(24), associated, envelope[40:])
    return None if body is None else body_open(body)


def padme(size):
    if size <= 4096:
        return 4096
    exponent = size.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return (size + mask) & ~mask


def blob_open(key, blob_type, tag, blob, data):
    associated = bytes([1, blob_type]) + bytes(6) + tag + bytes(8) + blob
    padded, count = b"", (len(data) + FRAME + 15) // (FRAME + 16)
    for i in range(count):
        nonce = b"aerostore frame" + i.to_bytes(8, "little") + bytes([i == count - 1])
        frame = aead_open(key, nonce, associated, data[i * (FRAME + 16):(i + 1) * (FRAME + 16)])
        check(frame, "frame")
        padded += frame
    size, chunks = u64(padded, len(padded) - 16), []
    check(padded[-8:-6] == b"\1\1" and not any(padded[-6:]), "end of a blob")
    count = (size + 65535) // 65536
    table = [u32(padded, len(padded) - 16 - 4 * (count - i)) for i in range(count)]
    check(padme(sum(table) + 4 * count + 16) == len(padded), "chunk table")
    at = 0
    for i, stored in enumerate(table):
        chunks.append(decompress(padded[at:at + stored], min(65536, size - i * 65536)))
        at += stored
    return b"".join(chunks)


def slot_open(slot, cluster, account, password):
    """The master key, or None. Passwords only (kinds 1, and 4 without an invitation)."""
    if slot[0] > 1 or slot[1] > 1:
        raise Newer()
    if slot[3] != 1 or slot[16] & 1:
        return None
    root = argon2.low_level.hash_secret_raw(password, slot[32:48], u32(slot, 8), u32(slot, 12), 1, 32,
                                            argon2.low_level.Type.ID, 0x13)
    associated = cluster + account + slot[:64]
    if kdf(root, "aerostore slot commitment", associated) != slot[64:96]:
        return None
    return aead_open(kdf(root, "aerostore slot encryption", associated), slot[96:120], associated, slot[120:])


# ---- Accounts ----


class Statement:
    def __init__(self, data, cluster, admin):
        cursor = Cursor(data)
        cursor.version()
        cursor.version()
        self.type = cursor.number(1)
        cursor.take(1)
        cursor.zeros(4)
        self.number = cursor.number(8)
        check(cursor.id() == cluster, "of another cluster")
        self.account = cursor.id()
        signers = self.body(cursor, admin)
        signed = data[:cursor.at]
        for public, label in signers:
            check(signed_by(public, "aerostore account " + label, signed, cursor.take(64)), "signature")
        cursor.end()
        self.order = (getattr(self, "status", 0) == 3, self.number, blake2b(data))

    def body(self, cursor, admin):
        if self.type == 1:
            self.tag, self.stream = cursor.id(), cursor.id()
            self.identity, self.delivery = cursor.take(32), cursor.take(32)
            self.address = cursor.take(cursor.number(2)).decode()
            return [(admin, "birth")]
        if self.type == 2:
            self.status = cursor.number(1)
            cursor.zeros(7)
            return [(admin, "status")]
        check(self.type in (3, 4), "type of an account record")
        self.signer = cursor.take(32)
        if self.type == 3:
            self.identity, self.delivery = cursor.take(32), cursor.take(32)
        self.slots = [cursor.take(cursor.number(2)) for _ in range(cursor.number(2))]
        if self.type == 4:
            return [(self.signer, "slots")]
        return [(self.signer, "keys"), (self.identity, "next keys")]


class Account:
    def __init__(self):
        self.best = {}

    def take(self, statement):
        key = (statement.type, getattr(statement, "signer", None))
        if key not in self.best or statement.order > self.best[key].order:
            self.best[key] = statement

    def birth(self):
        return self.best.get((1, None))

    def deleted(self):
        status = self.best.get((2, None))
        return status is not None and status.status == 3

    def slots(self):
        identity, counter, slots = self.birth().identity, 0, []
        while True:
            keys = self.best.get((3, identity))
            if keys is None or keys.number <= counter:
                break
            identity, counter, slots = keys.identity, keys.number, keys.slots
        last = self.best.get((4, identity))
        return last.slots if last and last.number > counter else slots


def find_account(stream, cluster, admin, address):
    accounts = {}
    for record in stream.table_records():
        try:
            statement = Statement(record, cluster, admin)
        except Damaged:
            continue
        accounts.setdefault(statement.account, Account()).take(statement)
    found = [account for account in accounts.values()
             if account.birth() and account.birth().address == address and not account.deleted()]
    check(found, "no account " + address)
    return min(found, key=lambda account: (account.birth().number, account.birth().account))


# ---- Mailbox ----


class Message:
    def __init__(self, **fields):
        self.keywords = set()
        self.registers = {}
        self.old_uids = set()
        self.__dict__.update(fields)


class Folder:
    def __init__(self, name):
        self.name, self.name_stamp = name, (0, ZERO)
        self.keys, self.key_stamps = {}, {}
        self.messages, self.tombstones = {}, set()

    def by_uid(self, uid):
        for message in self.messages.values():
            if uid == message.uid or uid in message.old_uids:
                return message
        return None


def ids(cursor):
    return [cursor.id() for _ in range(cursor.varint())]


def uid_runs(cursor):
    uids, end = [], 0
    for _ in range(cursor.varint()):
        first = end + cursor.varint()
        end = first + cursor.varint()
        uids.extend(range(first, end))
    return uids


def names(cursor):
    return [cursor.block().decode().lower() for _ in range(cursor.varint())]


class Mailbox:
    def __init__(self, account, cluster, password, stream, sets):
        birth = account.birth()
        self.account, self.tag, self.stream_id = birth.account, birth.tag, birth.stream
        masters = [slot_open(slot, cluster, self.account, password) for slot in account.slots()]
        master = next((master for master in masters if master), None)
        check(master, "wrong password")
        self.directory = [kdf(master, "aerostore account directory")]
        self.delivery = [kdf(master, "aerostore account delivery")]
        self.stream, self.sets = stream, sets
        self.folders, self.deleted, self.applied, self.drained = {}, set(), {}, {}
        self.contexts = {}

    def load(self):
        manifest = self.stream.snapshot()
        entries = sorted((entry for entry in self.stream.entries.values() if entry.kind == 2),
                         key=lambda entry: (entry.incarnation, entry.seq))
        for _ in range(len(entries)):
            if not any([self.read_keyring_entry(entry) for entry in entries]):
                break
        if manifest:
            self.load_root(manifest)
        self.apply_all(entries)

    # -- keys --

    def take_keyring(self, cursor):
        cursor.version()
        for _ in range(cursor.varint()):
            directory, delivery = cursor.take(32), cursor.take(32)
            if directory not in self.directory:
                self.directory.append(directory)
                self.delivery.append(delivery)

    def read_keyring_entry(self, entry):
        """Whether it told of keys that were not known."""
        known = len(self.directory)
        if entry.payload[:1] == b"\2":
            plain = self.open_entry(entry, "aerostore mailbox keyring 1")
            if plain is not None:
                cursor = Cursor(plain)
                self.take_keyring(cursor)
                cursor.end()
        return len(self.directory) > known

    def open_payload(self, label, use, associated, sealed):
        opened = (payload_open(key, label, use, associated, sealed) for key in self.directory)
        return next((plain for plain in opened if plain is not None), None)

    def open_entry(self, entry, label):
        use = entry.incarnation + entry.seq.to_bytes(8, "little")
        check(len(entry.blobs) <= 1024, "references")
        count, varint = len(entry.blobs), b""
        while count >= 0x80:
            varint, count = varint + bytes([count & 0x7F | 0x80]), count >> 7
        associated = b"\1" + self.account + self.stream_id + use
        associated += entry.epoch.to_bytes(8, "little") + entry.floor.to_bytes(8, "little")
        associated += varint + bytes([count]) + b"".join(blob["bytes"] for blob in entry.blobs)
        return self.open_payload(label, use, associated, entry.payload[1:])

    # -- snapshot --

    def load_root(self, manifest):
        plain = self.open_payload("aerostore mailbox root 1", manifest.id,
                                  b"\1" + self.account + ZERO + manifest.id, manifest.payload)
        check(plain is not None, "root")
        cursor = Cursor(plain)
        self.take_keyring(cursor)
        version = cursor.version(2)
        writers = ids(cursor)
        cursor.varint()
        cursor.take(4)
        self.applied = vector(cursor)
        for _ in range(cursor.varint()):
            cursor.varint(), cursor.varint()
            cursor.take(17)
            vector(cursor)
        for _ in range(cursor.varint()):
            incarnation = cursor.id()
            self.drained[incarnation] = cursor.varint()
            cursor.take(32)
        self.deleted = set(ids(cursor))
        for _ in range(cursor.varint()):
            cursor.block()
            cursor.take(1)
            self.stamp(cursor, writers)
        for _ in range(cursor.varint()):
            blob_reference(cursor)
            cursor.take(48)
        lists = ids(cursor)
        pages = []
        for _ in range(cursor.varint()):
            self.take_folder(cursor, writers, pages)
        if version == 2:
            cursor.take(4)
            for _ in range(cursor.varint()):
                cursor.take(36)
        cursor.end()
        for folder, page, keywords in pages:
            self.take_message_page(folder, page, keywords)
        for page in lists:
            self.take_list_page(page)

    @staticmethod
    def stamp(cursor, writers):
        clock = cursor.varint()
        return (clock, writers[cursor.varint()]) if clock else (0, ZERO)

    def take_folder(self, cursor, writers, pages):
        folder_id = cursor.id()
        folder = self.folders[folder_id] = Folder(cursor.block().decode())
        folder.name_stamp = self.stamp(cursor, writers)
        cursor.take(6)
        for _ in range(cursor.varint()):
            epoch = cursor.number(4)
            folder.key_stamps[epoch] = self.stamp(cursor, writers)
            folder.keys[epoch] = cursor.take(48)
        for _ in range(4):
            cursor.varint()
        if cursor.varint():
            cursor.varint(), cursor.varint()
        keywords = names(cursor)
        for _ in range(cursor.varint()):
            cursor.varint()
            pages.append((folder_id, cursor.id(), keywords))

    def open_page(self, folder, page):
        plain = self.open_payload("aerostore mailbox page 1", page, b"\1" + self.account + folder + page,
                                  self.stream.pages[page])
        check(plain is not None, "page")
        cursor = Cursor(plain)
        cursor.version()
        return cursor

    def take_message_page(self, folder_id, page, keywords):
        cursor = self.open_page(folder_id, page)
        writers, _ = ids(cursor), ids(cursor)
        folder = self.folders[folder_id]
        for _ in range(cursor.varint()):
            flags = cursor.number(1)
            message = Message(delivered=bool(flags & 1), id=cursor.id(), uid=cursor.varint(),
                              blob=blob_reference(cursor), epoch=cursor.number(4), key=cursor.take(48))
            cursor.varint()
            message.arrival = cursor.varint()
            cursor.take(2)
            cursor.varint()
            message.system = cursor.number(1)
            bits = cursor.varint() | cursor.varint() << 64
            message.keywords = {name for i, name in enumerate(keywords) if bits >> i & 1}
            for _ in range(6 if flags & 2 else 4):
                cursor.varint()
            if cursor.number(1):
                cursor.varint()
            for _ in range(cursor.varint()):
                flag = cursor.number(1)
                name = flag if flag < 8 else keywords[flag - 8]
                message.registers[name] = (cursor.varint(), writers[cursor.varint()])
            folder.messages[message.id] = message
        cursor.end()

    def take_list_page(self, page):
        cursor = self.open_page(ZERO, page)
        ids(cursor)
        while cursor.left():
            kind, item = cursor.number(1), cursor.id()
            if kind == 1:
                cursor.varint()
            elif kind == 2:
                self.folders[item].tombstones.add(cursor.id())
                cursor.varint(), cursor.varint()
            else:
                check(kind == 3, "kind of a list item")
                old, present = cursor.varint(), cursor.varint()
                self.folders[item].by_uid(present).old_uids.add(old)

    # -- operations --

    def apply_all(self, entries):
        waiting = {(entry.incarnation, entry.seq): entry for entry in entries
                   if entry.seq > self.applied.get(entry.incarnation, 0)}
        progress = True
        while progress:
            progress = False
            for key in sorted(waiting):
                if key[1] == self.applied.get(key[0], 0) + 1:
                    progress = self.apply_group(waiting, key) or progress
        # What is left are groups that were not ended.
        for entry in waiting.values():
            first = self.applied.get(entry.incarnation, 0) + 1
            check(self.head((waiting[entry.incarnation, first]))[0] & 4, "entries whose context is missing")

    def head(self, entry):
        """Flags, clock, context, and a cursor at the operations; no flags when it says nothing."""
        plain = None
        if entry.payload[0] == 1:
            plain = self.open_entry(entry, "aerostore mailbox operation 1")
        if plain is None:
            return 0, 0, {}, None
        cursor, context = Cursor(plain), {}
        cursor.version()
        flags, clock = cursor.number(1), cursor.number(8)
        cursor.take(32)
        if flags & 1:
            cursor.id()
            context = vector(cursor)
        if flags & 2:
            ids(cursor)
        return flags, clock, context, cursor

    def apply_group(self, waiting, key):
        """False: something that it builds on, or its end, is not in yet."""
        incarnation, seq = key
        heads = [self.head(waiting[key])]
        if not covers(self.applied, heads[0][2]):
            return False
        whole = not heads[0][0] & 8
        while heads[-1][0] & 4:
            if (incarnation, seq + len(heads)) not in waiting:
                return False
            head = self.head(waiting[incarnation, seq + len(heads)])
            if not head[0] & 8:
                whole = False
                break
            heads.append(head)
        for i, (_, clock, _, cursor) in enumerate(heads):
            while whole and cursor and cursor.left():
                self.apply(cursor, (clock, incarnation))
            del waiting[incarnation, seq + i]
        self.applied[incarnation] = seq + len(heads) - 1
        return True

    def apply(self, cursor, stamp):
        kind, folder_id = cursor.number(1), cursor.id()
        fields = self.decode(kind, cursor)
        if kind == 13:
            incarnation, seq = fields
            self.drained[incarnation] = max(seq, self.drained.get(incarnation, 0))
        if kind == 3:
            self.deleted.add(folder_id)
            self.folders.pop(folder_id, None)
        if kind == 1 and folder_id not in self.deleted:
            self.folders.setdefault(folder_id, Folder(""))
        folder = self.folders.get(folder_id)
        if folder is None:
            return
        if kind in (1, 2) and stamp >= folder.name_stamp:
            folder.name, folder.name_stamp = fields, stamp
        elif kind == 4:
            epoch, wrapped = fields
            if stamp >= folder.key_stamps.get(epoch, (0, ZERO)):
                folder.keys[epoch], folder.key_stamps[epoch] = wrapped, stamp
        elif kind == 6:
            self.add(folder, fields)
        elif kind == 7:
            for uid in fields:
                self.remove(folder, folder.by_uid(uid))
        elif kind == 8:
            self.flag(folder, fields, stamp)
        elif kind == 9:
            self.restamp(folder.by_uid(fields[0]), fields[1])
        elif kind == 14:
            self.remove(folder, folder.messages.get(fields))
            folder.tombstones.add(fields)

    @staticmethod
    def decode(kind, cursor):
        if kind == 1:
            cursor.take(6)
            return cursor.block().decode()
        if kind == 2:
            return cursor.block().decode()
        if kind == 3:
            return None
        if kind == 4:
            return cursor.number(4), cursor.take(48)
        if kind == 5:
            return cursor.take(1), cursor.block()
        if kind == 6:
            flags = cursor.number(1)
            message = Message(delivered=bool(flags & 1), id=cursor.id(), uid=cursor.varint(),
                              blob=blob_reference(cursor), epoch=cursor.number(4), key=cursor.take(48))
            cursor.varint()
            message.arrival = cursor.varint()
            cursor.take(2)
            message.system, message.keywords = cursor.number(1), set(names(cursor))
            if message.delivered:
                cursor.take(16)
            cursor.take(16)
            cursor.block()
            return message
        if kind in (7, 10):
            return uid_runs(cursor)
        if kind == 8:
            return uid_runs(cursor), cursor.number(1), cursor.number(1), names(cursor), names(cursor)
        if kind == 9:
            return cursor.varint(), cursor.varint()
        if kind in (11, 12):
            return cursor.varint()
        if kind == 13:
            fields = cursor.id(), cursor.varint()
            cursor.take(32)
            return fields
        if kind == 14:
            return cursor.id()
        if kind == 15:
            return blob_reference(cursor), cursor.take(48)
        raise Newer()

    def add(self, folder, message):
        present = folder.messages.get(message.id)
        if present:
            if message.epoch < present.epoch:
                present.epoch, present.key = message.epoch, message.key
            self.restamp(present, message.uid)
        elif message.id not in folder.tombstones:
            folder.messages[message.id] = message

    @staticmethod
    def remove(folder, message):
        if message is None:
            return
        del folder.messages[message.id]
        if message.delivered:
            folder.tombstones.add(message.id)

    @staticmethod
    def restamp(message, uid):
        if message is not None and uid != message.uid:
            message.old_uids.add(min(uid, message.uid))
            message.uid = max(uid, message.uid)

    @staticmethod
    def flag(folder, fields, stamp):
        uids, system_set, system_clear, keywords_set, keywords_clear = fields
        changes = [(bit, True) for bit in range(8) if system_set >> bit & 1]
        changes += [(bit, False) for bit in range(8) if (system_clear & ~system_set) >> bit & 1]
        changes += [(name, True) for name in keywords_set] + [(name, False) for name in keywords_clear]
        for message in filter(None, map(folder.by_uid, uids)):
            for name, value in changes:
                if stamp < message.registers.get(name, (0, ZERO)):
                    continue
                message.registers[name] = stamp
                if isinstance(name, int):
                    message.system = message.system & ~(1 << name) | value << name
                elif value:
                    message.keywords.add(name)
                else:
                    message.keywords.discard(name)

    # -- messages --

    def read_blob(self, key, blob):
        data = b""
        for birth_set, first, count in blob["extents"]:
            for piece in range(first, first + count):
                part = self.sets.pieces.get((birth_set, blob["id"], piece))
                check(part is not None, "a piece of blob %s is lost" % blob["id"].hex())
                data += part
        check(len(data) == blob["size"], "size of a blob")
        return blob_open(key, 1, self.tag, blob["id"], data)

    def message_key(self, folder_id, folder, message):
        use = folder_id + message.epoch.to_bytes(4, "little")
        for key in self.directory:
            folder_key = unwrap(key, "aerostore mailbox folder key 1", use, folder.keys[message.epoch])
            if folder_key:
                key = unwrap(folder_key, "aerostore mailbox blob key 1", message.blob["id"], message.key)
                check(key, "key of a message")
                return key
        raise Damaged("key of a folder")

    def messages(self):
        """(folder name, message, its bytes)"""
        for folder_id, folder in self.folders.items():
            for message in folder.messages.values():
                key = self.message_key(folder_id, folder, message)
                yield folder.name, message, self.read_blob(key, message.blob)

    def waiting(self):
        """(folder name, blob id, bytes) of deliveries that no home has drained yet."""
        existing = {folder.name for folder in self.folders.values()}
        for entry in self.stream.entries.values():
            if entry.kind != 1 or entry.seq <= self.drained.get(entry.incarnation, 0):
                continue
            blob = entry.blobs[0]
            place = b"\1" + self.account + self.stream_id + entry.incarnation
            place += entry.seq.to_bytes(8, "little") + entry.floor.to_bytes(8, "little")
            place += entry.blob_incarnation + blob["bytes"]
            opened = (envelope_open(secret, self.account, blob["id"], place, entry.payload)
                      for secret in self.delivery)
            plain = next((plain for plain in opened if plain is not None), None)
            check(plain is not None, "envelope")
            cursor = Cursor(plain)
            cursor.version()
            blob_reference(cursor)
            key = cursor.take(32)
            cursor.take(8 + 8 + 16 + 32)
            folder = cursor.block().decode()
            yield folder if folder in existing else "INBOX", blob["id"], self.read_blob(key, blob)


# ---- the program ----


def write_message(output, folder, kind, name, content):
    directory = os.path.join(output, folder.replace("/", "."), kind)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, name), "xb") as file:
        file.write(content)


def maildir_flags(system):
    return "".join(letter for bit, letter in ((4, "D"), (2, "F"), (1, "R"), (0, "S"), (3, "T"))
                   if system >> bit & 1)


def main(arguments):
    if len(arguments) < 4:
        sys.exit(__doc__)
    admin, address, output, volumes = bytes.fromhex(arguments[0]), arguments[1], arguments[2], arguments[3:]
    password = sys.stdin.buffer.read().rstrip(b"\n")
    cluster = read_superblock(volumes[0])["cluster"]
    volumes = [path for path in volumes if read_superblock(path)["cluster"] == cluster]
    streams = read_journal(volumes)
    address = unicodedata.normalize("NFC", address)
    account = find_account(streams[bytes(15) + b"\1"], cluster, admin, address)
    stream = streams.get(account.birth().stream, Stream())
    mailbox = Mailbox(account, cluster, password, stream, Sets(volumes))
    mailbox.load()
    count = 0
    for folder, message, content in mailbox.messages():
        name = "%u:2,%s" % (message.uid, maildir_flags(message.system))
        write_message(output, folder, "cur", name, content)
        count += 1
    for folder, blob, content in mailbox.waiting():
        write_message(output, folder, "new", blob.hex(), content)
        count += 1
    print("%u messages" % count)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Damaged as damage:
        sys.exit("reader: damaged: %s" % damage)
    except Newer:
        sys.exit("reader: written by a later version")
