# SPDX-License-Identifier: Apache-2.0
"""Phones that sleep and are woken by a push gateway (RFC 8599)."""
import threading
import time

from cases.outbound import OUTBOUND, edge_and_registrar
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


def gateway_of(env, push=None):
    """(its authority, a gateway of the case's own, the settings of a router that asks it)."""
    authority = Authority(env.path("authority"), "authority")
    gateway = Gateway(authority.pair("gateway", "push.example.com", address=env.address(9)), env.address(9),
                      SECRET.encode())
    env.at_end(gateway.close)
    with open(env.path("push.key"), "w", encoding="ascii") as out:
        out.write(SECRET + "\n")
    return authority, gateway, dict({"url": gateway.url, "secret": {"file": env.path("push.key")},
                                     "ca": authority.path, "awake": "0s", "wait": "8s"}, **(push or {}))


def with_gateway(env, push=None, **settings):
    """(router, gateway): a router that has phones woken."""
    _, gateway, push = gateway_of(env, push)
    router = env.router(push=push, **settings)
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


def cancel_of(ua, request):
    fields = [("Via", request.all("via")[0]), ("Max-Forwards", "70"), ("From", request.get("from")),
              ("To", request.get("to")), ("Call-ID", request.call_id), ("CSeq", "%d CANCEL" % request.cseq)]
    return sip.Message("CANCEL %s SIP/2.0" % request.uri, fields)


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


@case()
def a_call_that_nobody_wakes_up_for_is_480(env):
    router, gateway = with_gateway(env, push={"wait": "1s"})
    bob, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    bob.register()
    equal(480, alice.final(alice.invite("sip:bob@example.com")).status, "a call to a phone that does not come")
    gateway.expect()
    equal(1.0, router.metrics()['strowger_push_waits_total{end="late"}'], "waits that were in vain")


@case()
def what_the_gateway_says_decides(env):
    """Retried where that may help, given up at once where it does not."""
    router, gateway = with_gateway(env)
    bob, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    for statuses, wanted, requests in (([503, 429, 202], 200, 3), ([410], 480, 1), ([403], 480, 1), ([503], 480, 4)):
        bob.register()
        gateway.answers, gateway.requests, pushes = list(statuses), 0, len(gateway.pushes)
        begin = time.monotonic()
        request = alice.invite("sip:bob@example.com")
        if wanted == 200:
            gateway.expect(pushes + 1)
            bob.register()
            talk(alice, request, bob, rings(bob))
        else:
            equal(wanted, alice.final(request).status, "the call after %s" % statuses)
        equal(requests, gateway.requests, "requests to a gateway that says %s" % statuses)
        known = None if statuses == [410] else "apns"
        equal(known, router.bindings("bob")[0]["push"], "who wakes bob after %s" % statuses)
        check(time.monotonic() - begin < 7, "%s took %.1f s", statuses, time.monotonic() - begin)


@case()
def a_gateway_that_does_not_answer_is_an_alarm(env):
    router, gateway = with_gateway(env, push={"tries": 1})
    bob, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    bob.register()
    for status, alarms in ((503, 0), (503, 0), (503, 1), (410, 0)):
        gateway.answers = [status]
        equal(480, alice.final(alice.invite("sip:bob@example.com")).status, "the call")
        equal(alarms, len(router.json("status")["alarms"]), "alarms after %d" % status)
    check("gateway_no_answer 3" in router.done("status"), "what status says: %s", router.done("status"))


@case()
def a_gateway_of_a_stranger_is_not_told(env):
    """Its certificate is another authority's, or another host's."""
    router, gateway = with_gateway(env, push={"ca": Authority(env.path("others"), "others").path, "tries": 2})
    bob, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    bob.register()
    equal(480, alice.final(alice.invite("sip:bob@example.com")).status, "a call")
    equal(0, gateway.requests, "requests to the stranger")
    answer = router.run("push", "test", "bob")
    equal(1, answer.status, "the exit of `push test`")
    check("certificate" in answer.out, "what it says: %s", answer.out)


@case()
def a_cancelled_call_waits_no_longer(env):
    router, gateway = with_gateway(env)
    bob, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    bob.register()
    request = alice.invite("sip:bob@example.com")
    gateway.expect()
    cancel = cancel_of(alice, request)
    alice.send(cancel)
    equal(200, alice.response_in(cancel).status, "the answer to CANCEL")
    equal(487, alice.final(request).status, "the end of the call")
    bob.register()
    bob.nothing("nobody calls any more", lambda m: m.method == "INVITE", 0.5)
    equal(0.0, router.metrics()["strowger_push_waiting"], "calls that wait")


@case()
def a_desk_phone_rings_while_the_mobile_is_woken(env):
    router, gateway = with_gateway(env)
    mobile, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    desk = UA(router, "bob", address=env.address(5))
    mobile.register()
    desk.register()
    request = alice.invite("sip:bob@example.com")
    at_desk = rings(desk)
    gateway.expect()
    mobile.register()
    at_mobile = rings(mobile)
    talk(alice, request, mobile, at_mobile)
    cancelled = desk.request_in("CANCEL")
    desk.reply(cancelled, 200, "OK")
    desk.reply(at_desk, 487, "Request Terminated")


@case()
def a_mobile_on_a_stream_is_woken_after_a_restart(env):
    """Bindings and how their phones are woken are read back; its old connection is gone."""
    router, gateway = with_gateway(env, push={"awake": "10s"})
    old, alice = Mobile(router, address=env.address(3), transport="tcp"), UA(router, "alice", address=env.address(4))
    old.register()
    router.restart(hard=True)
    equal(["apns", "lost"], [router.bindings("bob")[0][key] for key in ("push", "flow")], "bob's binding")
    request = alice.invite("sip:bob@example.com")
    gateway.expect()
    new = Mobile(router, address=env.address(5), transport="tcp")
    new.register()
    talk(alice, request, new, rings(new))
    equal(1, len(router.bindings("bob")), "bindings of one instance")
    request = alice.invite("sip:bob@example.com")  # it is awake, and its connection lives
    talk(alice, request, new, rings(new))
    equal(1, gateway.requests, "requests to the gateway")


@case()
def a_mobile_behind_an_edge_is_woken_by_the_registrar(env):
    _, gateway, settings = gateway_of(env)
    edge, registrar = edge_and_registrar(env, push=settings)
    bob = Mobile(edge, address=env.address(3), far=True)
    alice = UA(edge, "alice", address=env.address(4), far=True)
    bob.register(headers=OUTBOUND)
    request = alice.invite("sip:bob@example.com")
    equal("bob", gateway.expect()["user"], "who is woken")
    new = Mobile(edge, address=env.address(5), far=True)
    new.register(headers=OUTBOUND)
    talk(alice, request, new, rings(new))
    equal(1.0, registrar.metrics()['strowger_push_waits_total{end="woken"}'], "calls whose phone came")


@case()
def many_calls_to_phones_of_many_users(env):
    """More workers than one: REGISTERs and calls come by each."""
    router, gateway = with_gateway(env, workers=4)
    names = ["m%d" % i for i in range(12)]
    router.apply(*[{"name": name, "password": name + "-password"} for name in names], ALICE)
    phones = {name: UA(router, name, address=env.address(3)) for name in names}

    def register(name):
        phone = phones[name]
        phone.register(contact='<%s%s>;+sip.instance="<urn:uuid:%s>"' % (sip.address_of(phone.contact), PUSH, name))
    for name in names:
        register(name)
    alice = UA(router, "alice", address=env.address(4))
    requests = {name: alice.invite("sip:%s@example.com" % name) for name in names}
    gateway.expect(len(names))
    equal(set(names), {push["user"] for push in gateway.pushes}, "who is woken")
    begin = time.monotonic()
    for name in names:
        register(name)
    for name in names:
        talk(alice, requests[name], phones[name], rings(phones[name]))
    check(time.monotonic() - begin < 8, "it took %.1f s", time.monotonic() - begin)
    equal(12.0, router.metrics()['strowger_push_waits_total{end="woken"}'], "calls whose phone came")


@case()
def what_phones_ask_for_is_checked(env):
    router, _ = with_gateway(env, push={"providers": ["apns", "webpush"], "vapid": "BA1Hxzyi1RUM1b5wjxsn7nGxAs"})
    bob = Mobile(router, address=env.address(3))
    bob.push = ";pn-provider=fcm;pn-param=p;pn-prid=x"
    bob.register(expected=555)
    bob.push = ";pn-provider=apns;pn-prid=x"
    bob.register(expected=400)
    bob.push = PUSH
    answer = bob.register(expires=100, expected=423)
    equal("240", answer.get("min-expires"), "Min-Expires")
    bob.push = ";pn-provider"
    lines = bob.register().all("feature-caps")
    equal(2, len(lines), "Feature-Caps lines: %s" % lines)
    check(any('+sip.vapid="BA1Hxzyi1RUM1b5wjxsn7nGxAs"' in line and "webpush" in line for line in lines), "%s", lines)
    equal(None, router.bindings("bob")[0]["push"], "the service in `registrations`")


@case()
def push_test_says_what_happened(env):
    router, gateway = with_gateway(env)
    answer = router.run("push", "test", "bob")
    equal(1, answer.status, "the exit without a phone")
    check("no registered phone" in answer.out, "what it says: %s", answer.out)
    desk = UA(router, "bob", address=env.address(5))
    desk.register()
    answer = router.run("push", "test", "bob")
    equal(1, answer.status, "the exit without a mobile")
    check("none with push parameters" in answer.out, "what it says: %s", answer.out)
    bob = Mobile(router, address=env.address(3))
    bob.register()
    gateway.answers = [410]
    answer = router.run("push", "test", "bob")
    equal(1, answer.status, "the exit when the gateway refuses")
    check("gone, HTTP 410" in answer.out and "not taken" in answer.out, "what it says: %s", answer.out)
    gateway.answers = [202]

    def woken():
        gateway.expect()
        time.sleep(1.1)  # `registered` is shown in seconds
        bob.register()
    phone = threading.Thread(target=woken)
    phone.start()
    answer = router.run("push", "test", "bob")
    phone.join()
    equal(0, answer.status, "the exit when the phone came: %s" % answer)
    check("accepted, HTTP 202" in answer.out and "registered after" in answer.out, "what it says: %s", answer.out)
    equal("test", gateway.pushes[-1]["event"], "the event")
    check(PRID not in answer.out and "fc13adff" not in answer.out, "it shows the token: %s", answer.out)


@case()
def without_a_gateway_push_parameters_change_nothing(env):
    router = env.router()
    router.apply(ALICE, BOB)
    bob, alice = Mobile(router, address=env.address(3)), UA(router, "alice", address=env.address(4))
    answer = bob.register()
    equal([], answer.all("feature-caps"), "Feature-Caps")
    request = alice.invite("sip:bob@example.com")
    invite = bob.request_in("INVITE")
    talk(alice, request, bob, invite)
    answer = router.run("push", "test", "bob")
    equal(1, answer.status, "the exit of `push test`")
    check("push.url" in answer.err, "what it says: %s", answer)


@case(long=True, seconds=240)
def a_registration_is_renewed_by_push(env):
    router, gateway = with_gateway(env, push={"refresh": "200s"}, registrar={"default_expires": "450s"})
    bob = Mobile(router, address=env.address(3))
    bob.register(expires=320)
    document = gateway.expect(seconds=150)
    equal(("refresh", "bob", None), tuple(document[key] for key in ("event", "user", "call_id")), "what was told")
    until("a refresh in the metrics", lambda: router.metrics()['strowger_push_phones_total{why="refresh"}'] == 1.0, 5)
