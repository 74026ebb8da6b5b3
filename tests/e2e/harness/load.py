# SPDX-License-Identifier: Apache-2.0
"""Registrations at a rate: each of another user, with a contact of its own; remembers each 200 it got."""
import re
import select
import socket
import time

REQUEST = (b"REGISTER sip:example.com SIP/2.0\r\n"
           b"Via: SIP/2.0/UDP %(me)s;rport;branch=z9hG4bKload%(n)d\r\n"
           b"Max-Forwards: 70\r\n"
           b"From: <sip:u%(n)d@example.com>;tag=f%(n)d\r\n"
           b"To: <sip:u%(n)d@example.com>\r\n"
           b"Call-ID: load%(n)d\r\n"
           b"CSeq: 1 REGISTER\r\n"
           b"Contact: <sip:u%(n)d@%(me)s;n=%(n)d>\r\n"
           b"Expires: 3600\r\n"
           b"Content-Length: 0\r\n\r\n")

ANSWER = re.compile(rb"SIP/2\.0 (\d\d\d)[\s\S]*?\r\n(?:Call-ID|i)[ \t]*:[ \t]*load(\d+)", re.I)


class Registrations:
    def __init__(self, address, to, first=0):
        self.to, self.next = to, first
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        self.socket.bind((address, 0))
        self.me = b"%s:%d" % (address.encode(), self.socket.getsockname()[1])
        self.acknowledged, self.refused, self.sent = set(), {}, 0

    def read(self, seconds):
        """Takes what arrives within `seconds`."""
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, end - time.monotonic()))
            if not ready:
                return
            try:
                raw = self.socket.recv(65535)
            except ConnectionRefusedError:
                continue
            match = ANSWER.match(raw)
            if match and match.group(1) == b"200":
                self.acknowledged.add(int(match.group(2)))
            elif match:
                status = int(match.group(1))
                self.refused[status] = self.refused.get(status, 0) + 1

    def run(self, seconds, rate=2000, until=lambda: False):
        """Sends `rate` a second for so long, or until something is so; reads answers meanwhile."""
        begin = time.monotonic()
        sent = 0
        while not until():
            passed = time.monotonic() - begin
            if passed >= seconds:
                break
            # Never more than 50 ms' worth at once: a late turn must not become a burst.
            due = min(int(passed * rate) - sent, rate // 20 + 1)
            for _ in range(due):
                try:
                    self.socket.sendto(REQUEST % {b"me": self.me, b"n": self.next}, self.to)
                except ConnectionRefusedError:
                    pass
                self.next += 1
                self.sent += 1
            sent = max(sent + due, int(passed * rate) - rate // 20)
            self.read(0.004)

    def users(self):
        return {"u%d" % n for n in self.acknowledged}
