# SPDX-License-Identifier: Apache-2.0
"""Two Strowgers that call each other over TLS: whose certificate is taken, and whose is not (RFC 5922, RFC 3263)."""
import os
import socket
import ssl
import threading

from harness import sip
from harness.case import case, check, equal
from harness.certificates import Authority
from harness.deadline import until
from harness.nsd import zone_server
from harness.router import ALICE, BOB
from harness.ua import SDP, UA, call

PORT = 5061


class Pair:
    """left.test with alice and right.test with bob, each with a certificate of one authority that both trust."""

    def __init__(self, env, right=None, records=(), left_ca="authority", **settings):
        self.env = env
        self.authority = Authority(env.path("ca"), "authority")
        self.zone = zone_server(env, env.address(9), "test", [
            "left A " + env.address(1), "right A " + env.address(2),
            "_sips._tcp.left SRV 0 0 %d left" % PORT, *(records or ["_sips._tcp.right SRV 0 0 %d right" % PORT])])
        self.left = self.router("left", 1, ALICE, self.authority.pair("left", "left.test"), settings.get("left_tls"))
        self.right = self.router("right", 2, BOB, right or self.authority.pair("right", "right.test"),
                                 settings.get("right_tls"))
        self.alice = UA(self.left, "alice", address=env.address(3), domain="left.test")
        self.bob = UA(self.right, "bob", address=env.address(4), domain="right.test")
        self.alice.register()
        self.bob.register()

    def router(self, name, last, user, pair, more):
        address = self.env.address(last)
        tls = dict({"certificate": pair + ".pem", "key": pair + ".key", "ca": self.authority.path}, **(more or {}))
        router = self.env.router(
            last=last, name=name, domains=[name + ".test"], tls=tls, auth={"realm": name + ".test"},
            listen=["udp:%s:5060" % address, "tcp:%s:5060" % address,
                    {"at": "tls:%s:%d" % (address, PORT), "advertise": name + ".test"}],
            dns={"servers": [self.zone], "timeout": "500ms"})
        router.apply(user)
        return router

    def log(self, router):
        with open(os.path.join(router.folder, "strowger.1.log"), encoding="utf-8") as file:
            return file.read()

    def refused(self, *texts, uri="sip:bob@right.test;transport=tls", caller=None):
        """The call fails as one that nobody can be reached for (RFC 3261 §16.7: a 503 of our own is told as 500), and
        the log of the caller's router says why."""
        caller = caller or self.alice
        sent = caller.invite(uri)
        equal(500, caller.final(sent).status, "the answer")
        router = self.left if caller is self.alice else self.right
        for text in texts:
            until("%r is in the log of %s" % (text, router.settings["domains"][0]), lambda: text in self.log(router), 5)


class OneAnswer:
    """A TLS server of Python's that takes connections one after the other, answers each one's first request with 486
    and closes."""

    def __init__(self, env, address, pair, count):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair + ".pem", pair + ".key")
        self.socket = socket.create_server((address, PORT))
        self.socket.settimeout(20)
        self.resumed, self.names = [], []
        self.context.sni_callback = lambda _, name, __: self.names.append(name)
        self.thread = threading.Thread(target=lambda: [self.serve() for _ in range(count)], daemon=True)
        self.thread.start()
        env.at_end(self.socket.close)

    def serve(self):
        plain, _ = self.socket.accept()
        plain.settimeout(10)
        with self.context.wrap_socket(plain, server_side=True) as stream:
            self.resumed.append(stream.session_reused)
            text = b""
            while b"\r\n\r\n" not in text:
                text += stream.recv(65536)
            request = sip.Message.parse(text)
            fields = [(n, v) for n, v in request.headers if n.lower() in ("via", "from", "call-id", "cseq")]
            fields.append(("To", request.get("to") + ";tag=x"))
            stream.sendall(sip.Message("SIP/2.0 486 Busy Here", fields).encode())
            stream.recv(65536)  # the ACK


@case()
def calls_between_two_domains_go_over_tls_both_ways(env):
    pair = Pair(env)
    there = call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")
    there[0].hang_up(pair.bob)
    back = call(pair.bob, pair.alice, "sip:alice@left.test;transport=tls")
    back[0].asks(pair.alice, "INVITE", body=SDP)
    back[1].hang_up(pair.bob)  # the callee's BYE goes back by our Record-Route
    for router in (pair.left, pair.right):
        metrics = router.metrics()
        check(metrics["strowger_tls_handshakes_total"] >= 2, "handshakes: %s", metrics)
        equal(0, metrics["strowger_tls_refused_total"], "refused handshakes")


@case()
def a_connection_that_the_other_side_has_opened_is_used(env):
    """RFC 5923: left has shown its certificate, so right's calls to it go by left's connection."""
    asking = {"client_ca": env.path("ca", "authority.pem"), "client_required": False}
    pair = Pair(env, left_tls=asking, right_tls=asking)
    for _ in range(4):  # whichever worker has the call
        call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")[0].hang_up(pair.bob)
    for _ in range(4):
        call(pair.bob, pair.alice, "sip:alice@left.test;transport=tls")[0].hang_up(pair.alice)
    for router in (pair.left, pair.right):
        equal(1, router.metrics()["strowger_tls_connections"], "connections over TLS")
        equal(1, router.metrics()["strowger_tls_handshakes_total"], "handshakes")


@case()
def without_certificates_each_side_dials(env):
    pair = Pair(env)  # nobody is asked for one
    call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")[0].hang_up(pair.bob)
    call(pair.bob, pair.alice, "sip:alice@left.test;transport=tls")[0].hang_up(pair.alice)
    for router in (pair.left, pair.right):
        equal(2, router.metrics()["strowger_tls_connections"], "connections over TLS")


@case()
def the_domain_and_not_its_host_is_what_is_proved(env):
    # the host's own name is another than the domain: the certificate must be the domain's (RFC 5922 §4)
    pair = Pair(env, records=['right NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.right.test.',
                              "_sips._tcp.right SRV 0 0 %d pbx7" % PORT, "pbx7 A " + env.address(2)])
    call(pair.alice, pair.bob, "sip:bob@right.test")[0].hang_up(pair.bob)
    equal(1, pair.right.metrics()["strowger_tls_connections"], "connections over TLS")


@case()
def a_certificate_for_another_name_is_refused(env):
    pair = Pair(env, right=Authority(env.path("ca"), "authority").pair("other", "other.test"))
    pair.refused("to right.test at %s:%d" % (env.address(2), PORT), "it speaks for other.test")


@case()
def an_expired_certificate_is_refused(env):
    pair = Pair(env, right=Authority(env.path("ca"), "authority").pair("late", "right.test", days=-1))
    pair.refused("certificate has expired", "CN=late")


@case()
def a_certificate_of_an_unknown_authority_is_refused(env):
    pair = Pair(env, right=Authority(env.path("stranger"), "stranger").pair("right", "right.test"))
    pair.refused("CN=stranger", "unable to get local issuer certificate")


@case()
def an_address_is_called_only_if_the_certificate_names_it(env):
    authority = Authority(env.path("ca"), "authority")
    pair = Pair(env, right=authority.pair("numeric", "right.test", address=env.address(2)))
    uri = "sip:bob@%s:%d;transport=tls" % (env.address(2), PORT)
    call(pair.alice, pair.bob, uri)[0].hang_up(pair.bob)
    pair.refused("to %s:%d" % (env.address(1), PORT), "it speaks for left.test", caller=pair.bob,
                 uri="sip:alice@%s:%d;transport=tls" % (env.address(1), PORT))


@case()
def the_next_host_is_tried_after_an_impostor(env):
    wrong = Authority(env.path("ca"), "authority").pair("wrong", "wrong.test")
    pair = Pair(env, records=["_sips._tcp.right SRV 0 0 %d first" % PORT, "first A " + env.address(5),
                              "_sips._tcp.right SRV 1 0 %d second" % PORT, "second A " + env.address(2)])
    impostor = env.router(last=5, name="first", tls={"certificate": wrong + ".pem", "key": wrong + ".key"},
                          listen=["tls:%s:%d" % (env.address(5), PORT)])
    for _ in range(2):
        call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")[0].hang_up(pair.bob)
    equal({}, impostor.json("status")["requests"], "requests at the impostor")
    dead = pair.left.json("status")["dns"]["dead_targets"]
    check(1 <= dead <= 2, "dead targets: %d, wanted one for each worker that has tried it", dead)


@case()
def a_connection_is_used_for_one_name_only(env):
    # two domains at one address (RFC 5923 §9.1): the second must be proved, too, and is not
    pair = Pair(env, records=["_sips._tcp.right SRV 0 0 %d right" % PORT, "_sips._tcp.also SRV 0 0 %d right" % PORT])
    call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")[0].hang_up(pair.bob)
    pair.refused("to also.test at", "it speaks for right.test", uri="sip:bob@also.test;transport=tls")
    call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")[0].hang_up(pair.bob)
    equal(1, pair.left.metrics()["strowger_tls_handshakes_total"], "handshakes")
    status = pair.left.json("status")["tls"]
    equal((1, 1), (status["connections"], status["refused"]), "connections and refused ones")


@case()
def who_asks_for_our_certificate_gets_it(env):
    pair = Pair(env, right_tls={"client_ca": Authority(env.path("ca"), "authority").path})
    call(pair.alice, pair.bob, "sip:bob@right.test;transport=tls")[0].hang_up(pair.bob)


@case()
def who_does_not_like_our_certificate_has_failed_the_call(env):
    pair = Pair(env, right_tls={"client_ca": Authority(env.path("stranger"), "stranger").path})
    pair.refused("alert unknown ca")
    until("right.test says so, too", lambda: "CN=left" in pair.log(pair.right), 5)


@case()
def a_session_is_taken_up_again(env):
    pair = Pair(env, records=["_sips._tcp.far SRV 0 0 %d far" % PORT, "far A " + env.address(6)])
    far = OneAnswer(env, env.address(6), pair.authority.pair("far", "far.test"), 3)
    for number in range(3):
        sent = pair.alice.invite("sip:x@far.test;transport=tls")
        equal(486, pair.alice.final(sent).status, "the answer")
        until("connection %d has ended" % number, lambda: pair.left.json("status")["tls"]["connections"] == 0, 5)
    equal([False, True, True], far.resumed, "sessions taken up")
    equal(["far.test"] * 3, far.names, "names asked for")
    equal(2, pair.left.json("status")["tls"]["resumed"], "counted")
