# SPDX-License-Identifier: Apache-2.0
"""Everything at once, with more workers than cores: what ThreadSanitizer is to look at (part tsan-e2e)."""
import concurrent.futures
import socket
import time

from harness.case import case, check
from harness.load import Registrations
from harness.router import ALICE, BOB, CAROL
from harness.sipp import Sipp
from harness.ua import UA

SECONDS, WORKERS = 20, 4
CALLS = 100  # of one run of SIPp: at 50 a second
PORTS, USERS = 4, 150  # of the registrations: so many users from each port


class Counts(dict):
    """How often each thing was done; each is counted by one thread."""

    def add(self, name, more=1):
        self[name] = self.get(name, 0) + more


def calls(env, router, counts, end, name, caller, addresses, transports):
    """SIPp calls SIPp, over and over; every call must go as the scenario says."""
    bob = UA(router, name, address=addresses[1], contact="<sip:%s@%s:5060;transport=%s>" % (
        name, addresses[1], transports[1]))
    bob.register()
    while time.monotonic() < end:
        callee = Sipp(env, router, "uas_answer", name, addresses[1], transport=transports[1], calls=CALLS,
                      seconds=60).listening()
        Sipp(env, router, "uac_call", name, addresses[0], transport=transports[0], caller=caller, calls=CALLS,
             seconds=60).done()
        callee.done()
        counts.add("calls " + "-".join(transports), CALLS)


def registrations(env, router, counts, end):
    """Users who register and refresh, from several ports: the kernel gives them to all workers."""
    loads = [Registrations(env.address(9), router.at, first=n * USERS) for n in range(PORTS)]
    while time.monotonic() < end:
        for load in loads:
            load.run(0.1, 300, until=lambda: load.next % USERS == USERS - 1)
            load.next -= load.next % USERS if load.next % USERS == USERS - 1 else 0  # the same users again
    for load in loads:
        load.read(0.5)
        counts.add("registrations sent", load.sent)
        counts.add("users registered", len(load.acknowledged))
        load.socket.close()


def streams(env, router, counts, end):
    """Phones on TCP that register and are gone, and connections that say nothing."""
    while time.monotonic() < end:
        phones = [UA(router, "carol", address=env.address(n), transport="tcp",
                     contact="<sip:carol@%s;transport=tcp>" % env.address(n)) for n in range(20, 24)]
        silent = [socket.create_connection(router.at, 5, (env.address(30), 0)) for _ in range(4)]
        for phone in phones:
            phone.register()
        for left in silent + [phone.socket for phone in phones]:
            left.close()
        counts.add("phones on streams", len(phones))


def changes(router, counts, end):
    """Policies are swapped in under the calls."""
    while time.monotonic() < end:
        router.apply(ALICE, BOB, dict(CAROL, title="Number %d" % counts.get("changes", 0)))
        counts.add("changes")


def looks(router, counts, end):
    while time.monotonic() < end:
        router.json("status")
        router.registrations()
        status, _, _ = router.http("GET", "/metrics")
        check(status == 200, "/metrics: %d", status)
        counts.add("looks")


@case(seconds=150)
def four_workers(env):
    """Calls, registrations, streams that come and go, changes of the policy and looks at the state for 20 s."""
    # What is looked for are races, not speed: nothing is refused for being slow, or much.
    router = env.router(workers=WORKERS, auth={"trusted": [env.address(9) + "/32"]}, log={"level": "info"},
                        guard={"user_rate": 0}, overload={"target": "10s", "refresh_target": "1m"},
                        env={"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"})
    router.apply(ALICE, BOB, CAROL, *({"name": "u%d" % n} for n in range(PORTS * USERS)))
    counts, end = Counts(), time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        work = [pool.submit(calls, env, router, counts, end, "bob", "alice", (env.address(2), env.address(3)),
                            ("udp", "udp")),
                pool.submit(calls, env, router, counts, end, "alice", "bob", (env.address(4), env.address(5)),
                            ("tcp", "tcp")),
                pool.submit(registrations, env, router, counts, end), pool.submit(streams, env, router, counts, end),
                pool.submit(changes, router, counts, end), pool.submit(looks, router, counts, end)]
        failures = [one.exception() for one in work if one.exception() is not None]
    report = router.process.find(r"ThreadSanitizer|AddressSanitizer|runtime error|Assertion")
    check(report is None, "the router said: %s", report and report.string)
    check(not failures, "%s", failures)
    env.note(", ".join("%d %s" % (n, what) for what, n in sorted(counts.items())))
    for what, least in (("calls udp-udp", CALLS), ("calls tcp-tcp", CALLS), ("registrations sent", 1000),
                        ("users registered", PORTS * USERS // 2), ("phones on streams", 8), ("changes", 10),
                        ("looks", 10)):
        check(counts.get(what, 0) >= least, "only %d %s", counts.get(what, 0), what)
    workers = router.json("status")["workers"]
    check(len(workers) == WORKERS, "%d workers", len(workers))
    router.stop()
