# SPDX-License-Identifier: Apache-2.0
"""What survives a restart: registrations, and calls that are up."""
import signal

from harness import sip
from harness.baresip import Baresip, check_heard
from harness.case import case, check, equal
from harness.router import ALICE, BOB
from harness.ua import UA, call


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB)
    return router


def registrations_survive(env, hard):
    router = prepared(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register(contact=bob.contact + ";q=0.7", headers=[("User-Agent", "test/1")])
    bob.register(contact="<sip:bob@192.0.2.7:5070;transport=udp;x=y>;expires=900")
    alice = UA(router, "alice", address=env.address(2), transport="tcp")
    alice.register()
    before = router.registrations()
    equal(3, len(before), "bindings before")
    for _ in range(2):
        router.restart(hard)
        after = router.registrations()
        equal(sorted(b["contact"] for b in before), sorted(b["contact"] for b in after), "contacts after a restart")
    # And they are used: bob's phone is called with nothing but what the store knows.
    bob.register(contact="<sip:bob@192.0.2.7:5070;transport=udp;x=y>", expires=0)
    caller = UA(router, "alice", address=env.address(4))
    mine, _ = call(caller, bob)
    mine.hang_up(bob)


@case()
def registrations_survive_a_sigterm(env):
    registrations_survive(env, hard=False)


@case()
def registrations_survive_a_kill(env):
    registrations_survive(env, hard=True)


@case()
def users_survive_a_kill(env):
    router = prepared(env)
    router.restart(hard=True)
    equal({"alice", "bob"}, {u["name"] for u in router.json("get", "users")}, "users")
    UA(router, "alice", address=env.address(2)).register()


@case()
def removed_registrations_stay_removed(env):
    router = prepared(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    bob.register(contact="*", expires=0)
    router.restart(hard=True)
    equal([], router.registrations(), "bindings")


@case()
def the_order_of_cseq_survives(env):
    router = prepared(env, auth={"required": False})
    bob = UA(router, "bob", address=env.address(3))
    bob.cseq_register = 10
    equal(200, bob.exchange(bob.register_request()).status, "REGISTER")
    router.restart(hard=True)
    bob.cseq_register = 4
    equal(500, bob.exchange(bob.register_request(expires=60)).status, "REGISTER with an older CSeq")


def call_survives(env, who, transport="udp", nat=False, hard=True):
    """A call is up, the router is killed and started again, one side hangs up and the other hears of it."""
    router = prepared(env)
    private = {"via": "10.1.1.2:5060", "contact": "<sip:alice@10.1.1.2:5060>"} if nat else {}
    alice = UA(router, "alice", address=env.address(2), transport=transport, **private)
    bob = UA(router, "bob", address=env.address(3), transport=transport)
    alice.register()
    bob.register()
    mine, theirs = call(alice, bob)
    mine.asks(bob, "INFO")
    router.restart(hard)
    if transport == "tcp":
        # A phone that loses its connection connects anew, from another port, and registers.
        alice, bob = comes_back(env, router, alice, mine), comes_back(env, router, bob, theirs)
    if who == "caller":
        mine.asks(bob, "INVITE")
        mine.hang_up(bob)
    else:
        theirs.asks(alice, "INVITE")
        theirs.hang_up(alice)


def comes_back(env, router, phone, dialog):
    again = UA(router, phone.name, address=phone.address, transport="tcp", contact=phone.contact)
    again.call_id_register, again.cseq_register = phone.call_id_register, phone.cseq_register
    again.register()
    dialog.ua = again
    return again


@case()
def caller_hangs_up_after_a_kill_over_udp(env):
    call_survives(env, "caller")


@case()
def callee_hangs_up_after_a_kill_over_udp(env):
    call_survives(env, "callee")


@case()
def caller_hangs_up_after_a_sigterm(env):
    call_survives(env, "caller", hard=False)


@case()
def caller_hangs_up_after_a_kill_over_tcp(env):
    call_survives(env, "caller", "tcp")


@case()
def callee_hangs_up_after_a_kill_over_tcp(env):
    call_survives(env, "callee", "tcp")


@case()
def caller_behind_nat_hangs_up_after_a_kill(env):
    call_survives(env, "caller", nat=True)


@case()
def callee_hangs_up_on_a_caller_behind_nat_after_a_kill(env):
    call_survives(env, "callee", nat=True)


@case()
def caller_without_registration_behind_nat(env):
    """A stranger's phone behind NAT, known only by the flow its INVITE came on."""
    router = prepared(env)
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net", via="10.9.9.9:5060",
             contact="<sip:eve@10.9.9.9:5060>")
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    mine, theirs = call(eve, bob, "sip:bob@example.com")
    router.restart(hard=True)
    theirs.hang_up(eve)


@case()
def a_forged_flow_token_is_refused(env):
    """One character of our Record-Route's token changed: the request must not be sent anywhere (RFC 5626 §5.2)."""
    router = prepared(env)
    alice = UA(router, "alice", address=env.address(2), via="10.1.1.2:5060", contact="<sip:alice@10.1.1.2:5060>")
    bob = UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    mine, theirs = call(alice, bob)
    route = theirs.routes[0]
    uri = sip.address_of(route)
    user = uri[4:uri.index("@")] if "@" in uri else uri.partition(";")[2]
    check(len(user) > 8, "no flow token in %s", route)
    at = uri.index(user) + len(user) // 2
    # The digits are the same in either case (base32hex), as a URI may be compared so.
    forged = uri[:at] + ("a" if uri[at] not in "aA" else "b") + uri[at + 1:]
    theirs.routes[0] = route.replace(uri, forged)
    answer = bob.exchange(theirs.request("INFO"))
    check(answer.status in (403, 430, 400, 404, 481, 407), "INFO with a forged token: %s", answer)
    alice.nothing("the forged request", lambda m: m.method == "INFO" and not m.is_response, 0.3)


@case(seconds=90)
def baresips_hang_up_after_a_kill(env):
    """Two real phones talk, the router dies and comes back, and the call ends as if nothing had been."""
    router = prepared(env)
    alice = Baresip(env, router, "alice", 2, 440)
    bob = Baresip(env, router, "bob", 3, 1000)
    alice.registered()
    bob.registered()
    for caller, callee, ender in ((alice, bob, alice), (alice, bob, bob)):
        at = len(alice.events), len(bob.events)
        caller.dial("sip:bob@example.com")
        caller.event("CALL_ESTABLISHED", since=at[0])
        callee.event("CALL_ESTABLISHED", since=at[1])
        check_heard(caller, callee.frequency)
        router.restart(hard=True)
        ender.hang_up()
        caller.event("CALL_CLOSED", since=at[0])
        callee.event("CALL_CLOSED", since=at[1])


@case()
def a_drain_finishes_what_is_under_way(env):
    """SIGTERM: no new INVITE (503 without Retry-After), but one that rings may still be answered."""
    router = prepared(env)
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    ringing = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    bob.reply(came, 180, "Ringing", to_tag="t")
    alice.expect("180", lambda m: m.status == 180)
    router.process.signal(signal.SIGTERM)
    router.process.wait_line("drain")
    late = alice.request("INVITE", "sip:bob@example.com", sender="sip:x@elsewhere.net")
    answer = alice.exchange(late)
    equal((503, None), (answer.status, answer.get("retry-after")), "a new INVITE while draining")
    bob.reply(came, 200, "OK", to_tag="t")
    equal(200, alice.response_in(ringing).status, "the call that rang")
    router.process.signal(signal.SIGTERM)
    equal(0, router.process.wait(10), "exit status after the second SIGTERM")
