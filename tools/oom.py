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

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EVERY_UP_TO = 150  # beyond this many allocations, some are left out, evenly
BAD = re.compile(r"AddressSanitizer|runtime error:|Assertion `|Test failed with exception")


def run(program, **more):
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", CMOCKA_MESSAGE_OUTPUT="stdout", **more)
    done = subprocess.run([program], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def check(program):
    """(what went wrong or None, number of allocations)"""
    _, output = run(program, STROWGER_COUNT_ALLOC="1")
    counted = re.search(r"^allocations: (\d+)$", output, re.M)
    if not counted:
        return "it does not count its allocations:\n" + output[-500:], 0
    count = int(counted.group(1))
    step = max(1, count / EVERY_UP_TO)
    for number in sorted({1 + int(i * step) for i in range(min(count, EVERY_UP_TO))}):
        status, output = run(program, STROWGER_FAIL_ALLOC=str(number))
        if status < 0 or BAD.search(output):
            return "STROWGER_FAIL_ALLOC=%d %s: status %d\n%s" % (
                number, os.path.relpath(program, ROOT), status, output[-1500:]), count
    return None, count


def main():
    programs = sorted(path for path in glob.glob(os.path.join(ROOT, "build/debug/tests/unit_*"))
                      if os.access(path, os.X_OK))
    failed = 0 if programs else 1
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for program, (wrong, count) in zip(programs, pool.map(check, programs)):
            name = os.path.basename(program)
            failed += wrong is not None
            print("FAIL %s: %s" % (name, wrong) if wrong else "ok %s (%d allocations)" % (name, count), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
