# SPDX-License-Identifier: Apache-2.0
"""Keepalives of ours to phones behind NATs, and what is said of those that do not answer."""
from cases.outbound import OUTBOUND, flow_contact, prepared
from harness.case import case, check
from harness.deadline import until
from harness.ua import UA, call


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
