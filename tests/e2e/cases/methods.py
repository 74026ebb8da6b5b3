# SPDX-License-Identifier: Apache-2.0
"""Methods that are not ours yet, and those that only pass through."""
from harness.case import case, check, equal
from harness.router import ALICE, BOB
from harness.ua import UA


def prepared(env):
    router = env.router()
    router.apply(ALICE, BOB)
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    return router, alice, bob


def bad_event(env, method, event):
    _, alice, bob = prepared(env)
    for uri in ("sip:bob@example.com", "sip:alice@example.com", "sip:102@example.com"):
        headers = ([("Event", event)] if event else []) + [("Expires", "600")]
        _, answer = alice.authenticated(alice.request(method, uri, headers=headers))
        equal(489, answer.status, "%s of %s for %s" % (method, event, uri))
        check(answer.get("allow-events") is not None, "489 without Allow-Events")
    bob.nothing(method, lambda m: not m.is_response and m.method == method, 0.2)


@case()
def subscribe_is_489(env):
    bad_event(env, "SUBSCRIBE", "presence")


@case()
def subscribe_without_event_is_489(env):
    bad_event(env, "SUBSCRIBE", None)


@case()
def publish_is_489(env):
    bad_event(env, "PUBLISH", "presence")


def proxied(env, method, headers=()):
    _, alice, bob = prepared(env)
    request = alice.request(method, "sip:bob@example.com", headers=headers, body=b"body of " + method.encode())
    first = alice.exchange(request)
    equal(407, first.status, method + " without credentials")
    sent = alice.with_credentials(request, first)
    alice.send(sent)
    came = bob.request_in(method)
    equal(b"body of " + method.encode(), came.body, "body")
    bob.reply(came, 299, "From the phone", headers=[("X-Phone", "yes")])
    answer = alice.response_in(sent)
    equal(("SIP/2.0 299 From the phone", "yes"), (answer.start, answer.get("x-phone")), method)


@case()
def message_is_proxied(env):
    proxied(env, "MESSAGE")


@case()
def info_is_proxied(env):
    proxied(env, "INFO")


@case()
def refer_is_proxied(env):
    proxied(env, "REFER", [("Refer-To", "<sip:carol@example.com>")])


@case()
def notify_is_proxied(env):
    proxied(env, "NOTIFY", [("Event", "message-summary"), ("Subscription-State", "active")])


@case()
def update_is_proxied(env):
    proxied(env, "UPDATE")


@case()
def prack_is_proxied(env):
    proxied(env, "PRACK", [("RAck", "1 1 INVITE")])


@case()
def options_to_a_phone_is_proxied(env):
    proxied(env, "OPTIONS")


@case()
def an_unknown_method_is_proxied(env):
    proxied(env, "JUGGLE")


@case()
def method_names_have_case(env):
    """RFC 3261 §7.1: `register` is another method than REGISTER."""
    router, alice, _ = prepared(env)
    request = alice.request("register", "sip:bob@example.com", headers=[("Contact", "<sip:x@192.0.2.1>")])
    sent = alice.with_credentials(request, alice.exchange(request))
    alice.send(sent)
    equal(1, len(router.registrations("sip:bob@example.com")), "bindings of bob")
