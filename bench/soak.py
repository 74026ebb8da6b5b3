#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Half of the capacity for a long time, while other phones register, move and leave.

    soak.py [MINUTES=60] [HELD=SHARE]

HELD=0.25 holds the router to that share of its core, so that the machine has room for other work;
the load is half of the capacity that it has so. Memory (RSS) and descriptors of the router must stay
flat; README.md says how that is judged.
"""
import contextlib
import os
import signal
import sys
import threading
import time

from harness import OUT, Failed, finish_load, machine_busy_seconds
from held import held
from systems import Own, one_line
from verdict import Verdict

CALL = "-m call -a -N 10000 -H 100 -R 5 -A"
PHONES = "-m register -a -n 10000 -N 10000"
MOVERS = "-m register -a -F 1020000 -N 10000 -n 10000 -r 500"
SAMPLES = 240
SAMPLES_MIN = 20  # that are judged: fewer make no line
CAPACITY_S = 20
TRANSACTIONS = 4000000  # the limit: what lingers at the capacity of a whole core
FIRST_ROUNDS = 2  # of the churn: meanwhile all memory that such a load needs is touched once
RISE_MAX, DESCRIPTORS_MAX, DONE_MIN = 1.0, 1.0, 99.9


class Churn(threading.Thread):
    """10,000 phones register, get a second contact, and give up both, over and over. In each round the phones
    that are called refresh their registrations, which would end within the hour."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended, self.rounds = server, threading.Event(), 0
        self.failed = self.refused = 0
        self.gen_cpu = 0.0  # seconds of its load generators
        self.current = None
        self.settled_at = None  # when FIRST_ROUNDS were done

    def run(self):
        steps = [(f"{MOVERS} -x {expires} -C {contact}", ":7072") for expires in (3600, 0)
                 for contact in ("198.18.9.1:5060", "198.18.9.2:5060")]
        steps.append((f"{PHONES} -r 500", ":7070"))
        while not self.ended.is_set():
            for load, contact in steps:
                if self.ended.is_set():
                    return
                self.current = self.server.start_load(load, ":7062", contact)
                try:
                    result = finish_load(self.current)
                    self.failed += result["failed"] - result["refused"]
                    self.refused += result["refused"]
                    self.gen_cpu += result["gen_cpu"]
                except Failed:
                    self.failed += 1
            self.rounds += 1
            if self.rounds == FIRST_ROUNDS:
                self.settled_at = time.monotonic()

    def stop(self):
        self.ended.set()
        if self.current and self.current.poll() is None:
            self.current.terminate()
        self.join(40)


def look(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        rss = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


def line_rise(points):
    """How much the straight line through (time, value) rises from the first to the last time."""
    mean_t = sum(t for t, _ in points) / len(points)
    mean_v = sum(v for _, v in points) / len(points)
    square = sum((t - mean_t) ** 2 for t, _ in points)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in points) / square
    return slope * (points[-1][0] - points[0][0]), mean_v


def watch(server, minutes, calls, churn):
    """(time, RSS, descriptors), at even times, and from which of them on it is judged: when the first rounds
    of the churn are done and the transactions of the first calls are gone."""
    samples, begin, judged_from = [], time.monotonic(), None
    while time.monotonic() - begin < minutes * 60:
        time.sleep(max(1.0, minutes * 60 / SAMPLES))
        if server.process.poll() is not None or calls.poll() is not None:
            print("   the router or the load ended early", flush=True)
            break
        since = time.monotonic() - begin
        samples.append((since, *look(server.process.pid)))
        if judged_from is None and churn.settled_at and since > server.linger_s:
            judged_from = len(samples) - 1
            print(f"   {since / 60:5.1f} min: {samples[-1][1] / 1e6:,.1f} MB; from here on it is judged", flush=True)
        if len(samples) % (SAMPLES // 12) == 0:
            print(f"   {since / 60:5.1f} min: {samples[-1][1] / 1e6:,.1f} MB, {samples[-1][2]} descriptors",
                  flush=True)
    return samples, judged_from


def judge(verdict, samples, judged_from, result, churn):
    verdict.note("samples", samples)
    verdict.note("judged_from", judged_from)
    verdict.note("calls", result)
    verdict.add("calls", result["started"], digits=0)
    verdict.add("calls completed", 100 * result["done"] / max(1, result["started"]), DONE_MIN, at_least=True,
                unit="%", digits=3)
    verdict.add("calls or requests retransmitted", result["retrans"], digits=0)
    verdict.add("calls refused with 503", 100 * result["refused"] / max(1, result["started"]), unit="%", digits=3)
    verdict.add("registrations of the churn that were refused with 503", churn.refused, digits=0)
    verdict.add("registrations that failed in the churn", churn.failed, 0, digits=0)
    verdict.add("rounds of the churn", churn.rounds, digits=0)
    judged = samples[judged_from:] if judged_from is not None else []
    if len(judged) < SAMPLES_MIN:
        raise Failed(f"{len(judged)} samples after the first {FIRST_ROUNDS} rounds of the churn, {SAMPLES_MIN} are "
                     "needed: the router or the load ended early, or MINUTES is below 5")
    for what, points in (("", judged), (", second half", judged[len(judged) // 2:])):
        hours = (points[-1][0] - points[0][0]) / 3600
        rise, mean = line_rise([(t, rss) for t, rss, _ in points])
        verdict.add(f"slope of memory{what}", rise / 1e6 / hours, unit="MB/hour", digits=3)
        verdict.add(f"rise of memory{what}", 100 * rise / mean, RISE_MAX, unit="%", digits=3)
        rise, _ = line_rise([(t, count) for t, _, count in points])
        verdict.add(f"rise of descriptors{what}", rise, DESCRIPTORS_MAX)
    verdict.add("memory when it was settled", judged[0][1] / 1e6, unit="MB", digits=1)
    verdict.add("memory at the end", judged[-1][1] / 1e6, unit="MB", digits=1)


def capacity(server):
    """Calls per second in a closed loop while as many transactions end as begin: a short one does not pay for
    their end, which comes 32 s later."""
    rate = server.must(f"{CALL} -n 20000 -w 200")["rate"]
    for seconds in (server.linger_s, CAPACITY_S):
        result = server.load(f"{CALL} -n {int(rate * seconds)} -w 200")
        rate = result["rate"]
        print(f"   200 pending, {result['secs']:.0f} s: {rate:,.0f} calls/s, {result['failed']} failed", flush=True)
        if result["failed"] > 0.01 * result["started"]:  # some are refused when it is full
            raise Failed("the capacity cannot be had: more than 1 % of its calls failed")
    return rate


def soak(verdict, server, minutes):
    rate = capacity(server) / 2
    verdict.add("half of the capacity", rate, unit="calls/s", digits=0)
    churn = Churn(server)
    busy, cpu, begin = machine_busy_seconds(), server.cpu(), time.monotonic()
    calls = server.start_load(f"{CALL} -n {int(rate * (minutes * 60 + 5))} -r {rate:.0f} -w 100000")
    churn.start()
    try:
        samples, judged_from = watch(server, minutes, calls, churn)
    finally:
        churn.stop()
        result = finish_load(calls)
    lasted = time.monotonic() - begin
    others = (machine_busy_seconds() - busy - server.cpu() + cpu - result["gen_cpu"] - churn.gen_cpu) / lasted
    verdict.add("cores that other processes used", others)
    judge(verdict, samples, judged_from, result, churn)


def main():
    given = {"MINUTES": 60.0, "HELD": 1.0}
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        if name not in given:
            sys.exit(__doc__)
        given[name] = float(value)
    if not 0 < given["HELD"] <= 1:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.makedirs(OUT, exist_ok=True)
    verdict = Verdict("soak")
    try:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(Own("own-soak", 1, auth=True, store="sqlite:strowger.db",
                                             transactions=TRANSACTIONS))
            print(f"   own configuration: {one_line(server.settings)}", flush=True)
            server.must(f"{PHONES} -w 64")
            if given["HELD"] < 1:
                how = stack.enter_context(held(server.process.pid, given["HELD"]))
                print(f"   held to {given['HELD']:g} of a core: {how}", flush=True)
                verdict.note("held", {"share": given["HELD"], "how": how})
            soak(verdict, server, given["MINUTES"])
    except Failed as why:
        print(f"FAILED: {why}")
        verdict.add("the run", None, 1)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
