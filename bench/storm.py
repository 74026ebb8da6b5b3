#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A registration storm: all phones have a connection and a registration, the router is killed and
started anew, and all come back at once: they connect, shake hands, and register with digest.

    storm.py [TLS=8000] [TCP=16000] [JITTER=1000]

JITTER: milliseconds within which a phone that has lost its connection comes back; after a failure it
waits up to twice as long as before.
"""
import sys
import time

from phones import Phones, allowed, counts_given
from systems import Own, one_line, versions
from verdict import Verdict

BACK_S = 60
PATIENCE_S = 180


def storm(verdict, transport, count, jitter):
    count = allowed(count)
    with Own("own-storm", 1, transport=transport, auth=True, store="sqlite:strowger.db",
             limits={"connections": 2 * count}) as own:
        print(f"   own configuration: {one_line(own.settings)}", flush=True)
        with Phones(own, count, transport, ("-a", "-j", str(jitter))) as phones:
            first = phones.more(count, PATIENCE_S)
            if first is None:
                verdict.add(f"{transport}: {count:,} phones have registered", None, 1)
                return
            verdict.add(f"{transport}: {count:,} phones come for the first time", first["seconds"], unit="s")
            begin = time.monotonic()
            own.crash()
            print(f"   killed and started anew within {time.monotonic() - begin:.1f} s", flush=True)
            result = phones.back(PATIENCE_S) or {}
            verdict.note(transport, result)
            verdict.add(f"{transport}: the last of them is back after", result.get("slowest"), BACK_S, unit="s")
            for what in ("attempts", "failures", "refusals"):
                verdict.add(f"{transport}: {what} in the storm", result.get(what), digits=0)


def main():
    counts = counts_given(__doc__, TLS=8000, TCP=16000, JITTER=1000)
    verdict = Verdict("storm")
    verdict.note("versions", versions())
    storm(verdict, "tls", counts["TLS"], counts["JITTER"])
    storm(verdict, "tcp", counts["TCP"], counts["JITTER"])
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())
