# SPDX-License-Identifier: MPL-2.0
"""usage: sync_order.py [--late] TRACE LMTP IMAP

Reads what strace -f -yy wrote of an aerod whose one client sends one request after another, and says
for each reply that acknowledges a change whether its syncs returned before: between the request and
the reply, and whole within it, something was written to the journal of two volumes and synced there
after that; a message, also to columns or mirrors of two volumes. A sync that strace has answered
itself is none. --late pretends that each sync returned just after the next reply, as a server would
look that does not wait. Exit status 1: a reply came too early.
"""
import re
import sys

MESSAGE_SIZE = 20000  # what sync_load.py's messages occupy at least
LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\((\d+)<(.*?)>(?=[,)]| <unf))")
FILE = re.compile(r".*/(vol\d+)/(journal|columns)/")


class Call:
    """A system call: where its file lies, when it was made and had returned (lines of the trace)."""

    def __init__(self, name, place, begun, text):
        self.name, self.place, self.begun, self.text = name, place, begun, text
        self.returned, self.result, self.injected = None, 0, False

    def end(self, line, text):
        self.returned = line
        found = re.search(r"\) += (-?\d+)[^=]*$", text)
        self.result = int(found.group(1)) if found else 0
        self.injected = "(INJECTED)" in text


def read(path):
    calls, under_way = [], {}
    with open(path, encoding="latin-1") as trace:
        for number, text in enumerate(trace):
            found = LINE.match(text)
            if not found:
                continue
            thread, resumed, name, _, place = found.groups()
            if resumed:
                call = under_way.pop(thread, None)
                if call:
                    call.end(number, text)
                    call.text += text
                continue
            call = Call(name, place, number, text)
            calls.append(call)
            if "<unfinished ...>" in text:
                under_way[thread] = call
            else:
                call.end(number, text)
    return [call for call in calls if call.returned is not None and call.result >= 0]


def synced(calls, folder, begun, replied):
    """Volume -> octets that were written there and synced, all between the two."""
    volumes = {}
    for write in calls:
        at = FILE.match(write.place)
        if not write.name.startswith("pwrite") or not at or at.group(2) != folder:
            continue
        if write.begun >= begun and any(
                sync.name in ("fdatasync", "fsync") and sync.place == write.place
                and not sync.injected and write.returned <= sync.begun
                and sync.returned < replied for sync in calls):
            volumes[at.group(1)] = volumes.get(at.group(1), 0) + write.result
    return volumes


def acknowledged(calls, lmtp, imap):
    """(what, begun, replied): from the request's last octets to the reply."""
    asked = {}
    for call in calls:
        port = re.search(r"\[127\.0\.0\.1:(\d+)->", call.place)
        if not port or port.group(1) not in (lmtp, imap):
            continue
        if call.name in ("recvfrom", "recvmsg"):
            if call.result > 0 and re.search(r"\b(APPEND|STORE|COPY|EXPUNGE|CREATE)\b", call.text):
                asked["imap"] = (re.search(r"\b(APPEND|STORE|COPY|EXPUNGE|CREATE)\b", call.text).group(1),
                                 call.begun)
        elif "354 " in call.text:
            asked["lmtp"] = ("LMTP", call.begun)
        elif "250 2.0.0 Delivered" in call.text and "lmtp" in asked:
            yield (*asked.pop("lmtp"), call.begun)
        elif re.search(r"[A-Z]{4}\d+ OK ", call.text) and "imap" in asked:
            yield (*asked.pop("imap"), call.begun)


def main():
    late = sys.argv[1] == "--late"
    path, lmtp, imap = sys.argv[1 + late:]
    calls = read(path)
    replies = list(acknowledged(calls, lmtp, imap))
    if late:
        for call in calls:
            if call.name == "fdatasync":
                call.returned = next((r[2] + 1 for r in replies if r[2] >= call.begun), call.returned)
    counts, early = {}, 0
    for what, begun, replied in replies:
        counts[what] = counts.get(what, 0) + 1
        journal = synced(calls, "journal", begun, replied)
        blob = {v: n for v, n in synced(calls, "columns", begun, replied).items() if n >= MESSAGE_SIZE}
        if len(journal) < 2 or (what in ("LMTP", "APPEND") and len(blob) < 2):
            early += 1
            print(f"{what} in line {replied + 1}: synced before: journal {journal}, message {blob}")
    print(f"{early} of {len(replies)} replies too early: {counts}")
    if counts != {"LMTP": 8, "APPEND": 4, "STORE": 5, "COPY": 1, "CREATE": 1, "EXPUNGE": 1}:
        sys.exit("the trace does not have the replies that it should have")
    return 1 if early else 0


sys.exit(main())
