#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Good calls while strangers send 100,000 packets a second: from one address, then from 10,000.

    flood.py [--seconds 20] [--rate 100000] [--strangers garbage|invite|both] [--calls RATE]

Needs root: it makes three network namespaces with real addresses, and removes them at the end.
README.md says what is measured and judged. About two and a half minutes.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from harness import LOAD_CPU, OUT, Failed, finish_load, pinned
from systems import Own, one_line
from verdict import Verdict

# The benchmarking network of RFC 2544: 198.18.0.0/15.
ROUTER, PHONES_GATE, STRANGERS_GATE = "198.18.0.1", "198.18.1.1", "198.18.2.1"
PHONES, STRANGER, FORGED, FORGED_COUNT = "198.18.4.100", "198.18.2.2", "198.19.0.1", 10000
STRANGERS_LINK, GATE_MAC = "strangers1", "02:00:00:00:00:01"  # where a flood goes out, and who takes it
ADDRESSES = 750  # of phones: PHONES and on, in five /24
PHONE_USERS = 10000
CALL = f"-m call -a -I {ADDRESSES} -N {PHONE_USERS} -H 100 -R 5 -A"
DONE_MIN, P99_MAX_MS, GROWTH_MAX = 99.0, 1000, 2.0
SENT_MIN = 0.9  # of the packets asked for: less is not the flood that is spoken of
SETTLE_S = 5  # of a flood, after which memory must stay as it is


def run(*command, **more):
    subprocess.run(command, check=True, **more)


@contextlib.contextmanager
def network():
    """Three namespaces: gives their names. Whatever was made is removed."""
    names = {kind: f"sb{os.getpid()}-{kind}" for kind in ("router", "phones", "strangers")}
    links = {kind: f"sb{os.getpid() % 100000}{kind[0]}" for kind in ("phones", "strangers")}
    try:
        for name in names.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        gates = {"phones": (PHONES_GATE, "198.18.1.2"), "strangers": (STRANGERS_GATE, STRANGER)}
        for kind, (gate, outside) in gates.items():
            run("ip", "link", "add", links[kind] + "0", "netns", names["router"], "type", "veth",
                "peer", "name", links[kind] + "1", "netns", names[kind])
            theirs = links[kind] + "1"
            if kind == "strangers":
                run("ip", "-n", names["router"], "link", "set", links[kind] + "0", "address", GATE_MAC)
                run("ip", "-n", names[kind], "link", "set", theirs, "name", STRANGERS_LINK)
                theirs = STRANGERS_LINK
            for name, link, address in ((names["router"], links[kind] + "0", gate), (names[kind], theirs, outside)):
                run("ip", "-n", name, "address", "add", address + "/24", "dev", link)
                run("ip", "-n", name, "link", "set", link, "up", "txqueuelen", "10000")
            run("ip", "-n", names[kind], "route", "add", ROUTER, "via", gate)
        run("ip", "-n", names["router"], "address", "add", ROUTER + "/32", "dev", "lo")
        run("ip", "-n", names["router"], "route", "add", "198.18.4.0/22", "via", "198.18.1.2")
        run("ip", "-n", names["router"], "route", "add", "198.18.8.0/22", "via", "198.18.1.2")
        run("ip", "-n", names["router"], "route", "add", "198.19.0.0/16", "via", STRANGER)
        for net in ("198.18.4.0/22", "198.18.8.0/22"):  # all of these addresses are the phones'
            run("ip", "-n", names["phones"], "route", "add", "local", net, "dev", "lo")
        yield names
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)


def inside(name):
    return ["ip", "netns", "exec", name]


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Phones:
    """The good phones: loads from their namespace."""

    def __init__(self, server, namespace):
        self.server, self.prefix = server, inside(namespace)

    def start(self, arguments):
        command = [*self.prefix, os.path.join(OUT, "sipload"), "-s", self.server.address,
                   "-l", PHONES + ":7060", "-u", PHONES + ":7070", *arguments.split()]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(LOAD_CPU))

    def load(self, arguments):
        return finish_load(self.start(arguments))


def capacity(phones):
    """Calls per second, with digest, in a closed loop; the best of a few windows."""
    best = 0.0
    for window in (50, 100, 200):
        result = phones.load(f"{CALL} -n 15000 -w {window}")
        best = max(best, result["done_offered"] / result["offered_secs"])
    if not best:
        raise Failed("no call was completed before the flood")
    return best


def attacked(verdict, what, phones, rate, seconds, flood, namespace, asked):
    """Good calls for `seconds`, with the flood from a second after their begin to their end."""
    pid = phones.server.process.pid
    calls = phones.start(f"{CALL} -n {int(rate * seconds)} -r {rate:.0f} -w 100000")
    time.sleep(1)
    with subprocess.Popen([*inside(namespace), os.path.join(OUT, "flood"), *flood, "-t", str(seconds - 1)],
                          stdout=subprocess.PIPE, text=True, preexec_fn=pinned(LOAD_CPU)) as sender:
        try:
            time.sleep(SETTLE_S)
            early = rss_bytes(pid)
            output, _ = sender.communicate(timeout=seconds + 30)
            late = rss_bytes(pid)
        except BaseException:
            sender.kill()
            raise
    strangers, result = json.loads(output), finish_load(calls)
    verdict.note(what, {"calls": result, "strangers": strangers, "rss": [early, late]})
    verdict.add(f"{what}: packets sent", strangers["rate"], SENT_MIN * asked, at_least=True, unit="per second",
                digits=0)
    verdict.add(f"{what}: the sender's share of its core", strangers["cpu"] / strangers["secs"])
    verdict.add(f"{what}: good calls", result["started"] / result["offered_secs"], unit="calls/s", digits=0)
    verdict.add(f"{what}: good calls completed", 100 * result["done"] / result["started"], DONE_MIN,
                at_least=True, unit="%")
    verdict.add(f"{what}: their setup, p99", result["p99_us"] / 1000, P99_MAX_MS, unit="ms", digits=0)
    verdict.add(f"{what}: growth of memory after {SETTLE_S} s", 100 * (late - early) / early, GROWTH_MAX, unit="%")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="of each flood (20), 10 to 60")
    parser.add_argument("--rate", type=int, default=100000, help="packets a second (100000)")
    parser.add_argument("--strangers", choices=["garbage", "invite", "both"], default="both")
    parser.add_argument("--calls", type=float, help="good calls a second, in place of half the capacity")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.makedirs(OUT, exist_ok=True)
    if os.geteuid() or not shutil.which("ip"):
        sys.exit("network namespaces need root and the program `ip` (iproute2)")
    verdict = Verdict("flood")
    flood = ["-i", STRANGERS_LINK, "-m", GATE_MAC, "-d", f"{ROUTER}:5060", "-r", str(given.rate), "-k", given.strangers]
    try:
        with network() as names, Own("own-flood", ip=ROUTER, wrap=inside(names["router"]), auth=True,
                                     http="127.0.0.1:18080", ready="log") as server:
            print(f"   own configuration: {one_line(server.settings)}")
            phones = Phones(server, names["phones"])
            registered = phones.load(f"-m register -a -I {ADDRESSES} -N {PHONE_USERS} -n {PHONE_USERS} -w 64")
            if registered["failed"]:
                raise Failed(f"{registered['failed']} registrations failed")
            rate = given.calls or capacity(phones) / 2
            verdict.add("half of the capacity", rate, unit="calls/s", digits=0)
            # As many transactions as linger at this rate, so that memory is level before the flood.
            quiet = phones.load(f"{CALL} -n {int(rate * server.linger_s)} -r {rate:.0f} -w 100000")
            verdict.note("before", quiet)
            verdict.add("before: good calls completed", 100 * quiet["done"] / quiet["started"], DONE_MIN,
                        at_least=True, unit="%")
            verdict.add("before: their setup, p99", quiet["p99_us"] / 1000, unit="ms", digits=0)
            attacked(verdict, "one source", phones, rate, given.seconds, [*flood, "-s", STRANGER],
                     names["strangers"], given.rate)
            attacked(verdict, "10,000 forged", phones, rate, given.seconds,
                     [*flood, "-s", FORGED, "-n", str(FORGED_COUNT)], names["strangers"], given.rate)
            verdict.note("refused", json.loads(server.command("status", "--json")).get("refused"))
    except (Failed, subprocess.CalledProcessError) as why:
        print(f"FAILED: {why}")
        verdict.add("the run", None, 1)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
