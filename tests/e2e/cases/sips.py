# SPDX-License-Identifier: Apache-2.0
"""sips URIs (RFC 5630): TLS on every hop, or a refusal that says so; nothing is made less secure, or seems more so."""
from cases.tls import PORT, certificate, phone, prepared, trusting
from cases.tls_peers import Pair
from harness.case import case, check, equal
from harness.router import ALICE, BOB
from harness.ua import SDP, UA, call


def register_sips(ua, expected=200, request_uri="sips:example.com", contact=None):
    """REGISTER of a sips contact."""
    ua.contact = contact or "<sips:%s@%s>" % (ua.name, ua.sent_by)
    request = ua.register_request()
    request.start = "REGISTER %s SIP/2.0" % request_uri
    sent, answer = ua.authenticated(request)
    ua.cseq_register = sent.cseq
    equal(expected, answer.status, "the answer to REGISTER of %s" % ua.contact)


def on_tls(env, *names):
    """A router, and phones on TLS; those after the first have registered sips contacts."""
    path = certificate(env, "one")
    router = prepared(env)
    return router, [phone(env, router, name, 2 + at, trusting(path)) for at, name in enumerate(names)]


def refused(caller, uri, status, warning=None, **how):
    sent = caller.invite(uri, **how)
    answer = caller.final(sent)
    equal(status, answer.status, "the answer to %s" % uri)
    if warning:
        check(warning in (answer.get("warning") or ""), "Warning: %s, wanted %s", answer.get("warning"), warning)


@case()
def a_call_to_a_sips_uri_is_sips_all_the_way(env):
    router, (alice, bob) = on_tls(env, "alice", "bob")
    alice.register()
    register_sips(bob)
    alice.contact = "<sips:alice@%s>" % alice.sent_by
    sent = alice.invite("sips:bob@example.com")
    came = bob.request_in("INVITE")
    equal("sips:bob@" + bob.sent_by, came.uri, "Request-URI")
    routes = came.all("record-route")
    check(routes and all(r.startswith("<sips:%s:%d;lr" % (router.address, PORT)) for r in routes), "routes: %s", routes)
    bob.reply(came, 603, "Decline")
    equal(603, alice.final(sent).status, "the answer")
    mine, theirs = call(alice, bob, "sips:bob@example.com")
    mine.asks(bob, "INVITE", body=SDP)
    theirs.hang_up(alice)


@case()
def a_call_to_a_sip_uri_reaches_a_sips_contact_as_sip_over_tls(env):
    router, (bob,) = on_tls(env, "bob")
    register_sips(bob)
    alice = UA(router, "alice", address=env.address(9))
    alice.register()
    sent = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    equal("sip:bob@" + bob.sent_by, came.uri, "Request-URI")
    check(not any("sips:" in r for r in came.all("record-route")), "routes: %s", came.all("record-route"))
    bob.reply(came, 603, "Decline")
    equal(603, alice.final(sent).status, "the answer")


@case()
def a_call_to_a_sips_uri_never_goes_on_without_tls(env):
    router, (alice, bob) = on_tls(env, "alice", "bob")
    alice.register()
    refused(alice, "sips:bob@example.com", 480)  # nobody is there at all
    bob.register()  # on TLS, but he has not said that he wants sips (RFC 5630 §5.3)
    refused(alice, "sips:bob@example.com", 480, "380")
    plain = UA(router, "bob", address=env.address(8), port=5070)
    plain.register()
    gateway = UA(router, "far", address=env.address(7), port=5070)
    refused(alice, "sips:bob@example.com", 480, "380")
    refused(alice, "sips:x@%s:5070" % gateway.address, 500)  # nobody takes TLS there
    refused(alice, "sips:x@%s" % gateway.address, 500, headers=[("Route", "<sip:%s:5070;lr>" % gateway.address)])
    for phone_without in (plain, gateway):
        phone_without.nothing("an INVITE", lambda m: not m.is_response, 0.2)
    equal(2, router.metrics()['strowger_refused_total{reason="sips_not_allowed"}'], "counted")


@case()
def who_comes_without_tls_cannot_ask_for_sips(env):
    router, (bob,) = on_tls(env, "bob")
    register_sips(bob)
    for transport in ("udp", "tcp"):
        alice = UA(router, "alice", address=env.address(9), transport=transport)
        answer = alice.exchange(alice.request("INVITE", "sips:bob@example.com", body=SDP))
        equal(400, answer.status, "by " + transport)
    bob.nothing("an INVITE", lambda m: not m.is_response, 0.2)


@case()
def without_tls_sips_is_not_a_scheme_of_ours(env):
    router = env.router()
    router.apply(ALICE, BOB)
    alice = UA(router, "alice", address=env.address(9))
    equal(416, alice.exchange(alice.request("INVITE", "sips:bob@example.com", body=SDP)).status, "the answer")


@case()
def a_sips_contact_is_registered_by_sips_only(env):
    router, (bob,) = on_tls(env, "bob")
    register_sips(bob, 400, request_uri="sip:example.com")
    register_sips(bob, 400, contact="<sips:bob@%s>, <sip:bob@%s>" % (bob.sent_by, bob.sent_by))
    equal([], router.registrations(), "bindings")
    register_sips(bob)
    equal(1, len(router.registrations()), "bindings")


@case()
def sips_goes_from_domain_to_domain(env):
    pair = Pair(env)
    for ua, router, domain in ((pair.alice, pair.left, "left"), (pair.bob, pair.right, "right")):
        ua.register(expires=0)
    phones = []
    for name, router, last, domain in (("alice", pair.left, 5, "left.test"), ("bob", pair.right, 6, "right.test")):
        ua = UA(router, name, address=env.address(last), domain=domain, transport="tls", to=(router.address, PORT),
                tls=trusting(pair.authority.path), server_name=domain)
        register_sips(ua, request_uri="sips:" + domain)
        phones.append(ua)
    alice, bob = phones
    mine, theirs = call(alice, bob, "sips:bob@right.test")
    mine.asks(bob, "INVITE", body=SDP)
    theirs.hang_up(alice)
