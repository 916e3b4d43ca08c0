# SPDX-License-Identifier: MPL-2.0
"""usage: terminal.py AEROFSCK STORE.tar.gz MANUAL      Run by test_terminal.sh.

Each test damages a copy of a golden store: the first superblock copy of each of its three volumes
(V02, one question each, yes by default)."""

import hashlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

program, archive, manual = sys.argv[1:]
PATIENCE = 60


def check(condition, *what):
    if not condition:
        sys.exit("failed: %r" % (what,))


def make_store(directory):
    with tarfile.open(archive) as tar:
        tar.extractall(directory)
    return ["%s/d%u/v" % (directory, i) for i in range(3)]


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        octet = file.read(1)[0]
        file.seek(at)
        file.write(bytes([octet ^ 0xFF]))


def damage(volumes):
    for volume in volumes:
        flip(volume + "/superblock", 8)


def sums(volumes):
    found = {}
    for volume in volumes:
        for folder, _, names in os.walk(volume):
            for name in names:
                path = os.path.join(folder, name)
                if name != "lock":
                    with open(path, "rb") as file:
                        found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


class Terminal:
    """The program on a terminal of its own; what it says is in `said`."""

    def __init__(self, *arguments):
        self.said = ""
        self.child, self.file = pty.fork()
        if self.child == 0:
            os.execv(program, [program, *arguments])

    def read(self, timeout):
        if not select.select([self.file], [], [], timeout)[0]:
            return False
        try:
            text = os.read(self.file, 65536)
        except OSError:
            return False
        self.said += text.decode()
        return bool(text)

    def expect(self, pattern):
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.said):
            check(self.read(end - time.monotonic()), "not said", pattern, self.said)
        self.said = self.said[re.search(pattern, self.said).end():]

    def send(self, text):
        os.write(self.file, text.encode())

    def end(self):
        while self.read(PATIENCE):
            pass
        status = os.waitpid(self.child, 0)[1]
        os.close(self.file)
        check(os.WIFEXITED(status), "ended by a signal", status)
        return os.WEXITSTATUS(status)


QUESTION = r"Write the superblock anew\? \[Y/n/a\] "


def run(*arguments):
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_question_is_answered(volumes):
    damage(volumes)
    terminal = Terminal(*volumes)
    terminal.expect(QUESTION)
    terminal.send("what\n")
    terminal.expect(QUESTION)
    terminal.send("\n")
    terminal.expect(QUESTION)
    terminal.send("n\n")
    terminal.expect(QUESTION)
    terminal.send("y\n")
    check(terminal.end() == 5, terminal.said)
    status, said = run("-n", *volumes)
    check(status == 4 and said.count("V02 ") == 1, said)
    check(run("-y", *volumes)[0] == 1)
    check(run("-n", *volumes)[0] == 0)


def test_one_answer_for_all(volumes):
    damage(volumes)
    terminal = Terminal(*volumes)
    terminal.expect(QUESTION)
    terminal.send("a\n")
    check(terminal.end() == 1, terminal.said)
    check(len(re.findall(r"\? yes", terminal.said)) == 2, terminal.said)
    check(run("-n", *volumes)[0] == 0)


def test_the_end_of_input_is_no(volumes):
    damage(volumes)
    before = sums(volumes)
    terminal = Terminal(*volumes)
    terminal.expect(QUESTION)
    terminal.send("\4")
    check(terminal.end() == 4, terminal.said)
    check(not re.search(QUESTION, terminal.said), terminal.said)
    check(sums(volumes) == before, "changed")


def test_elsewhere_nothing_is_asked(volumes):
    damage(volumes)
    before = sums(volumes)
    status, said = run(*volumes)
    check(status == 4 and "[Y/n" not in said and said.count("? no") == 3, said)
    check(sums(volumes) == before, "changed")


def test_interrupted_at_a_question(volumes):
    damage(volumes)
    before = sums(volumes)
    terminal = Terminal(*volumes)
    terminal.expect(QUESTION)
    terminal.send("\3")
    status = terminal.end()
    check(status & 32 and "interrupted" in terminal.said, status, terminal.said)
    check(sums(volumes) == before, "changed")


def test_progress(volumes):
    terminal = Terminal("-n", *volumes)
    terminal.expect(r"\r\w+ +\d+ %  \d+ of \d+ MiB  about \d+:\d\d left")
    check(terminal.end() == 0, terminal.said)
    check("left" not in run("-n", *volumes)[1], "progress elsewhere")


def test_interrupted_anywhere(volumes):
    """Whenever it comes: whole files, and the next run ends what this one began."""
    column = max((path for path in sums(volumes) if path.endswith(".col")), key=os.path.getsize)
    began = time.monotonic()
    run("-n", *volumes)
    whole = time.monotonic() - began
    interrupted = 0
    for i in range(12):
        flip(volumes[i % 3] + "/superblock", 8)
        flip(column, 8192 + 160 + i)
        child = subprocess.Popen([program, "-y", *volumes], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(whole * i / 8)
        child.send_signal(signal.SIGINT if i % 2 else signal.SIGTERM)
        said = child.communicate(timeout=PATIENCE)[0].decode()
        # A signal may come before anybody listens, or when all is done.
        check(child.returncode in (-2, -15) or not child.returncode & 24, child.returncode, said)
        interrupted += child.returncode > 0 and bool(child.returncode & 32)
        check(not [path for path in sums(volumes) if path.endswith(".new")], "unfinished file")
        check(os.path.exists(column), "a column is gone")
        check(run("-y", *volumes)[0] in (0, 1), "cannot go on")
        status, said = run("-n", *volumes)
        check(status == 0, said)
    check(interrupted > 0, "never in the middle")


def members_of(section):
    text = open(manual, encoding="utf-8").read()
    found, parts = [], text.split(".Sh DOCUMENT")[1].split(".Sh ")[0].split("Of each problem:")
    for line in parts[section].splitlines():
        if line.startswith(".It Cm "):
            found += line[7:].replace(" ,", "").split()
    return found


OPTIONAL = {"detail", "file", "offset", "size", "set", "column", "account"}
TYPES = {"clean": bool, "problems": list, "safe": bool, "fixed": bool, "code": str, "name": str, "severity": str,
         "message": str, "detail": str, "file": str, "set": str, "account": str}


def check_members(document, described):
    for member, value in document.items():
        check(member in described, "not in the manual", member)
        check(type(value) is TYPES.get(member, int), "type", member, value)
    missing = set(described) - set(document) - OPTIONAL
    check(not missing, "missing", missing)


def test_the_document_is_as_described(volumes):
    damage(volumes)
    column = max((path for path in sums(volumes) if path.endswith(".col")), key=os.path.getsize)
    flip(column, 8192 + 160 + 3)
    seen = set()
    for options, status in (("-n", 4), ("-y", 1), ("-n", 0)):
        got, said = run(options, "--json", *volumes)
        check(got == status and said.count("\n") == 1, got, said)
        document = json.loads(said)
        check_members(document, members_of(0))
        check(document["clean"] == (status & 4 == 0), said)
        for problem in document["problems"]:
            check_members(problem, members_of(1))
            check(problem["severity"] in ("note", "error", "loss"), problem)
            check(re.fullmatch("[A-Z][0-9]{2}", problem["code"]), problem)
            check(problem["fixed"] == (options == "-y"), problem)
            seen |= set(problem)
    check({"file", "offset", "size", "set", "column"} <= seen, seen)


def test_codes_are_those_of_the_manual(volumes):
    described = re.findall(r"^\.It Cm ([A-Z]\d\d) (note|error|loss)( , Fl p)?\n(.*)$",
                           open(manual, encoding="utf-8").read(), re.M)
    table = open("engine/fsck/problem.h", encoding="utf-8").read()
    table = re.sub(r"\\\n", " ", table.split("#define FSCK_PROBLEMS(X)")[1])
    coded = re.findall(r'X\((\w\d\d), \w+, (\w+), (true|false),\s*((?:"(?:[^"])*"\s*)+),', table)
    check(len(coded) > 40, len(coded))
    texts = [(code, severity.lower(), " , Fl p" if safe == "true" else "",
              "".join(re.findall(r'"([^"]*)"', message)) + ".") for code, severity, safe, message in coded]
    check(texts == described, set(texts) ^ set(described))


def test_help_names_the_options(volumes):
    status, said = run("--help")
    check(status == 0 and said.startswith("usage: aerofsck"), said)
    text = open(manual, encoding="utf-8").read()
    for option in re.findall(r"^ +(?:-\w, | *)(--[\w-]+)", said, re.M):
        check("Fl " + option[1:] in text or ", " + option[1:] in text, "not in the manual", option)
    check(all(len(line) <= 80 for line in said.splitlines()), "wider than a terminal")


def main():
    count = 0
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory(prefix="aerostore-terminal-") as directory:
                test(make_store(directory))
            print("ok", name)
            count += 1
    print(count, "passed")


main()
