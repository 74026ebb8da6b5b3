# SPDX-License-Identifier: Apache-2.0
"""GRUU (RFC 5627): addresses that lead to one phone of a user, also inside calls and through an edge."""
from cases.outbound import OUTBOUND, edge_and_registrar, flow_contact, prepared
from harness import sip
from harness.case import case, check, equal
from harness.ua import UA, call

GRUU = [("Supported", "gruu")]


def instance(name):
    return "urn:uuid:00000000-0000-1000-8000-%012x" % int.from_bytes(name.encode()[:6], "big")


def with_gruus(ua, headers=GRUU, contact=None):
    """Registers; gives (public, temporary)."""
    contact = contact or '%s;+sip.instance="<%s>"' % (ua.contact, instance(ua.sent_by[-6:]))
    answer = ua.register(contact=contact, headers=headers)
    mine = [c for c in answer.all("contact") if ua.sent_by in c][0]
    found = [sip.parameter(sip.after_address(mine), name) for name in ("pub-gruu", "temp-gruu")]
    return [uri.strip('"') for uri in found]


def status_of(caller, uri):
    """How a call to that URI ends, which nobody takes."""
    return caller.final(caller.invite(uri)).status


@case()
def a_gruu_rings_one_phone_of_two(env):
    router = prepared(env)
    desk, mobile = (UA(router, "bob", address=env.address(last)) for last in (3, 4))
    alice = UA(router, "alice", address=env.address(5))
    gruus = {ua: with_gruus(ua) for ua in (desk, mobile)}
    for ua, other in ((desk, mobile), (mobile, desk)):
        for uri in gruus[ua]:
            mine, theirs = call(alice, ua, uri)
            theirs.hang_up(alice)
            other.nothing("the GRUU is another phone's", lambda m: m.method == "INVITE", 0.3)
    # Random letters spell a short name now and then (one in 600 does): not three times running.
    temporary = [with_gruus(desk)[1] for _ in range(3)]
    check(not all("bob" in uri for uri in temporary), "temporary GRUUs show their user: %s", temporary)


@case()
def gruus_end_as_they_should(env):
    router = prepared(env)
    bob, alice = UA(router, "bob", address=env.address(3)), UA(router, "alice", address=env.address(5))
    public, first = with_gruus(bob)
    _, second = with_gruus(bob)
    check(first != second, "twice the same: %s", first)
    router.restart(hard=True)
    for uri in (public, first, second):
        mine, _ = call(alice, bob, uri)
        mine.hang_up(bob)
    bob.call_id_register = sip.token()  # the phone wants a new beginning
    again, third = with_gruus(bob)
    equal(public, again, "the public GRUU")
    equal([404, 404], [status_of(alice, uri) for uri in (first, second)], "temporary ones of the old Call-ID")
    mine, _ = call(alice, bob, third)
    mine.hang_up(bob)
    bob.register(expires=0, contact="*")
    equal([480, 404], [status_of(alice, uri) for uri in (public, third)], "public and temporary, when it is gone")
    equal(404, status_of(alice, "sip:nobody@example.com;gr=" + instance("x")), "a GRUU of nobody")


@case()
def calls_with_gruus_as_contacts(env):
    """Both phones write their GRUU as Contact: every request in the dialog is for a GRUU."""
    router = prepared(env)
    bob, alice = UA(router, "bob", address=env.address(3)), UA(router, "alice", address=env.address(5))
    plain = bob.contact, alice.contact
    for ua, which in ((bob, 0), (alice, 1)):
        ua.contact = "<%s>" % with_gruus(ua)[which]
    mine, theirs = call(alice, bob)
    for one, peer, asked in ((mine, bob, plain[0]), (theirs, alice, plain[1])):
        came, _ = one.asks(peer, "INVITE")
        equal(sip.address_of(asked), came.uri, "the Request-URI of a re-INVITE")
    mine.hang_up(bob)


@case()
def a_foreign_gruu_as_contact_is_refused(env):
    router = prepared(env)
    bob, alice = UA(router, "bob", address=env.address(3)), UA(router, "alice", address=env.address(5))
    for uri in with_gruus(bob):
        alice.contact = "<%s>" % uri
        equal(403, status_of(alice, "sip:bob@example.com"), "an INVITE of alice's with Contact %s" % uri)


@case()
def gruus_through_an_edge(env):
    edge, _ = edge_and_registrar(env)
    bob = UA(edge, "bob", address=env.address(3), transport="tcp", far=True)
    alice = UA(edge, "alice", address=env.address(4), far=True)
    both = [("Supported", "path, outbound, gruu")]
    public, temporary = with_gruus(bob, both, flow_contact(bob, 1))
    plain = sip.address_of(bob.contact)
    alice.register(contact=flow_contact(alice, 1, instance("alice")), headers=OUTBOUND)
    for uri in (public, temporary):
        bob.contact = "<%s>" % uri
        mine, theirs = call(alice, bob, uri)
        came, _ = mine.asks(bob, "INFO")
        equal(plain, came.uri, "what a request for the GRUU asks for in the end")
        theirs.hang_up(alice)
