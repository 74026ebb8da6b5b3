# SPDX-License-Identifier: Apache-2.0
"""The forgetting disk itself: a test of a test's tool, without the router."""
import os
import re
import sqlite3
import sys

from harness.case import case, check, equal
from harness.losefs import LoseFs

# Each line of `steps` is done in turn; `ready` is said; then the power is cut from outside.
PROGRAM = """
import os, sys
os.chdir(sys.argv[1])
def write(name, text, at=None, flags=0):
    fd = os.open(name, os.O_RDWR | os.O_CREAT | flags, 0o600)
    os.write(fd, text) if at is None else os.pwrite(fd, text, at)
    return fd
def sync_folder():
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
%s
print("ready", flush=True)
sys.stdin.read()
"""


def after_power_cut(env, steps, **options):
    """{file name: content} of the folder after the steps and a power cut."""
    folder = env.path("disk")
    os.makedirs(folder)
    disk = LoseFs(env, folder, **options)
    program = env.program("steps", [sys.executable, "-c", PROGRAM % "\n".join(steps), folder], stdin=True,
                          env=dict(os.environ, **disk.env))
    if options.get("kill_sync"):
        program.wait()
    else:
        program.wait_line("^ready")
        disk.cut()
    equal(-9, program.wait(), "the program's end")
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}


@case()
def forgets_what_was_not_synced(env):
    equal({"a": b"saved"}, after_power_cut(env, [
        "fd = write('a', b'saved'); os.fsync(fd); sync_folder()",
        "os.pwrite(fd, b'LOST and longer', 0)",
        "write('b', b'lost')",
    ]), "the folder")


@case()
def a_name_is_saved_by_its_folder_only(env):
    equal({}, after_power_cut(env, ["fd = write('a', b'saved'); os.fsync(fd)"]), "the folder")


@case()
def takes_back_truncation_renaming_and_removal(env):
    equal({"a": b"aaaa", "b": b"bbbb", "c": b"cccc"}, after_power_cut(env, [
        "for n in 'abc': os.fsync(write(n, n.encode() * 4))",
        "sync_folder()",
        "os.ftruncate(write('a', b''), 1)",
        "os.rename('b', 'c')",
        "os.unlink('a')",
    ]), "the folder")


@case()
def keeps_what_a_failed_sync_did_not_save_lost(env):
    """The first sync of the file fails; a later one succeeds, which saves only what was written after."""
    equal({"a": b"\0\0\0\0saved"}, after_power_cut(env, [
        "fd = write('a', b''); sync_folder()",
        "os.pwrite(fd, b'lost', 0)",
        "try: os.fsync(fd)\nexcept OSError: pass\nelse: raise SystemExit('no EIO')",
        "os.pwrite(fd, b'saved', 4); os.fsync(fd)",
    ], eio_sync=2), "the folder")


@case()
def what_is_written_again_after_a_failed_sync_is_saved(env):
    equal({"a": b"again"}, after_power_cut(env, [
        "fd = write('a', b''); sync_folder()",
        "os.pwrite(fd, b'lost!', 0)",
        "try: os.fsync(fd)\nexcept OSError: pass",
        "os.pwrite(fd, b'again', 0); os.fsync(fd)",
    ], eio_sync=2), "the folder")


@case()
def tears_the_last_write(env):
    left = after_power_cut(env, [
        "fd = write('a', b'x' * 10); os.fsync(fd); sync_folder()",
        "os.pwrite(fd, b'y' * 4000, 10)",
    ], mode="torn", seed=7)["a"]
    rest = left[10:]
    check(left[:10] == b"x" * 10 and 0 < len(rest) < 4000 and rest == b"y" * len(rest), "left: %d bytes", len(left))


@case()
def cuts_the_power_within_a_sync(env):
    equal({"a": b"one"}, after_power_cut(env, [
        "fd = write('a', b'one'); os.fsync(fd); sync_folder()",
        "os.write(fd, b'two'); os.fsync(fd)",
    ], kill_sync=3), "the folder")


SQLITE = """
import os, sqlite3, sys
db = sqlite3.connect(os.path.join(sys.argv[1], "t.db"), isolation_level=None)
db.execute("pragma journal_mode = wal")
db.execute("pragma synchronous = full")
db.execute("pragma wal_autocheckpoint = 20")
db.execute("create table if not exists t (n integer primary key, filler blob)")
folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
os.fsync(folder)
begin = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
for n in range(begin + 1, begin + 100000):
    db.execute("insert into t values (?, randomblob(3000))", (n,))
    print("have", n, flush=True)
"""


@case()
def sqlite_keeps_what_it_committed(env):
    """A store known to be right, on this disk: what it says is committed is there after each power cut."""
    folder = env.path("disk")
    os.makedirs(folder)
    told = 0
    for life, mode in enumerate(("drop", "torn", "mix", "mix", "mix")):
        disk = LoseFs(env, folder, mode, seed=life, sync_us=200, name="losefs-%d" % life)
        program = env.program("sqlite", [sys.executable, "-c", SQLITE, folder], env=dict(os.environ, **disk.env))
        program.wait_line("^have %d$" % (told + 150), 20)
        disk.cut()
        equal(-9, program.wait(), "the program's end")
        told = max(int(line.split()[1]) for line in program.lines if re.match(r"have \d+$", line))
        database = sqlite3.connect(os.path.join(folder, "t.db"))
        equal("ok", database.execute("pragma integrity_check").fetchone()[0], "integrity after %s" % mode)
        rows = database.execute("select count(*), max(n) from t").fetchone()
        database.close()
        check(rows[0] == rows[1] and rows[1] in (told, told + 1), "%s rows, committed %d (%s)", rows, told, mode)
        told = rows[1]
