# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client made by hand, which can break every rule; and a phone on it (RFC 6455, RFC 7118)."""
import base64
import hashlib
import os
import select
import socket
import struct

from . import sip
from .sip import Message
from .ua import UA

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(payload=b"", opcode=TEXT, fin=True, masked=True, reserved=0, length=None):
    """One frame of a client. `length`: what its header says, if that is not so."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def upgrade(host, key, origin=None, **changes):
    """The lines of an opening; `changes` replace fields (Sec_WebSocket_Key), None leaves one out."""
    fields = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
              "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "sip", "Origin": origin}
    fields.update({k.replace("_", "-"): v for k, v in changes.items()})
    lines = ["GET /sip HTTP/1.1"]
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        lines += ["%s: %s" % (name, v) for v in values if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Answer:
    """What came back for an opening."""

    def __init__(self, head, body):
        start, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(start.split(" ")[1])
        self.headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        self.body = body


class WebSocket:
    """A connection: raw bytes, the opening, frames."""

    def __init__(self, at, tls=None, source=None, seconds=5.0):
        self.at, self.buffer, self.ended = at, b"", False
        self.socket = socket.create_connection(at, timeout=seconds, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="sip.example.com")
        self.tls = tls

    def send(self, raw):
        self.socket.sendall(raw)

    def more(self):
        """Reads once. False: the stream has ended."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.ended = self.ended or not data
        self.buffer += data
        return bool(data)

    def waiting(self, seconds):
        """Is there something to read?"""
        if self.tls and self.socket.pending():
            return True
        return bool(select.select([self.socket], [], [], max(0, seconds))[0])

    def ask(self, raw):
        """Sends a request and reads the answer to it."""
        self.send(raw)
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(), "the connection ended before an answer: %r" % self.buffer
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        answer = Answer(head, b"")
        while len(self.buffer) < int(answer.headers.get("content-length", 0)):
            assert self.more(), "the connection ended in the middle of the answer"
        size = int(answer.headers.get("content-length", 0))
        answer.body, self.buffer = self.buffer[:size], self.buffer[size:]
        return answer

    def open(self, origin=None, **changes):
        """A whole opening, which must succeed."""
        key = base64.b64encode(os.urandom(16)).decode()
        answer = self.ask(upgrade("%s:%d" % self.at, key, origin, **changes))
        assert answer.status == 101, "the opening: %d %s" % (answer.status, answer.body)
        wanted = base64.b64encode(hashlib.sha1((key + SALT).encode()).digest()).decode()
        assert answer.headers["sec-websocket-accept"] == wanted, "Sec-WebSocket-Accept is wrong"
        assert answer.headers["sec-websocket-protocol"] == "sip", "the subprotocol is not sip"
        assert answer.headers["upgrade"].lower() == "websocket", "Upgrade: %s" % answer.headers["upgrade"]
        return self

    def take(self):
        """(opcode, fin, payload) of a whole frame that is in the buffer, or None."""
        if len(self.buffer) < 2:
            return None
        first, second = self.buffer[:2]
        assert not second & 0x80, "a server's frame is masked"
        assert not first & 0x70, "a reserved bit is set"
        size, at = second & 0x7f, 2
        if size == 126:
            size, at = int.from_bytes(self.buffer[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(self.buffer[2:10], "big"), 10
        if len(self.buffer) < at + size:
            return None
        payload, self.buffer = self.buffer[at:at + size], self.buffer[at + size:]
        return first & 0x0f, bool(first & 0x80), payload

    def receive(self):
        """The next frame; None: the stream has ended."""
        while True:
            found = self.take()
            if found:
                return found
            if not self.more():
                return None

    def closing_code(self):
        """The code of the close frame that comes, after which the stream ends."""
        opcode, _, payload = self.receive() or (None, None, b"")
        assert opcode == CLOSE, "no close frame: opcode %s" % opcode
        return struct.unpack("!H", payload[:2])[0] if payload else None

    def ends(self):
        """Reads until the stream has ended."""
        while self.more():
            pass
        return True

    def close(self):
        self.socket.close()


class WebSocketUA(UA):
    """A phone in a browser: it cannot be reached but by its connection, and says so by a name in .invalid."""

    def __init__(self, router, name="alice", port=5066, tls=None, origin=None, address=None, **more):
        self.origin, self.websocket = origin, None
        self.host = sip.token(6) + ".invalid"
        super().__init__(router, name, transport="wss" if tls else "ws", tls=tls, to=(router.address, port),
                         address=address, via=self.host,
                         contact="<sip:%s@%s;transport=ws>" % (sip.token(4), self.host), **more)

    def _open(self, port):
        self.websocket = WebSocket(self.to, self.tls, self.address).open(self.origin)
        self.socket = self.websocket.socket

    def send(self, message, to=None, opcode=TEXT):
        raw = message if isinstance(message, bytes) else message.encode()
        self.websocket.send(frame(raw, opcode))

    def pump(self, seconds):
        if self.closed or not self.websocket.waiting(seconds):
            return False
        if not self.websocket.more():
            self.closed = True
            self.socket.close()
            return True
        for opcode, fin, payload in iter(self.websocket.take, None):
            self._framed(opcode, fin, payload)
        return True

    def _framed(self, opcode, fin, payload):
        if opcode == PING:
            self.websocket.send(frame(payload, PONG))
        elif opcode in (TEXT, BINARY):
            assert fin, "%s: a message in fragments" % self.name
            message = Message.parse(payload)
            message.source, message.raw = self.to, payload
            self.inbox.append(message)
