# SPDX-License-Identifier: Apache-2.0
"""The program under test: started as a user starts it, with a configuration file of its own."""
import http.client
import json
import os
import signal
import subprocess

from .deadline import until
from .process import Process

# One domain for phones; the others are those that the published test messages call their own.
DOMAINS = ["example.com"]


def user(name, password=None, **fields):
    """A `users` resource. Without a password: NAME-password."""
    return dict({"name": name, "password": password or name + "-password"}, **fields)


ALICE = user("alice", extension=101, display_name="Alice Liddell")
BOB = user("bob", extension=102, caller_number="+15105550102")
CAROL = user("carol", extension=103)


def yaml(mapping):
    """YAML of one level; what is below stands in JSON, which is YAML too."""
    return "".join("%s: %s\n" % (key, json.dumps(value)) for key, value in mapping.items())


class Answer:
    """What a command said and how it ended."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __str__(self):
        return "exit %d\nout: %s\nerr: %s" % (self.status, self.out, self.err)


class Router:
    """`strowger serve` with its folder, address, listeners, store and users."""

    def __init__(self, binary, folder, address, port=5060, http_port=8080, prefix=(), **settings):
        self.prefix = list(prefix)  # what its command begins with, such as `ip netns exec`
        self.binary, self.folder, self.address = str(binary), str(folder), address
        self.port, self.http_port = port, http_port
        self.process, self.starts = None, 0
        os.makedirs(self.folder, exist_ok=True)
        self.config = os.path.join(self.folder, "strowger.yaml")
        self.store = os.path.join(self.folder, "store")
        os.makedirs(self.store, exist_ok=True)
        # A Unix socket's path is at most 107 bytes long, so it is short even in a deep folder.
        self.control = os.path.join(self.folder, "c.sock")
        self.settings = {
            "domains": DOMAINS,
            "listen": ["udp:%s:%d" % (address, port), "tcp:%s:%d" % (address, port)],
            "workers": 2,
            "http": {"listen": "%s:%d" % (address, http_port)},
            "control": "unix:" + self.control,
            "store": "sqlite:" + os.path.join(self.store, "strowger.db"),
            "log": {"format": "text", "level": "debug"},
        }
        self.settings.update(settings)
        self.settings = {k: v for k, v in self.settings.items() if v is not None}
        self.write_config()

    @property
    def at(self):
        return (self.address, self.port)

    def write_config(self):
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(yaml(self.settings))

    def start(self, seconds=20.0, env=None, ready=True):
        """Starts it and waits for `ready`."""
        self.starts += 1
        log = os.path.join(self.folder, "strowger.%d.log" % self.starts)
        self.process = Process("strowger", [*self.prefix, self.binary, "serve", "-c", self.config], log,
                               env=dict(os.environ, **(env or {})), cwd=self.folder)
        if ready:
            self.process.wait_line(r"^ready\b", seconds)
        return self

    def running(self):
        return self.process is not None and self.process.running()

    def kill(self):
        """kill -9."""
        return self.process.kill()

    def stop(self, seconds=40.0):
        """SIGTERM, as a service manager does; fails when it does not end well."""
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        assert status == 0, "strowger ended with %d after SIGTERM" % status

    def restart(self, hard):
        if hard:
            self.kill()
        else:
            self.stop()
        return self.start()

    def run(self, *words, text=None, timeout=60, env=None):
        """One command of the CLI against this server."""
        verb, *rest = [str(w) for w in words]
        done = subprocess.run([self.binary, verb, "-c", self.config, *rest], input=text, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
                              env=dict(os.environ, **(env or {})))
        return Answer(done)

    def done(self, *words, **more):
        """The same, and it must succeed; gives its output."""
        answer = self.run(*words, **more)
        assert answer.status == 0, "strowger %s: %s" % (" ".join(map(str, words)), answer)
        return answer.out

    def json(self, *words):
        return json.loads(self.done(*words, "--json"))

    def apply(self, *users, kind="users"):
        """Makes the users so."""
        path = os.path.join(self.folder, "apply.yaml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(kind + ":\n" + "".join("  - %s\n" % json.dumps(u) for u in users))
        return self.done("apply", path)

    def registrations(self, aor=None):
        return self.json("registrations", *([aor] if aor else []))

    def bindings(self, user_name, seconds=5.0, count=1):
        """Waits until that many bindings are there for the user."""
        aor = "sip:%s@%s" % (user_name, self.settings["domains"][0])
        found = []

        def look():
            found[:] = self.registrations(aor)
            return len(found) == count
        until("%d binding(s) of %s" % (count, aor), look, seconds)
        return found

    def http(self, method, path, body=None, headers=None, address=None):
        """(status, headers, body) of one HTTP request over TCP."""
        connection = http.client.HTTPConnection(address or self.address, self.http_port, timeout=10)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def metrics(self):
        """{name with labels: value} of /metrics."""
        status, _, body = self.http("GET", "/metrics")
        assert status == 200, "/metrics: %d" % status
        values = {}
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values
