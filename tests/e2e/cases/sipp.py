# SPDX-License-Identifier: Apache-2.0
"""SIPp as phone: registration, calls and the ways in which a call does not come about."""
from harness.case import case
from harness.router import ALICE, BOB
from harness.sipp import Sipp
from harness.ua import UA


def prepared(env):
    router = env.router()
    router.apply(ALICE, BOB)
    return router


def register(env, router, user, address, port=5060, transport="udp"):
    """By SIPp, from the very port on which it is called afterwards."""
    Sipp(env, router, "register", user, address, port, transport).done()


def call(env, uac, uas, transports=("udp", "udp"), to="bob"):
    """One caller and one callee, both of which must see their scenario through."""
    router = prepared(env)
    register(env, router, "bob", env.address(3), transport=transports[1])
    callee = Sipp(env, router, uas, "bob", env.address(3), transport=transports[1]).listening()
    caller = Sipp(env, router, uac, to, env.address(2), transport=transports[0], caller="alice")
    caller.done()
    callee.done()


@case()
def register_with_digest(env):
    router = prepared(env)
    register(env, router, "alice", env.address(2))
    router.bindings("alice")


@case()
def register_with_digest_over_tcp(env):
    router = prepared(env)
    register(env, router, "alice", env.address(2), transport="tcp")
    router.bindings("alice")


@case()
def call_over_udp(env):
    call(env, "uac_call", "uas_answer")


@case()
def call_by_extension(env):
    call(env, "uac_call", "uas_answer", to="102")


@case()
def call_from_tcp_to_udp(env):
    call(env, "uac_call", "uas_answer", ("tcp", "udp"))


@case()
def call_from_udp_to_tcp(env):
    """Registered by datagram, with a contact that asks for TCP: the router must connect to it."""
    router = prepared(env)
    bob = UA(router, "bob", address=env.address(3), contact="<sip:bob@%s:5060;transport=tcp>" % env.address(3))
    bob.register()
    callee = Sipp(env, router, "uas_answer", "bob", env.address(3), transport="tcp").listening()
    caller = Sipp(env, router, "uac_call", "bob", env.address(2), caller="alice")
    caller.done()
    callee.done()


@case()
def caller_cancels(env):
    call(env, "uac_cancel", "uas_cancelled")


@case()
def caller_cancels_over_tcp(env):
    call(env, "uac_cancel", "uas_cancelled", ("tcp", "udp"))


@case()
def callee_is_busy(env):
    call(env, "uac_486", "uas_486")


@case()
def callee_does_not_answer(env):
    call(env, "uac_480", "uas_480")


@case()
def unknown_user_is_404(env):
    router = prepared(env)
    Sipp(env, router, "uac_404", "nobody", env.address(2), caller="alice").done()


@case()
def known_user_without_a_phone_is_480(env):
    router = prepared(env)
    Sipp(env, router, "uac_480", "bob", env.address(2), caller="alice").done()


@case()
def call_with_a_reinvite(env):
    call(env, "uac_reinvite", "uas_reinvite")


@case()
def call_with_a_reinvite_from_tcp_to_udp(env):
    call(env, "uac_reinvite", "uas_reinvite", ("tcp", "udp"))


@case()
def forked_call_first_answers_other_is_cancelled(env):
    router = prepared(env)
    register(env, router, "bob", env.address(3))
    register(env, router, "bob", env.address(4))
    router.bindings("bob", count=2)
    other = Sipp(env, router, "uas_cancelled", "bob", env.address(4)).listening()
    first = Sipp(env, router, "uas_answer", "bob", env.address(3)).listening()
    Sipp(env, router, "uac_call", "bob", env.address(2), caller="alice").done()
    first.done()
    other.done()


@case()
def forked_call_both_are_cancelled(env):
    router = prepared(env)
    register(env, router, "bob", env.address(3))
    register(env, router, "bob", env.address(4))
    phones = [Sipp(env, router, "uas_cancelled", "bob", env.address(n)).listening() for n in (3, 4)]
    Sipp(env, router, "uac_cancel", "bob", env.address(2), caller="alice").done()
    for phone in phones:
        phone.done()


@case()
def many_calls(env):
    """Two hundred calls one after the other and beside each other, all of which must go well."""
    router = prepared(env)
    register(env, router, "bob", env.address(3))
    callee = Sipp(env, router, "uas_answer", "bob", env.address(3), calls=200).listening()
    caller = Sipp(env, router, "uac_call", "bob", env.address(2), caller="alice", calls=200)
    caller.done()
    callee.done()
