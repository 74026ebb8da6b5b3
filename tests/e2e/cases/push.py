# SPDX-License-Identifier: Apache-2.0
"""Phones that sleep and are woken by a push gateway (RFC 8599)."""
import time

from harness import sip
from harness.case import case, check, equal
from harness.certificates import Authority
from harness.deadline import until
from harness.gateway import Gateway
from harness.router import ALICE, BOB
from harness.ua import UA, Dialog

SECRET = "a secret of the gateway's and ours"
PRID = "00fc13adff78512%3A42"
PUSH = ";pn-provider=apns;pn-param=DEF123GHIJ.com.example.phone.voip;pn-prid=" + PRID
INSTANCE = "urn:uuid:00000000-0000-1000-8000-0000000000b0"


def with_gateway(env, push=None, **settings):
    """(router, gateway): a router that has phones woken by a gateway of the case's own."""
    authority = Authority(env.path("authority"), "authority")
    gateway = Gateway(authority.pair("gateway", "push.example.com", address=env.address(9)), env.address(9),
                      SECRET.encode())
    env.at_end(gateway.close)
    with open(env.path("push.key"), "w", encoding="ascii") as out:
        out.write(SECRET + "\n")
    settings.setdefault("push", dict({"url": gateway.url, "secret": {"file": env.path("push.key")},
                                      "ca": authority.path, "awake": "0s", "wait": "8s"}, **(push or {})))
    router = env.router(**settings)
    router.apply(ALICE, BOB)
    return router, gateway


class Mobile(UA):
    """bob's phone, which is woken by push."""

    def __init__(self, router, *words, push=PUSH, **more):
        super().__init__(router, "bob", *words, **more)
        self.push = push

    def register(self, expires=3600, contact=None, headers=(), expected=200, **how):
        contact = contact or '<%s%s>;+sip.instance="<%s>"' % (sip.address_of(self.contact), self.push, INSTANCE)
        return super().register(expires, contact, headers, expected, **how)


def rings(phone):
    """The INVITE that comes to a phone, which rings; nothing of the push parameters may be in it."""
    invite = phone.request_in("INVITE")
    check("pn-" not in invite.raw.decode(), "push parameters went out: %s", invite.raw.decode())
    phone.reply(invite, 180, "Ringing")
    return invite


def talk(caller, request, phone, invite):
    """Answers, and hangs up."""
    phone.reply(invite, 200, "OK", to_tag="tag")
    answer = caller.final(request)
    equal(200, answer.status, "what the caller hears")
    mine = Dialog.of_caller(caller, request, answer)
    caller.send(mine.request("ACK", cseq=request.cseq))
    phone.request_in("ACK")
    equal(200, mine.asks(phone, "BYE")[1].status, "the answer to BYE")


@case()
def a_call_wakes_a_phone_and_rings_it(env):
    router, gateway = with_gateway(env)
    old, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    answer = old.register()
    check('+sip.pns="apns"' in answer.get("feature-caps"), "the answer to REGISTER: %s", answer)
    check(PRID in answer.get("contact"), "the contact in it: %s", answer.get("contact"))
    equal("apns", router.bindings("bob")[0]["push"], "the service in `registrations`")
    check(PRID not in router.done("registrations", "--json"), "`registrations` shows how bob is woken")

    request = alice.invite("sip:bob@example.com")
    document = gateway.expect()
    equal(("call", "bob", "apns", "DEF123GHIJ.com.example.phone.voip", "00fc13adff78512:42", request.call_id,
           "sip:alice@example.com"),
          tuple(document[key] for key in ("event", "user", "provider", "param", "prid", "call_id", "from")),
          "what the gateway was told")
    old.nothing("the phone sleeps", lambda m: m.method == "INVITE", 0.5)
    new = Mobile(router, address=env.address(5))
    new.register()
    invite = rings(new)
    equal(180, alice.response_in(request, final=False, least=101).status, "what the caller hears")
    talk(alice, request, new, invite)
    old.nothing("it is elsewhere now", lambda m: m.method == "INVITE", 0.2)
    equal(1, gateway.requests, "requests to the gateway")
    for number in range(1, router.starts + 1):
        with open(env.path("router", "strowger.%d.log" % number), encoding="utf-8") as log:
            text = log.read()
        check("fc13adff" not in text and SECRET not in text, "the log has what must not be in it")
