#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Strowger and Debian's Kamailio side by side on this machine: the table, one row, or a profile.

    bench.py                      the whole table, about 15 minutes
    bench.py --quick D            one workload's line in under 50 s: A, B, C or D
    bench.py --only D/instr,C     some groups of rows; --list names them
    bench.py perf D [own|kamailio]   a profile of a saturated server, into build/bench

Every line ends with its bound and whether it is inside. Exit code 1 when one is not.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import rows
from harness import OUT, Failed
from systems import Kamailio, Own, versions


def table(names, quick, reps):
    begin = time.monotonic()
    run = rows.Run(reps, quick)
    made = versions()
    print(f"   own {made['strowger']}, release build with asserts; {made['kamailio']}; "
          f"{made['cpu']}, {made['cores']} cores; medians of {reps}", flush=True)
    for name in names:
        run.patience = 0 if quick else 12
        try:
            rows.GROUPS[name](run)
        except Failed as why:
            run.failed(name, why)
        except (OSError, ValueError, subprocess.SubprocessError) as why:  # the other lines come all the same
            run.failed(name, f"{type(why).__name__}: {why}")
    judged = [row for row in run.rows if row["ok"] is not None]
    failed = sum(bool(row.get("failed")) for row in judged)
    inside = sum(bool(row["ok"]) for row in judged)
    missed, noisy = len(judged) - inside - failed, sum(bool(row.get("noisy_samples")) for row in run.rows)
    seconds = round(time.monotonic() - begin)
    path = os.path.join(OUT, "quick.json" if quick else "table.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"when": time.strftime("%F %T"), "versions": made, "own_settings": run.settings,
                   "inside": inside, "missed": missed, "failed": failed, "noisy": noisy, "seconds": seconds,
                   "void_samples": run.voids, "rows": run.rows}, file, indent=1)
    print(f"{len(judged)} rows: {inside} inside, {missed} missed, {failed} failed; {noisy} noisy; "
          f"{len(run.voids)} void samples measured again; {seconds} s; {os.path.relpath(path)}")
    return 0 if judged and inside == len(judged) else 1


def perf(workload, system):
    """A profile by perf of a server under a saturating load."""
    loads = {"A": "-m options -n 300000 -w 64", "B": "-m register -n 300000 -N 100000 -w 64",
             "C": "-m register -a -n 100000 -N 20000 -w 64", "D": f"{rows.CALL} -n 60000 -w 200"}
    server = Own("own", 1, auth=workload == "C") if system == "own" else Kamailio(workload)
    path = os.path.join(OUT, f"perf-{system}-{workload}")
    with server:
        server.must(rows.FILL + (" -a" if workload == "C" else ""))
        pids = ",".join(map(str, server.pids()))
        with subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-g", "-o",
                               path + ".data", "-p", pids], stderr=subprocess.DEVNULL) as recorder:
            time.sleep(1)
            print(json.dumps(server.load(loads[workload])))
            recorder.send_signal(signal.SIGINT)
    with open(path + ".txt", "w", encoding="utf-8") as file:
        subprocess.run(["perf", "report", "-i", path + ".data", "--stdio", "--no-children", "-g", "none",
                        "--sort", "dso,symbol"], stdout=file, stderr=subprocess.DEVNULL, check=False)
    print(os.path.relpath(path + ".txt"))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", choices=["A", "B", "C", "D"], help="one workload's line")
    parser.add_argument("--only", help="groups of rows, with commas between")
    parser.add_argument("--list", action="store_true", help="the groups of rows")
    parser.add_argument("--reps", type=int, default=5, help="samples of each (5)")
    parser.add_argument("perf", nargs="*", metavar="perf WORKLOAD [SYSTEM]")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    os.makedirs(OUT, exist_ok=True)
    if given.list:
        print("\n".join(rows.GROUPS))
        return 0
    if given.perf:
        if given.perf[0] != "perf" or len(given.perf) not in (2, 3):
            parser.error("unknown command: " + given.perf[0])
        return perf(given.perf[1], given.perf[2] if len(given.perf) == 3 else "own")
    names = [given.quick] if given.quick else given.only.split(",") if given.only else list(rows.GROUPS)
    unknown = [name for name in names if name not in rows.GROUPS]
    if unknown:
        parser.error(f"no such rows: {', '.join(unknown)}; there are {', '.join(rows.GROUPS)}")
    return table(names, bool(given.quick), given.reps)


if __name__ == "__main__":
    sys.exit(main())
