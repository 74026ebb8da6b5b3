# SPDX-License-Identifier: Apache-2.0
"""SIPp with the scenarios of tests/e2e/sipp."""
import os
import pathlib

from .case import check
from .deadline import until

SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "sipp"


class Sipp:
    """One run of one scenario: `call` numbers of calls, on its own address and port."""

    def __init__(self, env, router, scenario, user, address, port=5060, transport="udp", caller=None, calls=1,
                 seconds=30, domain="example.com", password=None, to=None, contact_port=None, rate=50):
        """With transport tls it speaks TCP, to a tunnel, and says TLS: Debian's SIPp has no TLS itself. `to`: where it
        sends; `contact_port`: what stands in its Contact, when that is the tunnel's."""
        self.scenario, self.address, self.port, self.transport = scenario, address, port, transport
        self.folder = env.path("sipp-%s-%s-%d" % (scenario, address, port))
        os.makedirs(self.folder, exist_ok=True)
        who = caller or user
        argv = ["sipp", "%s:%d" % router.at, "-sf", self.script(contact_port), "-i", address, "-p", port,
                "-t", "u1" if transport == "udp" else "t1", "-s", user, "-key", "caller", who, "-key", "domain",
                domain, "-au", who, "-ap", password or who + "-password", "-m", calls, "-r", rate, "-nostdin",
                "-timeout", "%ds" % seconds, "-timeout_error", "-trace_err", "-error_file", self.folder + "/errors.log",
                "-trace_msg", "-message_file", self.folder + "/messages.log"]
        argv += ["-rsa", "%s:%d" % to] if to else []
        self.seconds = seconds
        self.process = env.program("sipp-" + scenario, argv, cwd=self.folder, env=dict(os.environ, TERM="dumb"))

    def script(self, contact_port):
        path = SCENARIOS / (self.scenario + ".xml")
        if self.transport != "tls":
            return path
        text = path.read_text(encoding="iso-8859-1").replace("[transport]", "TLS")
        if contact_port:
            text = text.replace("[local_port]", str(contact_port))
        copy = pathlib.Path(self.folder) / path.name
        copy.write_text(text, encoding="iso-8859-1")
        return copy

    def listening(self):
        """Waits until its port is bound, so that nothing is sent to it too early."""
        until("sipp %s has bound %s:%d" % (self.scenario, self.address, self.port),
              lambda: bound("udp" if self.transport == "udp" else "tcp", self.address, self.port))
        return self

    def done(self):
        """Waits for its end; every call of it must have gone as the scenario says."""
        status = self.process.wait(self.seconds + 10)
        errors = ""
        if os.path.exists(self.folder + "/errors.log"):
            with open(self.folder + "/errors.log", encoding="utf-8", errors="replace") as log:
                errors = log.read()
        check(status == 0, "sipp %s ended with %d: %s", self.scenario, status, " ".join(errors.split())[:400])


def bound(transport, address, port):
    """Whether somebody has bound that UDP port, or listens on that TCP port."""
    octets = [int(o) for o in address.split(".")]
    local = "%02X%02X%02X%02X:%04X" % (*reversed(octets), port)
    with open("/proc/net/" + transport, encoding="ascii") as table:
        for row in table.readlines()[1:]:
            columns = row.split()
            if columns[1] == local and (transport == "udp" or columns[3] == "0A"):
                return True
    return False
