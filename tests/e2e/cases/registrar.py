# SPDX-License-Identifier: Apache-2.0
"""REGISTER (RFC 3261 §10), Path (RFC 3327), NATed contacts."""
from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.ua import SDP, UA, call


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB)
    return router


def contacts(answer):
    """{URI: seconds} of a 200."""
    return {sip.address_of(c): int(sip.parameter(sip.after_address(c), "expires") or -1) for c in answer.all("contact")}


def phone(env, router, name="bob", last=3, **more):
    return UA(router, name, address=env.address(last), **more)


@case()
def the_200_lists_all_contacts(env):
    router = prepared(env)
    bob = phone(env, router)
    bob.register(contact="<sip:bob@192.0.2.1>;q=0.5")
    answer = bob.register(contact="<sip:bob@192.0.2.2:5070;x=1>", expires=300)
    listed = contacts(answer)
    equal({"sip:bob@192.0.2.1", "sip:bob@192.0.2.2:5070;x=1"}, set(listed), "contacts")
    check(290 <= listed["sip:bob@192.0.2.2:5070;x=1"] <= 300, "expires: %s", listed)
    check(any("q=0.5" in c for c in answer.all("contact")), "q is lost: %s", answer.all("contact"))
    check(answer.get("date"), "no Date")
    check(answer.tag("to"), "no To tag")
    query = bob.register(contact="", headers=())
    equal(set(listed), set(contacts(query)), "contacts of a query")
    router.bindings("bob", count=2)


@case()
def expires_of_the_contact_then_the_header_then_the_default(env):
    router = prepared(env, registrar={"default_expires": "20m", "min_expires": "60s", "max_expires": "1h"})
    bob = phone(env, router)
    bob.cseq_register = 0

    def register(contact, expires):
        request = bob.register_request(contact=contact, expires=expires or 0)
        if expires is None:
            request.remove("expires")
        request, answer = bob.authenticated(request)
        bob.cseq_register = request.cseq
        return answer

    for contact, expires, wanted in (("<sip:a@192.0.2.1>;expires=200", 300, 200), ("<sip:b@192.0.2.1>", 300, 300),
                                     ("<sip:c@192.0.2.1>", None, 1200), ("<sip:d@192.0.2.1>", 7200, 3600)):
        got = contacts(register(contact, expires))[sip.address_of(contact)]
        check(wanted - 5 <= got <= wanted, "%s with Expires %s: %d, wanted %d", contact, expires, got, wanted)
    answer = register("<sip:e@192.0.2.1>", 10)
    equal(423, answer.status, "REGISTER for 10 s")
    equal("60", answer.get("min-expires"), "Min-Expires")


@case()
def removal_of_one_and_of_all(env):
    router = prepared(env)
    bob = phone(env, router)
    for host in (1, 2, 3):
        bob.register(contact="<sip:bob@192.0.2.%d>" % host)
    equal(2, len(contacts(bob.register(contact="<sip:bob@192.0.2.1>", expires=0))), "contacts left")
    bob.register(contact="*", expires=100, expected=400)
    bob.register(contact="*, <sip:bob@192.0.2.9>", expires=0, expected=400)
    router.bindings("bob", count=2)
    equal({}, contacts(bob.register(contact="*", expires=0)), "contacts after *")
    router.bindings("bob", count=0)


@case()
def removal_of_an_unknown_contact_is_no_error(env):
    bob = phone(env, prepared(env))
    equal({}, contacts(bob.register(contact="<sip:bob@192.0.2.1>", expires=0)), "contacts")


@case()
def a_request_is_taken_whole_or_not_at_all(env):
    """One good and one too short: 423 and nothing stored (RFC 3261 §10.3 step 7)."""
    router = prepared(env)
    bob = phone(env, router)
    bob.register(contact="<sip:bob@192.0.2.1>, <sip:bob@192.0.2.2>;expires=3", expected=423)
    router.bindings("bob", count=0)


@case()
def the_order_of_cseq_is_kept(env):
    router = prepared(env)
    bob = phone(env, router)
    bob.register(contact="<sip:bob@192.0.2.1>")
    bob.register(contact="<sip:bob@192.0.2.1>")
    bob.cseq_register -= 3
    request, answer = bob.authenticated(bob.register_request(contact="<sip:bob@192.0.2.1>", expires=100))
    equal(500, answer.status, "REGISTER with an older CSeq")


@case()
def a_repeated_register_gets_the_present_bindings(env):
    """A retransmission that outlived us (here: a restart): the same CSeq, Call-ID, contacts and expiries."""
    router = prepared(env, auth={"required": False})
    bob = phone(env, router)
    first = bob.register_request(contact="<sip:bob@192.0.2.1>", expires=600)
    equal(200, bob.exchange(first).status, "REGISTER")
    router.restart(hard=True)
    copy = sip.Message(first.start, first.headers, first.body)
    copy.set("Via", bob.again(first).get("via"))
    equal({"sip:bob@192.0.2.1"}, set(contacts(bob.exchange(copy))), "contacts")
    # Another restart, or it would be a merged request (§8.2.2.2) to the copy.
    router.restart(hard=True)
    other = sip.Message(first.start, first.headers, first.body)
    other.set("Via", bob.again(first).get("via")).set("Expires", "700")
    equal(500, bob.exchange(other).status, "the same CSeq with another Expires")


@case()
def escaped_names_are_the_same_name(env):
    """RFC 3261 §19.1.4: %61lice is alice, in any case of the host; Alice is somebody else."""
    router = prepared(env, auth={"required": False})
    alice = UA(router, "alice", address=env.address(2))
    request = alice.register_request(sender="sip:%61lice@EXAMPLE.com")
    equal(200, alice.exchange(request).status, "REGISTER of %61lice")
    equal(1, len(router.registrations("sip:alice@example.com")), "bindings of alice")


@case()
def too_many_contacts_are_refused(env):
    router = prepared(env, registrar={"max_contacts": 3})
    bob = phone(env, router)
    for host in (1, 2, 3):
        bob.register(contact="<sip:bob@192.0.2.%d>" % host)
    _, answer = bob.authenticated(bob.register_request(contact="<sip:bob@192.0.2.4>"))
    check(400 <= answer.status < 600, "a fourth contact: %s", answer)
    router.bindings("bob", count=3)
    bob.cseq_register += 1
    bob.register(contact="<sip:bob@192.0.2.3>")


@case()
def unsupported_requirements_are_420(env):
    bob = phone(env, prepared(env))
    answer = bob.register(headers=[("Require", "antigravity")], expected=420)
    equal(["antigravity"], answer.all("unsupported"), "Unsupported")


@case()
def a_foreign_domain_is_not_ours(env):
    router = prepared(env)
    bob = phone(env, router, domain="elsewhere.net")
    answer = bob.exchange(bob.register_request())
    check(answer.status in (403, 404), "REGISTER at elsewhere.net: %s", answer)


@case()
def path_is_kept_and_used(env):
    """RFC 3327 §5.3: an edge proxy's Path becomes the Route of requests to that contact."""
    router = prepared(env, auth={"trusted": [env.address(7) + "/32"]})
    edge = UA(router, "bob", address=env.address(7), port=5060)
    path = "<sip:%s:5060;lr>" % env.address(7)
    request = edge.register_request(contact="<sip:bob@192.0.2.77:5060>",
                                    headers=[("Path", path), ("Supported", "path")])
    answer = edge.exchange(request)
    equal(200, answer.status, "REGISTER with Path")
    equal([path], answer.all("path"), "Path in the 200")
    without = edge.register_request(contact="<sip:bob@192.0.2.78:5060>", headers=[("Path", path)])
    without_answer = edge.exchange(without)
    check(without_answer.status in (200, 420), "REGISTER with Path, without Supported: %s", without_answer)
    alice = UA(router, "alice", address=env.address(2))
    alice.register()
    alice.invite("sip:bob@example.com")
    came = edge.request_in("INVITE")
    equal("sip:bob@192.0.2.77:5060", came.uri, "Request-URI at the edge")
    equal([path], came.all("route"), "Route at the edge")


@case()
def path_from_a_stranger_is_not_taken(env):
    router = prepared(env)
    bob = phone(env, router)
    victim = UA(router, "victim", address=env.address(9), port=5060)
    _, answer = bob.authenticated(bob.register_request(
        headers=[("Path", "<sip:%s:5060;lr>" % env.address(9)), ("Supported", "path")]))
    alice = UA(router, "alice", address=env.address(2))
    alice.register()
    if answer.status == 200:
        alice.invite("sip:bob@example.com")
    victim.nothing("an INVITE by a stranger's Path", lambda m: True, 0.5)


@case()
def a_contact_behind_nat_is_reached_where_it_came_from(env):
    """RFC 3581: the Contact and Via name a private address, the datagrams come from elsewhere."""
    router = prepared(env)
    alice = UA(router, "alice", address=env.address(2), via="10.1.1.2:5060", contact="<sip:alice@10.1.1.2:5060>")
    bob = phone(env, router, via="10.1.1.3:5060", contact="<sip:bob@10.1.1.3:5060>")
    answer = alice.register()
    via = answer.get("via")
    equal((env.address(2), str(alice.port)), (sip.parameter(via, "received"), sip.parameter(via, "rport")),
          "received and rport")
    bob.register()
    mine, theirs = call(alice, bob, "sip:bob@example.com")
    # Both sides' remote targets are private: only the routes get there.
    mine.asks(bob, "INFO")
    theirs.hang_up(alice)


@case()
def a_tcp_contact_is_reached_on_its_connection(env):
    router = prepared(env)
    alice = UA(router, "alice", address=env.address(2))
    bob = phone(env, router, transport="tcp")
    bob.register()
    mine, theirs = call(alice, bob)
    theirs.asks(alice, "INFO")
    mine.hang_up(bob)


@case()
def a_binding_without_its_connection_is_kept_and_not_tried(env):
    router = prepared(env)
    alice = UA(router, "alice", address=env.address(2))
    alice.register()
    bob = phone(env, router, transport="tcp")
    bob.register()
    router.bindings("bob")
    bob.close()

    def refused_at_once():
        _, answer = alice.authenticated(alice.request("INVITE", "sip:bob@example.com", body=SDP), seconds=3)
        return answer.status == 480
    until("480 for a phone whose connection is gone", refused_at_once, 5)
    router.bindings("bob", count=1)
    again = phone(env, router, transport="tcp", contact=bob.contact)
    again.register()
    sent = alice.invite("sip:bob@example.com")
    again.reply(again.request_in("INVITE"), 486, "Busy Here")
    equal(486, alice.final(sent).status, "the call after the phone came back")


@case()
def expired_bindings_are_not_used(env):
    router = prepared(env, registrar={"min_expires": "1s"}, auth={"required": False})
    alice, bob = UA(router, "alice", address=env.address(2)), phone(env, router)
    equal(200, bob.exchange(bob.register_request(expires=1)).status, "REGISTER for 1 s")

    def gone():
        answer = alice.exchange(alice.request("MESSAGE", "sip:bob@example.com", body=b"hi"), seconds=3) \
            if not router.registrations("sip:bob@example.com") else None
        return answer
    equal(480, until("the binding expires", gone, 6, step=0.2).status, "MESSAGE after the binding expired")


@case()
def many_registrations_of_one_phone_have_one_binding(env):
    """A phone that registers again from a new port with the same Contact replaces its binding."""
    router = prepared(env)
    contact = "<sip:bob@%s:5060>" % env.address(3)
    for _ in range(3):
        phone(env, router, contact=contact).register()
    router.bindings("bob", count=1)
