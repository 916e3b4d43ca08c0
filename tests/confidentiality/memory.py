# SPDX-License-Identifier: MPL-2.0
"""usage: memory.py PID TEXT   Prints how often the text stands in the process's memory (locked pages, too)."""
import re
import sys

pid, text = sys.argv[1], sys.argv[2].encode()
count = 0
with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
    for line in maps:
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if not found:
            continue
        at, end = (int(x, 16) for x in found.groups())
        tail = b""
        while at < end:
            try:
                memory.seek(at)
                part = memory.read(min(1 << 20, end - at))
            except OSError:
                break
            if not part:
                break
            count += (tail + part).count(text)
            tail = part[-len(text) + 1 :]
            at += len(part)
print(count)
