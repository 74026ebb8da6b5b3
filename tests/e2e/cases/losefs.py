# SPDX-License-Identifier: Apache-2.0
"""The forgetting disk itself: a test of a test's tool, without the router."""
import os
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
