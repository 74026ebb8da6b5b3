# SPDX-License-Identifier: Apache-2.0
"""A program that a case started: its output is kept in a file and can be waited for."""
import os
import re
import signal
import subprocess
import threading
import time

from .deadline import Timeout


class Process:
    """Starts `argv` at once. Both outputs go, line by line, to memory and to `log`."""

    def __init__(self, name, argv, log, stdin=False, env=None, cwd=None):
        self.name, self.argv, self.log = name, [str(a) for a in argv], str(log)
        self.lines = []
        self._changed = threading.Condition()
        self._open_outputs = 1
        self.popen = subprocess.Popen(
            self.argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=env, cwd=cwd)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self.log, "ab", buffering=0) as out:
            out.write(("$ %s\n" % " ".join(self.argv)).encode())
            rest = b""
            while True:
                data = os.read(self.popen.stdout.fileno(), 65536)
                if not data:
                    break
                out.write(data)
                *whole, rest = re.split(rb"[\r\n]", rest + data)
                with self._changed:
                    self.lines += [w.decode("utf-8", "replace") for w in whole]
                    self._changed.notify_all()
        with self._changed:
            if rest:
                self.lines.append(rest.decode("utf-8", "replace"))
            self._open_outputs = 0
            self._changed.notify_all()

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def mark(self):
        """The present end of the output, to wait only for what comes after it."""
        with self._changed:
            return len(self.lines)

    def find(self, pattern, since=0):
        with self._changed:
            for line in self.lines[since:]:
                match = re.search(pattern, line)
                if match:
                    return match
        return None

    def wait_line(self, pattern, seconds=10.0, since=0):
        """The first match of `pattern` in a line from `since` on; fails when the program ends or time is up."""
        end = time.monotonic() + seconds
        with self._changed:
            at = since
            while True:
                while at < len(self.lines):
                    match = re.search(pattern, self.lines[at])
                    if match:
                        return match
                    at += 1
                left = end - time.monotonic()
                if not self._open_outputs:
                    raise AssertionError("%s ended (%s) before it said /%s/; its last words: %s" % (
                        self.name, self.popen.poll(), pattern, " | ".join(self.lines[-3:])))
                if left <= 0:
                    raise Timeout("%s did not say /%s/ within %g s" % (self.name, pattern, seconds))
                self._changed.wait(left)

    def say(self, line):
        """Types one line."""
        self.popen.stdin.write((line + "\n").encode())
        self.popen.stdin.flush()

    def signal(self, number):
        if self.running():
            os.kill(self.popen.pid, number)

    def wait(self, seconds=10.0):
        """Its exit status; fails when it does not end in time."""
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout("%s did not end within %g s" % (self.name, seconds)) from None
        self._reader.join(5)
        return status

    def kill(self):
        """Ends it at once (SIGKILL) and waits for that."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def text(self):
        with self._changed:
            return "\n".join(self.lines)
