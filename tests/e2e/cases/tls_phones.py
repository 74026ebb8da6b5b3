# SPDX-License-Identifier: Apache-2.0
"""Phones that others wrote, over TLS: baresip with SRTP, linphonec, SIPp."""
import ssl

from cases.phones import ALICE_HZ, BOB_HZ, talk, talk_to_linphone
from cases.tls import trusting
from harness.baresip import Baresip
from harness.case import case, check, equal
from harness.certificates import Authority
from harness.linphone import Linphone
from harness.router import ALICE, BOB
from harness.sipp import Sipp
from harness.tunnel import Tunnel
from harness.ua import UA

PORT = 5061
CALLS = 50


def prepared(env):
    """A router whose certificate names its address, and the authority that has signed it."""
    authority = Authority(env.path("ca"), "authority")
    address = env.address(1)
    pair = authority.pair("router", "sip.example.com", address=address)
    router = env.router(tls={"certificate": pair + ".pem", "key": pair + ".key", "ca": authority.path}, listen=[
        "udp:%s:5060" % address, "tcp:%s:5060" % address, "tls:%s:%d" % (address, PORT)])
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


@case()
def sipp_calls_sipp_over_tls(env):
    router, authority = prepared(env)
    callee_pair = authority.pair("callee", "callee.example.com", address=env.address(3))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(callee_pair + ".pem", callee_pair + ".key")
    contact = "<sip:bob@%s:%d;transport=tls>" % (env.address(3), PORT)
    UA(router, "bob", address=env.address(3), port=5070, contact=contact).register()
    near = Tunnel(env, (env.address(5), 5060), (router.address, PORT), client=trusting(authority.path),
                  name="sip.example.com")
    far = Tunnel(env, (env.address(3), PORT), (env.address(3), 5060), server=server)
    callee = Sipp(env, router, "uas_answer", "bob", env.address(3), transport="tls", calls=CALLS,
                  contact_port=PORT).listening()
    caller = Sipp(env, router, "uac_call", "bob", env.address(2), transport="tls", caller="alice", calls=CALLS,
                  to=(env.address(5), 5060))
    caller.done()
    callee.done()
    equal((1, 1), (near.connections, far.connections), "connections from the caller and to the callee")
    check(router.json("status")["requests"]["INVITE"] >= 2 * CALLS, "INVITEs: %s", router.json("status")["requests"])
