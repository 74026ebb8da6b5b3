# SPDX-License-Identifier: Apache-2.0
"""Two home networks behind real NATs (netfilter), and the network between them where the router is: namespaces that end
with the case. Needs root, ip and nft.

    10.1.0.2 -- NAT 198.51.100.11 --+-- 198.51.100.1, the router
    10.2.0.2 -- NAT 198.51.100.12 --+
"""
import contextlib
import ctypes
import os
import subprocess

from .case import need

ROUTER = "198.51.100.1"
_LIBC = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor):
    if _LIBC.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


class Nats:
    """`forgets`: seconds after which a NAT has forgotten a silent phone. Each chooses its outer ports at random, for
    each peer anew (symmetric)."""

    def __init__(self, env, forgets):
        need("ip")
        need("nft")
        self.names = {name: "sw%d%s" % (os.getpid(), name) for name in ("net", "nat1", "nat2", "home1", "home2")}
        env.at_end(self.end)
        for name in self.names.values():
            self._run("ip", "netns", "add", name)
            self._run("ip", "-n", name, "link", "set", "lo", "up")
        self._in("net", "ip", "link", "add", "name", "bridge0", "type", "bridge")
        self._in("net", "ip", "address", "add", ROUTER + "/24", "dev", "bridge0")
        self._in("net", "ip", "link", "set", "bridge0", "up")
        for number in (1, 2):
            self._network(number, forgets)

    @staticmethod
    def _run(*argv, text=None):
        done = subprocess.run(argv, input=text, text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0, "%s: %s" % (" ".join(argv), done.stdout)

    def _in(self, name, *argv, text=None):
        self._run("ip", "netns", "exec", self.names[name], *argv, text=text)

    def _link(self, one, name, other, peer):
        self._run("ip", "link", "add", name, "netns", self.names[one], "type", "veth", "peer", "name", peer, "netns",
                  self.names[other])
        for space, link in ((one, name), (other, peer)):
            self._in(space, "ip", "link", "set", link, "up")

    def _network(self, number, forgets):
        nat, home = "nat%d" % number, "home%d" % number
        self._link("net", "to%d" % number, nat, "outside")
        self._in("net", "ip", "link", "set", "to%d" % number, "master", "bridge0")
        self._link(nat, "inside", home, "eth")
        self._in(nat, "ip", "address", "add", "198.51.100.1%d/24" % number, "dev", "outside")
        self._in(nat, "ip", "address", "add", "10.%d.0.1/24" % number, "dev", "inside")
        self._in(home, "ip", "address", "add", "10.%d.0.2/24" % number, "dev", "eth")
        self._in(home, "ip", "route", "add", "default", "via", "10.%d.0.1" % number)
        self._in(nat, "nft", "-f", "-", text="""
            table ip nat {
                chain post {
                    type nat hook postrouting priority 100;
                    oifname "outside" masquerade fully-random
                }
            }
            table ip filter {
                chain forward {
                    type filter hook forward priority 0; policy drop;
                    iifname "inside" accept
                    ct state established,related accept
                }
            }""")
        for timeout in ("udp_timeout", "udp_timeout_stream"):
            self._in(nat, "sysctl", "-q", "-w", "net.netfilter.nf_conntrack_%s=%d" % (timeout, forgets))
        self._in(nat, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

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
