# SPDX-License-Identifier: Apache-2.0
"""The load generator of bench/src, built here: calls at a rate over connections that stay for the whole run."""
import json
import os
import pathlib
import subprocess

from .case import check, need

SOURCES = pathlib.Path(__file__).resolve().parent.parent.parent.parent / "bench" / "src"


class Sipload:
    """Callers and callees by TCP or TLS; the callees have registered when this returns."""

    def __init__(self, env, router, port, transport, *options):
        program = env.path("sipload")
        if not os.path.exists(program):
            need("cc")
            subprocess.run(["cc", "-O2", "-o", program, str(SOURCES / "sipload.c"), str(SOURCES / "stream.c"),
                            "-lssl", "-lcrypto"], check=True)
        self.process = subprocess.Popen(
            [program, "-m", "call", "-t", transport, "-g", "-s", "%s:%d" % (router.address, port), "-l",
             env.address(2) + ":20000", "-u", env.address(3) + ":21000", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        env.at_end(self.process.kill)
        check(self.process.stdout.readline() == "READY\n", "the load did not get its connections")

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def running(self):
        return self.process.poll() is None

    def result(self, seconds):
        """What it says at its end; a connection that is lost ends it at once."""
        output, errors = self.process.communicate(timeout=seconds)
        check(output.startswith("{"), "the load ended with %d: %s", self.process.returncode, errors)
        return json.loads(output)
