# SPDX-License-Identifier: Apache-2.0
"""sipsak: ping and registration."""
from harness import sip
from harness.case import case, check, equal
from harness.router import ALICE, BOB


def sipsak(env, *words, failing=False):
    """It listens on all addresses of the machine: so each case has a port of its own, as another may run beside it."""
    second, third = (int(part) for part in env.network.split(".")[1:3])
    port = 10000 + (second * 256 + third) % 20000
    # -H: without it sipsak ends at once on a machine whose own name does not resolve.
    process = env.program("sipsak", ["sipsak", "-v", "-v", "-E", "udp", "-H", "127.0.0.1", "-l", str(port), *words])
    got = process.wait(20)
    check((got != 0) == failing, "sipsak %s: %s; exit status %s", " ".join(words), process.text()[-300:], got)
    return process.text()


@case()
def pings_with_options(env):
    router = env.router()
    router.apply(ALICE)
    sipsak(env, "-s", "sip:%s:%d" % router.at)


def registers(env, algorithms):
    # It sends to where the domain resolves; so the address is the domain.
    router = env.router(auth={"algorithms": algorithms}, domains=[env.address(1)])
    router.apply(ALICE, BOB)
    contact = "sip:alice@%s:5070" % env.address(2)
    sipsak(env, "-U", "-s", "sip:alice@%s:%d" % router.at, "-C", contact, "-x", "600",
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
    text = sipsak(env, "-U", "-s", "sip:alice@%s:%d" % router.at, "-C", "sip:alice@192.0.2.1", "-a", "wrong",
                  "-u", "alice", failing=True)
    check("binding failed" not in text, "sipsak got no socket: %s", text[-300:])
    equal([], router.registrations(), "bindings")
