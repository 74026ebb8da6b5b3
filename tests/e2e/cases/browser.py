# SPDX-License-Identifier: Apache-2.0
"""Phones in a real browser: JsSIP in Chromium, with WebRTC media between two tabs."""
import re

from cases.websocket import WS, WSS, prepared
from harness.baresip import Baresip
from harness.browser import Browser, alone_on_loopback, bundle, with_address
from harness.case import case, check, equal
from harness.deadline import until
from harness.ua import UA, Dialog


def alone(env, settings=lambda browser: {}, address=None):
    """(a router, a browser) where nothing else is to be reached. `address`: for the media, not loopback."""
    bundle()  # npm is
    alone_on_loopback()
    if address:
        with_address(address)
    browser = Browser(env, media_on_loopback=address is None)
    router, _ = prepared(env, **settings(browser))
    return router, browser


def urls(router):
    return ("ws://%s:%d" % (router.address, WS), "wss://%s:%d" % (router.address, WSS))


def hear_more(tab, number):
    """Packets come, more and more of them, with sound in them."""
    before = until("the first packets", lambda: tab.phone("received", number)["packets"], 15)
    until("more of them", lambda: tab.phone("received", number)["packets"] > before + 25, 15)
    until("something that can be heard", lambda: tab.phone("received", number)["energy"] > 0, 15)


def talk(caller, callee, uri):
    """A whole call between two tabs in which both hear each other: the number of the call in each."""
    calling = caller.phone("call", uri)
    ringing = callee.wait("ringing")["id"]
    caller.wait("confirmed", id=calling)
    callee.wait("confirmed", id=ringing)
    hear_more(caller, calling)
    hear_more(callee, ringing)
    return calling, ringing


def browser_sdp(offer=None):
    """What a browser takes as an offer or, for its own offer, as an answer: nobody is at its addresses."""
    text = offer.decode() if offer else ""
    find = lambda pattern, other: (re.search(pattern, text, re.M) or [None, other])[1]  # noqa: E731
    return ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=mid:%s\r\na=%s\r\n"
            "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:%s\r\na=fingerprint:sha-256 %s\r\n"
            "a=rtpmap:%s opus/48000/2\r\n" % (
                find(r"^a=rtpmap:(\d+) opus", "111"), find(r"^a=mid:(\S+)", "0"), "sendrecv",
                "active" if offer else "actpass", ":".join(["AB"] * 32), find(r"^a=rtpmap:(\d+) opus", "111"))).encode()


@case(seconds=120)
def two_tabs_call_each_other_with_audio(env):
    """Over WS and WSS, in both directions; who is called with a wrong name hears so."""
    router, browser = alone(env)
    plain, secure = urls(router)
    alice = browser.tab().start(plain, "alice")
    bob = browser.tab().start(secure, "bob")
    equal("ws", router.bindings("alice")[0]["transport"], "alice's transport")
    equal("wss", router.bindings("bob")[0]["transport"], "bob's transport")
    calling, ringing = talk(alice, bob, "sip:bob@example.com")
    alice.phone("hangUp", calling)
    equal("remote", bob.wait("ended", id=ringing)["by"], "who ended the call")
    calling, ringing = talk(bob, alice, "sip:101@example.com")
    alice.phone("hangUp", ringing)
    equal("remote", bob.wait("ended", id=calling)["by"], "who ended the call back")
    wrong = alice.phone("call", "sip:nobody@example.com")
    equal(404, alice.wait("failed", id=wrong)["status"], "a call to nobody")


@case(seconds=90)
def a_tab_and_a_phone_on_udp_call_each_other(env):
    """The signalling: the phone has no WebRTC, but says what a browser takes."""
    router, browser = alone(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    alice = browser.tab().start(urls(router)[1], "alice")

    calling = alice.phone("call", "sip:bob@example.com")
    came = bob.request_in("INVITE")
    bob.reply(came, 180, "Ringing", to_tag="bob")
    alice.wait("progress", id=calling)
    bob.reply(came, 200, "OK", to_tag="bob", body=browser_sdp(came.body))
    bob.request_in("ACK", call_id=came.call_id)
    alice.wait("confirmed", id=calling)
    alice.phone("hangUp", calling)
    bob.reply(bob.request_in("BYE", call_id=came.call_id), 200, "OK")
    alice.wait("ended", id=calling)

    sent = bob.invite("sip:alice@example.com", body=browser_sdp())
    got = bob.response_in(sent, seconds=10)
    equal(200, got.status, "the tab's answer")
    dialog = Dialog.of_caller(bob, sent, got)
    dialog.ack()
    ringing = alice.wait("ringing")["id"]
    alice.wait("confirmed", id=ringing)
    bye = dialog.request("BYE")
    bob.send(bye)
    equal(200, bob.response_in(bye).status, "the tab's answer to BYE")
    equal("remote", alice.wait("ended", id=ringing)["by"], "who ended the call")


@case(seconds=90)
def a_reload_drops_the_flow(env):
    """The page's user presses reload in a call: the binding is marked at once, and the next page is reached."""
    router, browser = alone(env)
    plain, _ = urls(router)
    alice = browser.tab().start(plain, "alice")
    bob = browser.tab().start(plain, "bob")
    calling, _ = talk(alice, bob, "sip:bob@example.com")
    bob.reload()
    until("the binding has no flow", lambda: router.bindings("bob")[0]["flow"] == "lost")
    failed = alice.phone("call", "sip:bob@example.com")
    equal(480, alice.wait("failed", id=failed)["status"], "a call to a page that is gone")
    alice.phone("hangUp", calling)
    alice.wait("ended", id=calling)

    bob.start(plain, "bob")
    calling, ringing = talk(alice, bob, "sip:bob@example.com")
    alice.phone("hangUp", calling)
    bob.wait("ended", id=ringing)
    bob.close()
    until("no flow is left", lambda: all(b["flow"] == "lost" for b in router.registrations("sip:bob@example.com")))


@case(seconds=90)
def long_messages_by_listed_pages(env):
    router, browser = alone(env, lambda browser: {"ws": {"origins": [browser.origin]}})
    plain, secure = urls(router)
    alice = browser.tab().start(plain, "alice")
    bob = browser.tab().start(secure, "bob")
    for length in (5, 1000, 30000):
        said = alice.phone("say", "sip:bob@example.com", "é" * length)  # of two bytes each
        alice.wait("said", id=said)
        bob.wait("message", length=length)

    router.settings["ws"] = {"origins": ["https://phone.example.com"]}
    router.write_config()
    router.restart(hard=True)
    stranger = browser.tab().start(plain, "alice", register=False)
    stranger.wait("disconnected")
    equal([], stranger.events("connected"), "connections of a page that is not listed")
    check(router.metrics()['strowger_net_refused_total{reason="origin"}'] >= 1, "it is not counted")


@case(seconds=120)
def a_tab_and_baresip_hear_each_other(env):
    """baresip speaks WebRTC's media: ICE, DTLS-SRTP, RTP and RTCP over one port."""
    router, browser = alone(env, address="192.0.2.62")  # baresip's ICE leaves loopback out
    baresip = Baresip(env, router, "bob", 3, 440, config="module ice.so\nmodule dtls_srtp.so\nrtcp_mux yes\n",
                      more=";mediaenc=dtls_srtp;medianat=ice").registered()
    alice = browser.tab().start(urls(router)[1], "alice")

    calling = alice.phone("call", "sip:bob@example.com")
    alice.wait("confirmed", id=calling)
    hear_more(alice, calling)
    until("baresip hears the tab", lambda: baresip.heard_anything(), 15, step=0.3)
    alice.phone("hangUp", calling)
    baresip.event("CALL_CLOSED")

    baresip.dial("sip:alice@example.com")
    ringing = alice.wait("ringing")["id"]
    alice.wait("confirmed", id=ringing)
    hear_more(alice, ringing)
    baresip.hang_up()
    equal("remote", alice.wait("ended", id=ringing)["by"], "who ended the call")
