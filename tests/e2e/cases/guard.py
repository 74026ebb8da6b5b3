# SPDX-License-Identifier: Apache-2.0
"""What floods, scans and tried passwords get, and what those get who are known."""
import time

from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB, CAROL
from harness.ua import UA, call

ENOUGH = 10  # guard.login_failures


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB, CAROL)
    return router


def phone(env, router, name, last, **more):
    return UA(router, name, address=env.address(last), **more)


def tries(ua, count, password="wrong"):
    """The statuses of so many logins."""
    statuses = []
    for _ in range(count):
        _, answer = ua.authenticated(ua.register_request(), password=password)
        ua.cseq_register += 1
        statuses.append(answer.status)
    return statuses


def names(router):
    return [ban["name"] for ban in router.json("get", "bans")]


@case()
def wrong_passwords_bar_that_user_there_and_nobody_else(env):
    """Loopback is exempt from packet limits, never from this."""
    router = prepared(env)
    bob = phone(env, router, "bob", 2)
    bob.register()
    mallory = phone(env, router, "alice", 2)
    equal([401] * ENOUGH, tries(mallory, ENOUGH), "wrong passwords")
    name = "alice@" + env.address(2)
    until("the ban is listed", lambda: names(router) == [name], 5)
    ban, = router.json("get", "bans")
    equal(("alice", env.address(2), "failed_logins", 1), tuple(ban[k] for k in ("user", "address", "reason", "times")),
          "the ban")
    check(50 <= ban["expires_in"] <= 60, "expires in %s s", ban["expires_in"])
    equal([403, 403], tries(mallory, 1) + tries(mallory, 1, "alice-password"), "while barred, wrong and right")

    bob.register()  # the same address goes on
    alice = phone(env, router, "alice", 3)
    alice.register()  # the same user from elsewhere, too
    call(bob, alice)
    equal(1, router.json("status")["bans"]["now"], "bans in the status")
    metrics = router.metrics()
    equal((1, 1, ENOUGH), tuple(metrics["strowger_" + k] for k in ("bans", "bans_total", "logins_failed_total")),
          "metrics")
    check("barred      1 (" in router.done("status"), "the status does not show it")

    router.done("delete", "bans", name)
    equal([], names(router), "bans after it was lifted")
    equal([200], tries(mallory, 1, "alice-password"), "after it was lifted")
    equal(1, router.run("delete", "bans", name).status, "lifting it again")


@case()
def a_ban_tells_nothing_about_who_exists(env):
    router = prepared(env, guard={"login_failures": 3})
    shapes = []
    for name, last in (("alice", 2), ("nobody", 3)):
        ua = phone(env, router, name, last)
        equal([401] * 3, tries(ua, 3), "answers for " + name)
        until("ban of " + name, lambda: "%s@%s" % (name, env.address(last)) in names(router), 5)
        answer = ua.exchange(ua.with_credentials(ua.register_request(), ua.exchange(ua.register_request())))
        equal(403, answer.status, "while barred: " + name)
        shapes.append([answer.start] + [h[0] for h in answer.headers])
    equal(shapes[0], shapes[1], "what a barred login is answered")


@case()
def a_made_up_nonce_bars_nobody(env):
    """Else a forged source would keep a victim out."""
    router = prepared(env)
    forger = phone(env, router, "alice", 2)
    answer = forger.exchange(forger.register_request())
    challenge = dict(sip.challenges(answer)[0])
    for n in range(2 * ENOUGH):
        request = forger.register_request()
        made_up = dict(challenge, nonce=("%027d" % n))
        request.headers.append(("Authorization",
                                sip.credentials(made_up, "alice", "wrong", "REGISTER", request.uri)))
        equal(401, forger.exchange(request).status, "with a nonce that is not ours")
    elsewhere = phone(env, router, "alice", 3)  # a good nonce, but another address's
    for n in range(2 * ENOUGH):
        request = elsewhere.register_request()
        request.headers.append(("Authorization",
                                sip.credentials(challenge, "alice", "wrong", "REGISTER", request.uri, nc=n + 1)))
        equal(401, elsewhere.exchange(request).status, "with another address's nonce")
    equal([], names(router), "bans")
    equal(0, router.json("status")["bans"]["logins_failed"], "failed logins")
    forger.register()
    elsewhere.register()


def answers(ua, seconds=0.6):
    """Is an OPTIONS answered within that time?"""
    request = ua.request("OPTIONS", "sip:" + ua.domain)
    ua.send(request)
    try:
        return ua.response_in(request, seconds).status == 200
    except Exception:
        return False


@case()
def an_address_is_barred_where_nobody_is_known(env):
    router = prepared(env, guard={"exempt": [], "address_login_failures": 6})
    bob = phone(env, router, "bob", 2)
    bob.register()
    for last in (2, 3):
        for n in range(6):
            equal([401], tries(phone(env, router, "user%d" % n, last), 1), "a try at address %d" % last)
    until("the ban", lambda: names(router) == [env.address(3)], 5)
    check(not answers(phone(env, router, "alice", 3)), "a barred address was answered")
    bob.register()
    check(answers(phone(env, router, "alice", 2)), "another phone where bob is was not answered")
    router.done("delete", "bans", env.address(3))
    check(answers(phone(env, router, "alice", 3)), "not answered after the ban was lifted")


@case()
def scanners_and_garbage_are_dropped(env):
    router = prepared(env, guard={"exempt": []})
    scanner = phone(env, router, "100", 2)
    request = scanner.request("OPTIONS", "sip:100@example.com", headers=[("User-Agent", "friendly-scanner")])
    scanner.send(request)
    until("the scanner is barred", lambda: names(router) == [env.address(2)], 5)
    equal("scanner", router.json("get", "bans")[0]["reason"], "reason")
    scanner.nothing("an answer to a scanner", lambda m: m.is_response, 0.3)

    noise = phone(env, router, "x", 3)
    for n in range(20):
        noise.send(b"\x01\x02 not SIP at all %d" % n)
    sweep = phone(env, router, "x", 4)
    for n in range(80):  # each worker counts those that it owns
        sweep.send(sweep.request("OPTIONS", "sip:%d@example.com" % (2000 + n)))
    wanted = sorted(env.address(n) for n in (2, 3, 4))
    until("all are barred", lambda: names(router) == wanted, 5)
    check(not answers(phone(env, router, "alice", 4)), "a barred address was answered")
    refused = router.json("status")["refused"]
    check(refused["scanner"] >= 1 and refused["garbage"] >= 10 and refused["barred"] >= 1, "counted: %s", refused)


@case()
def strangers_share_one_bucket_and_known_phones_have_their_own(env):
    router = prepared(env, workers=1, guard={"exempt": [], "strangers_rate": 20, "stranger_rate": 0, "glitches": 0})
    alice, bob = phone(env, router, "alice", 2), phone(env, router, "bob", 3)
    alice.register()
    bob.register()
    strangers = [phone(env, router, "x", 10 + n) for n in range(20)]
    end = time.monotonic() + 1.5
    sent = 0
    while time.monotonic() < end:
        for stranger in strangers:
            for _ in range(5):
                stranger.send(stranger.request("OPTIONS", "sip:nobody@example.com"))
                sent += 1
        mine, _ = call(alice, bob)
        mine.hang_up(bob)
    refused = router.json("status")["refused"]
    check(refused["strangers_limit"] > sent / 2, "of %d only %s were dropped", sent, refused)
    equal(200, alice.register().status, "a refresh under the flood")


@case()
def two_strangers_leave_room_for_the_calls_of_others(env):
    router = prepared(env, workers=1, guard={"exempt": [], "stranger_rate": 0, "stranger_calls": 16})
    bob = phone(env, router, "bob", 2)
    bob.register()

    def message(last):
        ua = UA(router, "x", domain="example.org", address=env.address(last))
        request = ua.request("MESSAGE", "sip:bob@example.com", headers=[("Content-Length", "0")])
        ua.send(request)
        return request

    for n in range(200):
        message(10 + n % 2)
    others = [message(20 + n).call_id for n in range(2)]  # sent once: a copy might find more room
    for call_id in others:
        bob.reply(bob.request_in("MESSAGE", call_id=call_id), 200, "OK")
    check(router.json("status")["refused"]["stranger_calls"] > 150, "the two were not kept short")


@case()
def one_stranger_has_a_rate(env):
    router = prepared(env, workers=1, guard={"exempt": [], "stranger_rate": 5, "glitches": 0})
    stranger = phone(env, router, "x", 2)
    for _ in range(100):
        stranger.send(stranger.request("OPTIONS", "sip:example.com"))
    check(answers(phone(env, router, "y", 3)), "another address pays for it")
    refused = router.json("status")["refused"]
    check(70 <= refused["source_limit"] <= 80, "dropped: %s", refused)


@case()
def a_stream_waits_when_it_sends_too_much(env):
    router = prepared(env, workers=1, guard={"exempt": [], "stranger_rate": 20})
    stranger = phone(env, router, "x", 2, transport="tcp")
    requests = [stranger.request("OPTIONS", "sip:example.com", headers=[("Content-Length", "0")]) for _ in range(100)]
    for request in requests:  # 80 at once, 20 a second
        stranger.send(request)
    for request in requests:
        equal(200, stranger.response_in(request, 10).status, "nothing is lost")
    begin = time.monotonic()
    last = stranger.request("OPTIONS", "sip:example.com", headers=[("Content-Length", "0")])
    stranger.send(last)
    equal(200, stranger.response_in(last, 10).status, "the last one")
    denied = [v for k, v in router.metrics().items() if k.startswith("strowger_stream_reads_denied_total")]
    check(sum(denied) > 0, "the stream was never paused (%.2f s)", time.monotonic() - begin)


@case()
def a_registered_phone_is_known_after_a_restart(env):
    router = prepared(env, workers=2, guard={"exempt": [], "strangers_rate": 2, "stranger_rate": 2, "glitches": 0})
    alice, bob = phone(env, router, "alice", 2), phone(env, router, "bob", 3)
    alice.register()
    bob.register()
    router.restart(hard=True)
    stranger = phone(env, router, "x", 4)
    for _ in range(50):
        stranger.send(stranger.request("OPTIONS", "sip:nobody@example.com"))
    for _ in range(5):
        mine, _ = call(alice, bob)
        mine.hang_up(bob)
