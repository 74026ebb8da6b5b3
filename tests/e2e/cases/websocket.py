# SPDX-License-Identifier: Apache-2.0
"""SIP over WebSocket, with a client made by hand at the other end."""
from cases.tls import certificate, trusting
from harness.case import case, equal
from harness.router import ALICE, BOB
from harness.ua import UA, call
from harness.websocket import WebSocketUA

WS, WSS = 5066, 5067


def prepared(env, **settings):
    """A router with UDP, TCP, WS and WSS listeners, ALICE and BOB; the context that trusts it."""
    address = env.address(1)
    path = certificate(env, "one")
    listen = ["udp:%s:5060" % address, "tcp:%s:5060" % address, "ws:%s:%d" % (address, WS),
              "wss:%s:%d" % (address, WSS)]
    router = env.router(listen=listen, tls={"certificate": "one.pem", "key": "one.key"}, **settings)
    router.apply(ALICE, BOB)
    return router, trusting(path)


@case()
def phones_on_websocket_and_udp_call_each_other(env):
    router, context = prepared(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    for word, alice in (("ws", WebSocketUA(router, "alice", WS, address=env.address(2))),
                        ("wss", WebSocketUA(router, "alice", WSS, context, address=env.address(2)))):
        alice.register()
        equal(word, router.bindings("alice")[0]["transport"], "alice's transport")
        for caller, callee in ((alice, bob), (bob, alice)):
            mine, theirs = call(caller, callee)
            theirs.asks(caller, "INVITE")
            mine.hang_up(callee)
        alice.register(expires=0)
        alice.close()
