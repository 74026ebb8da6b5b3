#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends raw SIP messages (byte-exact) to a router on loopback and judges the outcome.

Why it binds a source address of its own: the RFCs' messages carry no rport, so RFC 3261 §18.2.2 makes the router
answer to <received address>:<port of the Via's sent-by, default 5060>, not to the port the datagram came from. So
the runner owns --src, binds UDP 5060 there and any other port named in a top Via, and takes answers on all of them.

expect.tsv ('#' comments): file  transport  must  ideal  checks  note
  transport  udp | tcp   (a message whose Via says TCP or TLS is sent over TCP)
  must       expression over the outcome; no match is FAIL
  ideal      expression over the outcome; a match is IDEAL, else PASS (empty: as `must`)
  checks     comma list, see CHECKS
Outcome: `none` (nothing came back), else the final status (`400`), else the last provisional (`100`); over TCP
`closed` when the connection was closed without an answer.
"""
import argparse
import os
import re
import select
import socket
import sys
import time

CRLF = b"\r\n"


def top_via_port(raw):
    match = re.search(rb"(?im)^(?:via|v)[ \t]*:(?:[^\r\n]|\r\n[ \t])*", raw)
    if not match:
        return 5060
    via = re.sub(rb"\r\n[ \t]+", b" ", match.group(0)).split(b",")[0]
    match = re.search(rb"(?i)SIP\s*/\s*2\.0\s*/\s*\S+\s+(\[[^\]]*\]|[^\s:;,]+)\s*(?::\s*(\d+))?", via)
    port = int(match.group(2)) if match and match.group(2) else 5060
    return port if 1024 <= port < 65536 else 5060


def fields(message, *names):
    """Values of the header fields of these names (long and short)."""
    head = re.sub(rb"\r\n[ \t]+", b" ", message.split(b"\r\n\r\n", 1)[0])
    wanted = [n.encode().lower() for n in names]
    found = []
    for line in head.split(CRLF)[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in wanted:
            found.append(value.strip())
    return found


def first(values):
    return values[0] if values else b""


class Tester:
    def __init__(self, host, port, source, ports=(), tls=None, stream_port=None):
        """`tls`: an SSLContext; streams are TLS then, to `stream_port`."""
        self.router, self.source, self.udp = (host, port), source, {}
        self.tls, self.stream_at = tls, (host, stream_port or port)
        for number in sorted({5060} | set(ports)):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            s.bind((source, number))
            self.udp[number] = s
        self.count = 0
        self.over = set()  # Call-IDs of earlier messages: what comes late for them is not ours

    def drain(self):
        while True:
            ready, _, _ = select.select(list(self.udp.values()), [], [], 0)
            if not ready:
                return
            for s in ready:
                try:
                    s.recvfrom(65535)
                except OSError:
                    pass

    def alive(self, seconds=2.0):
        """True when the router answers an OPTIONS (asked twice at most)."""
        for _ in range(2):
            self.count += 1
            call_id = "alive-%d-%d@%s" % (os.getpid(), self.count, self.source)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((self.source, 0))
                host, port = self.router
                request = (
                    "OPTIONS sip:%s:%d SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;rport;branch=z9hG4bK-a%d-%d\r\n"
                    "Max-Forwards: 70\r\nFrom: <sip:ping@%s>;tag=al%d\r\nTo: <sip:%s:%d>\r\nCall-ID: %s\r\n"
                    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n" % (
                        host, port, *s.getsockname(), os.getpid(), self.count, self.source, self.count, host, port,
                        call_id))
                s.sendto(request.encode(), self.router)
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    ready, _, _ = select.select([s], [], [], max(0, end - time.monotonic()))
                    if ready and call_id.encode() in s.recv(65535):
                        return True
        return False

    def ours(self, raw, got, call_ids):
        """Late answers to earlier messages (the sets reuse Call-IDs) must not count."""
        if raw.startswith(b"SIP/2.0"):  # a response: only the same one coming out again would count
            return got.split(b" ")[:2] == raw.split(b" ")[:2]
        call_id = first(fields(got, "call-id", "i"))
        if call_id and call_ids and call_id not in call_ids and call_id in self.over:
            return False
        if got.startswith(b"SIP/2.0"):
            branches = [re.search(rb"(?i)branch\s*=\s*([^;,\s]+)", first(fields(m, "via", "v"))) for m in (raw, got)]
            if all(branches) and branches[0].group(1) != branches[1].group(1):
                return False
            cseqs = [first(fields(m, "cseq")).split() for m in (raw, got)]
            if len(cseqs[0]) == 2 and len(cseqs[1]) == 2 and cseqs[0][1] != cseqs[1][1]:
                # dblreq: an answer to the INVITE that hides behind the REGISTER's body must be seen.
                return b"INVITE" in cseqs[1][1] and b"INVITE" in raw and not raw.startswith(b"INVITE") \
                    and raw.count(b"SIP/2.0\r\n") > 1
        return True

    def ack_for(self, response):
        via, sender, to, call_id, cseq = (
            fields(response, "via", "v"), fields(response, "from", "f"), fields(response, "to", "t"),
            fields(response, "call-id", "i"), fields(response, "cseq"))
        if not (via and sender and to and call_id and cseq):
            return None
        return (b"ACK sip:ack@%s SIP/2.0\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s ACK\r\n"
                b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n" % (
                    self.router[0].encode(), via[0].split(b",")[0], sender[0], to[0], call_id[0], cseq[0].split()[0]))

    def send_udp(self, raw, seconds):
        """(messages that came back, False)."""
        self.drain()
        call_ids = [c.split(b",")[0].strip() for c in fields(raw, "call-id", "i")]
        self.udp.get(top_via_port(raw), self.udp[5060]).sendto(raw, self.router)
        got, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            ready, _, _ = select.select(list(self.udp.values()), [], [], max(0, end - time.monotonic()))
            for s in ready:
                try:
                    message, _ = s.recvfrom(65535)
                except OSError:
                    continue
                if not self.ours(raw, message, call_ids):
                    continue
                got.append(message)
                status = re.match(rb"SIP/2\.0 (\d\d\d)", message)
                if status and int(status.group(1)) >= 200:
                    ack = self.ack_for(message) if b"INVITE" in first(fields(message, "cseq")) else None
                    if ack:
                        s.sendto(ack, self.router)
                    end = min(end, time.monotonic() + 0.15)
        self.over.update(call_ids)
        return got, False

    def stream(self):
        s = socket.socket()
        s.bind((self.source, 0))
        s.settimeout(2)
        return self.tls.wrap_socket(s, server_hostname=self.router[0]) if self.tls else s

    def send_tcp(self, raw, seconds):
        """(messages that came back, whether the router closed the connection)."""
        with self.stream() as s:
            try:
                s.connect(self.stream_at)
                s.sendall(raw)
                s.settimeout(0.2 if self.tls else 2)  # what can be read of TLS may be no message
            except OSError:
                return [], True
            data, closed, end = b"", False, time.monotonic() + seconds
            while time.monotonic() < end and not closed:
                held = self.tls and s.pending()  # of these select() does not know
                ready, _, _ = select.select([s], [], [], 0 if held else max(0, end - time.monotonic()))
                if not ready and not held:
                    break
                try:
                    more = s.recv(65535)
                except TimeoutError:  # TLS has something of its own to read: a ticket
                    continue
                except OSError:
                    more = b""
                closed, data = not more, data + more
                if re.search(rb"(?m)^SIP/2\.0 [2-6]\d\d", data):
                    for part in re.split(rb"(?m)^(?=SIP/2\.0 )", data):
                        if re.match(rb"SIP/2\.0 [2-6]\d\d", part) and b"INVITE" in b" ".join(fields(part, "cseq")):
                            ack = self.ack_for(part)
                            if ack and not closed:
                                try:
                                    s.sendall(ack)
                                except OSError:
                                    pass
                    end = min(end, time.monotonic() + 0.3)
        parts = re.split(rb"(?m)^(?=SIP/2\.0 |[A-Z]+ sips?:\S+ SIP/2\.0)", data)
        return [p for p in parts if p.strip()], closed


def outcome(got, closed):
    statuses = [int(m.group(1)) for m in (re.match(rb"SIP/2\.0 (\d\d\d)", g) for g in got) if m]
    final = [s for s in statuses if s >= 200]
    if final:
        return str(final[0])
    if statuses:
        return str(statuses[-1])
    return "closed" if closed else "none"


# ---- further checks: each gives what is wrong, or None ------------------------------------------

def contacts(got):
    return b", ".join(v for g in got for v in fields(g, "contact", "m"))


def single(raw, got, result):
    """Only one transaction may be answered."""
    answered = {b" ".join(fields(g, "cseq")) for g in got}
    return None if len(answered) <= 1 else "answered more than one request: %r" % answered


def noforward(raw, got, result):
    """No request may come out at the tester."""
    return "a request came back" if any(not g.startswith(b"SIP/2.0") for g in got) else None


def totag(raw, got, result):
    """RFC 3261 §8.2.6.2: a final answer has a To tag."""
    for g in got:
        if re.match(rb"SIP/2\.0 [2-6]\d\d", g) and not any(b"tag=" in t.lower() for t in fields(g, "to", "t")):
            return "final response without a To tag"
    return None


def unsupported(raw, got, result):
    if result == "420" and not any(fields(g, "unsupported") for g in got):
        return "420 without Unsupported"
    return None


def echo(raw, got, result):
    """Call-ID and CSeq are copied into the answer."""
    for g in got:
        if re.match(rb"SIP/2\.0 \d\d\d", g):
            for names in (("call-id", "i"), ("cseq",)):
                asked, told = first(fields(raw, *names)), first(fields(g, *names))
                if asked and told and re.sub(rb"\s+", b" ", asked).lstrip(b"0") != \
                        re.sub(rb"\s+", b" ", told).lstrip(b"0"):
                    return "%s not echoed: %r, sent %r" % (names[0], told, asked)
    return None


def challenge(raw, got, result):
    if result == "401" and not any(fields(g, "www-authenticate") for g in got):
        return "401 without WWW-Authenticate"
    return None


def contact2(raw, got, result):
    count = len(re.findall(rb"<sip", contacts(got)))
    return "200 lists %d bindings, wanted 2" % count if result == "200" and count < 2 else None


def cparam01(raw, got, result):
    # The AOR may also hold cparam02's binding; one without the URI parameter must be there.
    if result == "200" and not re.search(rb"gw1\.example\.net(>|;expires|,|$)", contacts(got)):
        return "unknownparam moved into the URI"
    return None


def cparam02(raw, got, result):
    if result == "200" and not re.search(rb"<[^>]*;unknownparam[^>]*>", contacts(got)):
        return "unknownparam lost from the URI"
    return None


def regescrt(raw, got, result):
    if result == "200" and not re.search(rb"(?i)<[^>]*\?Route=%3Csip:sip.example.com%3E>", contacts(got)):
        return "the escaped Route is lost from the stored URI"
    return None


CHECKS = {f.__name__: f for f in (single, noforward, totag, unsupported, echo, challenge, contact2, cparam01,
                                  cparam02, regescrt)}


class Message:
    """One row of expect.tsv and the bytes it names."""

    def __init__(self, folder, row):
        self.name, transport, self.must, self.ideal, checks, self.note = (row + [""] * 6)[:6]
        self.transport = transport or "udp"
        self.checks = [c for c in checks.split(",") if c]
        with open(os.path.join(folder, self.name), "rb") as data:
            self.raw = data.read()


def load(paths, only=None):
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as rows:
            for row in rows:
                if row.strip() and not row.startswith("#"):
                    message = Message(os.path.dirname(os.path.abspath(path)), row.rstrip("\n").split("\t"))
                    if not only or re.search(only, message.name):
                        found.append(message)
    return found


def judge(tester, message, seconds, transport=None):
    """Sends one message: (IDEAL | PASS | FAIL, outcome, what is wrong, what came back)."""
    transport = transport or message.transport
    got, closed = getattr(tester, "send_" + transport)(message.raw, seconds)
    result, wrong = outcome(got, closed), []
    silent = transport != "udp" and result == "closed" and re.search(message.must or ".*", "none")
    if not silent and not re.search(message.must or ".*", result):
        wrong.append("outcome %s, wanted /%s/" % (result, message.must))
    wrong += [w for w in (CHECKS[c](message.raw, got, result) for c in message.checks) if w]
    if not tester.alive():
        wrong.append("the router stopped answering OPTIONS")
    if wrong:
        return "FAIL", result, "; ".join(wrong), got
    ideal = silent or re.search(message.ideal or message.must or ".*", result)
    return ("IDEAL" if ideal else "PASS"), result, "", got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("expect", nargs="+")
    parser.add_argument("--src", default="127.0.40.2")
    parser.add_argument("--wait", type=float, default=1.2, help="seconds to wait for an answer")
    parser.add_argument("--transport", choices=["udp", "tcp"], help="one transport for every message")
    parser.add_argument("--only")
    parser.add_argument("-v", dest="verbose", action="store_true")
    options = parser.parse_args()
    if not options.host.startswith("127."):
        sys.exit("only to loopback")
    messages = load(options.expect, options.only)
    tester = Tester(options.host, options.port, options.src, [top_via_port(m.raw) for m in messages])
    if not tester.alive():
        sys.exit("the router does not answer OPTIONS before the test")
    count = {"IDEAL": 0, "PASS": 0, "FAIL": 0}
    for message in messages:
        verdict, result, wrong, got = judge(tester, message, options.wait, options.transport)
        count[verdict] += 1
        transport = options.transport or message.transport
        print("%-5s %-36s %-4s %-6s %s" % (verdict, message.name, transport, result, wrong))
        if options.verbose:
            for g in got:
                print("      | " + g.split(CRLF)[0].decode("latin1"))
    print("TOTAL %d  ideal %d  pass %d  fail %d" % (
        sum(count.values()), count["IDEAL"], count["PASS"], count["FAIL"]))
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
