# SPDX-License-Identifier: Apache-2.0
"""Many phones with a connection each (src/phones.c), as the measurements of connections need them."""
import json
import os
import resource
import select
import subprocess
import sys
import time

from harness import LOAD_CPU, OUT, Failed, pinned

PER_ADDRESS = 500  # of the phones: half of what an address may have
SPARE = 500  # descriptors of the server for all else


def counts_given(usage, **defaults):
    """The numbers of the command line's NAME=NUMBER words; else says `usage` and ends, 2."""
    given = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if not all(name in defaults and number.isdigit() for name, number in given.items()):
        print(usage, file=sys.stderr)
        sys.exit(2)
    return {**defaults, **{name: int(number) for name, number in given.items()}}


def allowed(wanted):
    """So many connections at once as this machine lets a process have; raises the limit for all that
    is started from now on. Says what it is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or wanted + SPARE <= hard:
        return wanted
    print(f"   ulimit -Hn allows {hard} descriptors: {hard - SPARE} connections instead of {wanted}", flush=True)
    return hard - SPARE


class Phones:
    """The process that plays them; more() lets more come, back() waits until all are there again."""

    def __init__(self, server, count, transport, options=()):
        command = [os.path.join(OUT, "phones"), "-s", server.sip(transport), "-t", transport, "-n", str(count),
                   "-l", server.ip.rsplit(".", 1)[0] + ".100", "-A", str(PER_ADDRESS), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=pinned(LOAD_CPU))

    def more(self, number, patience_s=120):
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return self.back(patience_s)

    def back(self, patience_s):
        """What is said when all are registered, or None when they are not within that time."""
        deadline = time.monotonic() + patience_s
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                line = self.process.stdout.readline()
                if line.startswith("UP "):
                    return json.loads(line[3:])
        if self.process.poll() is not None:
            raise Failed(f"the phones ended with {self.process.returncode}")
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(5)
