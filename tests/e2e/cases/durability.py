# SPDX-License-Identifier: Apache-2.0
"""A registration that got its 200 is there after whatever happens to the process or the disk."""
import os
import random

from harness.case import case, check, equal
from harness.deadline import until
from harness.load import Registrations
from harness.losefs import LoseFs
from harness.router import ALICE, user

RATE = 2000


def open_router(env, **settings):
    """It takes registrations of anybody, so that the load needs no digests."""
    return env.router(start=False, auth={"required": False}, log={"format": "text", "level": "info"}, **settings)


def sip_user(aor):
    return aor.partition(":")[2].partition("@")[0] if ":" in aor else aor


def lost(router, load):
    """Acknowledged bindings that the restarted router does not know."""
    known = {sip_user(b["aor"]) for b in router.registrations()}
    missing = load.users() - known
    check(not missing, "%d of %d acknowledged bindings are lost, as %s", len(missing), len(load.acknowledged),
          sorted(missing)[:5])


@case(seconds=90)
def kill_in_the_middle_of_2000_registrations_a_second(env):
    router = open_router(env).start()
    load = Registrations(env.address(9), router.at)
    for _ in range(2):
        load.run(2.5, RATE)
        router.kill()
        load.read(0.2)
        router.start()
        lost(router, load)
    env.note("%d registrations sent, %d acknowledged, all there after kill -9" % (load.sent, len(load.acknowledged)))
    check(len(load.acknowledged) > load.sent * 0.5, "only %d of %d registrations were acknowledged",
          len(load.acknowledged), load.sent)


@case(seconds=90)
def sigterm_in_the_middle(env):
    router = open_router(env).start()
    load = Registrations(env.address(9), router.at)
    load.run(1.5, RATE)
    router.process.signal(15)
    load.run(60, 200, until=lambda: not router.running())
    load.read(0.2)
    equal(0, router.process.wait(), "exit status")
    router.start()
    lost(router, load)


def power_cuts(env, mode, seeds, generations=2, seconds=1.5, eio=False):
    """Several lives on one store: each ends with a power cut in the middle of the load."""
    disks = []
    for seed in seeds:
        router = open_router(env, name="router-%s-%d" % (mode, seed))
        load = Registrations(env.address(9), router.at)
        for life in range(generations):
            chance = random.Random("%s %d %d" % (mode, seed, life))
            disk = LoseFs(env, router.store, mode, seed=seed * 100 + life, sync_us=chance.choice([0, 500, 3000]),
                          eio_sync=chance.randint(25, 250) if eio else 0, name="losefs-%s-%d-%d" % (mode, seed, life))
            disks.append(disk.log)
            router.start(env=disk.env)
            load.run(seconds * chance.uniform(0.6, 1.2), RATE, until=lambda: not router.running())
            if router.running():
                disk.cut()
            router.process.wait()
            load.read(0.2)
            # Without the layer, to see what is really there; it ends hard, so that nothing more is saved.
            router.start()
            lost(router, load)
            router.kill()
        check(load.acknowledged, "nothing was acknowledged")
        env.note("seed %d (%s%s): %d acknowledged, all there; refused: %s" % (
            seed, mode, ", EIO" if eio else "", len(load.acknowledged), load.refused or "none"))
    logs = "".join(open(path, encoding="utf-8").read() for path in disks)
    check("changes taken back" in logs, "the disk never forgot anything: %s", logs)
    check(not eio or " fails" in logs, "no sync has failed: %s", logs)


@case(seconds=90)
def power_cut_loses_nothing_acknowledged(env):
    power_cuts(env, "drop", [1])


@case(seconds=90)
def power_cut_with_a_torn_write(env):
    power_cuts(env, "torn", [1])


@case(seconds=90)
def power_cut_with_reordered_writes(env):
    power_cuts(env, "mix", [1])


@case(seconds=600, long=True)
def power_cuts_of_all_kinds_many_seeds(env):
    for mode in ("drop", "torn", "mix"):
        power_cuts(env, mode, range(2, 12), generations=3)


@case(seconds=90)
def a_failed_fsync_loses_nothing_acknowledged(env):
    """Once EIO; what that sync should have saved is gone for good. Nobody may have got a 200 for it."""
    power_cuts(env, "drop", [1, 2], generations=1, seconds=3, eio=True)


@case(seconds=600, long=True)
def failed_fsyncs_many_seeds(env):
    power_cuts(env, "drop", range(3, 15), generations=2, seconds=3, eio=True)
    power_cuts(env, "mix", range(3, 9), generations=2, seconds=3, eio=True)


def cut_at_sync(env, numbers):
    """The power goes within the N-th sync of the store's life, its very first ones too."""
    for number in numbers:
        router = open_router(env, name="router-sync-%d" % number)
        load = Registrations(env.address(9), router.at)
        disk = LoseFs(env, router.store, "mix", seed=number, sync_us=0, kill_sync=number, name="losefs-%d" % number)
        router.start(env=disk.env, ready=False)
        load.run(15, 500, until=lambda: not router.running())
        if router.running():
            disk.cut()
        router.process.wait()
        load.read(0.1)
        router.start()
        lost(router, load)
        router.kill()


@case(seconds=90)
def power_cut_at_the_first_syncs(env):
    cut_at_sync(env, [1, 2, 3, 5, 8, 13])


@case(seconds=600, long=True)
def power_cut_at_each_of_the_first_sixty_syncs(env):
    cut_at_sync(env, range(1, 61))


@case(seconds=60)
def applied_users_survive_a_power_cut(env):
    router = env.router(start=False)
    disk = LoseFs(env, router.store, "drop", name="losefs-users")
    router.start(env=disk.env)
    router.apply(ALICE)
    for n in range(5):
        router.apply(user("u%d" % n))
    disk.cut()
    router.process.wait()
    router.start()
    equal({"alice"} | {"u%d" % n for n in range(5)}, {u["name"] for u in router.json("get", "users")}, "users")


@case(seconds=60)
def a_torn_end_of_the_journal_does_not_stop_the_start(env):
    """Whatever stands at the end of the newest journal file: garbage, half a record, zeros."""
    router = open_router(env).start()
    load = Registrations(env.address(9), router.at)
    for tail in (b"\0" * 4096, os.urandom(333), b"\xff" * 9):
        load.run(0.3, 500)
        load.read(0.2)
        router.kill()
        newest = until("a journal file", lambda: newest_journal(router.store))
        with open(newest, "ab") as out:
            out.write(tail)
        router.start()
        lost(router, load)


def newest_journal(folder):
    files = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name.endswith(".j")]
    return max(files, default=None)
