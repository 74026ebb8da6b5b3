# SPDX-License-Identifier: Apache-2.0
"""A phone made by hand, for what real phones never do: wrong credentials, old dialogs, odd transports."""
import re
import select
import socket
import time

from . import sip
from .deadline import Timeout
from .sip import Message

SDP = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
       b"m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n")


class UA:
    """One socket (UDP, or one TCP connection to the router), an inbox, and the few verbs of a phone."""

    def __init__(self, router, name="alice", password=None, address=None, port=0, transport="udp",
                 domain="example.com", contact=None, via=None, to=None, tls=None, server_name="sip.example.com",
                 far=False):
        self.name, self.password = name, password or name + "-password"
        self.domain, self.transport, self.to = domain, transport.upper(), to or router.at
        self.address = address or router.address
        self.stream, self.inbox, self.closed = b"", [], False
        self.tls, self.server_name = tls, server_name  # an ssl.SSLContext; with transport tls
        self.keepalives = 0
        self.far = far  # a proxy stands before the one that challenges: it says 100 first
        self._open(port)
        self.port = self.socket.getsockname()[1]
        # What stands in Via and Contact; a phone behind NAT writes an address that is not the one we see.
        host = "[%s]" % self.address if ":" in self.address else self.address
        self.sent_by = via or "%s:%d" % (host, self.port)
        self.contact = contact or "<sip:%s@%s%s>" % (
            name, self.sent_by, "" if transport == "udp" else ";transport=" + transport)
        self.call_id_register, self.cseq_register = sip.token(), 0
        self.nonce_counts = {}
        self.challenge = None

    def _open(self, port):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        if self.transport == "UDP":
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.socket.bind((self.address, port))
        else:
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((self.address, port))
            self.socket.settimeout(5)
            self.socket.connect(self.to)
            self.socket.settimeout(None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            self.socket = self.tls.wrap_socket(self.socket, server_hostname=self.server_name)

    def close(self):
        self.socket.close()
        self.closed = True

    @property
    def aor(self):
        return "sip:%s@%s" % (self.name, self.domain)

    # ---- messages out and in ---------------------------------------------------------------------

    def send(self, message, to=None):
        raw = message if isinstance(message, bytes) else message.encode()
        if self.transport == "UDP":
            self.socket.sendto(raw, to or self.to)
        else:
            self.socket.sendall(raw)

    def pump(self, seconds):
        """Reads what arrives within `seconds` at most; True when something came."""
        if self.closed:
            return False
        held = self.tls and self.socket.pending()  # of these select() does not know
        ready, _, _ = select.select([self.socket], [], [], 0 if held else max(0, seconds))
        if not ready and not held:
            return False
        if self.transport == "UDP":
            raw, source = self.socket.recvfrom(65535)
            if raw.strip(b"\r\n\0 "):
                message = Message.parse(raw)
                message.source, message.raw = source, raw
                self.inbox.append(message)
            else:
                self.keepalives += 1
            return True
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            self.socket.close()
            return True
        if not self.stream and data == b"\r\n":
            self.keepalives += 1
            return True
        self.stream += data
        while True:
            raw, self.stream = sip.take_message(self.stream)
            if raw is None:
                return True
            message = Message.parse(raw)
            message.source, message.raw = self.to, raw
            self.inbox.append(message)

    def take(self, wanted):
        for at, message in enumerate(self.inbox):
            if wanted(message):
                return self.inbox.pop(at)
        return None

    def expect(self, what, wanted, seconds=5.0):
        """The first message for which wanted(message) holds; the others stay in the inbox."""
        end = time.monotonic() + seconds
        while True:
            message = self.take(wanted)
            if message:
                return message
            left = end - time.monotonic()
            if left <= 0 or (self.closed and not self.inbox):
                raise Timeout("%s: no %s within %g s%s; inbox: %s" % (
                    self.name, what, seconds, " (connection closed)" if self.closed else "",
                    [str(m) for m in self.inbox] or "empty"))
            self.pump(min(left, 0.5))

    def nothing(self, what, wanted, seconds):
        """Fails when such a message comes within `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump(min(0.2, end - time.monotonic()))
            message = self.take(wanted)
            assert not message, "%s: got %s, should not: %s" % (self.name, message, what)

    def request_in(self, method, seconds=5.0, call_id=None):
        """The next request of that method that comes to this phone."""
        return self.expect(method + " request",
                           lambda m: not m.is_response and m.method == method and call_id in (None, m.call_id), seconds)

    def response_in(self, request, seconds=5.0, final=True, least=100):
        """The (final) response to a request of ours, by branch and CSeq method."""
        return self.expect("%sresponse to %s" % ("final " if final else "", request.method),
                           lambda m: m.is_response and m.branch == request.branch and m.method == request.method
                           and m.status >= (200 if final else least), seconds)

    # ---- requests ----------------------------------------------------------------------------------

    def request(self, method, uri, to=None, call_id=None, cseq=1, headers=(), body=b"", sender=None, max_forwards=70,
                from_tag=None, contact=True):
        """A request with everything in it that RFC 3261 §8.1.1 asks for."""
        fields = [("Via", "SIP/2.0/%s %s;rport;branch=%s" % (self.transport, self.sent_by, sip.branch())),
                  ("Max-Forwards", str(max_forwards)),
                  ("From", "<%s>;tag=%s" % (sender or self.aor, from_tag or sip.token(4))),
                  ("To", to or "<%s>" % uri),
                  ("Call-ID", call_id or sip.token()),
                  ("CSeq", "%d %s" % (cseq, method))]
        if contact and method in ("INVITE", "SUBSCRIBE", "REFER", "UPDATE"):
            fields.append(("Contact", self.contact))
        fields += list(headers)
        if body and not any(n.lower() == "content-type" for n, _ in headers):
            fields.append(("Content-Type", "application/sdp" if body[:2] == b"v=" else "text/plain"))
        return Message("%s %s SIP/2.0" % (method, uri), fields, body)

    def exchange(self, request, seconds=8.0):
        """Sends and gives the final response; on UDP the request is repeated as Timer E/A would. A failed
        INVITE is acknowledged."""
        end, gap = time.monotonic() + seconds, 0.5
        self.send(request)
        while True:
            try:
                answer = self.response_in(request, min(gap, max(0.01, end - time.monotonic())))
                break
            except Timeout:
                early = any(m.is_response and m.branch == request.branch for m in self.inbox)
                if time.monotonic() >= end or self.closed:
                    raise Timeout("%s: no final response to %s %s within %g s; inbox: %s" % (
                        self.name, request.method, request.uri, seconds, [str(m) for m in self.inbox])) from None
                gap = min(4.0, gap * 2)
                if self.transport == "UDP" and not (early and request.method == "INVITE"):
                    self.send(request)
        if request.method == "INVITE" and answer.status >= 300:
            self.ack_failure(request, answer)
        return answer

    def final(self, request, seconds=5.0):
        """The final response to an INVITE under way; a failure is acknowledged."""
        answer = self.response_in(request, seconds)
        if answer.status >= 300:
            self.ack_failure(request, answer)
        return answer

    def ack_failure(self, request, answer):
        """RFC 3261 §17.1.1.3: same branch, To of the response, the request's Route."""
        fields = [("Via", request.all("via")[0]), ("Max-Forwards", "70"), ("From", request.get("from")),
                  ("To", answer.get("to")), ("Call-ID", request.call_id), ("CSeq", "%d ACK" % request.cseq)]
        fields += [("Route", r) for r in request.all("route")]
        self.send(Message("ACK %s SIP/2.0" % request.uri, fields))

    def with_credentials(self, request, answer, user=None, password=None, algorithm=None, nc=None, **changes):
        """The request again with credentials for the response's challenge, next CSeq, new branch."""
        offered = sip.challenges(answer)
        assert offered, "%d without a challenge" % answer.status
        known = [c for c in offered if c["algorithm"].upper() in sip.HASHES and algorithm in (None, c["algorithm"])]
        assert known, "no %s challenge among %s" % (algorithm, offered)
        challenge = self.challenge = known[0]
        count = nc or self.nonce_counts.get(challenge["nonce"], 0) + 1
        self.nonce_counts[challenge["nonce"]] = count
        again = self.again(request)
        name = "Authorization" if answer.status == 401 else "Proxy-Authorization"
        again.headers.append((name, sip.credentials(challenge, user or self.name, password or self.password,
                                                     request.method, request.uri, nc=count, **changes)))
        return again

    def again(self, request):
        """A copy with the next CSeq and a new branch."""
        copy = Message(request.start, request.headers, request.body)
        copy.set("CSeq", "%d %s" % (request.cseq + 1, request.method))
        copy.set("Via", re.sub(r"branch=[^;,\s]+", "branch=" + sip.branch(), copy.get("via")))
        return copy

    def authenticated(self, request, seconds=8.0, **how):
        """(the request as sent last, its final response), answering one challenge."""
        answer = self.exchange(request, seconds)
        if answer.status in (401, 407):
            request = self.with_credentials(request, answer, **how)
            answer = self.exchange(request, seconds)
        return request, answer

    # ---- registration ------------------------------------------------------------------------------

    def register_request(self, expires=3600, contact=None, headers=(), sender=None):
        self.cseq_register += 1
        contact = self.contact if contact is None else contact
        fields = ([("Contact", contact)] if contact else []) + [("Expires", str(expires))] + list(headers)
        aor = sender or self.aor
        return self.request("REGISTER", "sip:" + self.domain, to="<%s>" % aor, sender=aor,
                            call_id=self.call_id_register, cseq=self.cseq_register, headers=fields)

    def register(self, expires=3600, contact=None, headers=(), expected=200, **how):
        request, answer = self.authenticated(self.register_request(expires, contact, headers), **how)
        self.cseq_register = request.cseq
        assert answer.status == expected, "REGISTER of %s: %s, wanted %d" % (self.aor, answer, expected)
        return answer

    # ---- calls ---------------------------------------------------------------------------------------

    def invite(self, uri, headers=(), body=SDP, **how):
        """Sends an INVITE and answers its challenge, if there is one; gives the request that is under way. A
        challenge is the first response, or none comes."""
        request = self.request("INVITE", uri, headers=headers, body=body)
        self.send(request)
        first = self.response_in(request, final=False, least=101 if self.far else 100)
        if first.status in (401, 407):
            self.ack_failure(request, first)
            request = self.with_credentials(request, first, **how)
            self.send(request)
        else:
            self.inbox.insert(0, first)
        return request

    def reply(self, request, status, reason="Whatever", to_tag=None, headers=(), body=b"", contact=None):
        """A response to a request that came in, sent back where RFC 3261 §18.2.2 says."""
        fields = [("Via", v) for v in request.all("via")]
        fields += [("Record-Route", r) for r in request.all("record-route")]
        to = request.get("to")
        if status > 100 and sip.parameter(sip.after_address(to), "tag") is None:
            to += ";tag=" + (to_tag or sip.token(4))
        fields += [("From", request.get("from")), ("To", to), ("Call-ID", request.call_id),
                   ("CSeq", request.get("cseq"))]
        if request.method in ("INVITE", "SUBSCRIBE", "UPDATE") and status < 300:
            fields.append(("Contact", contact or self.contact))
        fields += list(headers)
        if body and not any(n.lower() == "content-type" for n, _ in headers):
            fields.append(("Content-Type", "application/sdp"))
        response = Message("SIP/2.0 %d %s" % (status, reason), fields, body)
        self.send(response, request.source)
        return response


class Dialog:
    """One side's view of a confirmed dialog (RFC 3261 §12), enough to send ACK, BYE, re-INVITE."""

    def __init__(self, ua, call_id, local, remote, target, routes, cseq):
        self.ua, self.call_id, self.local, self.remote = ua, call_id, local, remote
        self.target, self.routes, self.cseq = target, routes, cseq

    @classmethod
    def of_caller(cls, ua, request, answer):
        return cls(ua, request.call_id, request.get("from"), answer.get("to"), sip.address_of(answer.get("contact")),
                   list(reversed(answer.all("record-route"))), request.cseq)

    @classmethod
    def of_callee(cls, ua, request, response):
        return cls(ua, request.call_id, response.get("to"), request.get("from"),
                   sip.address_of(request.get("contact")), request.all("record-route"), 100)

    def request(self, method, cseq=None, headers=(), body=b""):
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        ua = self.ua
        fields = [("Via", "SIP/2.0/%s %s;rport;branch=%s" % (ua.transport, ua.sent_by, sip.branch())),
                  ("Max-Forwards", "70")]
        fields += [("Route", r) for r in self.routes]
        fields += [("From", self.local), ("To", self.remote), ("Call-ID", self.call_id),
                   ("CSeq", "%d %s" % (cseq, method))]
        if method in ("INVITE", "UPDATE", "SUBSCRIBE", "REFER"):
            fields.append(("Contact", ua.contact))
        fields += list(headers)
        if body and not any(n.lower() == "content-type" for n, _ in headers):
            fields.append(("Content-Type", "application/sdp"))
        return Message("%s %s SIP/2.0" % (method, self.target), fields, body)

    def ack(self, cseq=None):
        self.ua.send(self.request("ACK", cseq=cseq or self.cseq))

    def asks(self, peer, method, seconds=5.0, headers=(), body=b""):
        """A request in this dialog that the other phone answers with 200: (what came there, the answer here)."""
        request = self.request(method, headers=headers, body=body)
        self.ua.send(request)
        came = peer.request_in(method, seconds, self.call_id)
        peer.reply(came, 200, "OK", body=SDP if method == "INVITE" else b"")
        answer = self.ua.response_in(request, seconds)
        if answer.status != 200:
            raise AssertionError("%s in the dialog: %s" % (method, answer))
        if method == "INVITE":
            self.ack()
            peer.request_in("ACK", seconds, self.call_id)
        return came, answer

    def hang_up(self, peer):
        return self.asks(peer, "BYE")


def call(caller, callee, uri=None, headers=(), body=SDP):
    """A whole call set-up between two hand-made phones: (the caller's dialog, the callee's dialog)."""
    sent = caller.invite(uri or callee.aor, headers, body)
    came = callee.request_in("INVITE", call_id=sent.call_id)
    tag = "callee-" + sip.token(3)
    callee.reply(came, 180, "Ringing", to_tag=tag)
    caller.response_in(sent, final=False, least=180)
    answer = callee.reply(came, 200, "OK", to_tag=tag, body=SDP)
    got = caller.response_in(sent)
    assert got.status == 200, "INVITE: %s" % got
    mine, theirs = Dialog.of_caller(caller, sent, got), Dialog.of_callee(callee, came, answer)
    mine.ack()
    callee.request_in("ACK", call_id=sent.call_id)
    return mine, theirs


def call_both_ways(alice, bob):
    """Each calls the other; within the call both ask, and who was called hangs up."""
    for caller, callee in ((alice, bob), (bob, alice)):
        mine, theirs = call(caller, callee)
        mine.asks(callee, "INVITE")
        theirs.asks(caller, "INFO")
        theirs.hang_up(caller)
