# SPDX-License-Identifier: Apache-2.0
"""Keepalives of ours to phones behind NATs, and what is said of those that do not answer."""
import time

from cases.outbound import OUTBOUND, flow_contact, prepared
from harness.case import case, check
from harness.deadline import Timeout, until
from harness.nats import ROUTER, Nats
from harness.router import ALICE, BOB
from harness.ua import UA, call, call_both_ways


def behind_nat(env, router, name, last):
    """A phone that writes an address of its own network into Via and Contact."""
    return UA(router, name, address=env.address(last), via="10.11.12.13:5060")


def metric(router, name):
    return sum(value for key, value in router.metrics().items() if key.startswith(name))


@case()
def a_silent_phone_behind_a_nat_is_asked(env):
    router = prepared(env, nat={"every": "1s", "misses": 2})
    bob, alice = behind_nat(env, router, "bob", 3), UA(router, "alice", address=env.address(4))
    bob.register()
    for _ in range(3):
        bob.reply(bob.request_in("OPTIONS"), 200, "OK")
    until("the answers", lambda: metric(router, 'strowger_nat_pings_total{what="answered"}') >= 3)
    mine, theirs = call(alice, bob)
    theirs.hang_up(alice)
    check(metric(router, "strowger_nat_silent") == 0, "nobody is silent")


@case(seconds=150, long=True)
def a_phone_that_never_answers_is_reported_and_stays(env):
    router = prepared(env, nat={"every": "1s", "misses": 1})
    bob, alice = behind_nat(env, router, "bob", 3), UA(router, "alice", address=env.address(4))
    bob.register()
    until("it is silent", lambda: metric(router, "strowger_nat_silent") == 1, 60)
    router.bindings("bob", count=1)
    while bob.pump(0):
        pass
    bob.inbox = []
    call(alice, bob)  # it is called all the same
    bob.reply(bob.request_in("OPTIONS", 40), 200, "OK")
    until("it is heard of", lambda: metric(router, "strowger_nat_silent") == 0)


@case()
def empty_lines_and_those_who_need_nothing(env):
    router = prepared(env, nat={"every": "1s", "ping": "crlf"})
    bob, alice = behind_nat(env, router, "bob", 3), behind_nat(env, router, "alice", 4)
    bob.register()
    alice.register(contact=flow_contact(alice, 1), headers=OUTBOUND)
    until("keepalives", lambda: bob.pump(0.2) and bob.keepalives >= 3)
    alice.pump(0.2)
    check(alice.keepalives == 0, "a phone with RFC 5626 got %d", alice.keepalives)


# ---- real NATs ----

def two_homes(env, forgets, router_settings=None, **nat):
    """(the networks, the router, alice in one home, bob in the other), registered."""
    nats = Nats(env, forgets)
    router = env.router(address=ROUTER, prefix=nats.prefix("net"), nat=nat, http={"listen": "127.0.0.1:8080"},
                        **(router_settings or {}))
    router.apply(ALICE, BOB)
    phones = []
    for number, name in ((1, "alice"), (2, "bob")):
        with nats.inside("home%d" % number):
            phones.append(UA(router, name, address="10.%d.0.2" % number))
        phones[-1].register()
    return nats, router, *phones


def wait_as_phones_do(phones, seconds):
    """Nothing is sent, but what asks is answered. Gives how many OPTIONS each got."""
    got, end = [0] * len(phones), time.monotonic() + seconds
    while time.monotonic() < end:
        for number, phone in enumerate(phones):
            phone.pump(0.1)
            asked = phone.take(lambda m: not m.is_response and m.method == "OPTIONS")
            if asked:
                phone.reply(asked, 200, "OK")
                got[number] += 1
    return got


@case()
def phones_behind_two_nats_that_forget_at_once(env):
    _, router, alice, bob = two_homes(env, forgets=5, every="1s")
    received = [b["received"] for name in ("alice", "bob") for b in router.bindings(name)]
    check(all(a.startswith("udp:198.51.100.1") or "198.51.100.1" in a for a in received), "behind NATs: %s", received)
    got = wait_as_phones_do([alice, bob], 12)
    check(min(got) >= 5, "keepalives: %s", got)
    call_both_ways(alice, bob)


@case()
def without_keepalives_those_nats_lose_the_phone(env):
    """What the others prove is nothing if these NATs do not forget."""
    _, _, alice, bob = two_homes(env, forgets=3, ping="off")
    wait_as_phones_do([alice, bob], 6)
    alice.register()  # it asks, so it is heard; bob is not
    alice.invite(bob.aor)
    try:
        bob.request_in("INVITE", 3)
    except Timeout:
        return
    raise AssertionError("the NAT has not forgotten")


@case(long=True, seconds=300)
def three_minutes_of_silence_behind_two_nats(env):
    _, router, alice, bob = two_homes(env, forgets=30)
    got = wait_as_phones_do([alice, bob], 180)
    check(min(got) >= 6, "keepalives in 3 minutes: %s", got)
    check(len(router.registrations()) == 2, "both are registered")
    call_both_ways(alice, bob)
