# SPDX-License-Identifier: Apache-2.0
"""The proxy (RFC 3261 §16) between hand-made phones: what is forwarded, forked, refused."""
import time

from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB, CAROL
from harness.ua import SDP, UA, Dialog, call

# A body with all that a proxy might be tempted to touch: NUL, bare CR and LF, an empty line, high octets.
PARTS = (b"--b\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--b\r\nContent-Type: image/x\r\n\r\n"
         b"\0\x01\r\xff\n\n\r\n\r\n\x80--\r\n--b--\r\n")


def prepared(env, phones=("alice", "bob"), transport="udp", **settings):
    """A router and registered phones: alice on address 2, bob on 3, carol on 4."""
    router = env.router(**settings)
    router.apply(ALICE, BOB, CAROL)
    found = [UA(router, name, address=env.address(2 + ["alice", "bob", "carol"].index(name)), transport=transport)
             for name in phones]
    for ua in found:
        ua.register()
    return [router] + found


def second_phone(env, router, name="bob", last=5):
    ua = UA(router, name, address=env.address(last))
    ua.register()
    return ua


def ring(ua, request_in, status=180):
    tag = sip.token(4)
    ua.reply(request_in, status, "Ringing", to_tag=tag)
    return tag


def refuse(ua, status, call_id=None, headers=()):
    """Takes the next INVITE and refuses it; the ACK is waited for."""
    came = ua.request_in("INVITE", call_id=call_id)
    ua.reply(came, status, "No", headers=headers)
    return came


@case()
def options_to_the_router_is_answered(env):
    router, alice = prepared(env, ["alice"])
    for uri in ("sip:" + router.address, "sip:example.com", "sip:%s:%d;transport=udp" % router.at):
        _, answer = alice.authenticated(alice.request("OPTIONS", uri, sender="sip:x@elsewhere.net"))
        equal(200, answer.status, "OPTIONS " + uri)
        check(answer.tag("to"), "no To tag")


@case()
def what_arrives_at_the_callee(env):
    """Via, Max-Forwards, Record-Route as they must be; body and unknown headers untouched and in their order."""
    router, alice, bob = prepared(env)
    odd = [("X-Odd", "one,  two"), ("X-Odd", "three"), ("x-ODD", '"q, <;>"'), ("X-Empty", "")]
    sent = alice.invite("sip:bob@example.com", body=PARTS,
                        headers=odd + [("Content-Type", "multipart/mixed;boundary=b"), ("Require", "unknown-thing")])
    came = bob.request_in("INVITE")
    equal(PARTS, came.body, "body")
    equal([v for _, v in odd], [v for n, v in came.headers if n.lower().startswith("x-")], "unknown header fields")
    equal("69", came.get("max-forwards"), "Max-Forwards")
    vias = came.all("via")
    equal(2, len(vias), "Via")
    check(vias[0].startswith("SIP/2.0/UDP %s" % router.address), "top Via: %s", vias[0])
    check(sip.parameter(vias[0], "branch").startswith("z9hG4bK"), "branch: %s", vias[0])
    equal((env.address(2), str(alice.port)), (sip.parameter(vias[1], "received") or env.address(2),
                                              sip.parameter(vias[1], "rport")), "received, rport")
    routes = came.all("record-route")
    check(routes and all(sip.parameter(r, "lr") == "" for r in routes), "Record-Route: %s", routes)
    equal(sip.address_of(bob.contact), came.uri, "Request-URI")
    for name in ("from", "to", "call-id", "cseq", "contact"):
        equal(sent.get(name), came.get(name), name)
    bob.reply(came, 603, "Decline")
    equal(603, alice.final(sent).status, "final response")
    bob.request_in("ACK")


@case()
def a_hundred_comes_at_once_and_is_not_forwarded(env):
    _, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    equal(100, alice.expect("100", lambda m: m.status == 100 and m.branch == sent.branch).status, "first response")
    came = bob.request_in("INVITE")
    bob.reply(came, 100, "Trying")
    for status in (183, 180, 199):
        bob.reply(came, status, "Progress", to_tag="t")
        got = alice.expect("provisional", lambda m: m.status and 100 <= m.status < 200 and m.branch == sent.branch)
        equal(status, got.status, "provisional response")
    bob.reply(came, 486, "Busy", to_tag="t")
    equal(486, alice.final(sent).status, "final response")


@case()
def max_forwards(env):
    router, alice, bob = prepared(env)
    stranger = UA(router, "x", address=env.address(8), domain="elsewhere.net")
    for method in ("INVITE", "MESSAGE"):
        answer = stranger.exchange(stranger.request(method, "sip:bob@example.com", max_forwards=0))
        equal(483, answer.status, "%s with Max-Forwards 0, before any challenge" % method)
    request = alice.request("MESSAGE", "sip:bob@example.com", body=b"hi").remove("max-forwards")
    sent = alice.with_credentials(request, alice.exchange(request))
    alice.send(sent)
    came = bob.request_in("MESSAGE")
    equal("70", came.get("max-forwards"), "Max-Forwards where there was none")
    bob.reply(came, 200)
    alice.response_in(sent)


@case()
def who_is_not_there(env):
    _, alice = prepared(env, ["alice"])
    for uri, status in (("sip:nobody@example.com", 404), ("sip:999@example.com", 404), ("sip:bob@example.com", 480),
                        ("sip:102@example.com", 480)):
        for method in ("INVITE", "MESSAGE"):
            _, answer = alice.authenticated(alice.request(method, uri, body=SDP))
            equal(status, answer.status, "%s %s" % (method, uri))
            check(answer.tag("to"), "no To tag in %s", answer)


@case()
def who_does_not_want_to_be_disturbed(env):
    router, alice, bob = prepared(env)
    for disturbed in (False, True, False):
        router.apply(dict(BOB, do_not_disturb=disturbed))
        if not disturbed:
            call(alice, bob)
            continue
        _, answer = alice.authenticated(alice.request("INVITE", "sip:102@example.com", body=SDP))
        equal("SIP/2.0 480 Do not disturb", answer.start, "INVITE")
        check(not bob.pump(0.3), "the phone was rung: %s", bob.inbox)


@case()
def an_unknown_scheme_is_416_and_an_unknown_proxy_require_420(env):
    _, alice = prepared(env, ["alice"])
    answer = alice.exchange(alice.request("MESSAGE", "nobodyKnows:x", to="<sip:bob@example.com>"))
    equal(416, answer.status, "unknown scheme")
    _, answer = alice.authenticated(alice.request("MESSAGE", "sip:bob@example.com",
                                                  headers=[("Proxy-Require", "foo, bar")]))
    equal((420, ["foo", "bar"]), (answer.status, answer.all("unsupported")), "unknown Proxy-Require")


def dialled(env, uri, to=None):
    _, alice, bob = prepared(env)
    mine, theirs = call(alice, bob, uri)
    mine.hang_up(bob)


@case()
def dialled_by_tel_uri(env):
    dialled(env, "tel:+15105550102")


@case()
def dialled_by_number(env):
    dialled(env, "sip:+15105550102@example.com;user=phone")


@case()
def dialled_by_extension(env):
    dialled(env, "sip:102@example.com")


@case()
def dialled_by_the_routers_own_address(env):
    router, alice, bob = prepared(env)
    for uri in ("sip:bob@%s:%d" % router.at, "sip:bob@example.com;maddr=" + router.address,
                "sip:bob@example.com;transport=udp", "sip:%62ob@EXAMPLE.COM"):
        mine, _ = call(alice, bob, uri)
        mine.hang_up(bob)


@case()
def a_strict_routers_request_is_put_right(env):
    """RFC 3261 §16.4: the Request-URI is what we wrote into Record-Route, the real one is the last Route."""
    router, alice, bob = prepared(env)
    mine, theirs = call(alice, bob)
    request = mine.request("INFO")
    real = request.uri
    request.start = "INFO %s SIP/2.0" % sip.address_of(mine.routes[0])
    request.remove("route")
    request.headers += [("Route", r) for r in mine.routes[1:] + ["<%s>" % real]]
    alice.send(request)
    came = bob.request_in("INFO")
    equal((real, []), (came.uri, came.all("route")), "Request-URI and Route at the callee")
    bob.reply(came, 200)
    equal(200, alice.response_in(request).status, "INFO")
    mine.hang_up(bob)


@case()
def a_strict_router_behind_us_is_served(env):
    """RFC 3261 §16.6 step 6: the next Route has no lr. Only trusted networks may name one."""
    router, alice, bob = prepared(env, auth={"trusted": ["127.0.0.0/8"]})
    strict = UA(router, "strict", address=env.address(6), port=5060)
    request = alice.request("MESSAGE", "sip:bob@example.com", headers=[
        ("Route", "<sip:%s;lr>" % router.address), ("Route", "<sip:%s:5060>" % env.address(6))])
    alice.send(request)
    came = strict.request_in("MESSAGE")
    equal("sip:%s:5060" % env.address(6), came.uri, "Request-URI at the strict router")
    equal(["<sip:bob@example.com>"], came.all("route"), "Route at the strict router")
    strict.reply(came, 200)
    equal(200, alice.response_in(request).status, "MESSAGE")


@case()
def requests_in_a_dialog_go_by_route_alone(env):
    """Both ways, with and without credentials, also after the callee's binding is gone."""
    router, alice, bob = prepared(env)
    mine, theirs = call(alice, bob)
    bob.register(contact="*", expires=0)
    router.bindings("bob", count=0)
    for method in ("INFO", "UPDATE", "INVITE", "REFER", "NOTIFY", "MESSAGE"):
        came, _ = mine.asks(bob, method)
        equal(sip.address_of(bob.contact), came.uri, "Request-URI of " + method)
        equal([], came.all("route"), "Route of " + method)
        theirs.asks(alice, method)
    theirs.hang_up(alice)


@case()
def prack_and_update_in_an_early_dialog(env):
    _, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com", headers=[("Supported", "100rel")])
    came = bob.request_in("INVITE")
    early = bob.reply(came, 183, "Progress", to_tag="t", headers=[("Require", "100rel"), ("RSeq", "1")])
    got = alice.expect("183", lambda m: m.status == 183)
    equal(("100rel", "1"), (got.get("require"), got.get("rseq")), "Require and RSeq")
    mine, theirs = Dialog.of_caller(alice, sent, got), Dialog.of_callee(bob, came, early)
    mine.asks(bob, "PRACK", headers=[("RAck", "1 %d INVITE" % sent.cseq)])
    theirs.asks(alice, "UPDATE")
    bob.reply(came, 200, "OK", to_tag="t", body=SDP)
    equal(200, alice.response_in(sent).status, "INVITE")
    mine.ack(sent.cseq)
    bob.request_in("ACK")
    mine.hang_up(bob)


@case()
def call_between_transports(env):
    """Caller on TCP, callee on UDP: two Record-Routes, and each side's requests reach the other."""
    router = env.router()
    router.apply(ALICE, BOB)
    alice = UA(router, "alice", address=env.address(2), transport="tcp")
    bob = UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    mine, theirs = call(alice, bob)
    equal(2, len(mine.routes), "Record-Route")
    mine.asks(bob, "INVITE", body=SDP)
    theirs.asks(alice, "INVITE", body=SDP)
    theirs.hang_up(alice)
    mine, theirs = call(bob, alice)
    theirs.asks(bob, "INFO")
    mine.hang_up(alice)


@case()
def ipv6_phones(env):
    router = env.router(listen=["udp:%s:5060" % env.address(1), "tcp:%s:5060" % env.address(1),
                                "udp:[::1]:%d" % ipv6_port(env), "tcp:[::1]:%d" % ipv6_port(env)])
    router.apply(ALICE, BOB)
    at = ("::1", ipv6_port(env))
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    for transport in ("udp", "tcp"):
        alice = UA(router, "alice", address="::1", to=at, transport=transport)
        alice.register()
        mine, theirs = call(alice, bob)
        theirs.asks(alice, "INFO")
        mine.hang_up(bob)


def ipv6_port(env):
    """::1 is one address for all: the port keeps runs beside each other apart."""
    _, run, number = [int(o) for o in env.network.split(".")]
    return 20000 + run * 61 + number


@case()
def both_answers_of_a_fork_reach_the_caller(env):
    """RFC 3261 §16.7 step 5, RFC 6026: every 2xx to INVITE is forwarded."""
    router, alice, bob = prepared(env)
    other = second_phone(env, router)
    sent = alice.invite("sip:bob@example.com")
    first, second = bob.request_in("INVITE"), other.request_in("INVITE")
    check(first.branch != second.branch, "both branches are %s", first.branch)
    bob.reply(first, 200, "OK", to_tag="one", body=SDP)
    other.reply(second, 200, "OK", to_tag="two", body=SDP)
    tags = {alice.response_in(sent).tag("to") for _ in range(2)}
    equal({"one", "two"}, tags, "To tags of the answers")


@case()
def a_fork_ends_when_one_answers(env):
    router, alice, bob = prepared(env)
    ringing, silent = second_phone(env, router, last=5), second_phone(env, router, last=6)
    sent = alice.invite("sip:bob@example.com")
    first, second = bob.request_in("INVITE"), ringing.request_in("INVITE")
    silent.request_in("INVITE")
    tag = ring(ringing, second)
    alice.expect("180", lambda m: m.status == 180)
    bob.reply(first, 200, "OK", to_tag="one", body=SDP)
    equal(200, alice.response_in(sent).status, "INVITE")
    cancel = ringing.request_in("CANCEL")
    equal(second.branch, cancel.branch, "branch of the CANCEL")
    ringing.reply(cancel, 200)
    ringing.reply(second, 487, "Terminated", to_tag=tag)
    ringing.request_in("ACK")
    silent.nothing("CANCEL before any provisional response (RFC 3261 §9.1)", lambda m: m.method == "CANCEL", 0.5)
    alice.nothing("487 after 200", lambda m: m.is_response and m.status == 487, 0.1)


def best_of(env, statuses, wanted, headers=((), ())):
    router, alice, bob = prepared(env)
    other = second_phone(env, router)
    sent = alice.invite("sip:bob@example.com")
    for ua, status, more in zip((bob, other), statuses, headers):
        refuse(ua, status, headers=more)
    answer = alice.final(sent)
    equal(wanted, answer.status, "best of %s" % (statuses,))
    for ua in (bob, other):
        ua.request_in("ACK")
    return answer


@case()
def best_response_is_a_6xx(env):
    best_of(env, (404, 603), 603)


@case()
def best_response_is_of_the_lowest_class(env):
    best_of(env, (503, 486), 486)


@case()
def a_lone_503_becomes_500(env):
    router, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    refuse(bob, 503)
    equal(500, alice.final(sent).status, "503 of the only target (RFC 3261 §16.7 step 6)")


@case()
def challenges_of_a_fork_are_merged(env):
    """RFC 3261 §16.7 step 7."""
    header = 'Digest realm="%s", nonce="n", qop="auth"'
    answer = best_of(env, (407, 407), 407, [[("Proxy-Authenticate", header % r)] for r in ("one", "two")])
    equal({"one", "two"}, {c["realm"] for c in sip.challenges(answer)}, "realms")


@case()
def a_6xx_cancels_the_others(env):
    router, alice, bob = prepared(env)
    other = second_phone(env, router)
    sent = alice.invite("sip:bob@example.com")
    came = other.request_in("INVITE")
    tag = ring(other, came)
    alice.expect("180", lambda m: m.status == 180)
    refuse(bob, 600)
    other.reply(other.request_in("CANCEL"), 200)
    other.reply(came, 487, "Terminated", to_tag=tag)
    equal(600, alice.final(sent).status, "INVITE")


@case()
def sequential_by_q(env):
    """RFC 3261 §16.6: contacts of lower q are tried after those of higher q have failed."""
    router, alice = prepared(env, ["alice"])
    first, second = UA(router, "bob", address=env.address(3)), UA(router, "bob", address=env.address(5))
    second.register(contact=second.contact + ";q=0.2")
    first.register(contact=first.contact + ";q=0.9")
    sent = alice.invite("sip:bob@example.com")
    came = first.request_in("INVITE")
    second.nothing("INVITE while q=0.9 rings", lambda m: m.method == "INVITE", 0.4)
    first.reply(came, 486, "Busy")
    second.reply(second.request_in("INVITE"), 200, "OK", to_tag="t", body=SDP)
    equal(200, alice.response_in(sent).status, "INVITE")


@case()
def redirection_is_passed_on(env):
    router, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    refuse(bob, 302, headers=[("Contact", "<sip:carol@example.com>")])
    answer = alice.final(sent)
    equal((302, "sip:carol@example.com"), (answer.status, sip.address_of(answer.get("contact"))), "INVITE")


@case()
def redirection_is_followed_when_configured(env):
    router, alice, bob, carol = prepared(env, ["alice", "bob", "carol"], proxy={"recurse_on_3xx": True})
    sent = alice.invite("sip:bob@example.com")
    refuse(bob, 302, headers=[("Contact", "<sip:carol@example.com>")])
    carol.reply(carol.request_in("INVITE"), 200, "OK", to_tag="t", body=SDP)
    equal(200, alice.response_in(sent).status, "INVITE")
    alice.nothing("302", lambda m: m.status == 302, 0.2)


@case()
def a_closed_port_is_a_failed_target_at_once(env):
    """Nobody listens at the contact: the ICMP answer must not be waited out (Timer B is 32 s)."""
    router, alice, bob = prepared(env)
    bob.close()
    began = time.monotonic()
    _, answer = alice.authenticated(alice.request("INVITE", "sip:bob@example.com", body=SDP), seconds=6)
    check(answer.status in (408, 480, 500, 503), "INVITE to a closed port: %s", answer)
    check(time.monotonic() - began < 4, "it took %.1f s", time.monotonic() - began)


@case()
def a_closed_port_does_not_spoil_a_fork(env):
    router, alice, bob = prepared(env)
    other = second_phone(env, router)
    bob.close()
    sent = alice.invite("sip:bob@example.com")
    refuse(other, 486)
    equal(486, alice.final(sent).status, "INVITE, one target closed, one busy")


@case()
def cancel_of_nothing_is_answered(env):
    """RFC 3261 §16.10 would forward it without state; a 481 says the same sooner. Never a challenge (§22.1)."""
    _, alice = prepared(env, ["alice"])
    answer = alice.exchange(alice.request("CANCEL", "sip:bob@example.com"))
    check(answer.status in (481, 480, 404), "CANCEL of no INVITE: %s", answer)


@case()
def cancel_reaches_the_callee_with_the_same_branch(env):
    _, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    tag = ring(bob, came)
    alice.expect("180", lambda m: m.status == 180)
    cancel = sip.Message("CANCEL %s SIP/2.0" % sent.uri, [
        ("Via", sent.get("via")), ("Max-Forwards", "70"), ("From", sent.get("from")), ("To", sent.get("to")),
        ("Call-ID", sent.call_id), ("CSeq", "%d CANCEL" % sent.cseq)])
    equal(200, alice.exchange(cancel).status, "CANCEL")
    arrived = bob.request_in("CANCEL")
    equal((came.branch, came.uri, 1), (arrived.branch, arrived.uri, len(arrived.all("via"))),
          "the CANCEL at the callee")
    bob.reply(arrived, 200)
    bob.reply(came, 487, "Terminated", to_tag=tag)
    equal(487, alice.final(sent).status, "INVITE")
    bob.request_in("ACK")


@case()
def a_repeated_invite_is_one_invite(env):
    _, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    for _ in range(3):
        alice.send(sent)
    came = bob.request_in("INVITE")
    bob.nothing("a second INVITE", lambda m: m.method == "INVITE" and m.branch != came.branch, 0.4)
    bob.reply(came, 200, "OK", to_tag="t", body=SDP)
    got = alice.response_in(sent)
    # RFC 6026 §7.1: after the 2xx, too, an INVITE that comes once more is absorbed ...
    alice.send(sent)
    bob.nothing("an INVITE after 200", lambda m: m.method == "INVITE" and m.branch != came.branch, 0.4)
    # ... and the callee's repeated 200 still passes.
    bob.reply(came, 200, "OK", to_tag="t", body=SDP)
    equal("t", alice.response_in(sent).tag("to"), "the repeated 200")
    Dialog.of_caller(alice, sent, got).ack()
    bob.request_in("ACK")


@case()
def a_repeated_bye_gets_the_same_answer(env):
    _, alice, bob = prepared(env)
    mine, _ = call(alice, bob)
    bye = mine.request("BYE")
    alice.send(bye)
    bob.reply(bob.request_in("BYE"), 200, "Goodbye")
    equal(200, alice.response_in(bye).status, "BYE")
    for _ in range(2):
        alice.send(bye)
        equal("SIP/2.0 200 Goodbye", alice.response_in(bye).start, "BYE once more")
    bob.nothing("BYE once more", lambda m: m.method == "BYE", 0.2)


@case()
def a_refusal_is_repeated_until_its_ack(env):
    """RFC 3261 §17.2.1, Timer G, and §17.1.1.3: our own ACK towards the callee."""
    _, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    came = refuse(bob, 486)
    ack = bob.request_in("ACK")
    equal((came.branch, came.uri), (ack.branch, ack.uri), "the ACK to the callee")
    first = alice.response_in(sent)
    again = alice.response_in(sent)
    equal((486, first.tag("to")), (again.status, again.tag("to")), "the repeated refusal")
    alice.ack_failure(sent, again)
    alice.nothing("486 after the ACK", lambda m: m.status == 486, 1.2)


@case()
def a_stray_response_goes_nowhere(env):
    """RFC 6026 §7.3: without a client transaction nothing is forwarded, also with our own address on top."""
    router, alice, bob = prepared(env)
    fake = sip.Message("SIP/2.0 200 OK", [
        ("Via", "SIP/2.0/UDP %s:5060;branch=z9hG4bKguessed" % router.address),
        ("Via", "SIP/2.0/UDP %s:%d;branch=z9hG4bKx" % (env.address(3), bob.port)),
        ("From", "<sip:a@example.com>;tag=1"), ("To", "<sip:b@example.com>;tag=2"), ("Call-ID", "x"),
        ("CSeq", "1 INVITE")])
    alice.send(fake)
    bob.nothing("a stray response", lambda m: True, 0.4)


@case()
def message_and_its_answer(env):
    _, alice, bob = prepared(env)
    request = alice.request("MESSAGE", "sip:bob@example.com", body=b"hello")
    sent = alice.with_credentials(request, alice.exchange(request))
    alice.send(sent)
    came = bob.request_in("MESSAGE")
    equal(b"hello", came.body, "body")
    bob.reply(came, 202, "Accepted")
    equal(202, alice.response_in(sent).status, "MESSAGE")


@case(seconds=70, long=True)
def a_silent_callee_gets_no_408_for_message(env):
    """RFC 4320 §4.2: for a request other than INVITE no 408 is made or passed on."""
    _, alice, bob = prepared(env)
    request = alice.request("MESSAGE", "sip:bob@example.com", body=b"hello")
    sent = alice.with_credentials(request, alice.exchange(request))
    alice.send(sent)
    bob.request_in("MESSAGE")
    alice.nothing("408", lambda m: m.is_response and m.status >= 200, 36)


@case(seconds=70, long=True)
def a_silent_callee_gets_a_408_for_invite(env):
    """Timer B: 64*T1."""
    _, alice, bob = prepared(env)
    sent = alice.invite("sip:bob@example.com")
    bob.request_in("INVITE")
    equal(408, alice.final(sent, 40).status, "INVITE to a phone that says nothing")


@case(seconds=60)
def two_users_that_lead_to_each_other(env):
    """RFC 5393: a loop that forks must not grow; here both contacts lead back to us."""
    router, alice = prepared(env, ["alice"], auth={"required": False})
    for name, to in (("bob", "carol"), ("carol", "bob")):
        ua = UA(router, name, address=env.address(6))
        for n in (1, 2):
            answer = ua.exchange(ua.register_request(contact="<sip:%s@%s:5060;n=%d>" % (to, router.address, n)))
            check(answer.status < 500, "REGISTER: %s", answer)
    answer = alice.exchange(alice.request("INVITE", "sip:bob@example.com", body=SDP), seconds=15)
    check(answer.status in (482, 483, 440, 480, 404), "a call in a circle: %s", answer)


@case()
def a_contact_that_is_another_of_our_users(env):
    """Forwarding by registration: bob's contact is carol's address-of-record."""
    router, alice, carol = prepared(env, ["alice", "carol"])
    bob = UA(router, "bob", address=env.address(3), contact="<sip:carol@example.com>")
    bob.register()
    sent = alice.invite("sip:bob@example.com")
    refuse(carol, 486)
    equal(486, alice.final(sent).status, "INVITE")


@case()
def max_breadth_is_kept(env):
    """RFC 5393 §5.3: with Max-Breadth 1 two contacts are tried one after the other, or 440."""
    router, alice, bob = prepared(env)
    other = second_phone(env, router)
    sent = alice.invite("sip:bob@example.com", headers=[("Max-Breadth", "1")])

    def arrived():
        for ua in (bob, other):
            ua.pump(0.05)
        alice.pump(0)
        return [ua for ua in (bob, other) if any(m.method == "INVITE" and not m.is_response for m in ua.inbox)] or \
            [m for m in alice.inbox if m.status == 440]
    who = until("INVITE at one phone, or 440", arrived)
    if isinstance(who[0], sip.Message):
        return
    equal(1, len(who), "phones that ring at once")
    late = other if who[0] is bob else bob
    late.nothing("INVITE while the first rings", lambda m: m.method == "INVITE", 0.3)
    came = who[0].request_in("INVITE")
    equal("1", came.get("max-breadth"), "Max-Breadth at the callee")
    who[0].reply(came, 486, "Busy")
    late.reply(late.request_in("INVITE"), 486, "Busy")
    equal(486, alice.final(sent).status, "INVITE")


@case()
def a_long_request_goes_over_udp_when_there_is_nothing_else(env):
    _, alice, bob = prepared(env)
    body = SDP + b"a=x:" + b"y" * 2500 + b"\r\n"
    sent = alice.invite("sip:bob@example.com", body=body)
    came = bob.request_in("INVITE")
    equal(body, came.body, "body")
    bob.reply(came, 486, "Busy")
    equal(486, alice.final(sent).status, "INVITE")


@case(seconds=40)
def timer_c_ends_a_call_that_rings_for_ever(env):
    """RFC 3261 §16.8, with a short Timer C: the callee is cancelled, the caller hears of it."""
    _, alice, bob = prepared(env, proxy={"timer_c": "4s"})
    sent = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    tag = ring(bob, came)
    cancel = bob.request_in("CANCEL", seconds=15)
    bob.reply(cancel, 200)
    bob.reply(came, 487, "Terminated", to_tag=tag)
    answer = alice.final(sent, 10)
    check(answer.status in (408, 480, 487), "INVITE: %s", answer)
