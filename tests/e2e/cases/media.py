# SPDX-License-Identifier: Apache-2.0
"""Calls whose two sides cannot hear each other: named in the log, in `status` and in the metrics, or refused."""
import glob
import os

from cases.browser import alone, browser_sdp, urls
from cases.nat import two_homes
from cases.websocket import phones, prepared
from harness.case import case, check, equal
from harness.deadline import until
from harness.sipp import Sipp
from harness.ua import UA, call

PLAIN = ("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
         "a=rtpmap:0 PCMU/8000\r\n")
REFUSES = {"proxy": {"refuse_no_audio": True}}


def plain(address):
    return (PLAIN % (address, address)).encode()


def named(router):
    """How many calls were named, by the reason."""
    return {reason: named["calls"] for reason, named in router.json("status")["no_audio"].items()}


def counted(router):
    """The same, of the metrics."""
    begin = 'strowger_no_audio_calls_total{reason="'
    return {key[len(begin):-2]: int(value) for key, value in router.metrics().items()
            if key.startswith(begin) and value}


def log_lines(router):
    text = ""
    for path in glob.glob(os.path.join(router.folder, "strowger.*.log")):
        with open(path, encoding="utf-8") as log:
            text += log.read()
    return [line for line in text.splitlines() if "no_audio" in line]


def refused(caller, callee, offer):
    """The 488 to a call, with its Warning; the callee hears of nothing."""
    answer = caller.response_in(caller.invite(callee.aor, body=offer))
    equal(488, answer.status, "the answer")
    callee.nothing("an INVITE", lambda m: not m.is_response and m.method == "INVITE", 0.3)
    return answer.get("warning")


# ---- a NAT between ----

@case()
def a_private_address_across_nats_is_named(env):
    _, router, alice, bob = two_homes(env, forgets=30)
    equal({}, named(router), "before any call")
    mine, theirs = call(alice, bob, body=plain("10.1.0.2"))
    theirs.hang_up(alice)
    equal({"private_offer": 1}, named(router), "a private address that was offered")
    mine, theirs = call(alice, bob, body=plain("198.51.100.11"))
    mine.hang_up(bob)
    equal({"private_offer": 1}, named(router), "an outer address is no reason")

    until("the log's line", lambda: len(log_lines(router)) == 1)
    line = log_lines(router)[0]
    check("private_offer" in line and "sip:bob@example.com" in line and "relay" in line, "the log: %s", line)
    status = router.json("status")["no_audio"]
    equal(1, status["private_offer"]["calls"], "status")
    check("ICE" in status["private_offer"]["missing"], "status: %s", status)
    text = router.done("status")
    check("no audio" in text and "1 private_offer: " in text, "status: %s", text)


@case()
def a_private_answer_across_nats_is_named(env):
    _, router, alice, bob = two_homes(env, forgets=30)
    sent = alice.invite(bob.aor, body=plain("198.51.100.11"))
    bob.reply(bob.request_in("INVITE"), 200, "OK", body=plain("10.2.0.2"))
    equal(200, alice.response_in(sent).status, "the answer goes through")
    equal({"private_answer": 1}, named(router), "the callee's address")


@case()
def a_private_address_across_nats_is_refused(env):
    _, router, alice, bob = two_homes(env, forgets=30, router_settings=REFUSES)
    warning = refused(alice, bob, plain("10.1.0.2"))
    check(warning.startswith('399 strowger "'), "Warning: %s", warning)
    equal(1, router.json("status")["refused"]["no_audio"], "refusals")
    mine, _ = call(alice, bob, body=plain("10.1.0.2") + b"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n")
    mine.hang_up(bob)
    mine, _ = call(alice, bob, body=plain("198.51.100.11"))
    mine.hang_up(bob)


# ---- a browser on one side ----

@case()
def a_browser_and_plain_rtp_are_named(env):
    router, _ = prepared(env)
    tab, desk = phones(env, router)
    mine, _ = call(desk, tab)
    mine.hang_up(tab)
    equal({"plain_to_browser": 1}, named(router), "plain RTP to a browser")
    mine, _ = call(tab, desk, body=browser_sdp())  # answered with plain RTP
    mine.hang_up(desk)
    equal({"plain_to_browser": 1, "browser_to_plain": 1}, named(router), "a browser's offer, answered plainly")
    sent = tab.invite(desk.aor, body=browser_sdp())
    came = desk.request_in("INVITE")
    desk.reply(came, 200, "OK", body=browser_sdp(came.body))
    equal(200, tab.response_in(sent).status, "a phone that does as browsers do")
    equal({"plain_to_browser": 1, "browser_to_plain": 1}, named(router), "is no reason")
    equal(named(router), counted(router), "the metrics")


@case()
def a_browser_and_plain_rtp_are_refused(env):
    router, _ = prepared(env, **REFUSES)
    tab, desk = phones(env, router)
    for caller, callee, offer in ((desk, tab, plain(desk.address)), (tab, desk, browser_sdp())):
        warning = refused(caller, callee, offer)
        check(warning.startswith('302 strowger "'), "Warning: %s", warning)
    lobby = UA(router, "alice", address=env.address(4))
    lobby.register()
    mine, _ = call(desk, lobby, body=plain(desk.address))  # alice's tab rings, too, and her desk phone can take it
    mine.hang_up(lobby)


@case(seconds=90)
def a_tab_and_sipp_with_plain_rtp(env):
    """JsSIP in a browser calls SIPp, which answers with plain RTP: it is named; the other way, too."""
    router, browser = alone(env)
    Sipp(env, router, "register", "bob", env.address(3)).done()
    callee = Sipp(env, router, "uas_answer", "bob", env.address(3)).listening()
    alice = browser.tab().start(urls(router)[0], "alice")
    calling = alice.phone("call", "sip:bob@example.com")
    alice.wait("failed", id=calling)  # the browser cannot make anything of that answer
    callee.done()
    equal({"browser_to_plain": 1}, named(router), "what was named")

    bob = UA(router, "bob", address=env.address(4))
    sent = bob.invite("sip:alice@example.com", body=plain(bob.address))
    got = bob.response_in(sent, seconds=10)
    check(got.status >= 400, "the browser's answer: %s", got)
    equal({"browser_to_plain": 1, "plain_to_browser": 1}, named(router), "what was named")
