# SPDX-License-Identifier: Apache-2.0
"""Kills at random moments under calls at a rate: every attempt that anybody heard of has its one record."""
import contextlib
import random
import sqlite3
import time

from harness.calling import KINDS, Calling
from harness.case import case, check, equal
from harness.router import user
from harness.ua import UA

RATE = 300
USERS = [name.decode() for name in KINDS if name != b"nobody"]


def opened(env):
    """A router that anybody calls, so that the load needs no digests; what is looked for is not speed."""
    router = env.router(auth={"required": False}, log={"format": "text", "level": "info"},
                        guard={"user_rate": 0, "stranger_rate": 0, "strangers_rate": 0, "stranger_calls": 0},
                        overload={"target": "10s", "refresh_target": "1m"})
    router.apply(*(user(name) for name in USERS))
    for name in USERS:
        phone = UA(router, name, address=env.address(9), contact="<sip:%s@%s:5060>" % (name, env.address(3)))
        phone.register()
    return router


def kill(router, chance):
    """At a random moment; one in eight of them comes while the router is still starting."""
    router.kill()
    while chance.random() < 0.125:
        router.start(ready=False)
        time.sleep(chance.uniform(0, 0.3))
        router.kill()
    router.start()


def stored(router):
    """(Call-ID, when it ended) of every record, read from the database of a router that has ended."""
    with contextlib.closing(sqlite3.connect("file:%s/strowger.db?mode=ro" % router.store, uri=True)) as database:
        return database.execute("SELECT sip_call_id, end_time, disposition FROM calls").fetchall()


def restarts(env, count, seed):
    router, chance = opened(env), random.Random(seed)
    load = Calling(env.address(2), env.address(3), router.at, RATE, seed).start()
    began = time.monotonic()
    for _ in range(count):
        time.sleep(chance.uniform(0.1, 2.4))
        kill(router, chance)
    time.sleep(1)
    spent = time.monotonic() - began
    equal(0, load.finish(90), "calls that are not over for their phones")
    equal([], router.json("calls", "--live"), "calls that are up for the router")
    router.stop()

    records = stored(router)
    heard = {id_.decode() for id_ in set(load.answered) | set(load.branches)}
    recorded = [row[0] for row in records]
    missing, more = heard - set(recorded), set(recorded) - heard
    env.note("%d restarts in %d s: %d calls, %d heard of, %d records, %d of them FAILED" % (
        count, spent, len(load.calls), len(heard), len(records), sum(row[2] == "FAILED" for row in records)))
    check(not missing, "%d attempts without a record, as %s", len(missing), sorted(missing)[:5])
    equal(len(set(recorded)), len(recorded), "records, no attempt twice")
    check(not more, "%d records of attempts that nobody heard of, as %s", len(more), sorted(more)[:5])
    equal([], [row for row in records if row[1] is None][:5], "records that are open")
    twice = [id_ for id_, branches in load.branches.items() if len(branches) > 1]
    equal([], twice[:5], "calls that rang twice")
    check(len(heard) > RATE * spent * 0.5, "only %d attempts in %d s", len(heard), spent)


@case(seconds=150)
def ten_kills_under_300_calls_a_second(env):
    restarts(env, 10, seed=1)


@case(long=True, seconds=900)
def two_hundred_kills_under_300_calls_a_second(env):
    restarts(env, 200, seed=2)
