# SPDX-License-Identifier: Apache-2.0
"""sipsak: ping and registration."""
from harness import sip
from harness.case import case, check, equal
from harness.router import ALICE, BOB


def sipsak(env, router, *words, last=2, status=0):
    port = 5060 + last
    # -H: without it sipsak ends at once on a machine whose own name does not resolve.
    process = env.program("sipsak", ["sipsak", "-v", "-v", "-E", "udp", "-H", "127.0.0.1", "-l", str(port), *words])
    got = process.wait(20)
    equal(status, got, "sipsak %s: %s; exit status" % (" ".join(words), process.text()[-300:]))
    return process.text()


@case()
def pings_with_options(env):
    router = env.router()
    router.apply(ALICE)
    sipsak(env, router, "-s", "sip:%s:%d" % router.at)


def registers(env, algorithms):
    # It sends to where the domain resolves; so the address is the domain.
    router = env.router(auth={"algorithms": algorithms}, domains=[env.address(1)])
    router.apply(ALICE, BOB)
    contact = "sip:alice@%s:5070" % env.address(2)
    sipsak(env, router, "-U", "-s", "sip:alice@%s:%d" % router.at, "-C", contact, "-x", "600",
           "-a", "alice-password", "-u", "alice")
    found = router.bindings("alice")
    equal(contact, sip.address_of(found[0]["contact"]), "contact")


@case()
def registers_with_md5(env):
    registers(env, ["MD5"])


@case()
def registers_when_md5_and_sha_256_are_offered(env):
    """Debian builds it with MD5 only, and it looks at the first challenge alone."""
    registers(env, ["MD5", "SHA-256"])


@case()
def wrong_password_is_refused(env):
    router = env.router(domains=[env.address(1)])
    router.apply(ALICE)
    process = env.program("sipsak", ["sipsak", "-v", "-U", "-H", "127.0.0.1", "-s", "sip:alice@%s:%d" % router.at, "-C",
                                     "sip:alice@192.0.2.1", "-a", "wrong", "-u", "alice", "-l", "5062"])
    check(process.wait(20) != 0, "sipsak registered with a wrong password")
    equal([], router.registrations(), "bindings")
