#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an idle connection costs: 8,000 over TLS and 16,000 over TCP at once, each of a phone that has
registered by it. Bytes of the server's memory (PSS), by the slope between half of them and all.

    connections.py [TLS=8000] [TCP=16000] [KAMAILIO=4000]

KAMAILIO: connections over TLS for Kamailio beside; 0: without it.
"""
import sys
import time

from harness import Failed
from phones import Phones, allowed, counts_given
from systems import Kamailio, Own, one_line, versions
from verdict import Verdict

BOUNDS = {"tls": 24 * 1024, "tcp": 4 * 1024}
SETTLE_S = 3


def slope(server, transport, count):
    """Bytes for each connection of the second half, and of all; None when they cannot all be had."""
    with Phones(server, count, transport) as phones:
        memory = [server.pss()]
        for number in (count // 2, count):
            if phones.more(number) is None:
                return None, None
            time.sleep(SETTLE_S)
            memory.append(server.pss())
        if phones.back(SETTLE_S) is not None:
            raise Failed("a connection was lost and came again")
    return (memory[2] - memory[1]) / (count - count // 2), (memory[2] - memory[0]) / count


def add(verdict, what, figures, count, bound=None):
    verdict.add(f"{what}: bytes of each of {count:,} idle", figures[0], bound, unit="bytes", digits=0)
    verdict.add(f"{what}: likewise, with what comes with the first", figures[1], bound, unit="bytes", digits=0)


def measure(verdict, transport, count):
    count = allowed(count)
    with Own("own-connections", 1, transport=transport, limits={"connections": 2 * count}) as own:
        print(f"   own configuration: {one_line(own.settings)}", flush=True)
        add(verdict, transport, slope(own, transport, count), count, BOUNDS[transport])


def main():
    counts = counts_given(__doc__, TLS=8000, TCP=16000, KAMAILIO=4000)
    verdict = Verdict("connections")
    verdict.note("versions", versions())
    measure(verdict, "tls", counts["TLS"])
    measure(verdict, "tcp", counts["TCP"])
    if counts["KAMAILIO"]:
        with Kamailio("D", transport="tls") as kamailio:
            count = allowed(counts["KAMAILIO"])
            add(verdict, "Kamailio, tls", slope(kamailio, "tls", count), count)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
