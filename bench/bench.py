#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""bench - Aerostore against limits and peers on this machine, as ratios of one run.

Whatever is compared is measured in turn, three times, and medians are taken. All servers
run throughout with slow_sync.so preloaded, which counts syncs and delays them where the
report says so. Writes bench/out/bench.{txt,json,svg} and growth.svg.
"""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

from peers import Aerostore, Dovecot
from progress import Progress
from report import Report
from sync import Sync

ROUNDS = 3
DELAYS_MS = (0.2, 2, 10)

# Seconds of each section on two free cores, full and quick, in the order in which they run.
PLAN = {"append": (40, 20), "seal": (40, 25), "space": (50, 15), "lmtp": (620, 150), "imap": (330, 60),
        "pending": (260, 20), "idle": (60, 10), "sessions": (60, 40), "growth": (400, 60)}
# By then a run has ended, whatever the machine; what does not fit is left out, and said.
LIMIT_MINUTES = (40, 15)


SERVED = ("lmtp", "imap", "pending", "idle", "sessions")


class Bench:
    def __init__(self, options):
        self.build = os.path.abspath(options.build)
        self.quick = options.quick
        self.sections = options.sections
        self.report = Report()
        self.work = tempfile.mkdtemp(prefix="aerostore-bench-", dir=options.directory)
        os.chmod(self.work, 0o755)  # Dovecot's mail user passes through
        self.account_count = 40 if self.quick else 100
        # Accounts behind those of the LMTP runs have a purpose of their own.
        self.mailbox, self.pending, self.idle = (self.account_count + i for i in range(3))
        self.peers = []
        self.ours = None
        self.own_sync = self.make_sync("own")
        self.sync_p50 = None
        self.load_before = os.getloadavg()
        plan = {name: seconds[self.quick] for name, seconds in PLAN.items() if name in self.sections}
        self.progress = Progress(plan, 60 * (options.minutes or LIMIT_MINUTES[self.quick]))

    # ---- running a generator ----

    def run(self, program, *arguments, environment=None):
        command = [f"{self.build}/bench/{program}", *map(str, arguments)]
        self.progress.show(program + " " + " ".join(map(str, arguments[1:4])))
        left_s = self.progress.left_s()
        if left_s <= 0:
            raise RuntimeError(f"no time left for {program}")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **(environment or {})}, check=False,
                              timeout=left_s + 10)
        if done.returncode != 0:
            raise RuntimeError(" ".join(command[:4]) + ": " + done.stderr.strip())
        return json.loads(done.stdout)

    def in_turn(self, measure, peers=None):
        """{peer name: [measure(peer), ...]}; a peer that fails once is left out, with a note."""
        results = {peer.name: [] for peer in peers or self.peers}
        for _ in range(ROUNDS):
            for peer in peers or self.peers:
                if results[peer.name] is None:
                    continue
                try:
                    results[peer.name].append(measure(peer))
                except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                    self.report.note(f"{peer.name}: {error}")
                    results[peer.name] = None
                    self.revive(peer)
        return {name: values for name, values in results.items() if values}

    def revive(self, peer):
        if peer.process is not None and peer.process.poll() is not None:
            self.report.note(f"{peer.name} has ended with status {peer.process.returncode}, starting again")
            peer.process = None
            peer.start()

    def add(self, section, what, values, unit, better, targets=None):
        """A row for each peer but ours; values {peer name: number}, targets {peer name: target}."""
        for peer in [peer for peer in self.peers if peer is not self.ours] or [None]:
            name = peer.name if peer else ""
            if peer is None or name in values:
                self.report.add(section, what, values.get("aerostore"), values.get(name), unit, name,
                                better, (targets or {}).get(name))

    # ---- limits ----

    def append(self):
        for delay in (0, *DELAYS_MS):
            directory = tempfile.mkdtemp(dir=self.work)
            self.own_sync.set_delay_ms(delay)
            count = {0: 40, 0.2: 40, 2: 20, 10: 8}[delay] // (2 if self.quick else 1)
            result = self.run("bench_append", directory, count, environment=self.own_sync.environment)
            shutil.rmtree(directory)
            self.report.details[f"append {delay} ms"] = result
            if delay == 0:
                self.sync_p50 = result["sync_p50_us"]
                self.report.note(f"sync of 16 KiB: p50 {result['sync_p50_us']} us, p99 {result['sync_p99_us']} us")
            for batch in result["batches"]:
                self.report.add("append, group commit", f"{batch['batch']} x 16 KiB a sync, +{delay} ms",
                                batch["engine_mb_per_s"], batch["raw_mb_per_s"], "MB/s",
                                "pwritev+fdatasync", "higher")
                if batch["engine_syncs"] != batch["raw_syncs"]:
                    self.report.note(f"append: {batch['engine_syncs']} syncs where {batch['raw_syncs']} do")
        self.own_sync.set_delay_ms(0)

    def seal(self):
        for delay in (0, 2):
            directory = tempfile.mkdtemp(dir=self.work)
            self.own_sync.set_delay_ms(delay)
            result = self.run("bench_seal", directory, 64, environment=self.own_sync.environment)
            shutil.rmtree(directory)
            self.report.details[f"seal {delay} ms"] = result
            limit = result["isal_mb_per_s"]
            if delay == 0:
                for what in "encode", "decode":
                    self.report.add("seal 2+1, 64 MiB columns", f"stripe {what}", result[what + "_mb_per_s"],
                                    limit, "MB/s", "ISA-L encode", "higher")
            # The target is for the lower of the two limits.
            for name, peer in ("isal", "ISA-L encode"), ("disk", "same reads, writes and a sync"):
                lower = result[name + "_mb_per_s"] == min(limit, result["disk_mb_per_s"])
                self.report.add("seal 2+1, 64 MiB columns", f"whole seal, disks and checks, +{delay} ms",
                                result["seal_mb_per_s"], result[name + "_mb_per_s"], "MB/s", peer, "higher",
                                ("ratio", 0.8) if lower and delay == 0 else None)
            self.report.add("seal 2+1, 64 MiB columns", f"syncs of one seal, +{delay} ms",
                            result["seal_syncs"], None, "syncs", "", "lower")
        self.own_sync.set_delay_ms(0)

    def space(self):
        directory = tempfile.mkdtemp(dir=self.work)
        mib = 256 if self.quick else 1024
        result = self.run("bench_space", directory, mib)
        shutil.rmtree(directory)
        self.report.details["space"] = result
        section = f"4+2, {mib} MiB of the real mix"
        self.report.add(section, "blocks on disk, sealed, a byte of ciphertext", result["disk_per_ciphertext"], None,
                        "B", "", "lower", ("value", 1.53))
        for key, peer in (("copy_mb_per_s", "a copy of as many bytes"),
                          ("same_reads_mb_per_s", "the same, reading four columns for one")):
            self.report.add(section, "a lost volume made anew", result["rebuild_mb_per_s"], result[key], "MB/s", peer,
                            "higher")

    def growth(self):
        measures = (("journal_bytes_each", "journal and pages a message, 3 replicas", "B", ("value", 3 * 1536)),
                    ("columns_bytes_each", "columns a message of 120 octets, 2+1", "B", None),
                    ("heap_bytes_each", "heap a message after a start", "B", ("value", 1)),
                    ("clean_ms", "start after a clean stop", "ms", None),
                    ("clean_mb_read", "read by it", "MB", None),
                    ("crash_ms", "start after a crash, 500 messages unsealed", "ms", None),
                    ("crash_mb_read", "read by it", "MB", None),
                    ("calls_again", "system calls to read a message again", "", ("value", 1)),
                    ("calls_each", "of one of 10 000, index pages included", "", None))
        for count, planned_s in ((1000, 2), (10000, 6), (100000, 50)) if self.quick else \
                ((10000, 6), (100000, 40), (1000000, 350)):
            if not self.progress.fits(planned_s):
                self.report.note(f"growth: {count} messages do not fit into the time, left out")
                continue
            directory = tempfile.mkdtemp(dir=self.work)
            result = self.run("bench_growth", directory, count)
            shutil.rmtree(directory)
            self.report.details[f"growth {count}"] = result
            self.report.growth.append((count, {f"{what}, {unit}": result[key] for key, what, unit, _ in measures}))
            # What is fixed, like the space of a segment, counts less the more there are.
            for key, what, unit, target in measures:
                self.report.add(f"growth, {count} messages", what, result[key], None, unit, "", "lower",
                                target if count >= 10000 else None)

    # ---- delivery ----

    def deliver(self, peer, connections, mix):
        warmup, run = (200, 800) if self.quick else (1000, 4000)
        syncs = peer.sync.count()
        result = self.run("load_lmtp", peer.lmtp, connections, mix, self.account_count, 0, warmup, run, 0)
        result["syncs"] = (peer.sync.count() - syncs) / max(result["acknowledged"], 1)
        return result

    def lmtp_case(self, connections, mix, delay=0, peers=None, targets=None):
        for peer in self.peers:
            peer.sync.set_delay_ms(delay)
        results = self.in_turn(lambda peer: self.deliver(peer, connections, mix), peers)
        for peer in self.peers:
            peer.sync.set_delay_ms(0)
        section = "LMTP" + (f", sync +{delay} ms" if delay else "")
        self.report.details[f"{section} {mix} {connections}"] = results
        median = {key: {name: statistics.median(r[key] for r in values)
                        for name, values in results.items()} for key in ("rate", "p99_us", "syncs")}
        self.add(section, f"{mix} mails, {connections} connections", median["rate"], "mails/s", "higher", targets)
        if connections == 64:
            limit = {"mdbox": ("value", 0.5)} if mix == "small" and not delay else None
            self.add(section, f"{mix} mails, {connections}: syncs each", median["syncs"], "syncs", "lower", limit)
        if not delay:
            self.add(section, f"{mix} mails, {connections}: p99",
                     {name: us / 1000 for name, us in median["p99_us"].items()}, "ms", "lower")

    def lmtp(self):
        wanted = {("small", 8): 2, ("small", 64): 3, ("real", 8): 1, ("real", 64): 1, ("real", 1): 1}
        for mix in "small", "real":
            for connections in 1, 8, 64:
                limit = wanted.get((mix, connections))
                self.lmtp_case(connections, mix, targets={"mdbox": ("ratio", limit)} if limit else None)
        peers = [peer for peer in self.peers if not getattr(peer, "crypt", False)]
        for delay in DELAYS_MS:
            for connections in (64,) if self.quick else (1, 8, 64):
                self.lmtp_case(connections, "small", delay, peers)

    # ---- IMAP ----

    def imap_peers(self):
        return [peer for peer in self.peers if not getattr(peer, "crypt", False)]

    def time_imap(self, peer, user, *commands):
        return self.run("load_imap", "time", peer.imap, peer.user(user), peer.password, *commands)

    def fill(self, peer, user, count):
        """Not a measurement: Dovecot takes so many faster when it need not sync."""
        unsynced = isinstance(peer, Dovecot)
        if unsynced:
            peer.stop()
            peer.start(fsync="never")
        begun = time.monotonic()
        result = self.run("load_lmtp", peer.lmtp, 2 if unsynced else 8, "small", 1, user, 0, 0, count)
        self.report.details[f"fill {peer.name} {user}"] = result
        self.report.note(f"{peer.name}: {count} mails into one account in {time.monotonic() - begun:.1f} s"
                         + (" without syncs" if unsynced else ""))
        if unsynced:
            peer.stop()
            peer.start()

    def first_select(self, user, count):
        values = {key: {} for key in ("select_us", "all_us")}
        for peer in self.imap_peers():
            try:
                self.fill(peer, user, count)
                result = self.run("load_imap", "pending", peer.imap, peer.user(user), peer.password, count)
                self.report.details[f"pending {peer.name} {count}"] = result
                self.report.note(f"{peer.name}: SELECT announced {result['at_select']} of {count} mails")
                for key, value in values.items():
                    value[peer.name] = result[key] / 1000
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                self.report.note(f"{peer.name}: {error}")
                self.revive(peer)
        section = f"login after an absence, {count} mails pending"
        self.add(section, "LOGIN and SELECT", values["select_us"], "ms", "lower")
        self.add(section, "until all are announced", values["all_us"], "ms", "lower")

    def pending_select(self):
        self.first_select(self.pending, 5000 if self.quick else 100000)

    def listing(self, peer):
        count = self.mail_count
        result = self.time_imap(peer, self.mailbox, "SELECT INBOX", "FETCH 1:* (UID FLAGS)",
                                "FETCH 1:* ENVELOPE")
        seen = [result["commands"][0]["exists"], *(c["fetches"] for c in result["commands"][1:])]
        if seen != [count] * 3:
            raise RuntimeError(f"listing gave {seen} of {count} mails")
        return [result["login_us"] / 1000, *(c["us"] / 1000 for c in result["commands"])]

    def bodies(self, peer, count):
        return self.run("load_imap", "random", peer.imap, peer.user(self.mailbox), peer.password, count)

    def listing_rows(self, state, results, targets):
        self.report.details[f"listing {state}"] = results
        for i, what in enumerate(("LOGIN", "SELECT", "FETCH 1:* (UID FLAGS)", "FETCH 1:* ENVELOPE")):
            self.add(f"IMAP, {self.mail_count} mails, {state}", what,
                     {name: statistics.median(v[i] for v in values) for name, values in results.items()},
                     "ms", "lower", targets.get(what))

    def body_row(self, state, results, targets):
        self.report.details[f"bodies {state}"] = results
        for key, what in ("p50_us", "p50"), ("p99_us", "p99"):
            self.add(f"IMAP, {self.mail_count} mails, {state}", f"random BODY.PEEK[], {what}",
                     {name: statistics.median(v[key] for v in values) / 1000
                      for name, values in results.items()}, "ms", "lower", targets if what == "p50" else None)

    def cold(self, peer):
        peer.stop()
        drop_from_cache(peer.store)
        peer.start()

    def imap(self):
        self.mail_count = 5000 if self.quick else 50000
        self.first_select(self.mailbox, self.mail_count)
        peers, count = self.imap_peers(), 1000 if self.quick else 5000

        def measure_cold(peer):
            self.cold(peer)
            return self.listing(peer)

        def bodies_cold(peer):
            self.cold(peer)
            return self.bodies(peer, count // 5)

        # Once unmeasured: Dovecot fills its cache with what is asked for.
        self.in_turn(lambda peer: (self.listing(peer), self.bodies(peer, count)), peers)
        self.listing_rows("warm", self.in_turn(self.listing, peers),
                          {"SELECT": {"mdbox": ("ratio", 1)},
                           "FETCH 1:* (UID FLAGS)": {"mdbox": ("ratio", 0.5)}})
        self.body_row("warm", self.in_turn(lambda peer: self.bodies(peer, count), peers),
                      {"mdbox": ("ratio", 1.2)})
        self.listing_rows("cold", self.in_turn(measure_cold, peers), {})
        self.body_row("cold", self.in_turn(bodies_cold, peers), {})

    def idle_latency(self):
        count = 8 if self.quick else 100
        results = self.in_turn(lambda peer: self.run("load_imap", "idle", peer.imap, peer.user(self.idle),
                                                     peer.password, peer.lmtp, count), self.imap_peers())
        self.report.details["idle"] = results
        for key, what in ("p50_us", "p50"), ("p99_us", "p99"):
            self.add("IDLE", f"end of DATA to EXISTS, {what}",
                     {name: statistics.median(v[key] for v in values) / 1000
                      for name, values in results.items()}, "ms", "lower",
                     {"mdbox": ("value", 5)} if what == "p50" else None)

    def session_memory(self, peer, address):
        count = 300 if self.quick else 1000
        # A process that has worked holds free memory, in which sessions would hide.
        peer.stop()
        peer.start()
        self.time_imap(peer, self.idle, "SELECT INBOX")
        before = memory_kib(peer)
        command = [f"{self.build}/bench/load_imap", "sessions", address, peer.user(self.idle), peer.password,
                   str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
            if clients.stdout.readline().strip() != "ready":
                raise RuntimeError("idle sessions could not be opened")
            time.sleep(2)
            used = memory_kib(peer) - before
            clients.stdin.close()
            clients.wait(60)
        time.sleep(1)
        return used / count

    def sessions(self):
        for what, prefix, limit in ("plain", "", 16), ("TLS", "tls:", 32):
            values = {}
            for peer in self.imap_peers():
                try:
                    values[peer.name] = self.session_memory(peer, prefix + (peer.imaps if prefix else peer.imap))
                except (RuntimeError, OSError) as error:
                    self.report.note(f"{peer.name}: {error}")
                    self.revive(peer)
            self.add("idle sessions of one account", f"PSS each, {what}", values, "KiB", "lower",
                     {"mdbox": ("value", limit)})

    # ---- all ----

    def make_sync(self, name):
        return Sync(self.build + "/bench/slow_sync.so", f"{self.work}/{name}.sync")

    def make_peers(self):
        sync = self.make_sync
        why = Aerostore.missing(self.build)
        if why is None:
            self.ours = Aerostore("aerostore", self.work + "/aerostore", sync("aerostore"), self.build)
            self.peers.append(self.ours)
        else:
            self.report.note("skipped: Aerostore's servers: " + why)
        why = Dovecot.missing()
        if why is None:
            self.peers += [Dovecot("mdbox", self.work + "/mdbox", sync("mdbox")),
                           Dovecot("mdbox+crypt", self.work + "/mdbox-crypt", sync("crypt"), crypt=True)]
        else:
            self.report.note("skipped: Dovecot: " + why)
        for peer in self.peers:
            peer.start()
            begun = time.monotonic()
            peer.make_accounts(self.account_count + 3)
            for user in self.mailbox, self.pending, self.idle:
                self.time_imap(peer, user, "SELECT INBOX")
            print(f"[{self.account_count + 3} accounts of {peer.name}: {time.monotonic() - begun:.0f} s]", flush=True)

    def run_all(self):
        steps = {"append": self.append, "seal": self.seal, "space": self.space, "lmtp": self.lmtp,
                 "imap": self.imap, "pending": self.pending_select, "idle": self.idle_latency,
                 "sessions": self.sessions, "growth": self.growth}
        print(f"at most {self.progress.limit_s / 60:.0f} minutes", flush=True)
        for name, step in steps.items():
            if name not in self.sections:
                continue
            # The growth decides for itself how far it goes.
            if name != "growth" and not self.progress.fits(self.progress.plan[name]):
                self.report.note(f"{name}: does not fit into the time, left out")
                continue
            self.progress.begin(name)
            begun = time.monotonic()
            try:
                if name in SERVED and not self.peers:
                    self.make_peers()
                step()
            except Exception as error:  # the other sections still count
                traceback.print_exc()
                self.report.note(f"{name} was cut short: {error}")
            self.progress.end()
            print(f"[{name}: {time.monotonic() - begun:.0f} s]", flush=True)
        self.progress.finish()

    def finish(self):
        for peer in self.peers:
            peer.stop()
        out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "out")
        os.makedirs(out, exist_ok=True)
        self.report.write(out, {
            "date": time.strftime("%Y-%m-%d %H:%M"), "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
            f"Linux {platform.release()}", "sync p50": f"{self.sync_p50} us" if self.sync_p50 else "not measured",
            "load average": f"{self.load_before[0]:.1f} before, {os.getloadavg()[0]:.1f} after",
            "mode": "quick" if self.quick else "full"})
        print(self.report.table())
        print("written: bench/out/bench.txt, bench.json, bench.svg")
        if self.keep:
            print("kept: " + self.work)
        else:
            shutil.rmtree(self.work, ignore_errors=True)


def drop_from_cache(directory):
    """What a restart of the machine would leave in the page cache of these files: nothing."""
    os.sync()
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            except OSError:
                pass


def memory_kib(peer):
    """Proportional set size of all processes of the peer."""
    total = 0
    for pid in peer.pids():
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build/<variant>")
    parser.add_argument("--quick", action="store_true", help="smaller mailboxes, shorter runs")
    parser.add_argument("--directory", default="/var/tmp", help="stores are made below, on the disk to measure")
    parser.add_argument("--sections", type=lambda text: text.split(","), default=list(PLAN),
                        help="some of " + ",".join(PLAN))
    parser.add_argument("--minutes", type=float, help=f"default {LIMIT_MINUTES[0]}, quick {LIMIT_MINUTES[1]}")
    parser.add_argument("--keep", action="store_true", help="leave stores and logs behind")
    options = parser.parse_args()
    # Whoever ends this run ends its servers, too.
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    bench = Bench(options)
    bench.keep = options.keep
    try:
        bench.run_all()
    finally:
        bench.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
