# SPDX-License-Identifier: Apache-2.0
"""SIP over TLS, with Python's and OpenSSL's own clients at the other end."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.ua import UA, call

PORT = 5061


def certificate(env, name, host="sip.example.com", kind="ec", days=30, issuer=None):
    """NAME.pem and NAME.key in the router's folder, signed by itself or by `issuer`; gives the certificate's path."""
    key = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}[kind]
    stem = env.path("router", name)
    os.makedirs(env.path("router"), exist_ok=True)
    request = ["openssl", "req", *key, "-nodes", "-keyout", stem + ".key", "-subj", "/CN=" + name]
    if issuer is None:
        subprocess.run([*request, "-x509", "-days", str(days), "-addext", "subjectAltName=DNS:" + host,
                        "-out", stem + ".pem"], check=True, capture_output=True)
    else:
        subprocess.run([*request, "-out", stem + ".csr"], check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", stem + ".csr", "-CA", issuer + ".pem", "-CAkey",
                        issuer + ".key", "-CAcreateserial", "-days", str(days), "-out", stem + ".pem"],
                       check=True, capture_output=True)
    return stem + ".pem"


def prepared(env, tls=None, names=("one",), **settings):
    """A router with a TLS listener, ALICE and BOB."""
    address = env.address(1)
    tls = tls or {"certificate": [n + ".pem" for n in names], "key": [n + ".key" for n in names]}
    listen = ["udp:%s:5060" % address, "tcp:%s:5060" % address, "tls:%s:%d" % (address, PORT)]
    router = env.router(listen=listen, tls=tls, **settings)
    router.apply(ALICE, BOB)
    return router


def trusting(path, version=None):
    context = ssl.create_default_context(cafile=path)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def connect(router, context, name="sip.example.com", session=None):
    plain = socket.create_connection((router.address, PORT), timeout=5)
    return context.wrap_socket(plain, server_hostname=name, session=session)


def phone(env, router, name, last, context):
    return UA(router, name, address=env.address(last), transport="tls", tls=context, to=(router.address, PORT))


@case()
def phones_on_tls_and_udp_call_each_other(env):
    path = certificate(env, "one")
    router = prepared(env)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        alice = phone(env, router, "alice", 2, trusting(path, version))
        bob = UA(router, "bob", address=env.address(3))
        alice.register()
        bob.register()
        for caller, callee in ((alice, bob), (bob, alice)):
            call(caller, callee)[0].hang_up(callee)
        equal("tls", router.bindings("alice")[0]["transport"], "alice's transport")
        alice.register(expires=0)
        alice.close()


@case()
def handshakes_of_one_address_are_limited(env):
    """A handshake takes the router a hundred times what it takes the peer."""
    path = certificate(env, "one")
    router = prepared(env, workers=1, guard={"exempt": [], "handshake_rate": 5})
    context = trusting(path)

    def begins(last):
        with socket.socket() as plain:
            plain.settimeout(5)
            plain.bind((env.address(last), 0))
            plain.connect((router.address, PORT))
            try:
                with context.wrap_socket(plain, server_hostname="sip.example.com") as stream:
                    return stream.version() is not None
            except (ssl.SSLError, OSError):
                return False
    began = time.monotonic()
    done = [begins(8) for _ in range(60)].count(True)
    most = 20 + 5 * (time.monotonic() - began) + 1
    check(20 <= done <= most, "%d of 60 handshakes, at most %d", done, most)
    check(begins(9), "another address pays for it")
    equal(60 - done, router.json("status")["refused"]["handshake_rate"], "counted")
    until("the first may again", lambda: begins(8), 5)


@case()
def only_new_versions_and_the_right_certificate_for_each_name(env):
    one, two = certificate(env, "one", kind="rsa"), certificate(env, "two", host="b.example.com")
    router = prepared(env, names=("one", "two"))
    for name, path in (("sip.example.com", one), ("b.example.com", two)):
        with connect(router, trusting(path), name) as stream:
            check(stream.version() == "TLSv1.3", "version %s", stream.version())
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    refused = False
    try:
        connect(router, old)
    except ssl.SSLError:
        refused = True
    check(refused, "TLS 1.1 was taken")
    context = trusting(one, ssl.TLSVersion.TLSv1_2)
    first = connect(router, context)
    second = connect(router, context, session=first.session)
    check(second.session_reused, "the session was not resumed")


def shown(router, path):
    """Is this the certificate that the router shows?"""
    try:
        with connect(router, trusting(path)):
            return True
    except ssl.SSLError:
        return False


@case()
def certificates_that_a_reload_names_are_watched(env):
    certificate(env, "one")
    two = certificate(env, "two")
    third = certificate(env, "third")
    router = prepared(env)
    config = env.path("router", "strowger.yaml")
    with open(config, encoding="utf-8") as file:
        text = file.read()
    with open(config, "w", encoding="utf-8") as file:
        file.write(text.replace("one.pem", "two.pem").replace("one.key", "two.key"))
    router.process.signal(signal.SIGHUP)
    until("the certificate named now is shown", lambda: shown(router, two), 10)
    for end in (".key", ".pem"):
        shutil.copy(env.path("router", "third" + end), env.path("router", "two" + end))
    until("its new text is shown, not the file of before", lambda: shown(router, third), 10)


@case()
def certificates_change_under_connections_that_stay(env):
    path = certificate(env, "one")
    router = prepared(env)
    alice = phone(env, router, "alice", 2, trusting(path))
    alice.register()
    before = open(path, encoding="utf-8").read()
    certificate(env, "next")
    for end in (".key", ".pem"):
        shutil.copy(env.path("router", "next" + end), env.path("router", "one" + end))
    check(open(path, encoding="utf-8").read() != before, "the certificate is the same")

    until("the new certificate is shown", lambda: shown(router, path), 10)
    with open(path, "w", encoding="utf-8") as out:
        out.write("nothing\n")
    router.process.signal(signal.SIGHUP)
    until("the mistake is told", lambda: "there is no PEM certificate" in open(
        env.path("router", "strowger.1.log"), encoding="utf-8").read(), 10)
    connect(router, trusting(env.path("router", "next.pem"))).close()
    alice.register()
    check(not alice.closed, "alice's connection was closed")


@case()
def who_has_no_certificate_of_ours_is_refused(env):
    path = certificate(env, "one")
    certificate(env, "authority")
    certificate(env, "client", issuer=env.path("router", "authority"))
    certificate(env, "stranger")
    router = prepared(env, tls={"certificate": "one.pem", "key": "one.key", "client_ca": "authority.pem"})
    refused = 0
    for name in (None, "stranger"):
        context = trusting(path)
        if name:
            context.load_cert_chain(env.path("router", name + ".pem"), env.path("router", name + ".key"))
        try:
            with connect(router, context) as stream:  # TLS 1.3 tells only when we read
                refused += stream.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            refused += 1
    equal(2, refused, "refused")
    context = trusting(path)
    context.load_cert_chain(env.path("router", "client.pem"), env.path("router", "client.key"))
    phone(env, router, "alice", 2, context).register()


@case()
def who_speaks_no_tls_or_never_finishes_is_cut_off(env):
    certificate(env, "one")
    router = prepared(env)
    with socket.create_connection((router.address, PORT), timeout=5) as plain:
        plain.sendall(b"OPTIONS sip:example.com SIP/2.0\r\n\r\n")
        while plain.recv(4096):
            pass
    began = time.monotonic()
    with socket.create_connection((router.address, PORT), timeout=20) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        equal(b"", slow.recv(1), "an answer to a part of a hello")
    took = time.monotonic() - began
    check(8 < took < 14, "cut off after %.1f s", took)
    metrics = router.metrics()
    for reason in ("handshake", "slow_handshake"):
        equal(1, metrics.get('strowger_net_refused_total{reason="%s"}' % reason), reason)


@case()
def check_names_what_is_wrong_with_certificates(env):
    certificate(env, "one")
    certificate(env, "two")
    authority = certificate(env, "authority")
    certificate(env, "late", days=-1, issuer=authority[:-4])
    router = prepared(env)
    router.settings["tls"] = {"certificate": ["one.pem", "late.pem", "none.pem"],
                              "key": ["two.key", "late.key", "one.key"]}
    router.write_config()
    answer = router.run("check")
    equal(1, answer.status, "exit code")
    for text in ("is not the key of the certificate in", "the certificate has expired on", "No such file"):
        check(text in answer.err + answer.out, "%r is not in: %s", text, answer)
