# SPDX-License-Identifier: Apache-2.0
"""The published test messages of RFC 4475 and RFC 5118, each one result."""
import concurrent.futures
import importlib.util
import pathlib
import re
import time

from cases.tls import trusting
from cases.websocket import WS, prepared
from harness.case import case, check
from harness.certificates import Authority
from harness.websocket import CLOSE, WebSocket, frame

HERE = pathlib.Path(__file__).resolve().parent.parent.parent / "conformance"
DOMAINS = ["example.com", "example.net", "example.org", "company.com", "registrar.example.com"]


def siptest():
    spec = importlib.util.spec_from_file_location("siptest", HERE / "siptest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def over_websocket(tool):
    """The runner's Tester, which can send by WebSocket, too."""

    class Tester(tool.Tester):
        def send_ws(self, raw, seconds):
            """(messages that came back, whether the router closed the connection)."""
            socket = WebSocket((self.router[0], WS), source=self.source).open()
            socket.send(frame(raw, 2))
            got, end = [], time.monotonic() + seconds
            while not socket.ended and socket.waiting(end - time.monotonic()) and socket.more():
                for opcode, _, payload in iter(socket.take, None):
                    if opcode == CLOSE:
                        socket.ended = True
                    elif self.ours(raw, payload, []):
                        got.append(payload)
                        if not re.match(rb"SIP/2\.0 [2-6]", payload):
                            continue
                        end = min(end, time.monotonic() + 0.15)
                        if b"INVITE" in b"".join(tool.fields(payload, "cseq")):
                            socket.send(frame(self.ack_for(payload) or b"\r\n\r\n"))
            socket.close()
            return got, socket.ended

    return Tester


def send_all(env, label, transport=None, router=None, **settings):
    tool = siptest()
    messages = tool.load([HERE / "rfc4475" / "expect.tsv", HERE / "rfc5118" / "expect.tsv"])
    check(len(messages) == 49 + 2 + 12, "%d messages, wanted 63", len(messages))
    # Contacts that these messages register seem to be behind NATs: their OPTIONS would come in between.
    router = router or env.router(domains=DOMAINS, nat={"ping": "off"}, **settings)
    tester = over_websocket(tool)(router.address, router.port, env.address(2),
                                  [tool.top_via_port(m.raw) for m in messages])
    check(tester.alive(), "no answer to OPTIONS before the first message")
    count = {"IDEAL": 0, "PASS": 0, "FAIL": 0}
    for message in messages:
        verdict, result, wrong, _ = tool.judge(tester, message, 0.8, transport)
        count[verdict] += 1
        env.result("conformance.%s.%s" % (label, message.name.rpartition(".")[0]), wrong or None)
        if verdict == "PASS":
            env.note("%s (%s): %s is allowed, /%s/ would be better" % (message.name, label, result, message.ideal))
    env.note("%s: %d ideal, %d allowed, %d wrong" % (label, count["IDEAL"], count["PASS"], count["FAIL"]))
    check(router.running(), "the router has ended")


@case(seconds=180)
def messages_with_authentication(env):
    send_all(env, "auth")


@case(seconds=180)
def messages_without_authentication(env):
    """Registrations are stored then: the contacts that come back are checked."""
    send_all(env, "open", auth={"required": False})


@case(seconds=180)
def messages_over_websocket(env):
    """Each is a frame of its own: no framing is lost, so all that is asked of a datagram can be asked."""
    router, _ = prepared(env, domains=DOMAINS)
    send_all(env, "ws", "ws", router)


@case(seconds=180, long=True)
def messages_all_over_tcp(env):
    """Of those made for a datagram, only that the router stays up can be asked."""
    tool = siptest()
    router = env.router(domains=DOMAINS)
    messages = tool.load([HERE / "rfc4475" / "expect.tsv", HERE / "rfc5118" / "expect.tsv"])
    tester = tool.Tester(router.address, router.port, env.address(2), [])
    for message in messages:
        tester.send_tcp(message.raw, 0.4)
        check(tester.alive(), "the router stopped answering after %s", message.name)


@case(seconds=180)
def messages_over_tls_as_over_tcp(env):
    """What comes of each is the same over both, whatever that is; each to a router that has not seen it, and
    that answers two messages of one stream in their order."""
    tool = siptest()
    messages = tool.load([HERE / "rfc4475" / "expect.tsv", HERE / "rfc5118" / "expect.tsv"])
    authority = Authority(env.path("ca"), "authority")
    testers = []
    for last, name in ((1, "tcp"), (3, "tls")):
        address = env.address(last)
        pair = authority.pair(name, name + ".example.com", address=address)
        env.router(last=last, name=name, domains=DOMAINS, workers=1,
                   tls={"certificate": pair + ".pem", "key": pair + ".key"},
                   listen=["udp:%s:5060" % address, "tcp:%s:5060" % address, "tls:%s:5061" % address])
        tls = trusting(authority.path) if name == "tls" else None
        testers.append(tool.Tester(address, 5060, env.address(last + 1), tls=tls, stream_port=5061 if tls else 5060))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for message in messages:
            outcomes = list(pool.map(lambda tester: tool.outcome(*tester.send_tcp(message.raw, 0.6)), testers))
            wrong = None if outcomes[0] == outcomes[1] else "over TCP %s, over TLS %s" % tuple(outcomes)
            for tester in testers:
                check(tester.alive(), "the router stopped answering after %s", message.name)
            env.result("conformance.tls.%s" % message.name.rpartition(".")[0], wrong)
