#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `./dev run` (without its build) as a user does. Prints `ok NAME` or `FAIL NAME: why`."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ADDRESS, PORT = "127.93.7.1", 5062  # ours alone; sipsak cuts ports of five digits
SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class DevRun:
    """One `./dev run`, started and read until it has said everything or has ended."""

    def __init__(self, folder, *options, until="Ctrl-C ends it"):
        self.process = subprocess.Popen([os.path.join(ROOT, "tools/run.sh"), "--folder", folder, *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        late = threading.Timer(SECONDS, self.signal, [signal.SIGKILL])
        late.start()
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if until in line:
                break
        late.cancel()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def end(self):
        """Ctrl-C: the whole group gets it, as from a terminal."""
        self.signal(signal.SIGINT)
        late = threading.Timer(SECONDS, self.signal, [signal.SIGKILL])
        late.start()
        self.said += self.process.stdout.read()
        status = self.process.wait()
        late.cancel()
        return status

    def passwords(self):
        return dict(re.findall(r"^ +(alice|bob) +10[12] +(\S+)$", self.said, re.M))


def registers(name, password, port, folder):
    """A real phone registers with what was printed."""
    aor = "sip:%s@%s:%d" % (name, ADDRESS, port)
    # -H: sipsak gives up where the machine's own name does not resolve.
    done = subprocess.run(["sipsak", "-U", "-i", "-H", "127.0.0.1", "-u", name, "-a", password, "-s", aor,
                           "-C", "sip:%s@%s:5099" % (name, ADDRESS), "-x", "60"], cwd=folder, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    return done.returncode == 0, done.stdout


def trusts(folder, port):
    """Who is told to trust the certificate of the folder gets TLS; (the certificate, why not)."""
    try:
        context = ssl.create_default_context(cafile=os.path.join(folder, "certificate.pem"))
        with socket.create_connection((ADDRESS, port + 1), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=ADDRESS) as stream:
                return stream.getpeercert(binary_form=True), ""
    except OSError as error:
        return None, str(error)


def main():
    failed = []

    def check(name, good, why=""):
        print("ok " + name if good else "FAIL %s: %s" % (name, why.replace("\n", "\n    ")))
        if not good:
            failed.append(name)

    folder = tempfile.mkdtemp(prefix="strowger-run-")
    port, http = PORT, free_port()
    options = ["--address", ADDRESS, "--port", str(port), "--http-port", str(http)]
    first = DevRun(folder, *options)
    passwords = first.passwords()
    try:
        check("dev run reaches ready", re.search("^ready", first.said, re.M) is not None, first.said)
        check("dev run prints two passwords", len(passwords) == 2, first.said)
        for name, password in passwords.items():
            check("%s registers with the printed password" % name, *registers(name, password, port, folder))

        shown, why = trusts(folder, port)
        check("TLS works at once, with the certificate in the folder", shown, why)
        check("and so does TLS for browsers", *trusts(folder, port + 6))

        third = DevRun(folder + "-other", *options)
        status = third.process.wait()
        check("a taken port is reported with its holder and the way out",
              status == 1 and "held by strowger" in third.said and "--port" in third.said and
              "--http-port" in third.said, third.said)
    finally:
        status = first.end()
    check("Ctrl-C ends it well", status == 0, "status %s\n%s" % (status, first.said))

    second = DevRun(folder, *options)
    try:
        check("a second run keeps the passwords", passwords and second.passwords() == passwords, second.said)
        check("a second run shows the same certificate", shown and trusts(folder, port)[0] == shown)
        for name, password in passwords.items():
            check("%s still registers after a second run" % name, *registers(name, password, port, folder))
    finally:
        second.end()

    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder + "-other", ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
