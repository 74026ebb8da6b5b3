# SPDX-License-Identifier: Apache-2.0
"""Phones that others wrote, over TLS: baresip with SRTP, linphonec, SIPp."""
import os
import signal
import ssl

from cases.phones import ALICE_HZ, BOB_HZ, talk, talk_to_linphone
from cases.tls import connect, trusting
from harness.baresip import Baresip
from harness.case import case, check, equal
from harness.certificates import Authority
from harness.deadline import until
from harness.linphone import Linphone
from harness.router import ALICE, BOB
from harness.sipp import Sipp
from harness.tunnel import Tunnel
from harness.ua import UA

PORT = 5061


def prepared(env, **settings):
    """A router whose certificate names its address, and the authority that has signed it."""
    authority = Authority(env.path("ca"), "authority")
    address = env.address(1)
    pair = authority.pair("router", "sip.example.com", address=address)
    router = env.router(tls={"certificate": pair + ".pem", "key": pair + ".key", "ca": authority.path}, listen=[
        "udp:%s:5060" % address, "tcp:%s:5060" % address, "tls:%s:%d" % (address, PORT)], **settings)
    router.apply(ALICE, BOB)
    return router, authority


@case()
def baresips_over_tls_with_srtp(env):
    router, authority = prepared(env)
    more = {"transport": "tls", "ca": authority.path, "port": PORT, "more": ";mediaenc=srtp-mand"}
    alice = Baresip(env, router, "alice", 2, ALICE_HZ, **more).registered()
    bob = Baresip(env, router, "bob", 3, BOB_HZ, **more).registered()
    for name in ("alice", "bob"):
        equal("tls", router.bindings(name)[0]["transport"], "%s's transport" % name)
    talk(alice, bob, "sip:bob@example.com")
    for phone in (alice, bob):
        phone.process.wait_line(r"m=audio \d+ RTP/SAVP ", 1)
        phone.process.wait_line(r"a=crypto:\d+ AES_CM_128_HMAC_SHA1_80 inline:", 1)


@case()
def linphone_and_baresip_over_tls(env):
    router, authority = prepared(env)
    alice = Baresip(env, router, "alice", 2, ALICE_HZ, "tls", ca=authority.path, port=PORT)
    bob = Linphone(env, router, "bob", 3, BOB_HZ, "tls", ca=authority.path, port=PORT)
    alice.registered()
    bob.registered()
    equal("tls", router.bindings("bob")[0]["transport"], "bob's transport")
    bob.dial("sip:alice@example.com")
    alice.event("CALL_ESTABLISHED")
    bob.established()
    talk_to_linphone(alice, bob, bob)
    since = len(alice.events)
    alice.dial("sip:bob@example.com")
    alice.event("CALL_ESTABLISHED", since=since)
    alice.hang_up()
    alice.event("CALL_CLOSED", since=since)


class Load:
    """SIPp calls SIPp over TLS through the router: one connection from the caller's tunnel, one to the callee's."""

    def __init__(self, env, router, authority, calls, rate=50):
        self.calls = calls
        callee_pair = authority.pair("callee", "callee.example.com", address=env.address(3))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(callee_pair + ".pem", callee_pair + ".key")
        contact = "<sip:bob@%s:%d;transport=tls>" % (env.address(3), PORT)
        UA(router, "bob", address=env.address(3), port=5070, contact=contact).register()
        self.near = Tunnel(env, (env.address(5), 5060), (router.address, PORT), client=trusting(authority.path),
                           name="sip.example.com")
        self.far = Tunnel(env, (env.address(3), PORT), (env.address(3), 5060), server=server)
        self.callee = Sipp(env, router, "uas_answer", "bob", env.address(3), transport="tls", calls=calls,
                           contact_port=PORT).listening()
        self.caller = Sipp(env, router, "uac_call", "bob", env.address(2), transport="tls", caller="alice", calls=calls,
                           to=(env.address(5), 5060), rate=rate)

    def done(self):
        self.caller.done()
        self.callee.done()
        equal((1, 1), (self.near.connections, self.far.connections), "connections from the caller and to the callee")


@case()
def sipp_calls_sipp_over_tls(env):
    router, authority = prepared(env)
    Load(env, router, authority, 50).done()
    requests = router.json("status")["requests"]
    check(requests["INVITE"] >= 100 and requests["BYE"] >= 50, "requests: %s", requests)


@case(seconds=90)
def certificates_change_under_load(env):
    """100 calls a second for 5 s: no call and no connection is lost, and each new connection has the new one."""
    router, authority = prepared(env, overload={"target": "10s"})  # nobody is refused on a slow machine
    load = Load(env, router, authority, 500, rate=100)
    until("calls are up", lambda: router.json("status")["requests"].get("BYE", 0) > 20, 10)
    for number in range(3):
        fresh = authority.pair("fresh%d" % number, "sip.example.com", address=router.address)
        for end in (".key", ".pem"):
            os.replace(fresh + end, env.path("ca", "router" + end))
        router.process.signal(signal.SIGHUP)
        until("the certificate is the new one", lambda: subject(router, authority) == "fresh%d" % number, 10)
    check(router.json("status")["requests"]["BYE"] < 490, "the calls were over before the certificates changed")
    load.done()
    equal(0, router.json("status")["tls"]["refused"], "refused connections")


def subject(router, authority):
    """Whose certificate a new connection is shown."""
    with connect(router, trusting(authority.path)) as stream:
        return dict(pair[0] for pair in stream.getpeercert()["subject"])["commonName"]
