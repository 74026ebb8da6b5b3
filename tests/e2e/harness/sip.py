# SPDX-License-Identifier: Apache-2.0
"""SIP messages as a test needs them: made from parts, taken apart, framed from a stream. Not a stack."""
import hashlib
import re
import secrets

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "c": "content-type", "s": "subject", "k": "supported", "o": "event", "u": "allow-events",
           "e": "content-encoding", "r": "refer-to"}


def token(size=8):
    return secrets.token_hex(size)


def branch():
    return "z9hG4bK" + token(10)


class Message:
    """A start line, header fields in their order, a body."""

    def __init__(self, start, headers=(), body=b""):
        self.start, self.headers, self.body = start, list(headers), body
        self.source = None

    @classmethod
    def parse(cls, raw):
        head, _, body = raw.partition(b"\r\n\r\n")
        text = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "surrogateescape"))
        start, *lines = text.split("\r\n")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                headers.append((name.strip(), value.strip()))
        return cls(start, headers, body)

    def encode(self):
        lines = [self.start] + ["%s: %s" % h for h in self.headers]
        if self.get("content-length") is None:
            lines.append("Content-Length: %d" % len(self.body))
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + self.body

    def all(self, name):
        """Values of every header field of that name, comma lists taken apart where the name has them."""
        name = name.lower()
        found = [v for n, v in self.headers if COMPACT.get(n.lower(), n.lower()) == name]
        if name in ("via", "route", "record-route", "contact", "path", "service-route", "supported", "allow",
                    "allow-events", "unsupported", "require"):
            return [part for v in found for part in split_list(v)]
        return found

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def set(self, name, value):
        """Replaces the header fields of that name by one, or adds it."""
        at = [i for i, (n, _) in enumerate(self.headers) if COMPACT.get(n.lower(), n.lower()) == name.lower()]
        for i in reversed(at[1:]):
            del self.headers[i]
        if at:
            self.headers[at[0]] = (name, value)
        else:
            self.headers.append((name, value))
        return self

    def remove(self, name):
        self.headers = [h for h in self.headers if COMPACT.get(h[0].lower(), h[0].lower()) != name.lower()]
        return self

    @property
    def is_response(self):
        return self.start.startswith("SIP/2.0 ")

    @property
    def status(self):
        return int(self.start.split(" ")[1]) if self.is_response else None

    @property
    def method(self):
        """The method of a request, or that of the request which a response answers."""
        if self.is_response:
            return (self.get("cseq") or "0 ?").split()[1]
        return self.start.split(" ")[0]

    @property
    def uri(self):
        return self.start.split(" ")[1]

    @property
    def cseq(self):
        return int((self.get("cseq") or "0 ?").split()[0])

    @property
    def call_id(self):
        return self.get("call-id")

    @property
    def branch(self):
        return parameter(self.get("via") or "", "branch")

    def tag(self, name):
        return parameter(after_address(self.get(name) or ""), "tag")

    def __str__(self):
        return self.start


def split_list(value):
    """Parts of a comma list; commas in quotes or angle brackets do not part."""
    parts, part, quoted, angle = [], "", False, False
    at = 0
    while at < len(value):
        c = value[at]
        if quoted and c == "\\":
            part += value[at:at + 2]
            at += 2
            continue
        if c == '"':
            quoted = not quoted
        elif c == "<" and not quoted:
            angle = True
        elif c == ">" and not quoted:
            angle = False
        if c == "," and not quoted and not angle:
            parts.append(part.strip())
            part = ""
        else:
            part += c
        at += 1
    parts.append(part.strip())
    return [p for p in parts if p]


def parameter(text, name):
    """The value of ;name=value in text ('' for a bare ;name), or None."""
    match = re.search(r'(?i);\s*%s\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^;,\s>]*))?(?=[;,\s>]|$)' % re.escape(name), text)
    if not match:
        return None
    return (match.group(1) or "").strip('"')


def after_address(value):
    """What follows the address: the header field's own parameters."""
    return value.rpartition(">")[2] if "<" in value else ";" + value.partition(";")[2]


def address_of(value):
    """The URI of a name-addr or addr-spec."""
    match = re.search(r"<([^>]*)>", value)
    return match.group(1) if match else value.split(";")[0].strip()


def host_port(uri):
    """(host, port or None) of a SIP URI."""
    match = re.match(r"(?i)sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?]+)(?::(\d+))?", uri)
    return match.group(1).strip("[]"), int(match.group(2)) if match.group(2) else None


def take_message(buffer):
    """(message bytes or None, what remains) of a stream; leading line ends are skipped."""
    while buffer[:2] == b"\r\n":
        buffer = buffer[2:]
    head, found, rest = buffer.partition(b"\r\n\r\n")
    if not found:
        return None, buffer
    match = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(\d+)", head)
    length = int(match.group(1)) if match else 0
    if len(rest) < length:
        return None, buffer
    return head + found + rest[:length], rest[length:]


# ---- digest (RFC 8760, RFC 7616) ----------------------------------------------------------------

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def hash_hex(algorithm, text):
    return hashlib.new(HASHES[algorithm.upper()], text.encode()).hexdigest()


def challenge_of(value):
    """{realm, nonce, algorithm, qop, stale, …} of one WWW-Authenticate or Proxy-Authenticate value."""
    scheme, _, rest = value.partition(" ")
    found = {"scheme": scheme}
    for name, quoted, bare in re.findall(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', rest):
        found[name.lower()] = quoted or bare
    found.setdefault("algorithm", "MD5")
    return found


def challenges(response):
    return [challenge_of(v) for name in ("www-authenticate", "proxy-authenticate") for v in response.all(name)]


def credentials(challenge, user, password, method, uri, nc=1, cnonce=None, qop="auth", **changes):
    """The value of Authorization or Proxy-Authorization. `changes` replace fields, to be wrong on purpose."""
    algorithm, realm, nonce = challenge["algorithm"], challenge["realm"], challenge["nonce"]
    cnonce = cnonce or token(8)
    ha1 = hash_hex(algorithm, "%s:%s:%s" % (user, realm, password))
    ha2 = hash_hex(algorithm, "%s:%s" % (method, uri))
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri, "algorithm": algorithm}
    if qop and "qop" in challenge:
        fields["response"] = hash_hex(algorithm, "%s:%s:%08x:%s:%s:%s" % (ha1, nonce, nc, cnonce, qop, ha2))
        fields.update({"qop": qop, "nc": "%08x" % nc, "cnonce": cnonce})
    else:
        fields["response"] = hash_hex(algorithm, "%s:%s:%s" % (ha1, nonce, ha2))
    if "opaque" in challenge:
        fields["opaque"] = challenge["opaque"]
    fields.update(changes)
    bare = ("algorithm", "qop", "nc")
    return "Digest " + ", ".join(
        "%s=%s" % (k, v) if k in bare else '%s="%s"' % (k, v) for k, v in fields.items() if v is not None)
