# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of a case, that end with it. Needs root and ip."""
import contextlib
import ctypes
import os
import subprocess

from .case import need

_LIBC = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor):
    if _LIBC.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def run(*argv, text=None):
    done = subprocess.run(argv, input=text, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, "%s: %s" % (" ".join(argv), done.stdout)


class Namespaces:
    """Those of these names, each with its own loopback."""

    def __init__(self, env, names):
        need("ip")
        self.names = {name: "sw%d%s" % (os.getpid(), name) for name in names}
        env.at_end(self.end)
        for name in self.names.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")

    def run_in(self, name, *argv, text=None):
        run(*self.prefix(name), *argv, text=text)

    def link(self, one, name, other, peer):
        """A cable between two of them, with a name at each end."""
        run("ip", "link", "add", name, "netns", self.names[one], "type", "veth", "peer", "name", peer, "netns",
            self.names[other])
        for space, end in ((one, name), (other, peer)):
            self.run_in(space, "ip", "link", "set", end, "up")

    @contextlib.contextmanager
    def inside(self, name):
        """Sockets that are opened here belong to that network."""
        ours = os.open("/proc/self/ns/net", os.O_RDONLY)
        theirs = os.open("/run/netns/" + self.names[name], os.O_RDONLY)
        try:
            _setns(theirs)
            yield
        finally:
            _setns(ours)
            os.close(ours)
            os.close(theirs)

    def prefix(self, name):
        """What a program's command begins with, to run there."""
        return ["ip", "netns", "exec", self.names[name]]

    def end(self):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)
