#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each unit test program once for each of its allocations, with that allocation failing.

A test function may fail then (it asked for success); the program may not crash, trip an assertion
or touch memory wrongly. Needs build/debug. Prints `ok NAME` or `FAIL NAME: why` per program.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EVERY_UP_TO = 150  # beyond this many allocations, some are left out, evenly
SECONDS_UP_TO = 900  # what a program's runs may take together, where they are long; then too
RUNS_AT_LEAST = 30
BAD = re.compile(r"AddressSanitizer|runtime error:|Assertion `|Test failed with exception")


def run(program, **more):
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", CMOCKA_MESSAGE_OUTPUT="stdout", **more)
    done = subprocess.run([program], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def count(program):
    """(what went wrong or None, number of allocations, seconds of a run)"""
    begun = time.monotonic()
    _, output = run(program, STROWGER_COUNT_ALLOC="1")
    seconds = time.monotonic() - begun
    counted = re.search(r"^allocations: (\d+)$", output, re.M)
    if not counted:
        return "it does not count its allocations:\n" + output[-500:], 0, seconds
    return None, int(counted.group(1)), seconds


def numbers(allocations, seconds):
    """Those that fail, one in each run."""
    runs = min(EVERY_UP_TO, max(RUNS_AT_LEAST, int(SECONDS_UP_TO / seconds)))
    step = max(1, allocations / runs)
    return sorted({1 + int(i * step) for i in range(min(allocations, runs))})


def fail(program, number):
    """What went wrong with that allocation failing, or None."""
    status, output = run(program, STROWGER_FAIL_ALLOC=str(number))
    if status >= 0 and not BAD.search(output):
        return None
    return "STROWGER_FAIL_ALLOC=%d %s: status %d\n%s" % (
        number, os.path.relpath(program, ROOT), status, output[-1500:])


def main():
    programs = sorted(path for path in glob.glob(os.path.join(ROOT, "build/debug/tests/unit_*"))
                      if os.access(path, os.X_OK))
    failed = 0 if programs else 1
    # The slow ones wait for most of their time, so there is room for more than one for each core.
    with concurrent.futures.ThreadPoolExecutor(3 * (os.cpu_count() or 2)) as pool:
        counts = list(pool.map(count, programs))
        runs = [[pool.submit(fail, program, number) for number in numbers(allocations, seconds)]
                for program, (_, allocations, seconds) in zip(programs, counts)]
        for program, (wrong, allocations, seconds), mine in zip(programs, counts, runs):
            wrong = wrong or next(filter(None, (one.result() for one in mine)), None)
            name = os.path.basename(program)
            failed += wrong is not None
            print("FAIL %s: %s" % (name, wrong) if wrong else
                  "ok %s (%d of %d allocations, %.1f s a run)" % (name, len(mine), allocations, seconds), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
