# SPDX-License-Identifier: Apache-2.0
"""Two home networks behind real NATs (netfilter), and the network between them where the router is: namespaces that end
with the case. Needs root, ip and nft.

    10.1.0.2 -- NAT 198.51.100.11 --+-- 198.51.100.1, the router
    10.2.0.2 -- NAT 198.51.100.12 --+
"""
from .case import need
from .spaces import Namespaces

ROUTER = "198.51.100.1"


class Nats(Namespaces):
    """`forgets`: seconds after which a NAT has forgotten a silent phone. Each chooses its outer ports at random, for
    each peer anew (symmetric)."""

    def __init__(self, env, forgets):
        need("nft")
        super().__init__(env, ("net", "nat1", "nat2", "home1", "home2"))
        self.run_in("net", "ip", "link", "add", "name", "bridge0", "type", "bridge")
        self.run_in("net", "ip", "address", "add", ROUTER + "/24", "dev", "bridge0")
        self.run_in("net", "ip", "link", "set", "bridge0", "up")
        for number in (1, 2):
            self._network(number, forgets)

    def _network(self, number, forgets):
        nat, home = "nat%d" % number, "home%d" % number
        self.link("net", "to%d" % number, nat, "outside")
        self.run_in("net", "ip", "link", "set", "to%d" % number, "master", "bridge0")
        self.link(nat, "inside", home, "eth")
        self.run_in(nat, "ip", "address", "add", "198.51.100.1%d/24" % number, "dev", "outside")
        self.run_in(nat, "ip", "address", "add", "10.%d.0.1/24" % number, "dev", "inside")
        self.run_in(home, "ip", "address", "add", "10.%d.0.2/24" % number, "dev", "eth")
        self.run_in(home, "ip", "route", "add", "default", "via", "10.%d.0.1" % number)
        self.run_in(nat, "nft", "-f", "-", text="""
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
            self.run_in(nat, "sysctl", "-q", "-w", "net.netfilter.nf_conntrack_%s=%d" % (timeout, forgets))
        self.run_in(nat, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
