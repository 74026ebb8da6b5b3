# SPDX-License-Identifier: Apache-2.0
"""Who may do what: digest (RFC 8760, RFC 7616), From, relaying."""
from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB, CAROL, user
from harness.ua import UA, call


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB, CAROL)
    return router


def phone(env, router, name="alice", last=2, **more):
    return UA(router, name, address=env.address(last), **more)


def refused(answer, what, *statuses):
    check(answer.status in (statuses or (401, 403, 407)), "%s: %s, wanted %s", what, answer, statuses or "a refusal")
    return answer


def registers_with(env, algorithm):
    router = prepared(env, auth={"algorithms": [algorithm]})
    alice = phone(env, router)
    alice.register(algorithm=algorithm)
    router.bindings("alice")


@case()
def registers_with_md5(env):
    registers_with(env, "MD5")


@case()
def registers_with_sha_256(env):
    registers_with(env, "SHA-256")


@case()
def registers_with_sha_512_256(env):
    registers_with(env, "SHA-512-256")


@case()
def challenge_is_complete(env):
    alice = phone(env, prepared(env))
    answer = alice.exchange(alice.register_request())
    equal(401, answer.status, "REGISTER without credentials")
    offered = sip.challenges(answer)
    equal(["MD5"], [c["algorithm"] for c in offered], "algorithms offered by default")
    equal("example.com", offered[0]["realm"], "realm")
    check("auth" in offered[0]["qop"].split(","), "qop: %s", offered[0]["qop"])
    check("stale" not in offered[0] or offered[0]["stale"].lower() == "false", "stale in a first challenge")


@case()
def challenges_stand_in_the_configured_order(env):
    router = prepared(env, auth={"algorithms": ["SHA-256", "MD5"]})
    alice = phone(env, router)
    answer = alice.exchange(alice.register_request())
    equal(["SHA-256", "MD5"], [c["algorithm"] for c in sip.challenges(answer)], "algorithms")
    alice.register(algorithm="SHA-256")
    alice.register(algorithm="MD5")
    call_answer = alice.exchange(alice.request("MESSAGE", "sip:bob@example.com", body=b"hi"))
    equal(407, call_answer.status, "MESSAGE without credentials")
    equal(["SHA-256", "MD5"], [c["algorithm"] for c in sip.challenges(call_answer)], "algorithms of the 407")


@case()
def a_user_has_algorithms_of_his_own(env):
    router = env.router(auth={"algorithms": ["MD5"]})
    router.apply(dict(ALICE, algorithms=["SHA-512-256", "SHA-256"]), BOB)
    alice, bob = phone(env, router), phone(env, router, "bob", 3)
    answer = alice.exchange(alice.register_request())
    equal(["SHA-512-256", "SHA-256"], [c["algorithm"] for c in sip.challenges(answer)], "alice's algorithms")
    alice.register()
    answer = bob.exchange(bob.register_request())
    equal(["MD5"], [c["algorithm"] for c in sip.challenges(answer)], "bob's algorithms")


@case()
def an_algorithm_that_was_not_offered_gets_a_new_challenge(env):
    """RFC 8760 §2.4: the algorithm in the answer must be one that was offered."""
    router = prepared(env, auth={"algorithms": ["SHA-256"]})
    alice = phone(env, router)
    request = alice.register_request()
    answer = alice.exchange(request)
    weaker = dict(sip.challenges(answer)[0], algorithm="MD5")
    again = alice.again(request)
    again.headers.append(("Authorization", sip.credentials(weaker, "alice", alice.password, "REGISTER", request.uri)))
    answer = alice.exchange(again)
    equal(401, answer.status, "REGISTER with MD5 where SHA-256 was offered")
    equal(["SHA-256"], [c["algorithm"] for c in sip.challenges(answer)], "algorithms")


@case()
def wrong_password_and_unknown_user_get_the_same_answer(env):
    router = prepared(env)
    shapes = []
    for name, last in (("alice", 2), ("nobody", 3)):
        ua = phone(env, router, name, last, password="wrong")
        first = ua.exchange(ua.register_request())
        second = ua.exchange(ua.with_credentials(ua.register_request(), first))
        equal((401, 401), (first.status, second.status), "answers for " + name)
        shapes.append([[h[0] for h in m.headers] for m in (first, second)])
        challenge = sip.challenges(second)[0]
        check(challenge.get("stale", "false").lower() != "true", "stale=true for a wrong password (%s)", name)
    equal(shapes[0], shapes[1], "header fields for an unknown user")
    equal([], router.registrations(), "bindings")


@case()
def unknown_caller_is_not_told_apart(env):
    """The same for a request that a proxy challenges."""
    router = prepared(env)
    statuses = []
    for name, last in (("alice", 2), ("nobody", 3)):
        ua = phone(env, router, name, last, password="wrong")
        request, answer = ua.authenticated(ua.request("MESSAGE", "sip:bob@example.com", body=b"hi"))
        statuses.append(answer.status)
    equal([407, 407], statuses, "wrong password, unknown user")


@case()
def bob_cannot_be_registered_with_alices_credentials(env):
    router = prepared(env)
    alice = phone(env, router)
    request = alice.register_request(sender="sip:bob@example.com")
    _, answer = alice.authenticated(request)
    equal(403, answer.status, "REGISTER of bob with alice's credentials")
    equal([], router.registrations(), "bindings")


@case()
def from_must_be_the_authenticated_user(env):
    router = prepared(env)
    alice, bob = phone(env, router), phone(env, router, "bob", 3)
    bob.register()
    _, answer = alice.authenticated(alice.request("INVITE", "sip:bob@example.com", sender="sip:carol@example.com"))
    equal(403, answer.status, "INVITE from carol with alice's credentials")
    bob.nothing("INVITE with a foreign From", lambda m: m.method == "INVITE", 0.3)


@case()
def our_names_need_credentials(env):
    router = prepared(env)
    stranger, bob = phone(env, router, "alice", 2), phone(env, router, "bob", 3)
    bob.register()
    for method in ("INVITE", "MESSAGE", "OPTIONS"):
        answer = stranger.exchange(stranger.request(method, "sip:bob@example.com"))
        equal(407, answer.status, method + " as alice without credentials")
        check(answer.all("proxy-authenticate"), "407 without Proxy-Authenticate")
    bob.nothing("a request without credentials", lambda m: not m.is_response, 0.3)


@case()
def a_stranger_may_call_in(env):
    """A request from a foreign domain to one of ours: a call from outside."""
    router = prepared(env)
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    bob = phone(env, router, "bob", 3)
    bob.register()
    mine, _ = call(eve, bob, "sip:bob@example.com")
    mine.hang_up(bob)


@case()
def a_stranger_is_refused_once(env):
    """RFC 3261 §26.3.2.4: his source may be forged, so no response is sent again by itself."""
    router = env.router()
    router.apply(BOB)
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    invite = eve.request("INVITE", "sip:nobody@example.com")
    first = eve.exchange(invite)
    equal(404, first.status, "INVITE for nobody")
    eve.nothing("the 404 again", lambda m: m.is_response, 1.2)
    again = eve.exchange(invite)
    equal(first.get("to"), again.get("to"), "To of the answer to a copy")


@case()
def a_registration_of_a_gateway_leads_no_stranger_outside(env):
    """Bob's contact is on a host he did not register from: only who may call out gets there."""
    router = env.router()
    router.apply(ALICE, BOB)
    gateway = UA(router, "gateway", address=env.address(9))
    bob = UA(router, "bob", address=env.address(3),
             contact="<sip:00900@%s:%d>" % (gateway.address, gateway.port))
    bob.register()
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    equal(480, eve.final(eve.invite("sip:bob@example.com")).status, "a stranger's call")
    gateway.nothing("a stranger's INVITE", lambda m: m.method == "INVITE", 0.3)
    alice = UA(router, "alice", address=env.address(4))
    alice.register()
    alice.invite("sip:bob@example.com")
    gateway.request_in("INVITE")


@case()
def a_stranger_cannot_call_out(env):
    """Neither with a foreign name, nor with ours, nor by a Route that leads outside."""
    router = prepared(env)
    outside = UA(router, "victim", address=env.address(9), port=5060)
    for domain in ("elsewhere.net", "example.com"):
        eve = UA(router, "eve", address=env.address(2), domain=domain)
        uri = "sip:victim@%s:5060" % env.address(9)
        for method in ("INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE"):
            refused(eve.exchange(eve.request(method, uri)), "%s from %s to outside" % (method, domain))
        routed = eve.request("INVITE", "sip:victim@elsewhere.org", headers=[
            ("Route", "<sip:%s;lr>" % router.address), ("Route", "<sip:%s:5060;lr>" % env.address(9))])
        refused(eve.exchange(routed), "INVITE with a Route to outside")
        tagged = eve.request("INVITE", uri, to="<%s>;tag=made-up" % uri)
        refused(eve.exchange(tagged), "INVITE to outside with a made-up To tag", 401, 403, 404, 407, 481)
    outside.nothing("anything", lambda m: True, 0.3)


@case()
def a_stranger_cannot_call_out_within_a_made_up_dialog(env):
    """A Route that names us with a made-up token, and a To tag, must not open the door."""
    router = prepared(env)
    outside = UA(router, "victim", address=env.address(9), port=5060)
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    uri = "sip:victim@%s:5060" % env.address(9)
    for method in ("BYE", "INFO", "INVITE"):
        request = eve.request(method, uri, to="<%s>;tag=made-up" % uri,
                              headers=[("Route", "<sip:%s;lr;x=AAAAAAAAAAAAAAAAAAAAAA>" % router.address)])
        answer = eve.exchange(request)
        check(answer.status >= 400, "%s: %s", method, answer)
    outside.nothing("anything", lambda m: True, 0.3)


@case()
def a_nonce_count_cannot_be_used_again(env):
    router = prepared(env)
    alice = phone(env, router)
    alice.register()
    challenge = alice.challenge

    def again(nc, cnonce):
        request = alice.register_request()
        request.headers.append(("Authorization", sip.credentials(
            challenge, "alice", alice.password, "REGISTER", request.uri, nc=nc, cnonce=cnonce)))
        return alice.exchange(request)

    answer = again(1, "replayed")
    equal(401, answer.status, "REGISTER with a used nonce count")
    check(sip.challenges(answer)[0]["nonce"] != challenge["nonce"], "the same nonce again")
    equal(200, again(2, "fresh").status, "REGISTER with the next nonce count")
    equal(401, again(2, "other").status, "REGISTER with that count once more")
    equal(200, again(7, "jump").status, "REGISTER with a later count")


@case()
def a_replayed_request_is_refused(env):
    """Byte for byte the same credentials in a new transaction, as somebody who listened would send them."""
    router = prepared(env)
    alice, bob = phone(env, router), phone(env, router, "bob", 3)
    bob.register()
    request = alice.request("MESSAGE", "sip:bob@example.com", body=b"pay 10")
    first = alice.exchange(request)
    paid = alice.with_credentials(request, first)
    alice.send(paid)
    bob.reply(bob.request_in("MESSAGE"), 200)
    equal(200, alice.response_in(paid).status, "MESSAGE")
    replay = sip.Message(paid.start, paid.headers, b"pay 99")
    replay.set("Via", alice.again(paid).get("via")).set("Call-ID", sip.token())
    refused(alice.exchange(replay), "a MESSAGE with used credentials", 407)
    bob.nothing("the replay", lambda m: m.method == "MESSAGE", 0.3)


@case()
def an_expired_nonce_is_stale(env):
    router = prepared(env, auth={"nonce_lifetime": "10s"})
    alice = phone(env, router)
    alice.register()
    challenge = alice.challenge
    count = [1]

    def refused_now():
        count[0] += 1
        request = alice.register_request()
        request.headers.append(("Authorization", sip.credentials(
            challenge, "alice", alice.password, "REGISTER", request.uri, nc=count[0])))
        answer = alice.exchange(request)
        return answer if answer.status == 401 else None

    answer = until("the nonce is refused", refused_now, 25, step=0.5)
    equal("true", sip.challenges(answer)[0].get("stale", "").lower(), "stale")
    again = alice.with_credentials(alice.register_request(), answer)
    equal(200, alice.exchange(again).status, "REGISTER with the new nonce")


@case()
def a_nonce_belongs_to_its_source_address(env):
    router = prepared(env)
    alice, thief = phone(env, router), phone(env, router, "alice", 3)
    first = alice.exchange(alice.register_request())
    stolen = thief.with_credentials(thief.register_request(), first)
    refused(thief.exchange(stolen), "a nonce given to another address", 401)


@case()
def a_forged_nonce_is_refused(env):
    router = prepared(env)
    alice = phone(env, router)
    first = alice.exchange(alice.register_request())
    real = sip.challenges(first)[0]
    for nonce in ("AAAA", "0" * len(real["nonce"]), real["nonce"][:-2] + "zz", real["nonce"] * 20, ""):
        request = alice.register_request()
        request.headers.append(("Authorization", sip.credentials(
            dict(real, nonce=nonce), "alice", alice.password, "REGISTER", request.uri)))
        refused(alice.exchange(request), "nonce %r" % nonce[:60], 401, 400)


@case()
def after_a_restart_an_old_nonce_is_stale_at_most(env):
    """Its key lasts, its window of counts does not: the phone is not asked for its password again."""
    router = prepared(env)
    alice = phone(env, router)
    alice.register()
    challenge = alice.challenge
    router.restart(hard=True)
    request = alice.register_request()
    request.headers.append(("Authorization", sip.credentials(
        challenge, "alice", alice.password, "REGISTER", request.uri, nc=2)))
    answer = alice.exchange(request)
    if answer.status != 200:
        equal(401, answer.status, "REGISTER with a nonce from before the restart")
        equal("true", sip.challenges(answer)[0].get("stale", "").lower(), "stale")


@case()
def credentials_without_qop_are_taken(env):
    """RFC 7616 §3.4 / RFC 3261 §22.4: phones of old send none."""
    router = prepared(env)
    alice = phone(env, router)
    request = alice.register_request()
    first = alice.exchange(request)
    again = alice.with_credentials(request, first, qop=None)
    equal(200, alice.exchange(again).status, "REGISTER without qop")


@case()
def a_digest_for_another_uri_is_refused(env):
    router = prepared(env)
    alice = phone(env, router)
    request = alice.register_request()
    first = alice.exchange(request)
    again = alice.again(request)
    again.headers.append(("Authorization", sip.credentials(
        sip.challenges(first)[0], "alice", alice.password, "REGISTER", "sip:elsewhere.net")))
    refused(alice.exchange(again), "credentials for another URI", 400, 401, 403)


@case()
def consumed_credentials_are_not_forwarded(env):
    """RFC 3261 §22.3: ours go, those for other realms stay."""
    router = prepared(env)
    alice, bob = phone(env, router), phone(env, router, "bob", 3)
    bob.register()
    other = 'Digest username="alice", realm="other.net", nonce="n", uri="sip:x", response="00"'
    request = alice.request("MESSAGE", "sip:bob@example.com", headers=[("Proxy-Authorization", other)], body=b"hi")
    sent = alice.with_credentials(request, alice.exchange(request))
    alice.send(sent)
    came = bob.request_in("MESSAGE")
    bob.reply(came, 200)
    alice.response_in(sent)
    equal([other], came.all("proxy-authorization"), "Proxy-Authorization at the callee")


@case()
def a_stranger_cannot_call_out_by_way_of_ourselves(env):
    """What the router sends to itself comes from an address that is trusted here."""
    router = prepared(env, auth={"trusted": [env.address(1) + "/32"]})
    check(router.address == env.address(1), "the router is at %s", router.address)
    outside = UA(router, "victim", address=env.address(9), port=5060)
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    for route in ("<sip:x@%s:5060>", "<sip:x@%s:5060;lr>"):
        refused(eve.exchange(eve.request("MESSAGE", "sip:victim@%s:5060" % env.address(9),
                                         headers=[("Route", route % router.address)])), "MESSAGE by " + route)
    outside.nothing("anything", lambda m: True, 0.3)


@case()
def a_stranger_cannot_call_out_by_the_token_of_his_own_call(env):
    """In the dialog with a user of ours the way leads to that user, whatever is asked for."""
    router = prepared(env)
    outside = UA(router, "victim", address=env.address(9), port=5060)
    bob = phone(env, router, "bob", 3)
    bob.register()
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    mine, _ = call(eve, bob, "sip:bob@example.com")
    target, routes = mine.target, list(mine.routes)
    for uri, more in (("sip:victim@%s:5060" % env.address(9), []), (target, ["<sip:%s:5060;lr>" % env.address(9)])):
        mine.target, mine.routes = uri, routes + more
        refused(eve.exchange(mine.request("INFO")), "INFO to %s by %s" % (uri, more), 403)
    outside.nothing("anything", lambda m: True, 0.3)
    mine.target, mine.routes = target, routes
    mine.hang_up(bob)


@case()
def a_callee_outside_cannot_relay(env):
    """He is a stranger, too: the way leads back to the caller, also if he writes the caller's tag as his own."""
    router = prepared(env)
    victim = UA(router, "victim", address=env.address(9), port=5060)
    alice = phone(env, router)
    alice.register()
    eve = UA(router, "eve", address=env.address(4), port=5060, domain="elsewhere.net")
    mine, theirs = call(alice, eve, "sip:eve@%s:5060" % env.address(4))
    target, routes = theirs.target, list(theirs.routes)
    uri = "sip:victim@%s:5060" % env.address(9)
    for aim, more in ((uri, []), (target, ["<sip:%s:5060;lr>" % env.address(9)])):
        theirs.target, theirs.routes = aim, routes + more
        refused(eve.exchange(theirs.request("INFO")), "INFO to %s by %s" % (aim, more), 403)
    theirs.target, theirs.routes = uri, list(routes)
    forged = theirs.request("INFO")
    tags = {n.lower(): v for n, v in forged.headers if n.lower() in ("from", "to")}
    forged.headers = [(n, tags["to" if n.lower() == "from" else "from"]) if n.lower() in tags else (n, v)
                      for n, v in forged.headers]
    check(eve.exchange(forged).status in (403, 407), "INFO in the caller's name")
    victim.nothing("anything", lambda m: True, 0.3)
    theirs.target, theirs.routes = target, routes
    theirs.hang_up(alice)


@case()
def our_domain_in_from_needs_credentials_however_it_is_written(env):
    router = prepared(env)
    eve = UA(router, "eve", address=env.address(2), domain="elsewhere.net")
    for written in ("example.com:5999", "example.com;maddr=192.0.2.1", "EXAMPLE.com.", "example.com:5060"):
        request = eve.request("MESSAGE", "sip:bob@example.com")
        request.headers = [(n, "<sip:alice@%s>;tag=x" % written) if n.lower() == "from" else (n, v)
                           for n, v in request.headers]
        equal(407, eve.exchange(request).status, "From alice@" + written)


@case()
def a_trusted_network_is_not_challenged(env):
    router = prepared(env, auth={"trusted": [env.address(2) + "/32"]})
    alice, bob = phone(env, router), phone(env, router, "bob", 3)
    bob.register()
    equal(200, alice.exchange(alice.register_request()).status, "REGISTER from a trusted address")
    equal(401, bob.exchange(bob.register_request()).status, "REGISTER from another")


@case()
def a_changed_password_counts_at_once(env):
    router = prepared(env)
    alice = phone(env, router)
    alice.register()
    router.apply(user("alice", "another-password", extension=101))
    _, answer = alice.authenticated(alice.register_request())
    equal(401, answer.status, "REGISTER with the old password")
    alice.register(password="another-password")
