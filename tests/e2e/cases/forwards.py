# SPDX-License-Identifier: Apache-2.0
"""A user's calls go on as he says (`forward`): busy, no answer, unregistered, always; with one record each."""
import os

from cases.records import records
from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB, CAROL
from harness.sipp import Sipp
from harness.ua import UA, Dialog


def prepared(env, forward, registered=("bob", "carol")):
    """Alice at address 2 calls bob, whose `forward` this is; his phone is at 3, carol's at 4."""
    router = env.router()
    router.apply(ALICE, CAROL, dict(BOB, forward=forward))
    alice, bob, carol = (UA(router, name, address=env.address(2 + i))
                         for i, name in enumerate(("alice", "bob", "carol")))
    for ua in (bob, carol):
        if ua.name in registered:
            ua.register()
    return router, alice, bob, carol


def answered(alice, invite, ua):
    """Who is rung takes the call, and the caller hangs up."""
    came = ua.request_in("INVITE")
    ua.reply(came, 180, "Ringing")
    taken = ua.reply(came, 200, "OK")
    answer = alice.response_in(invite, least=200)
    equal(200, answer.status, "the caller is told")
    mine = Dialog.of_caller(alice, invite, answer)
    mine.ack()
    ua.request_in("ACK")
    mine.hang_up(ua)
    return taken


def one_record(router, **wanted):
    until("the record is complete", lambda: records(router, 1)[0]["end_time"])
    found = records(router, 1)[0]
    for field, value in wanted.items():
        equal(value, found[field], field)
    return found


def legs(record):
    return [(leg["user"], leg["disposition"]) for leg in record["legs"]]


@case()
def a_busy_user(env):
    router, alice, bob, carol = prepared(env, {"busy": "user:carol"})
    invite = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    bob.reply(came, 486, "Busy Here")
    bob.request_in("ACK")
    answered(alice, invite, carol)
    found = one_record(router, disposition="ANSWERED", answered_by="carol", called_uri="sip:bob@example.com")
    equal([("bob", "BUSY"), ("carol", "ANSWERED")], legs(found), "legs")


@case()
def a_user_who_does_not_answer_in_time(env):
    router, alice, bob, carol = prepared(env, {"no_answer": {"to": "user:carol", "after": "2s"}})
    invite = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    tag = sip.token(4)
    bob.reply(came, 180, "Ringing", to_tag=tag)
    cancel = bob.request_in("CANCEL", seconds=6)
    check("cause=408" in (cancel.get("reason") or ""), "the CANCEL says why: %s", cancel)
    bob.reply(cancel, 200, "OK")
    bob.reply(came, 487, "Request Terminated", to_tag=tag)
    bob.request_in("ACK")
    answered(alice, invite, carol)
    found = one_record(router, disposition="ANSWERED", answered_by="carol")
    equal([("bob", "NO_ANSWER"), ("carol", "ANSWERED")], legs(found), "legs")


@case()
def a_user_without_a_phone_and_one_who_wants_no_calls(env):
    router, alice, _, carol = prepared(env, {"unregistered": "user:carol"}, registered=["carol"])
    invite = alice.invite("sip:102@example.com")
    answered(alice, invite, carol)
    one_record(router, disposition="ANSWERED", answered_by="carol")

    router.apply(dict(BOB, forward={"always": "reply:603"}))
    answer = alice.final(alice.invite("sip:bob@example.com"))
    equal(603, answer.status, "always")
    until("two records", lambda: len(router.json("calls")) == 2)
    equal(["REJECTED"], [r["disposition"] for r in router.json("calls") if r["sip_status"] == 603], "its record")


@case()
def a_caller_who_gives_up_meanwhile(env):
    router, alice, bob, carol = prepared(env, {"busy": "user:carol"})
    invite = alice.invite("sip:bob@example.com")
    came = bob.request_in("INVITE")
    bob.reply(came, 486, "Busy Here")
    bob.request_in("ACK")
    rung = carol.request_in("INVITE")
    tag = sip.token(4)
    carol.reply(rung, 180, "Ringing", to_tag=tag)
    alice.response_in(invite, final=False, least=180)
    cancel = sip.Message("CANCEL %s SIP/2.0" % invite.uri, [
        ("Via", invite.get("via")), ("From", invite.get("from")), ("To", "<sip:bob@example.com>"),
        ("Call-ID", invite.call_id), ("CSeq", "%d CANCEL" % invite.cseq), ("Max-Forwards", "70")])
    equal(200, alice.exchange(cancel).status, "CANCEL")
    carol.reply(carol.request_in("CANCEL"), 200, "OK")
    carol.reply(rung, 487, "Request Terminated", to_tag=tag)
    equal(487, alice.final(invite).status, "the caller is told")
    one_record(router, disposition="CANCELLED")


@case()
def phones_that_we_did_not_write(env):
    """SIPp calls bob, whose SIPp is busy; carol's SIPp answers: 20 calls, each with its record."""
    router = env.router()
    router.apply(ALICE, CAROL, dict(BOB, forward={"busy": "user:carol"}))
    for name, last in (("bob", 3), ("carol", 4)):
        Sipp(env, router, "register", name, env.address(last)).done()
    busy = Sipp(env, router, "uas_486", "bob", env.address(3), calls=20).listening()
    callee = Sipp(env, router, "uas_answer", "carol", env.address(4), calls=20).listening()
    caller = Sipp(env, router, "uac_call", "bob", env.address(2), caller="alice", calls=20, rate=10)
    for sipp in (caller, busy, callee):
        sipp.done()
    until("the records are complete", lambda: all(r["end_time"] for r in records(router, 20)))
    for found in records(router, 20):
        equal(("ANSWERED", "carol", [("bob", "BUSY"), ("carol", "ANSWERED")]),
              (found["disposition"], found["answered_by"], legs(found)), "a record")


@case()
def rules_that_lead_nowhere_are_refused(env):
    router, _, _, _ = prepared(env, {"busy": "user:carol"})
    path = os.path.join(router.folder, "wrong.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("users:\n  - {name: bob, extension: 102, forward: {always: user:nobody}}\n")
    answer = router.run("apply", path)
    equal(1, answer.status, "apply: %s" % answer)
    check("wrong.yaml:2:" in str(answer) and "users.bob.forward.always: there is no user nobody" in str(answer),
          "it was said: %s", answer)
    answer = router.run("delete", "users", "carol")
    equal(1, answer.status, "delete: %s" % answer)
    check("go on to carol" in str(answer), "it was said: %s", answer)
    exported = router.done("export", "users")
    check('forward: {busy: "user:carol"}' in exported, "it was exported: %s", exported)
    router.restart(hard=True)
    equal(exported, router.done("export", "users"), "after a restart")
