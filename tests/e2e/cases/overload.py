# SPDX-License-Identifier: Apache-2.0
"""A router that is given no time: it refuses what is new, carries what was begun, and says so."""
import re
import signal
import socket
import time

from harness.case import case, check
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.sip import token
from harness.ua import UA, call

ROUNDS, CALLS = 12, 6000


def invite(flood, router, number):
    return ("INVITE sip:nobody@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n"
            "From: <sip:caller@example.com>;tag=%d\r\nTo: <sip:nobody@%s>\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n"
            "Contact: <sip:caller@%s>\r\nContent-Length: 0\r\n\r\n" % (
                router.address, flood.at, token(), number, router.address, token(), flood.at)).encode()


class Flood:
    """A socket that sends more than anybody could carry, and what it was answered."""

    def __init__(self, address, router):
        self.router = router
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)
        self.at = "%s:%d" % self.socket.getsockname()
        self.refusals = []

    def pour(self, count):
        """Into a router that stands still for a while."""
        self.router.process.signal(signal.SIGSTOP)
        begin = time.monotonic()
        for number in range(count):
            self.socket.sendto(invite(self, self.router, number), self.router.at)
        time.sleep(max(0.0, 0.3 - (time.monotonic() - begin)))
        self.router.process.signal(signal.SIGCONT)

    def hear(self):
        """Takes what came; True when there are refusals for overload."""
        try:
            while True:
                raw = self.socket.recv(65535)
                if raw.startswith(b"SIP/2.0 503"):
                    self.refusals.append(raw)
        except BlockingIOError:
            return bool(self.refusals)


@case()
def a_router_without_time_refuses_new_calls_and_no_others(env):
    router = env.router(workers=1, log={"level": "warning", "format": "text"},
                        overload={"target": "20ms", "interval": "10ms", "refresh_target": "10s"})
    router.apply(ALICE, BOB)
    alice, bob = UA(router, "alice", address=env.address(3)), UA(router, "bob", address=env.address(4))
    alice.register()
    bob.register()
    mine, theirs = call(alice, bob)
    flood = Flood(env.address(5), router)

    # The first round makes the router ask for time stamps. How much of a round it gets done before it
    # refuses does not matter, as long as that takes longer than the interval.
    for _ in range(ROUNDS):
        flood.pour(CALLS)
        mine.asks(bob, "INVITE", 20)  # behind all of them
        bob.register()
        if flood.hear():
            break
    check(flood.refusals, "nothing was refused in %d rounds of %d calls", ROUNDS, CALLS)
    for raw in flood.refusals:
        text = raw.decode()
        check(re.search(r"\r\nRetry-After: [1-5]\r\n", text), "no Retry-After in %s", text)
        check(re.search(r"\r\nTo: <sip:nobody@[^>]*>;tag=\w+\r\n", text), "no To tag in %s", text)
        check(";rport=" in text.split("\r\n")[1], "no rport in %s", text)
    times = set(re.findall(r"Retry-After: (\d)", "".join(raw.decode() for raw in flood.refusals)))
    check(len(times) > 1 or len(flood.refusals) < 20, "all shall come again at the same time")
    theirs.hang_up(alice)
    until("the refusals are counted and the overload is over",
          lambda: router.metrics()['strowger_refused_total{reason="overload"}'] >= len(flood.refusals)
          and router.metrics()['strowger_overloaded{worker="0"}'] == 0, 20)
    check("warning [worker-0] overload: requests wait up to" in router.process.text(), "no line in the log")
    call(alice, bob)
