# SPDX-License-Identifier: Apache-2.0
"""Holds a server to a share of its core, so that a load generator on the other can overrun it."""
import contextlib
import os
import subprocess
import sys
import time

from harness import SERVER_CPU, pinned


@contextlib.contextmanager
def cgroup(pid, share, period_us):
    """Holds the process to `share` of a core; OSError where no cgroup can be made."""
    name = f"strowger-bench-{os.getpid()}"
    one, two = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"
    quota = int(share * period_us)
    if os.path.exists(one + "/cpu.cfs_quota_us"):
        folder, limits = f"{one}/{name}", [("cpu.cfs_period_us", period_us), ("cpu.cfs_quota_us", quota)]
    elif os.path.exists(two + "/cgroup.controllers"):
        with contextlib.suppress(OSError):
            write(two + "/cgroup.subtree_control", "+cpu")
        folder, limits = f"{two}/{name}", [("cpu.max", f"{quota} {period_us}")]
    else:
        raise OSError("no cgroups are mounted")
    os.mkdir(folder)
    try:
        for file, value in limits:
            write(f"{folder}/{file}", value)
        write(folder + "/cgroup.procs", pid)
        yield f"cgroup, {quota / 1000:g} of {period_us / 1000:g} ms"
    finally:
        with contextlib.suppress(OSError):
            write(os.path.dirname(folder) + "/cgroup.procs", pid)
        for _ in range(50):
            try:
                os.rmdir(folder)
                break
            except OSError:
                time.sleep(0.1)  # its last process is still ending


def write(path, value):
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(value))


@contextlib.contextmanager
def busy(share):
    """Busy processes of the server's priority on its core leave it that share."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=pinned(SERVER_CPU))
              for _ in range(round(1 / share) - 1)]
    try:
        yield f"{len(others)} busy processes beside it"
    finally:
        for other in others:
            other.kill()
            other.wait()


@contextlib.contextmanager
def held(pid, share, period_us=10000, with_busy=False):
    """Holds the process to `share` of its core: by a cgroup, or, where none can be made or `with_busy`, by
    busy processes. Gives how, as a text."""
    if not with_busy:
        try:
            with cgroup(pid, share, period_us) as how:
                yield how
                return
        except (OSError, PermissionError) as why:
            print(f"   no cgroup ({why}): busy processes instead")
    with busy(share) as how:
        yield how
