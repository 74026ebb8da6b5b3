# SPDX-License-Identifier: Apache-2.0
"""Calls that the router hangs up: BYE to both sides, as each would get it from the other."""
import json

from cases.http import token, with_token
from cases.records import only, records
from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.sipp import Sipp
from harness.ua import UA, call


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB)
    return router


def tag_of(value):
    return sip.parameter(sip.after_address(value), "tag")


def check_bye(dialog, peer_cseq, bye):
    """A BYE of the router to this dialog's phone is one that its peer could have sent."""
    equal(tag_of(dialog.local), tag_of(bye.get("to")), "To tag")
    equal(tag_of(dialog.remote), tag_of(bye.get("from")), "From tag")
    equal(sip.address_of(dialog.ua.contact), bye.uri, "the Request-URI is the phone's contact")
    equal([], bye.all("route"), "Routes of a BYE to the phone itself")
    equal(1, len(bye.all("via")), "Vias: it is the router's own")
    check(bye.cseq > peer_cseq, "CSeq %d, the peer's was %d", bye.cseq, peer_cseq)


def hung_up(router, mine, theirs):
    """Hangs up the one call that is live; both phones hear of it, and the record says so."""
    live = records(router, 1, "--live")[0]
    said = router.json("call", live["id"], "hangup")
    equal("system", said["release_party"], "the answer is the record as it ended")
    for dialog, peer in ((mine, theirs), (theirs, mine)):
        bye = dialog.ua.request_in("BYE")
        check_bye(dialog, peer.cseq if peer is mine or peer.cseq > 100 else 0, bye)
        dialog.ua.reply(bye, 200, "OK")
    only(router, disposition="ANSWERED", release_party="system", q850_cause=16, sip_status=200)
    for dialog in (mine, theirs):
        dialog.ua.nothing("BYE once more", lambda m: not m.is_response, 1.5)
    return live


def hang_up_case(env, transport="udp", nat=False, hard=None, asks=True):
    router = prepared(env)
    private = {"via": "10.1.1.2:5060", "contact": "<sip:alice@10.1.1.2:5060>"} if nat else {}
    alice = UA(router, "alice", address=env.address(2), transport=transport, **private)
    bob = UA(router, "bob", address=env.address(3), transport=transport)
    alice.register()
    bob.register()
    mine, theirs = call(alice, bob)
    until("its record says that it is up", lambda: records(router, 1, "--live")[0]["answer_time"])
    if asks:
        mine.asks(bob, "INFO")
        theirs.asks(alice, "INFO")
    if hard is not None:
        router.restart(hard)
    hung_up(router, mine, theirs)
    return router, mine, theirs


@case()
def a_call_over_udp(env):
    router, _, _ = hang_up_case(env)
    metrics = router.metrics()
    equal(1, metrics["strowger_calls_hung_up_total"], "calls hung up")
    equal(0, metrics['strowger_byes_failed_total{reason="refused"}'], "BYEs refused")
    equal(0, metrics['strowger_byes_failed_total{reason="unanswered"}'], "BYEs unanswered")


@case()
def a_call_in_which_nobody_has_said_anything(env):
    hang_up_case(env, asks=False)


@case()
def a_call_over_tcp(env):
    hang_up_case(env, transport="tcp")


@case()
def a_call_from_behind_a_nat(env):
    hang_up_case(env, nat=True)


@case()
def a_call_after_a_kill(env):
    hang_up_case(env, hard=True)


@case()
def a_call_from_behind_a_nat_after_a_sigterm(env):
    hang_up_case(env, nat=True, hard=False)


@case()
def a_bye_that_crosses_ours(env):
    router = prepared(env)
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    bob.register()
    mine, _ = call(alice, bob)
    router.done("call", records(router, 1, "--live")[0]["id"], "hangup")
    crossing = mine.request("BYE")
    alice.send(crossing)
    equal(200, alice.response_in(crossing).status, "the answer to a BYE that crosses ours")
    for phone in (alice, bob):
        phone.reply(phone.request_in("BYE"), 481, "Gone")
    for phone in (alice, bob):
        phone.nothing("a BYE of the other side, or again", lambda m: not m.is_response, 1.5)
    only(router, release_party="system")


@case()
def who_may_hang_up_what(env):
    router = prepared(env)
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    bob.register()
    admin, analyst = token(router, "admin"), token(router, "analyst")
    sent = alice.invite(bob.aor)
    came = bob.request_in("INVITE")
    bob.reply(came, 180, "Ringing", to_tag="b")
    alice.response_in(sent, final=False, least=180)
    path = "/api/v1/calls/%s/hangup" % records(router, 1, "--live")[0]["id"]
    for wanted, target, secret in ((401, path, "nobody"), (403, path, analyst), (409, path, admin),
                                   (404, "/api/v1/calls/0000000000000001/hangup", admin),
                                   (404, "/api/v1/calls/x/hangup", admin), (404, "/api/v1/calls//hangup", admin),
                                   (404, path + "/", admin)):
        status, headers, body = with_token(router, "POST", target, secret)
        equal(wanted, status, "POST %s" % target)
        equal("application/problem+json", headers["content-type"], "a problem")
        check(json.loads(body)["detail"], "its detail: %s", body)
    equal(405, with_token(router, "GET", path, admin)[0], "GET")
    bob.reply(came, 200, "OK", to_tag="b")
    alice.response_in(sent)
    until("it is up", lambda: records(router, 1)[0]["answer_time"])
    answers = [with_token(router, "POST", path, admin, Idempotency_Key="once") for _ in range(2)]
    equal([200, 200], [status for status, _, _ in answers], "hung up, and asked again")
    equal(answers[0][2], answers[1][2], "the same answer")
    for phone in (alice, bob):
        phone.reply(phone.request_in("BYE"), 200, "OK")
    for phone in (alice, bob):
        phone.nothing("another BYE", lambda m: not m.is_response and m.method == "BYE", 1)
    equal(409, with_token(router, "POST", path, admin)[0], "it is over")
    answer = router.run("call", records(router, 1)[0]["id"], "hangup")
    equal(1, answer.status, "the command's exit code")
    check("over already" in answer.err, "what it says: %s", answer)
    equal(2, router.run("call", "1", "nonsense").status, "a verb that there is not")


@case()
def calls_of_sipp(env):
    router = prepared(env)
    Sipp(env, router, "register", "bob", env.address(3)).done()
    callee = Sipp(env, router, "uas_answer", "bob", env.address(3), calls=5).listening()
    caller = Sipp(env, router, "uac_hung_up", "bob", env.address(2), caller="alice", calls=5)
    until("all are up", lambda: len([r for r in router.json("calls", "--live") if r["answer_time"]]) == 5)
    for live in router.json("calls", "--live"):
        router.done("call", live["id"], "hangup")
    caller.done()
    callee.done()
    equal({"system"}, {r["release_party"] for r in records(router, 5)}, "who has ended them")
