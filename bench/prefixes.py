#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A million numbers and a million prefixes in the policy snapshot: to load, to look up, to change one.

    prefixes.py [KEYS=1000000]

The figures are medians of 5 runs of build/sim/tests/prefixes, on the core that servers are measured on.
"""
import json
import os
import statistics
import subprocess
import sys

from harness import OUT, ROOT, SERVER_CPU
from phones import counts_given
from verdict import Verdict

RUNS = 5
# The limits of a snapshot that hold while calls are up: seconds, microseconds, milliseconds.
BOUNDS = {"build_s": 10, "lookup_us": 1, "change_ms": 50}


def run(keys, seed):
    program = os.path.join(ROOT, "build/sim/tests/prefixes")
    done = subprocess.run(["taskset", "-c", str(SERVER_CPU), program, str(keys), str(seed)], check=True,
                          stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main():
    keys = counts_given(__doc__, KEYS=1000000)["KEYS"]
    verdict = Verdict("prefixes")
    samples = [run(keys, seed) for seed in range(1, RUNS + 1)]
    verdict.note("samples", samples)
    for at, kind in enumerate(("numbers", "prefixes")):
        def median(figure, at=at):
            return statistics.median(sample[at][figure] for sample in samples)
        verdict.add(f"{keys:,} {kind}: to build", median("build_s"), BOUNDS["build_s"], unit="s")
        verdict.add(f"{kind}: to look one up", median("lookup_us"), BOUNDS["lookup_us"], unit="us")
        verdict.add(f"{kind}: to change one, in a snapshot that shares", median("change_ms"), BOUNDS["change_ms"],
                    unit="ms", digits=4)
        verdict.add(f"{kind}: bytes of each", median("bytes") / keys, unit="bytes", digits=0)
    return verdict.end()


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    sys.exit(main())
