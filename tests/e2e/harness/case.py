# SPDX-License-Identifier: Apache-2.0
"""A case: a function that gets an environment of its own (folder, addresses, clean-up)."""
import os
import shutil
import signal

from .process import Process
from .router import Router

CASES = []


class Case:
    def __init__(self, function, name, long, seconds):
        self.function, self.name, self.long, self.seconds = function, name, long, seconds


def case(long=False, seconds=60):
    """Registers a function as a case. `long`: only with --all. `seconds`: when it is given up."""

    def register(function):
        subject = function.__module__.rpartition(".")[2]
        CASES.append(Case(function, "%s.%s" % (subject, function.__name__), long, seconds))
        return function

    return register


class Environment:
    """What a case may use: a folder, the 127.x.y.0/24 that is its own, things that end with it."""

    def __init__(self, binary, folder, network, report):
        self.binary, self.folder, self.network = binary, folder, network
        self._report, self._enders, self._names = report, [], {}

    def address(self, last):
        return "%s.%d" % (self.network, last)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def router(self, start=True, last=1, name="router", env=None, address=None, **settings):
        """A router on address(1), UDP and TCP 5060, HTTP 8080."""
        router = Router(self.binary, self.path(name), address or self.address(last), **settings)
        self.at_end(lambda: router.running() and router.kill())
        return router.start(env=env) if start else router

    def program(self, name, argv, **more):
        """Starts another program (a phone, sipp)."""
        need(str(argv[0]))
        number = self._names[name] = self._names.get(name, 0) + 1
        log = self.path("%s.%d.log" % (name, number) if number > 1 else name + ".log")
        process = Process(name, argv, log, **more)
        self.at_end(lambda: process.running() and process.kill())
        return process

    def at_end(self, function):
        self._enders.append(function)

    def end(self):
        for function in reversed(self._enders):
            try:
                function()
            except Exception as error:  # the other things must end all the same
                print("clean-up: %s" % error)
        self._enders = []

    def result(self, name, reason=None):
        """One result of a case that counts as several."""
        self._report(name, reason)

    def note(self, text):
        """A line for whoever reads the run; no result."""
        self._report("note", text)


def need(program):
    """A missing tool is a failure, never a skipped case."""
    if not shutil.which(program):
        raise AssertionError("the program %s is missing (./dev test installs it)" % program)


def check(truth, message, *values):
    """assert that also stands when Python runs with -O."""
    if not truth:
        raise AssertionError(message % values if values else message)


def equal(wanted, got, what):
    check(wanted == got, "%s: %r, wanted %r", what, got, wanted)


def end_group(pid):
    """Ends what a case left behind: the case's own process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
