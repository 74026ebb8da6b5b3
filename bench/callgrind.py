# SPDX-License-Identifier: Apache-2.0
"""User instructions per transaction, by callgrind: they repeat within 0.1 %, whatever else runs.

The server runs under valgrind without being counted while it is filled; then counting is switched
on. From the count of a load, until its transactions are gone, goes what the server does when idle
for the same time.
"""
import glob
import os
import re
import subprocess
import time

from harness import OUT, Failed

IDLE_S = 5
RATE = 110  # calls per second: what every server bears under valgrind


def wrap(name):
    """What goes in front of a server's command."""
    for old in glob.glob(f"{OUT}/callgrind.{name}.*"):
        os.unlink(old)
    return ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no",
            "--vgdb-poll=5000", f"--callgrind-out-file={OUT}/callgrind.{name}.%p"]


def control(pids, *options):
    for pid in pids:
        done = subprocess.run(["callgrind_control", *options, str(pid)], capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode or "Error" in done.stdout + done.stderr:
            raise Failed(f"callgrind_control {' '.join(options)}: {done.stdout}{done.stderr}")


def dump(server, pids, hint):
    """Writes the counts since the last dump, and gives their sum."""
    before = set(glob.glob(f"{OUT}/callgrind.{server.name}.*"))
    control(pids, f"-d={hint}")
    total = 0
    for path in set(glob.glob(f"{OUT}/callgrind.{server.name}.*")) - before:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M)
            total += int(found[1]) if found else 0
    return total


class Count:
    """Counts of one server that runs under wrap(). Several may be under way at once."""

    def __init__(self, server):
        self.server, self.pids = server, server.pids()
        control(self.pids, "-i", "on")
        self.begin = 0.0

    def idle(self):
        dump(self.server, self.pids, "before")
        begin = time.monotonic()
        time.sleep(IDLE_S)
        self.idle_rate = dump(self.server, self.pids, "idle") / (time.monotonic() - begin)
        self.begin = time.monotonic()

    def result(self, load):
        """Instructions per transaction of `load`, what sipload said of all since idle()."""
        if load["failed"] or load["retrans"] or load["done"] < load["started"]:
            raise Failed(f"{self.server.name}: under valgrind {load['failed']} failed, "
                         f"{load['retrans']} were retransmitted")
        total = dump(self.server, self.pids, "load")
        elapsed = time.monotonic() - self.begin
        self.begin = time.monotonic()
        return (total - self.idle_rate * elapsed) / load["done"]


def calls(count, users=500, more=""):
    """The arguments of a load of so many calls; T1 is long, as valgrind is slow."""
    return f"-m call -N {users} -H 100 -R 5 -n {count} -r {RATE} -w 60 -T 8000 {more}"


def registrations(users, rate=0, more=""):
    pace = f"-r {rate}" if rate else ""
    return f"-m register -n {users} -N {users} -w 16 -T 8000 {pace} {more}"
