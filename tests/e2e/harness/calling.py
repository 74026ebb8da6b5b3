# SPDX-License-Identifier: Apache-2.0
"""Calls at a rate, by a caller and a callee who go on whatever happens to the router between them, and remember what
each of them saw. They repeat what is not answered as RFC 3261 §17 wants it, so that no call is left half open."""
import heapq
import random
import select
import socket
import threading
import time

T1, T2, GIVE_UP = 0.5, 4.0, 32.0
RING_MOST = 6.0  # the caller cancels what has rung so long
UNHEARD = 8.0  # the callee hangs up when his 200 has not been acknowledged for so long
SDP = (b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")

INVITE = (b"INVITE sip:%(user)s@example.com SIP/2.0\r\n"
          b"Via: SIP/2.0/UDP %(me)s;rport;branch=z9hG4bKi%(id)s\r\n"
          b"Max-Forwards: 70\r\n"
          b"From: <sip:caller@example.com>;tag=c%(id)s\r\n"
          b"To: <sip:%(user)s@example.com>\r\n"
          b"Call-ID: %(id)s\r\n"
          b"CSeq: 1 INVITE\r\n"
          b"Contact: <sip:caller@%(me)s>\r\n"
          b"Content-Type: application/sdp\r\n"
          b"Content-Length: %(length)d\r\n\r\n%(body)s")

# A caller's other requests about his INVITE have its Via (RFC 3261 §9.1, §17.1.1.3).
ABOUT = (b"%(method)s sip:%(user)s@example.com SIP/2.0\r\n"
         b"Via: SIP/2.0/UDP %(me)s;rport;branch=z9hG4bKi%(id)s\r\n"
         b"Max-Forwards: 70\r\n"
         b"From: <sip:caller@example.com>;tag=c%(id)s\r\n"
         b"To: %(to)s\r\n"
         b"Call-ID: %(id)s\r\n"
         b"CSeq: 1 %(method)s\r\n"
         b"Content-Length: 0\r\n\r\n")

WITHIN = (b"%(method)s %(target)s SIP/2.0\r\n"
          b"Via: SIP/2.0/UDP %(me)s;rport;branch=z9hG4bK%(branch)s\r\n"
          b"Max-Forwards: 70\r\n"
          b"%(routes)s"
          b"From: %(mine)s\r\n"
          b"To: %(theirs)s\r\n"
          b"Call-ID: %(id)s\r\n"
          b"CSeq: %(cseq)d %(method)s\r\n"
          b"Content-Length: 0\r\n\r\n")

KINDS = {b"answer": 6, b"busy": 1, b"ring": 1, b"nobody": 1}  # whom the callers dial, by how often
COPIED = (b"via", b"record-route", b"from", b"to", b"call-id", b"cseq")


class Parsed:
    """The first line, the header lines, and the values that everybody needs."""

    def __init__(self, raw):
        self.first, *self.lines = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
        self.named = {}
        for line in self.lines:
            name, _, value = line.partition(b":")
            self.named.setdefault(name.lower(), value.strip())
        self.id = self.named[b"call-id"]
        self.method = self.named[b"cseq"].split()[1]
        self.status = int(self.first[8:11]) if self.first.startswith(b"SIP/2.0 ") else None

    def all(self, name):
        """Whole values of every header field of that name; the router puts no commas into them."""
        return [line.partition(b":")[2].strip() for line in self.lines if line.partition(b":")[0].lower() == name]

    def contact(self):
        return self.named[b"contact"].partition(b"<")[2].partition(b">")[0]

    def reply(self, status, phrase, tag, more=b""):
        lines = [line for line in self.lines if line.partition(b":")[0].lower() in COPIED]
        if tag and b"tag=" not in self.named[b"to"]:
            lines = [line + b";tag=" + tag if line[:3].lower() == b"to:" else line for line in lines]
        return b"SIP/2.0 %d %s\r\n%s\r\n%sContent-Length: 0\r\n\r\n" % (status, phrase, b"\r\n".join(lines), more)


class Side:
    """One end of one call: a dialog, and what is being repeated until the other side has answered it."""

    def __init__(self, id_):
        self.id, self.over, self.up = id_, False, False
        self.repeating = None  # bytes
        self.mine = self.theirs = self.target = self.routes = b""
        self.cseq = 1
        self.branch = None  # the callee: of the INVITE that he took
        self.said = None  # the callee: his last answer to it
        self.acked = False
        self.kind, self.caller_ends = b"", True
        self.cancelled = False


class Calling:
    """Everything happens in one thread, between start() and finish()."""

    def __init__(self, caller, callee, to, rate, seed):
        self.to, self.rate, self.random, self.prefix = to, rate, random.Random(seed), b"k%d" % seed
        self.sockets = [self._socket(caller), self._socket(callee)]
        self.caller, self.callee = [b"%s:%d" % (a.encode(), 5060) for a in (caller, callee)]
        self.calls, self.rung = {}, {}
        self.answered = {}  # Call-ID: the statuses the caller saw
        self.branches = {}  # Call-ID: the branches of the INVITEs the callee saw
        self.timers, self.number, self.open = [], 0, 0
        self.calling, self.ending, self.failure = True, False, None
        self.thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def _socket(address):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        made.bind((address, 5060))
        made.setblocking(False)
        return made

    # ---- for the case ----

    def start(self):
        self.thread.start()
        return self

    def finish(self, seconds):
        """No new calls; waits until all are over on both sides, and ends. Gives how many were not over."""
        self.calling = False
        end = time.monotonic() + seconds
        while self.open > 0 and time.monotonic() < end and self.thread.is_alive():
            time.sleep(0.1)
        self.ending = True
        self.thread.join(5)
        if self.failure:
            raise self.failure
        return self.open

    # ---- the loop ----

    def _run(self):
        try:
            self._loop()
        except Exception as error:  # the case is told by finish()
            self.failure = error

    def _loop(self):
        due = time.monotonic()
        while not self.ending:
            now = time.monotonic()
            while self.calling and due <= now:
                self._dial(now)
                due += 1 / self.rate
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2](now)
            until = min([now + 0.05] + [self.timers[0][0]] * bool(self.timers) + [due] * self.calling)
            ready, _, _ = select.select(self.sockets, [], [], max(0, until - now))
            for one in ready:
                self._drain(one, self._at_caller if one is self.sockets[0] else self._at_callee)

    def _drain(self, one, take):
        for _ in range(64):
            try:
                raw = one.recv(65535)
            except (BlockingIOError, ConnectionRefusedError):
                return
            take(Parsed(raw), time.monotonic())

    def _later(self, when, function):
        self.number += 1
        heapq.heappush(self.timers, (when, self.number, function))

    def _repeat(self, socket_, side, raw, now, most, gone, give_up=GIVE_UP):
        """Sends it, and again until something else is being repeated; then gone()."""
        side.repeating = raw
        self._post(socket_, raw)

        def again(wait, began):
            def run(now):
                if side.over or side.repeating is not raw:
                    return
                if now - began >= give_up:
                    side.repeating = None
                    gone(now)
                    return
                self._post(socket_, raw)
                self._later(now + wait, again(min(2 * wait, most), began))
            return run

        self._later(now + T1, again(2 * T1, now))

    def _post(self, socket_, raw):
        try:
            self.sockets[socket_].sendto(raw, self.to)
        except (BlockingIOError, ConnectionRefusedError):
            pass

    def _end(self, side):
        if not side.over:
            side.over, side.repeating = True, None
            self.open -= 1

    # ---- the caller ----

    def _dial(self, now):
        self.number += 1
        side = Side(b"%s-%d" % (self.prefix, self.number))
        side.kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        side.caller_ends = self.random.random() < 0.5
        self.calls[side.id], self.open = side, self.open + 1
        invite = INVITE % {b"user": side.kind, b"me": self.caller, b"id": side.id, b"length": len(SDP), b"body": SDP}
        self._repeat(0, side, invite, now, GIVE_UP, lambda now: self._end(side))

    def _about(self, side, method, to):
        return ABOUT % {b"method": method, b"user": side.kind, b"me": self.caller, b"id": side.id, b"to": to}

    def _cancel(self, side, now):
        if side.over or side.up or side.cancelled:
            return
        side.cancelled = True
        cancel = self._about(side, b"CANCEL", b"<sip:%s@example.com>" % side.kind)
        self._repeat(0, side, cancel, now, T2, lambda now: self._end(side))

    def _at_caller(self, message, now):
        side = self.calls.get(message.id)
        if side is None:
            return
        if message.status is None:
            self._asked(0, side, message)
        elif message.method == b"INVITE":
            self._invite_answered(side, message, now)
        elif message.method == b"CANCEL":
            self._cancel_answered(side, message, now)
        elif message.method == b"BYE" and message.status >= 200:
            self._end(side)

    def _invite_answered(self, side, message, now):
        seen = self.answered.setdefault(side.id, [])
        if message.status not in seen:
            seen.append(message.status)
        if message.status < 200:
            if not side.up and not side.over and not side.cancelled and side.repeating is not None:
                side.repeating = None
                patience = self.random.uniform(0.1, 1.0) if side.kind == b"ring" else RING_MOST
                self._later(now + patience, lambda now: self._cancel(side, now))
        elif message.status < 300:
            self._went_up(side, message, now)
        else:
            self._post(0, self._about(side, b"ACK", message.named[b"to"]))
            if not side.up:
                self._end(side)

    def _cancel_answered(self, side, message, now):
        """481: the router knows no such call any more, and nobody will answer the INVITE."""
        side.repeating = None
        if message.status == 481:
            self._later(now + 2, lambda now: None if side.up else self._end(side))
        else:
            self._later(now + GIVE_UP, lambda now: None if side.up else self._end(side))

    def _went_up(self, side, message, now):
        ack = {b"method": b"ACK", b"target": message.contact(), b"me": self.caller, b"branch": b"a" + side.id,
               b"routes": b"".join(b"Route: %s\r\n" % r for r in reversed(message.all(b"record-route"))),
               b"mine": b"<sip:caller@example.com>;tag=c" + side.id, b"theirs": message.named[b"to"], b"id": side.id,
               b"cseq": 1}
        self._post(0, WITHIN % ack)
        if side.up or side.over:
            return
        side.up, side.repeating = True, None
        side.target, side.routes, side.mine, side.theirs = (
            ack[b"target"], ack[b"routes"], ack[b"mine"], ack[b"theirs"])
        if side.caller_ends:
            self._later(now + self.random.uniform(0, 3), lambda now: self._hang_up(0, side, now))
        else:  # should the callee never hear the ACK, or his BYE be lost for good
            self._later(now + 20, lambda now: self._hang_up(0, side, now))

    # ---- both ----

    def _hang_up(self, socket_, side, now):
        if side.over:
            return
        side.cseq += 1
        bye = WITHIN % {b"method": b"BYE", b"target": side.target, b"me": (self.caller, self.callee)[socket_],
                        b"branch": b"b%d%s" % (socket_, side.id), b"routes": side.routes, b"mine": side.mine,
                        b"theirs": side.theirs, b"id": side.id, b"cseq": side.cseq}
        self._repeat(socket_, side, bye, now, T2, lambda now: self._end(side))

    def _asked(self, socket_, side, message):
        """A BYE. Copies of it are answered alike."""
        if message.method == b"BYE":
            known = side is not None and side.up
            self._post(socket_, message.reply(200, b"OK", None) if known
                       else message.reply(481, b"Call Does Not Exist", b"x"))
            if known:
                self._end(side)

    # ---- the callee ----

    def _at_callee(self, message, now):
        side = self.rung.get(message.id)
        if message.status is not None:
            if side is not None and message.method == b"BYE" and message.status >= 200:
                self._end(side)
        elif message.method == b"INVITE":
            self._rings(side, message, now)
        elif message.method == b"CANCEL":
            self._cancelled(side, message, now)
        elif message.method == b"ACK" and side is not None:
            self._acknowledged(side, now)
        elif message.method == b"BYE":
            self._asked(1, side, message)

    def _rings(self, side, message, now):
        branch = message.named[b"via"].partition(b"branch=")[2].partition(b";")[0]
        seen = self.branches.setdefault(message.id, set())
        seen.add(branch)
        if side is not None:
            if side.branch == branch:
                self._post(1, side.said)
            else:  # the case counts it; a phone would say the same (RFC 3261 §8.2.2.2)
                self._post(1, message.reply(482, b"Loop Detected", b"again"))
            return
        side = self.rung[message.id] = Side(message.id)
        self.open += 1
        side.branch, side.kind = branch, message.first.partition(b":")[2].partition(b"@")[0]
        side.caller_ends = self.calls[message.id].caller_ends
        side.mine, side.theirs = message.named[b"to"] + b";tag=d" + side.id, message.named[b"from"]
        side.target = message.contact()
        side.routes = b"".join(b"Route: %s\r\n" % r for r in message.all(b"record-route"))
        if side.kind == b"busy":
            self._refuse(side, message, 486, b"Busy Here", now)
            return
        side.said = message.reply(180, b"Ringing", b"d" + side.id)
        self._post(1, side.said)
        if side.kind == b"answer":
            self._later(now + self.random.uniform(0, 0.6), lambda now: self._answers(side, message, now))
        side.invite = message

    def _refuse(self, side, message, status, phrase, now):
        side.said = message.reply(status, phrase, b"d" + side.id)
        self._repeat(1, side, side.said, now, T2, lambda now: self._end(side))

    def _answers(self, side, message, now):
        if side.over or side.cancelled:
            return
        side.up = True
        side.said = message.reply(200, b"OK", b"d" + side.id, b"Contact: <sip:%s@%s>\r\n" % (side.kind, self.callee))
        # Without an ACK the session is ended all the same (RFC 3261 §13.3.1.4).
        self._repeat(1, side, side.said, now, T2, lambda now: self._hang_up(1, side, now), UNHEARD)

    def _acknowledged(self, side, now):
        if side.acked or side.over:
            return
        side.acked = True
        if not side.up:
            self._end(side)
            return
        if side.repeating is side.said:
            side.repeating = None
        if not side.caller_ends:
            self._later(now + self.random.uniform(0, 3), lambda now: self._hang_up(1, side, now))
        else:
            self._later(now + 25, lambda now: self._hang_up(1, side, now))

    def _cancelled(self, side, message, now):
        self._post(1, message.reply(200, b"OK", b"d" + message.id))
        if side is None or side.over or side.up or side.cancelled or side.kind == b"busy":
            return
        side.cancelled = True
        self._refuse(side, side.invite, 487, b"Request Terminated", now)
