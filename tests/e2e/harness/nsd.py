# SPDX-License-Identifier: Apache-2.0
"""A DNS server that others wrote, NSD, with a zone of the case's; and servers that are of no use."""
import os
import select
import socket
import threading

from .deadline import until
from .sipp import bound

PORT = 5353


def zone_server(env, address, zone, records):
    """NSD for one zone on address:5353; gives that as `dns.servers` wants it."""
    folder = env.path("nsd")
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/zone", "w", encoding="ascii") as out:
        out.write("$ORIGIN %s.\n$TTL 60\n@ SOA ns admin 1 3600 600 86400 5\n@ NS ns\nns A %s\n" % (zone, address))
        out.write("\n".join(records) + "\n")
    with open(folder + "/nsd.conf", "w", encoding="ascii") as out:
        out.write('server:\n ip-address: %s@%d\n username: ""\n chroot: ""\n zonesdir: "%s"\n pidfile: ""\n'
                  ' database: ""\n zonelistfile: "%s/list"\n xfrdfile: "%s/xfrd"\n xfrdir: "%s"\n server-count: 1\n'
                  'remote-control:\n control-enable: no\n'
                  'zone:\n name: "%s"\n zonefile: "zone"\n' % (address, PORT, folder, folder, folder, folder, zone))
    env.program("nsd", ["nsd", "-d", "-c", folder + "/nsd.conf"])
    until("nsd has bound its port", lambda: bound("udp", address, PORT))
    return "%s:%d" % (address, PORT)


class BadServer:
    """Answers nothing, or SERVFAIL. Counts what it is asked."""

    def __init__(self, env, address, fails=False):
        self.fails, self.asked, self.over = fails, 0, False
        self.at = "%s:%d" % (address, PORT)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, PORT))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        env.at_end(self.end)

    def serve(self):
        while not self.over:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            question, source = self.socket.recvfrom(4096)
            self.asked += 1
            if self.fails:  # the same header with QR and RCODE 2, and the question; no EDNS
                end = question.index(b"\0", 12) + 5
                self.socket.sendto(question[:2] + b"\x81\x82\0\x01\0\0\0\0\0\0" + question[12:end], source)

    def end(self):
        self.over = True
        self.thread.join(2)
        self.socket.close()
