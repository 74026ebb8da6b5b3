# SPDX-License-Identifier: Apache-2.0
"""Call records: one of each attempt, right, and there whatever happens to the process."""
import json
import time

from cases.http import token, with_token
from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.sipp import Sipp
from harness.ua import UA, Dialog, call

FIELDS = {
    "id", "sip_call_id", "node", "direction", "calling_uri", "calling_number", "calling_name", "called_uri",
    "called_number", "number", "location", "department", "campaign", "answered_by", "trunk", "gateway",
    "source_address", "transport", "user_agent", "codec", "policy_version", "schedule_state", "start_time",
    "progress_time", "answer_time", "end_time", "pdd_ms", "setup_ms", "ring_ms", "hold_ms", "duration_ms",
    "disposition", "sip_status", "q850_cause", "reason", "release_party", "first_time_caller", "caller_country",
    "caller_region", "caller_city", "caller_type", "source", "medium", "keyword", "landing_page", "referrer",
    "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "click_id", "visitor", "lead_status",
    "media", "spam", "spam_reason", "tags", "note", "value", "trunk_cost", "linked_calls", "legs"}


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB)
    return router


def phones(env, router):
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    bob.register()
    return alice, bob


def records(router, count, *words):
    """All records, once there are so many and none more comes."""
    until("%d records" % count, lambda: len(router.json("calls", *words)) >= count)
    found = router.json("calls", *words)
    equal(count, len(found), "records")
    return found


def only(router, **wanted):
    """The one record there is, with these fields."""
    until("the record is complete", lambda: len(router.json("calls")) == 1 and router.json("calls")[0]["end_time"])
    found = router.json("calls")[0]
    equal(FIELDS, set(found), "fields of a record")
    for field, value in wanted.items():
        equal(value, found[field], field)
    return found


def by_sipp(env, uac, uas):
    router = prepared(env)
    Sipp(env, router, "register", "bob", env.address(3)).done()
    callee = Sipp(env, router, uas, "bob", env.address(3)).listening()
    caller = Sipp(env, router, uac, "bob", env.address(2), caller="alice")
    caller.done()
    callee.done()
    return router


@case()
def a_call_that_was_answered(env):
    router = by_sipp(env, "uac_call", "uas_answer")
    found = only(router, disposition="ANSWERED", sip_status=200, q850_cause=16, release_party="caller",
                 direction="internal", answered_by="bob", calling_uri="sip:alice@example.com",
                 called_uri="sip:bob@example.com", transport="udp", source_address=env.address(2) + ":5060",
                 codec="PCMU", hold_ms=0)
    times = [found[name] for name in ("start_time", "progress_time", "answer_time", "end_time")]
    equal(sorted(times), times, "times")
    check(found["setup_ms"] == found["pdd_ms"] + found["ring_ms"], "spans: %s", found)
    check(found["duration_ms"] >= 0, "duration: %s", found)
    equal(1, len(found["legs"]), "legs")
    leg = found["legs"][0]
    equal(("bob", 200, "ANSWERED"), (leg["user"], leg["sip_status"], leg["disposition"]), "leg")
    equal(found, router.json("call", found["id"]), "the same by its id")


def described(address, port, formats="0", line=""):
    return ("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP %s\r\n%s" % (
        address, address, port, formats, line)).encode()


@case()
def what_both_sides_hear_and_when_one_holds(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    sent = alice.invite(bob.aor, body=described("192.0.2.1", 4000, "9 8 0"))
    came = bob.request_in("INVITE")
    answer = bob.reply(came, 200, "OK", to_tag="b", body=described("192.0.2.2", 5000, "8"))
    mine, theirs = Dialog.of_caller(alice, sent, alice.response_in(sent)), Dialog.of_callee(bob, came, answer)
    mine.ack()
    bob.request_in("ACK")
    live = records(router, 1, "--live")[0]
    equal("PCMA", live["codec"], "the codec")
    equal(0, live["hold_ms"], "hold before any")
    equal({"kinds": ["audio"], "codecs": ["G722", "PCMA", "PCMU"], "address": "192.0.2.1:4000", "hold": False},
          live["media"]["caller"], "what the caller offered")
    equal({"kinds": ["audio"], "codecs": ["PCMA"], "address": "192.0.2.2:5000", "hold": False},
          live["media"]["callee"], "what the callee answered")

    def says(speaker, listener, dialog, line):
        request = dialog.request("INVITE", body=described("192.0.2.2", 5000, "8", line))
        speaker.send(request)
        listener.reply(listener.request_in("INVITE"), 200, "OK",
                       body=described("192.0.2.1", 4000, "8", "a=recvonly\r\n" if line else ""))
        speaker.response_in(request)
        dialog.ack()
        listener.request_in("ACK")

    says(bob, alice, theirs, "a=sendonly\r\n")
    held = records(router, 1, "--live")[0]
    equal(True, held["media"]["callee"]["hold"], "the callee holds")
    equal(False, held["media"]["caller"]["hold"], "who is held does not")
    until("the clock runs", lambda: records(router, 1, "--live")[0]["hold_ms"] > held["hold_ms"])
    router.restart(hard=True)
    held = records(router, 1, "--live")[0]
    equal(True, held["media"]["callee"]["hold"], "the callee holds after a kill")
    until("the clock runs on", lambda: records(router, 1, "--live")[0]["hold_ms"] > held["hold_ms"])
    says(bob, alice, theirs, "")
    mine.hang_up(bob)
    found = only(router, disposition="ANSWERED", codec="PCMA")
    check(held["hold_ms"] < found["hold_ms"] <= found["duration_ms"], "hold: %s", found)
    equal(False, found["media"]["callee"]["hold"], "the callee holds no more")
    check("caller media" in router.done("call", found["id"]), "the command shows it")


@case()
def a_call_that_was_busy(env):
    only(by_sipp(env, "uac_486", "uas_486"), disposition="BUSY", sip_status=486, q850_cause=17, release_party="callee",
         answer_time=None, duration_ms=None, answered_by=None)


@case()
def a_call_that_was_not_answered(env):
    only(by_sipp(env, "uac_480", "uas_480"), disposition="NO_ANSWER", sip_status=480, q850_cause=18,
         release_party="callee")


@case()
def a_call_that_was_cancelled(env):
    found = only(by_sipp(env, "uac_cancel", "uas_cancelled"), disposition="CANCELLED", sip_status=487, q850_cause=16,
                 release_party="caller")
    check(found["pdd_ms"] is not None and found["ring_ms"] is not None, "it rang: %s", found)


@case()
def a_call_to_nobody(env):
    router = prepared(env)
    Sipp(env, router, "uac_404", "nobody", env.address(2), caller="alice").done()
    only(router, disposition="FAILED", sip_status=404, q850_cause=1, release_party="system", legs=[])


@case()
def a_challenge_alone_is_no_attempt(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    request = alice.request("INVITE", bob.aor)
    alice.send(request)
    first = alice.response_in(request, final=True)
    equal(407, first.status, "the challenge")
    alice.ack_failure(request, first)
    mine, _ = call(alice, bob)
    mine.hang_up(bob)
    only(router, disposition="ANSWERED", sip_call_id=mine.call_id)


@case()
def a_second_invite_of_a_call_is_refused(env):
    """It has the Call-ID and the From tag of a call that has its record: it would be a call without one."""
    router = prepared(env)
    alice, bob = phones(env, router)
    mine, theirs = call(alice, bob)
    from_tag = sip.parameter(sip.after_address(mine.local), "tag")
    for cseq, when in ((10, "up"), (20, "over")):
        again = alice.request("INVITE", bob.aor, call_id=mine.call_id, cseq=cseq, from_tag=from_tag)
        equal(482, alice.authenticated(again)[1].status, "while it is " + when)
        if when == "up":
            theirs.hang_up(alice)
    bob.nothing("a second INVITE", lambda m: m.method == "INVITE", 0.3)
    only(router, disposition="ANSWERED", release_party="callee")


@case()
def the_callee_hangs_up_and_says_why(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    mine, theirs = call(alice, bob)
    reason = [("Reason", 'SIP;cause=200;text="Done"'), ("Reason", 'Q.850;cause=31;text="Went away"')]
    theirs.asks(alice, "BYE", headers=reason)
    only(router, disposition="ANSWERED", release_party="callee", q850_cause=31, reason="Went away")


@case()
def live_calls_are_listed(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    mine, _ = call(alice, bob)
    live = records(router, 1, "--live")[0]
    equal((None, None, 200), (live["end_time"], live["disposition"], live["sip_status"]), "it goes on")
    equal(1, router.metrics()["strowger_calls_live"], "strowger_calls_live")
    mine.hang_up(bob)
    only(router, disposition="ANSWERED")
    equal([], router.json("calls", "--live"), "live calls")
    metrics = router.metrics()
    for name, value in (("strowger_calls_live", 0), ('strowger_calls_ended_total{disposition="ANSWERED"}', 1),
                        ("strowger_call_asr_ratio", 1), ("strowger_call_ner_ratio", 1),
                        ("strowger_call_pdd_seconds_count", 1)):
        equal(value, metrics[name], name)


@case()
def lists_have_filters_and_pages(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    for target in ("sip:nobody@example.com", "sip:5550100@example.com", bob.aor):
        if target == bob.aor:
            mine, _ = call(alice, bob)
            mine.hang_up(bob)
        else:
            request = alice.invite(target)
            alice.ack_failure(request, alice.response_in(request))
    until("all are over", lambda: all(r["end_time"] for r in router.json("calls")))
    everything = records(router, 3)
    equal(sorted((r["start_time"] for r in everything), reverse=True), [r["start_time"] for r in everything], "order")
    equal(["5550100"], [r["called_number"] for r in router.json("calls", "--called-number", "5550100")], "by number")
    equal(2, len(router.json("calls", "--disposition", "FAILED")), "by disposition")
    equal(3, len(router.json("calls", "--disposition", "FAILED,ANSWERED", "--direction", "internal,outbound")), "lists")
    equal(1, len(router.json("calls", "--sip-status", "404", "--called-uri", "sip:nobody@example.com")), "two filters")
    equal([], router.json("calls", "--until", "1h"), "until")
    equal(3, len(router.json("calls", "--since", "1h")), "since")
    equal(everything[:2], router.json("calls", "--limit", "2"), "limit")
    equal(1, router.run("calls", "--colour", "blue").status, "an unknown filter")
    equal(1, router.run("call", "00000000000000aa").status, "an unknown call")


@case()
def awkward_questions_have_answers(env):
    router = prepared(env)
    alice, _ = phones(env, router)
    request = alice.invite("sip:nobody@example.com")
    alice.ack_failure(request, alice.response_in(request))
    records(router, 1)
    for moment in ("2300-01-01", "9999-12-31", "9999-12-31T23:59:59Z"):  # as programs write: for ever
        equal(1, len(router.json("calls", "--until", moment)), "until %s" % moment)
        equal(0, len(router.json("calls", "--since", moment)), "since %s" % moment)
    secret = token(router, "analyst")

    def ask(query):
        status, _, body = with_token(router, "GET", "/api/v1/calls?" + query, secret)
        return status, json.loads(body)
    for value in ("abc", "404x", "404" + 24 * "0", "", "-1", "404,x"):
        status, problem = ask("sip_status=" + value)
        equal((400, "sip_status"), (status, problem.get("field")), "sip_status=%s" % value)
    many = ",".join("sip:%d@example.com" % n for n in range(15))
    names = ["sip_call_id", "calling_uri", "calling_number", "called_number", "answered_by", "source_address"]
    query = "&".join(["called_uri=sip:nobody@example.com," + many] + ["%s=%s" % (n, many) for n in names])
    equal((200, {"items": [], "next": None}), ask(query), "many values")


@case()
def a_call_that_is_up_survives_a_kill(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    mine, theirs = call(alice, bob)
    records(router, 1, "--live")
    router.restart(hard=True)
    equal(None, records(router, 1, "--live")[0]["end_time"], "it goes on")
    equal(1, router.metrics()["strowger_calls_restored_total"], "strowger_calls_restored_total")
    theirs.hang_up(alice)
    only(router, disposition="ANSWERED", release_party="callee", answered_by="bob", sip_call_id=mine.call_id)


@case()
def a_call_that_rings_is_ended_after_a_kill(env):
    router = prepared(env)
    alice, bob = phones(env, router)
    sent = alice.invite(bob.aor)
    came = bob.request_in("INVITE", call_id=sent.call_id)
    bob.reply(came, 180, "Ringing", to_tag="ringing")
    alice.response_in(sent, final=False, least=180)
    router.restart(hard=True)
    started = time.monotonic()
    cancel = bob.request_in("CANCEL", call_id=sent.call_id)
    equal(came.all("via")[0], cancel.all("via")[0], "the branch of the CANCEL")
    bob.reply(cancel, 200, "OK")
    bob.reply(came, 487, "Request Terminated", to_tag="ringing")
    bob.request_in("ACK", call_id=sent.call_id)
    got = alice.response_in(sent)
    equal(500, got.status, "what the caller is told")
    check(time.monotonic() - started < 2, "that took more than 2 s")
    only(router, disposition="FAILED", release_party="system", sip_status=500)
    alice.send(sent)  # a copy that was under way
    equal(500, alice.response_in(sent).status, "what it is answered")
    bob.nothing("the call is over", lambda message: message.method == "INVITE", seconds=1)
    only(router, disposition="FAILED", release_party="system", sip_status=500)


@case()
def many_attempts_and_kills(env):
    """Whatever the caller was told, or the callee asked, has its one record."""
    router = prepared(env)
    alice, bob = phones(env, router)
    attempts = set()
    for round_number in range(5):
        for _ in range(6):
            request = alice.request("INVITE", bob.aor if round_number % 2 else "sip:nobody@example.com")
            alice.send(request)
            first = alice.response_in(request)
            alice.ack_failure(request, first)
            request = alice.with_credentials(request, first)
            alice.send(request)
            attempts.add(request.call_id)
            answer = alice.response_in(request, final=False)
            check(answer.status in (100, 404), "answered %d", answer.status)
        router.restart(hard=True)
    until("all are over", lambda: all(r["end_time"] for r in router.json("calls")))
    found = [r["sip_call_id"] for r in router.json("calls")]
    equal(sorted(attempts), sorted(found), "Call-IDs of the records")


@case()
def without_records_none_are_kept(env):
    router = prepared(env, records="off")
    alice, bob = phones(env, router)
    mine, _ = call(alice, bob)
    mine.hang_up(bob)
    equal([], router.json("calls"), "records")
