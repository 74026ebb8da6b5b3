# SPDX-License-Identifier: Apache-2.0
"""Certificates and users change under calls, over connections that stay: no call is lost, and no connection."""
import os
import shutil
import signal
import time

from cases.tls import PORT, certificate, shown
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB, CAROL
from harness.sipload import Sipload

CERTIFICATES = ("even", "odd")


def change(env, router, number):
    """Shows the other certificate from now on, and applies another title."""
    name = CERTIFICATES[number % 2]
    for end in (".key", ".pem"):
        # As tools do that renew certificates: the new file takes the place of the old one.
        shutil.copy(env.path("router", name + end), env.path("router", "next"))
        os.replace(env.path("router", "next"), env.path("router", "one" + end))
    router.process.signal(signal.SIGHUP)
    router.apply(ALICE, BOB, dict(CAROL, title="Number %d" % number))
    until("the new certificate is shown", lambda: shown(router, env.path("router", name + ".pem")), 10)


def changes_under_calls(env, rate, seconds, connections):
    certificate(env, "one")
    for name in CERTIFICATES:
        certificate(env, name)
    address = env.address(1)
    # The log of every message at 500 calls/s would be what is tested. Nor is it how fast this machine is: no call is
    # refused because it has waited.
    router = env.router(listen=["tls:%s:%d" % (address, PORT)], auth={"required": False},
                        tls={"certificate": ["one.pem"], "key": ["one.key"]}, log={"level": "info"},
                        overload={"target": "10s", "refresh_target": "1m"})
    router.apply(ALICE, BOB, CAROL)
    # T1 is long: nothing is lost on a stream, so a second copy of a request would only hide that it is slow.
    load = Sipload(env, router, PORT, "tls", "-P", str(connections), "-N", "500", "-n", str(rate * seconds), "-r",
                   str(rate), "-w", "100000", "-H", "700", "-R", "50", "-T", "10000")
    load.begin()
    begin, number = time.monotonic(), 0
    while load.running() and time.monotonic() < begin + seconds:
        change(env, router, number)
        number += 1
    result = load.result(60)
    equal(rate * seconds, result["done"], "calls")
    equal((0, 0, 0), (result["failed"], result["retrans"], result["unexpected"]), "failed, repeated, unexpected")
    check(number >= seconds // 4, "only %d changes in %d s", number, seconds)
    check(result["rate"] > 0.8 * rate, "only %.0f calls/s", result["rate"])
    env.note("%d calls at %.0f/s by 2 x %d connections over TLS; %d certificates and policies; setup p99 %.0f ms"
             % (result["done"], result["rate"], connections, number, result["p99_us"] / 1000))
    router.stop()


@case(seconds=90)
def certificates_and_users_change_under_calls(env):
    changes_under_calls(env, rate=100, seconds=8, connections=20)


@case(long=True, seconds=180)
def certificates_and_users_change_under_500_calls_a_second(env):
    changes_under_calls(env, rate=500, seconds=60, connections=100)
