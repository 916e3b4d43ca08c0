# SPDX-License-Identifier: MPL-2.0
"""sync - control of slow_sync.so: the delay of every sync, and their count."""
import mmap
import os
import struct


class Sync:
    def __init__(self, library, path):
        with open(path, "wb") as out:
            out.write(bytes(4096))
        os.chmod(path, 0o666)  # servers drop their privileges before they open it
        self.environment = {"LD_PRELOAD": os.path.abspath(library), "BENCH_SYNC": path}
        with open(path, "r+b") as control:
            self.map = mmap.mmap(control.fileno(), 4096)

    def set_delay_ms(self, delay_ms):
        self.map[0:8] = struct.pack("<Q", round(delay_ms * 1000))

    def count(self):
        return struct.unpack("<Q", self.map[8:16])[0]
