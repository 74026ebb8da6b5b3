#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of calls when more are offered than the router can carry.

    overload.py [--share 0.25] [--seconds 20] [--period-ms 10] [--busy]

The router gets a share of one core (a cgroup; --busy: busy processes beside it instead). README.md
says what is measured and judged. About four minutes.
"""
import argparse
import os
import signal
import sys

from harness import OUT, Failed
from held import held
from rows import CALL, FILL
from systems import Own, one_line
from verdict import Verdict

LOADS = (2, 3, 5)
JUDGED = (2, 3)  # the third is for r alone: two loads so near each other say little of it
TRANSACTIONS = 2000000  # the limit: the calls of a load linger all together
TOUCHED = 300000  # calls
AGAIN = 3  # times, if the loads show more calls completed than the closed loops did
R_MAX, ADMITTED_MIN, P99_MAX_MS, KEPT = 0.15, 99.0, 500, 0.9


def closed_loop(server, calls, window):
    result = server.measure(f"{CALL} -A -n {calls} -w {window}")
    rate = result["done_offered"] / result["offered_secs"]
    print(f"   {window:4d} pending, {result['offered_secs']:4.1f} s: {rate:,.0f} calls/s completed, "
          f"{result['failed']} not", flush=True)
    return rate


def capacity(server, seconds):
    """The most calls that it completes in a second: the number pending that is best for a second is kept up for as
    long as the open loops take, as transactions that end cost, too."""
    rates = {window: closed_loop(server, 15000, window) for window in (25, 50, 100, 200, 400)}
    best = max(rates, key=rates.get)
    server.pause(server.linger_s)
    return closed_loop(server, int(rates[best] * seconds * 0.75), best)


def offer(server, rate, seconds):
    """An open loop of callers that do not try again."""
    result = server.measure(f"{CALL} -A -n {int(rate * seconds)} -r {rate:.0f} -w 2000000 -S 1500000")
    result["offered"] = result["started"] / result["offered_secs"]
    result["completed"] = result["done_offered"] / result["offered_secs"]
    result["admitted"] = result["started"] - result["refused"]
    result["admitted_done_percent"] = 100 * result["done"] / max(1, result["admitted"])
    return result


def offer_all(server, most, seconds):
    loads = {}
    for n in LOADS:
        server.pause(server.linger_s)
        loads[n] = offer(server, n * most, seconds)
    return loads


def refusal_cost(loads):
    """CPU of a call and of a refusal in us: the least squares of CPU = calls * c + refusals * x, each load weighed by
    its CPU; None when nothing was refused."""
    rows = [(load["admitted"] / (load["us"] * load["done"]), load["refused"] / (load["us"] * load["done"]))
            for load in loads]
    aa, ab, bb = (sum(a * a for a, _ in rows), sum(a * b for a, b in rows), sum(b * b for _, b in rows))
    a, b = sum(a for a, _ in rows), sum(b for _, b in rows)
    determinant = aa * bb - ab * ab
    if b == 0 or determinant <= 0:
        return None, None
    call, refusal = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    return call, refusal


def judge(verdict, most, loads):
    call, refusal = refusal_cost(loads.values())
    r = refusal / call if call else None
    verdict.add("CPU of a call", call, unit="us", digits=1)
    verdict.add("CPU of a refused INVITE", refusal, unit="us", digits=1)
    verdict.add("r: CPU of a refused INVITE by that of a call", r, R_MAX)
    for n, load in loads.items():
        if n not in JUDGED:
            continue
        n_offered = load["offered"] / most
        verdict.add(f"n={n}: offered, by the capacity", n_offered, n * 0.95, at_least=True)
        wanted = None if r is None else KEPT * max(0.0, 1 - n_offered * r) / (1 - r) * most
        if wanted is None:
            verdict.add(f"n={n}: completed", load["completed"], most * KEPT, at_least=True, unit="calls/s", digits=0)
        else:
            verdict.add(f"n={n}: completed", load["completed"], wanted, at_least=True, unit="calls/s", digits=0)
        verdict.add(f"n={n}: refused with 503", 100 * load["refused"] / load["started"], unit="%")
        verdict.add(f"n={n}: lost (no answer, or none that is final)",
                    100 * (load["unanswered"] + load["stalled"]) / load["started"], unit="%")
        verdict.add(f"n={n}: admitted calls that were completed", load["admitted_done_percent"], ADMITTED_MIN,
                    at_least=True, unit="%")
        verdict.add(f"n={n}: their setup, p99", load["p99_us"] / 1000, P99_MAX_MS, unit="ms", digits=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.25, help="of a core (0.25)")
    parser.add_argument("--seconds", type=float, default=20, help="of each load (20)")
    parser.add_argument("--period-ms", type=float, default=10, help="of the cgroup's quota (10)")
    parser.add_argument("--busy", action="store_true", help="busy processes in place of a cgroup")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.makedirs(OUT, exist_ok=True)
    verdict, loads = Verdict("overload"), {}
    try:
        with Own("own-overload", 1, transactions=TRANSACTIONS) as server:
            print(f"   own configuration: {one_line(server.settings)}")
            server.must(FILL)
            server.measure(f"{CALL} -n {TOUCHED} -w 100")  # touches the memory that is used below
            server.pause(server.linger_s)
            with held(server.process.pid, given.share, int(given.period_ms * 1000), given.busy) as how:
                print(f"   held to {given.share:g} of a core: {how}")
                most = capacity(server, given.seconds)
                for _ in range(AGAIN):
                    loads, found = offer_all(server, most, given.seconds), most
                    most = max(most, *(load["completed"] for load in loads.values()))
                    if most < 1.05 * found:
                        break
                    print(f"   {most:,.0f} calls/s were completed: the capacity is higher; again", flush=True)
                verdict.add("capacity", most, unit="calls/s", digits=0)
                judge(verdict, most, loads)
    except Failed as why:
        print(f"FAILED: {why}")
        verdict.add("the run", None, 1)
    verdict.note("loads", loads)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
