# SPDX-License-Identifier: Apache-2.0
"""Two phones that others wrote register, one calls the other, they hear each other, they hang up."""
from harness.baresip import Baresip, check_heard
from harness.case import case, check
from harness.deadline import until
from harness.linphone import Linphone, ended
from harness.router import ALICE, BOB

ALICE_HZ, BOB_HZ = 440, 1000


def two_baresips(env, router, transports=("udp", "udp"), **more):
    router.apply(ALICE, BOB)
    alice = Baresip(env, router, "alice", 2, ALICE_HZ, transports[0], **more)
    bob = Baresip(env, router, "bob", 3, BOB_HZ, transports[1], **more)
    alice.registered()
    bob.registered()
    return alice, bob


def talk(caller, callee, where):
    """A call between two baresips with sound both ways, ended by the caller."""
    caller.dial(where)
    callee.event("CALL_ESTABLISHED")
    caller.event("CALL_ESTABLISHED")
    check_heard(caller, callee.frequency)
    check_heard(callee, caller.frequency)
    caller.hang_up()
    caller.event("CALL_CLOSED")
    callee.event("CALL_CLOSED")


def baresip_call(env, transports, where):
    alice, bob = two_baresips(env, env.router(), transports)
    talk(alice, bob, where)


@case()
def baresip_calls_baresip_by_name_over_udp(env):
    baresip_call(env, ("udp", "udp"), "sip:bob@example.com")


@case()
def baresip_calls_baresip_by_extension_over_udp(env):
    baresip_call(env, ("udp", "udp"), "sip:102@example.com")


@case()
def baresip_calls_baresip_by_number_over_udp(env):
    baresip_call(env, ("udp", "udp"), "sip:+15105550102@example.com")


@case()
def baresip_calls_baresip_by_name_over_tcp(env):
    baresip_call(env, ("tcp", "tcp"), "sip:bob@example.com")


@case()
def baresip_calls_baresip_by_extension_over_tcp(env):
    baresip_call(env, ("tcp", "tcp"), "sip:102@example.com")


@case()
def baresip_on_udp_calls_baresip_on_tcp(env):
    baresip_call(env, ("udp", "tcp"), "sip:bob@example.com")


@case()
def baresip_on_tcp_calls_baresip_on_udp(env):
    baresip_call(env, ("tcp", "udp"), "sip:bob@example.com")


@case()
def baresip_callee_hangs_up(env):
    alice, bob = two_baresips(env, env.router(), ("udp", "tcp"))
    alice.dial("sip:bob@example.com")
    bob.event("CALL_ESTABLISHED")
    alice.event("CALL_ESTABLISHED")
    bob.hang_up()
    bob.event("CALL_CLOSED")
    alice.event("CALL_CLOSED")


@case()
def baresip_caller_gives_up_while_it_rings(env):
    alice, bob = two_baresips(env, env.router(), answer="manual")
    alice.dial("sip:bob@example.com")
    alice.event("CALL_RINGING")
    bob.event("CALL_INCOMING")
    alice.hang_up()
    bob.event("CALL_CLOSED")
    alice.event("CALL_CLOSED")


@case()
def baresip_callee_rejects(env):
    alice, bob = two_baresips(env, env.router(), answer="manual")
    alice.dial("sip:bob@example.com")
    bob.event("CALL_INCOMING")
    bob.hang_up()
    closed = alice.event("CALL_CLOSED")
    check(closed["param"].startswith("486"), "alice is told %r, wanted 486", closed["param"])


def talk_to_linphone(baresip, linphone, who_hangs_up):
    """linphonec keeps most of its recording in memory until the call is over, so it is looked at afterwards."""
    check_heard(baresip, linphone.frequency, least=3)
    who_hangs_up.hang_up()
    baresip.event("CALL_CLOSED")
    ended(linphone)
    check_heard(linphone, baresip.frequency)


def linphone_and_baresip(env, transport, baresip_transport=None, where="sip:alice@example.com", **auth):
    """linphonec (bob) calls baresip (alice), then baresip calls linphonec."""
    router = env.router(**auth)
    router.apply(ALICE, BOB)
    alice = Baresip(env, router, "alice", 2, ALICE_HZ, baresip_transport or transport)
    bob = Linphone(env, router, "bob", 3, BOB_HZ, transport)
    alice.registered()
    bob.registered()
    bob.dial(where)
    alice.event("CALL_ESTABLISHED")
    bob.established()
    talk_to_linphone(alice, bob, bob)


def baresip_calls_linphone(env, transport, where):
    router = env.router()
    router.apply(ALICE, BOB)
    alice = Baresip(env, router, "alice", 2, ALICE_HZ, transport)
    bob = Linphone(env, router, "bob", 3, BOB_HZ, transport)
    alice.registered()
    bob.registered()
    alice.dial(where)
    alice.event("CALL_ESTABLISHED")
    bob.established()
    talk_to_linphone(alice, bob, alice)


@case()
def linphone_calls_baresip_by_name_over_udp(env):
    linphone_and_baresip(env, "udp")


@case()
def linphone_calls_baresip_by_name_over_tcp(env):
    linphone_and_baresip(env, "tcp")


@case()
def linphone_calls_baresip_by_extension(env):
    linphone_and_baresip(env, "udp", where="101")


@case()
def linphone_on_tcp_calls_baresip_on_udp(env):
    linphone_and_baresip(env, "tcp", "udp")


@case()
def baresip_calls_linphone_by_name_over_udp(env):
    baresip_calls_linphone(env, "udp", "sip:bob@example.com")


@case()
def baresip_calls_linphone_by_extension_over_tcp(env):
    baresip_calls_linphone(env, "tcp", "sip:102@example.com")


@case()
def linphones_when_sha_256_and_md5_are_offered(env):
    """RFC 8760: it takes the first challenge that it knows, SHA-256. baresip and SIPp would give up."""
    router = env.router(auth={"algorithms": ["SHA-256", "MD5"]})
    router.apply(ALICE, BOB)
    alice = Linphone(env, router, "alice", 2, ALICE_HZ)
    bob = Linphone(env, router, "bob", 3, BOB_HZ)
    alice.registered()
    bob.registered()
    alice.dial("sip:bob@example.com")
    alice.established()
    bob.established()
    # Both keep their recordings in memory until the end; so the call must simply last.
    until("the call lasts", lambda: lasted(alice) >= 3, 15, step=0.3)
    alice.hang_up()
    ended(alice)
    ended(bob)
    check_heard(alice, BOB_HZ)
    check_heard(bob, ALICE_HZ)


def lasted(phone):
    """Seconds that its call is up."""
    return int(phone.say("status hook", r"hook=\S+ duration=(\d+)").group(1))
