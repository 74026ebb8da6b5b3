# SPDX-License-Identifier: Apache-2.0
"""A router with a foot in two networks, listening at all its addresses: each side of a call sees the one in its own
network. And a listener that is reached by another name than its own.

    phone 192.0.2.16 -- 192.0.2.1, the router, 203.0.113.1 -- 203.0.113.16 phone
          2001:db8:1::10 -- ::1            2001:db8:2::1 -- ::10
"""
from harness import sip
from harness.case import case, equal
from harness.router import ALICE, BOB
from harness.spaces import Namespaces
from harness.ua import UA, call

NETWORKS = {"office": ("192.0.2.%d", "2001:db8:1::%x"), "street": ("203.0.113.%d", "2001:db8:2::%x")}
ROUTER, PHONE = 1, 16
PORT = 5060


def two_networks(env):
    """(the namespaces, a router in both networks at 0.0.0.0 and [::])."""
    spaces = Namespaces(env, ["router", *NETWORKS])
    for name, addresses in NETWORKS.items():
        spaces.link("router", name, name, "phones")
        for space, device, host in (("router", name, ROUTER), (name, "phones", PHONE)):
            for address, prefix in zip(addresses, (24, 64)):
                extra = ("nodad",) if ":" in address else ()
                spaces.run_in(space, "ip", "address", "add", "%s/%d" % (address % host, prefix), "dev", device, *extra)
    listen = ["%s:%s:%d" % (transport, all_of, PORT) for transport in ("udp", "tcp") for all_of in ("0.0.0.0", "[::]")]
    router = env.router(address=NETWORKS["office"][0] % ROUTER, prefix=spaces.prefix("router"), listen=listen,
                        http={"listen": "127.0.0.1:8080"})
    router.apply(ALICE, BOB)
    return spaces, router


def phone(spaces, router, name, network, transport="udp", six=False):
    """Registered at the router's address in its own network."""
    address = NETWORKS[network][six]
    with spaces.inside(network):
        ua = UA(router, name, address=address % PHONE, transport=transport, to=(address % ROUTER, PORT))
    ua.ours = ("[%s]:%d" if six else "%s:%d") % (address % ROUTER, PORT)
    ua.register()
    return ua


def hosts(values):
    return [sip.address_of(value).removeprefix("sip:").split(";")[0] for value in values]


def sides_are_right(caller, callee):
    """A call whose every request goes by the address of its own network; the one that was called ends it."""
    sent = caller.invite(callee.aor)
    came = callee.request_in("INVITE", call_id=sent.call_id)
    equal(callee.ours, came.all("via")[0].split(" ")[1].split(";")[0], "sent-by of the top Via at " + callee.name)
    equal(callee.to, came.source[:2], "where it came from")
    equal([callee.ours, caller.ours], hosts(came.all("record-route")), "Record-Route at " + callee.name)
    callee.reply(came, 486, "Busy Here")
    equal(486, caller.final(sent).status, "the answer")
    mine, theirs = call(caller, callee)
    equal(caller.ours, hosts(mine.routes)[0], "the caller's first Route")
    equal(callee.ours, hosts(theirs.routes)[0], "the callee's first Route")
    mine.asks(callee, "INVITE")
    theirs.asks(caller, "INFO")
    theirs.hang_up(caller)


@case()
def each_side_sees_the_address_in_its_own_network(env):
    spaces, router = two_networks(env)
    alice = phone(spaces, router, "alice", "office")
    bob = phone(spaces, router, "bob", "street")
    sides_are_right(alice, bob)
    sides_are_right(bob, alice)


@case()
def each_side_sees_it_over_tcp_and_ipv6_too(env):
    spaces, router = two_networks(env)
    for transport, six in (("tcp", False), ("udp", True), ("tcp", True)):
        alice = phone(spaces, router, "alice", "office", transport, six)
        bob = phone(spaces, router, "bob", "street", transport, six)
        sides_are_right(alice, bob)
        alice.register(expires=0)
        bob.register(expires=0)
    alice = phone(spaces, router, "alice", "office", six=True)
    sides_are_right(alice, phone(spaces, router, "bob", "street"))


@case()
def who_is_in_the_same_network_gets_one_record_route(env):
    spaces, router = two_networks(env)
    alice = phone(spaces, router, "alice", "office")
    mine, theirs = call(alice, phone(spaces, router, "bob", "office"))
    equal([alice.ours], hosts(mine.routes), "Route")
    theirs.hang_up(alice)


@case()
def what_a_listener_is_advertised_as_is_what_others_see(env):
    outer, inner = env.address(1), env.address(2)
    router = env.router(address=inner, listen=["udp:%s:%d" % (inner, PORT), {
        "at": "udp:%s:%d" % (outer, PORT), "advertise": "sip.example.net:5099"}])
    router.apply(ALICE, BOB)
    alice = UA(router, "alice", address=env.address(3))
    bob = UA(router, "bob", address=env.address(4), to=(outer, PORT))
    alice.ours, bob.ours = "%s:%d" % (inner, PORT), "sip.example.net:5099"
    alice.register()
    bob.register()
    sides_are_right(alice, bob)
    sides_are_right(bob, alice)
