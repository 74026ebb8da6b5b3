# SPDX-License-Identifier: Apache-2.0
"""A push gateway: an HTTPS server that checks signatures, remembers what it is told, and answers as it is told to."""
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time

from .deadline import Timeout


class Gateway:
    """`answers`: HTTP statuses, one after the other, the last for ever. `pushes`: the documents of good requests."""

    def __init__(self, stem, address, secret, port=8443, path="/wake"):
        self.secret, self.path, self.answers, self.delay = secret, path, [202], 0
        self.pushes, self.faults, self.requests = [], [], 0
        self.changed = threading.Condition()
        self.url = "https://%s:%d%s" % (address, port, path)
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                gateway.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(stem + ".pem", stem + ".key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fault_of(self, handler, body):
        """What is wrong with a request; None: nothing."""
        parts = dict(part.partition("=")[::2] for part in handler.headers["X-Strowger-Signature"].split(","))
        wanted = hmac.new(self.secret, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, parts["v1"]):
            return "a wrong signature"
        if abs(time.time() - int(parts["t"])) > 60:
            return "an old signature"
        if handler.path != self.path or handler.headers["Content-Type"] != "application/json":
            return "path %s, type %s" % (handler.path, handler.headers["Content-Type"])
        if handler.headers["X-Strowger-Id"] != json.loads(body)["id"]:
            return "two ids"
        return None

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        fault = self.fault_of(handler, body)
        with self.changed:
            self.requests += 1
            status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if fault:
                self.faults.append(fault)
        time.sleep(self.delay)
        answer = b"taken" if status < 300 else b"not taken"
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)
        with self.changed:
            if status < 300 and not fault:
                self.pushes.append(json.loads(body))
            self.changed.notify_all()

    def expect(self, count=1, seconds=10.0):
        """Waits until that many phones were to be woken; gives the last document."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.pushes) >= count, seconds):
                raise Timeout("the gateway got %d pushes of %d; faults: %s" % (len(self.pushes), count, self.faults))
            assert not self.faults, self.faults
            return self.pushes[-1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
