# SPDX-License-Identifier: Apache-2.0
"""Phones in a real browser: JsSIP in Chromium, with WebRTC media between two tabs."""
from cases.websocket import WS, WSS, prepared
from harness.browser import Browser
from harness.case import case, check, equal
from harness.deadline import until


def urls(router):
    return ("ws://%s:%d" % (router.address, WS), "wss://%s:%d" % (router.address, WSS))


def talk(caller, callee, uri):
    """A whole call between two tabs in which both hear each other."""
    calling = caller.phone("call", uri)
    ringing = callee.wait("ringing")["id"]
    caller.wait("confirmed", id=calling)
    callee.wait("confirmed", id=ringing)
    for tab, number in ((caller, calling), (callee, ringing)):
        before = until("the first packets", lambda: tab.phone("received", number)["packets"], 10)
        until("more of them", lambda: tab.phone("received", number)["packets"] > before + 25, 10)
        until("something that can be heard", lambda: tab.phone("received", number)["energy"] > 0, 10)
    return calling, ringing


@case(seconds=120)
def two_tabs_call_each_other_with_audio(env):
    router, _ = prepared(env)
    browser = Browser(env)
    plain, secure = urls(router)
    alice = browser.tab().start(plain, "alice")
    bob = browser.tab().start(secure, "bob")
    equal("ws", router.bindings("alice")[0]["transport"], "alice's transport")
    equal("wss", router.bindings("bob")[0]["transport"], "bob's transport")
    calling, ringing = talk(alice, bob, "sip:bob@example.com")
    alice.phone("hangUp", calling)
    equal("remote", bob.wait("ended", id=ringing)["by"], "who ended the call")
