# SPDX-License-Identifier: Apache-2.0
"""Chromium with a phone (JsSIP) in each of its tabs, worked over the DevTools protocol."""
import ctypes
import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import select
import shutil
import socket
import struct
import subprocess
import threading
import time

from .case import need
from .deadline import Timeout, until

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "browser"
ROOT = SOURCE.parent.parent.parent
BUILT = ROOT / "build" / "browser"

# Without the last group it looks for its maker's servers at each start.
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
         "--autoplay-policy=no-user-gesture-required", "--ignore-certificate-errors",
         "--disable-features=WebRtcHideLocalIpsWithMdns",
         "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
         "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-extensions", "--disable-breakpad", "--disable-crash-reporter"]


def bundle():
    """The folder with the page, made once: JsSIP from npm as the lock file has it, bundled with our script."""
    need("npm")
    names = ("package.json", "package-lock.json", "phone.js", "phone.html")
    stamp = hashlib.sha256(b"".join((SOURCE / n).read_bytes() for n in names)).hexdigest()
    BUILT.mkdir(parents=True, exist_ok=True)
    with open(BUILT / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # cases run beside each other
        made = BUILT / "stamp"
        if made.exists() and made.read_text() == stamp:
            return BUILT / "page"
        for name in names:
            shutil.copy(SOURCE / name, BUILT / name)
        for argv in (["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                     ["node_modules/.bin/esbuild", "phone.js", "--bundle", "--define:global=window",
                      "--outfile=page/phone.bundle.js"]):
            done = subprocess.run(argv, cwd=BUILT, timeout=240, capture_output=True, text=True)
            assert done.returncode == 0, "%s: %s" % (" ".join(argv), done.stdout + done.stderr)
        shutil.copy(SOURCE / "phone.html", BUILT / "page" / "phone.html")
        made.write_text(stamp)
    return BUILT / "page"


def alone_on_loopback():
    """This process, and all it starts, has no network but a loopback of its own: so has the media. Before anything
    listens. Not root: media may go by other addresses of this machine, as browsers choose."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:  # CLONE_NEWNET
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def with_address(address):
    """An address beside loopback's, in a network that alone_on_loopback() has made."""
    for argv in (["ip", "link", "add", "media0", "type", "veth", "peer", "name", "media1"],
                 ["ip", "address", "add", address + "/24", "dev", "media0"],
                 ["ip", "link", "set", "media0", "up"], ["ip", "link", "set", "media1", "up"]):
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, "%s: %s" % (" ".join(argv), done.stderr)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Browser:
    """One Chromium. It stays in the case's process group, which the runner ends whatever happens."""

    def __init__(self, env, seconds=30.0, media_on_loopback=True):
        need("chromium")
        page = bundle()
        handler = lambda *how: Quiet(*how, directory=str(page))  # noqa: E731
        self.server = http.server.ThreadingHTTPServer((env.address(9), 0), handler)
        self.origin = "http://%s:%d" % self.server.server_address
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        env.at_end(self.server.shutdown)

        self.profile = profile = env.path("chromium")
        os.makedirs(profile)
        # It speaks by descriptors 3 and 4: messages of JSON with a 0 behind each.
        command_in, self.commands = os.pipe()
        self.answers, answer_out = os.pipe()
        self.buffer, self.number, self.done, self.sessions = b"", 0, {}, {}

        def pipes():
            os.dup2(command_in, 200)
            os.dup2(answer_out, 201)
            os.dup2(200, 3)
            os.dup2(201, 4)

        self.log = open(env.path("chromium.log"), "wb")
        more = ["--allow-loopback-in-peer-connection"] if media_on_loopback else []
        self.popen = subprocess.Popen(
            ["chromium", *FLAGS, *more, "--user-data-dir=" + profile, "--remote-debugging-pipe", "about:blank"],
            preexec_fn=pipes, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, HOME=profile))
        env.at_end(self.end)
        os.close(command_in)
        os.close(answer_out)
        self.ask("Browser.getVersion", seconds=seconds)

    def end(self):
        """At once; the processes it has started end with it, or with the case's group."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(10)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method, session=None, seconds=10.0, **parameters):
        """One command and its result."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while number not in self.done:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise Timeout("the browser did not answer %s within %g s" % (method, seconds))
            self._read()
        answer = self.done.pop(number)
        assert "error" not in answer, "%s: %s" % (method, answer.get("error"))
        return answer["result"]

    def _read(self):
        data = os.read(self.answers, 1 << 20)
        assert data, "the browser has ended; see chromium.log"
        *whole, self.buffer = (self.buffer + data).split(b"\0")
        for raw in whole:
            message = json.loads(raw)
            if "id" in message:
                self.done[message["id"]] = message

    def tab(self):
        return Tab(self)


class Tab:
    """A page with a phone in it."""

    def __init__(self, browser):
        self.browser = browser
        target = browser.ask("Target.createTarget", url=browser.origin + "/phone.html")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.target = target
        self.loaded()

    def loaded(self, seconds=15.0):
        until("the page is loaded", lambda: self.run("typeof window.phone === 'object'"), seconds)
        return self

    def run(self, script, seconds=10.0):
        """The value of an expression, or of the promise that it is."""
        answer = self.browser.ask("Runtime.evaluate", self.session, seconds, expression=script, awaitPromise=True,
                                  returnByValue=True)
        assert "exceptionDetails" not in answer, "%s: %s" % (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def reload(self):
        """As its user does: what was there is gone without a word."""
        self.run("window.phone = undefined")
        self.browser.ask("Page.reload", self.session)
        return self.loaded()

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)

    def phone(self, verb, *words):
        return self.run("phone.%s(%s)" % (verb, ", ".join(json.dumps(w) for w in words)))

    def events(self, what, **fields):
        return [e for e in self.run("phone.events")
                if e["what"] == what and all(e.get(k) == v for k, v in fields.items())]

    def wait(self, what, seconds=15.0, count=1, **fields):
        """The last of `count` such events."""
        try:
            return until("%s %s" % (what, fields or ""), lambda: self.events(what, **fields)[count - 1:], seconds)[-1]
        except Timeout as late:
            raise Timeout("%s; events: %s" % (late, self.run("phone.events"))) from None

    def start(self, url, name, domain="example.com", **settings):
        """Connects as NAME and waits until it is registered."""
        self.run("phone.start(%s)" % json.dumps(dict(
            {"url": url, "uri": "sip:%s@%s" % (name, domain), "password": name + "-password"}, **settings)))
        if settings.get("register", True):
            self.wait("registered")
        return self
