# SPDX-License-Identifier: MPL-2.0
"""progress - how far a run is, and when it must end.

A plan is {section: seconds it takes on two free cores}. What was really needed so far scales what
is left. On a terminal a bar on one line; else a line whenever a section begins.
"""
import sys
import time

BAR = 30


class Progress:
    def __init__(self, plan, limit_s):
        self.plan, self.limit_s = plan, limit_s
        self.begun = time.monotonic()
        self.done_s = 0  # planned, of what has ended
        self.section, self.section_begun = None, self.begun

    def elapsed_s(self):
        return time.monotonic() - self.begun

    def slowness(self):
        """How many times longer than planned it takes."""
        if self.done_s < 20:
            return 1
        return max((self.section_begun - self.begun) / self.done_s, 0.25)

    def fits(self, planned_s):
        """Whether so much more is over before the limit; what was announced is kept."""
        return self.elapsed_s() + planned_s * self.slowness() <= self.limit_s

    def left_s(self):
        """Until the limit."""
        return max(self.limit_s - self.elapsed_s(), 0)

    def begin(self, section):
        self.section, self.section_begun = section, time.monotonic()
        self.show("")

    def end(self):
        self.done_s += self.plan[self.section]
        self.section_begun = time.monotonic()

    def show(self, what):
        """`what` is measured now; called before each measurement."""
        total = sum(self.plan.values())
        within = min(time.monotonic() - self.section_begun, 0.95 * self.plan[self.section] * self.slowness())
        done = self.done_s + within / self.slowness()
        eta = min((total - done) * self.slowness(), self.left_s())
        share = done / total
        bar = "#" * round(BAR * share) + "-" * (BAR - round(BAR * share))
        line = f"[{bar}] {share:4.0%}  {self.elapsed_s() / 60:.0f} min, about {eta / 60:.0f} left: {self.section} {what}"
        if sys.stderr.isatty():
            print("\r" + line[:118].ljust(118), end="", file=sys.stderr, flush=True)
        elif not what:
            print(line, file=sys.stderr, flush=True)

    def finish(self):
        if sys.stderr.isatty():
            print("\r" + " " * 118 + "\r", end="", file=sys.stderr, flush=True)
