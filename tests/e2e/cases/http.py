# SPDX-License-Identifier: Apache-2.0
"""HTTP: health, metrics, the resources and live state as JSON; who may see what."""
import http.client
import json
import re
import socket

from harness.case import case, check, equal
from harness.router import ALICE, BOB
from harness.ua import UA


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def over_control(router, method, path, body=None, headers=None):
    connection = UnixConnection(router.control)
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def token(router, role):
    """A token made by the CLI; it is the longest word of what it prints."""
    said = router.done("token", "create", "--role", role)
    return max(re.findall(r"[\w.~+/=-]{16,}", said), key=len)


def with_token(router, method, path, secret, body=None, **headers):
    headers = dict({"Authorization": "Bearer " + secret}, **{k.replace("_", "-"): v for k, v in headers.items()})
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body)
    return router.http(method, path, body, headers)


@case()
def open_without_a_token(env):
    router = env.router()
    for path in ("/healthz", "/readyz", "/metrics"):
        status, _, _ = router.http("GET", path)
        equal(200, status, path)


@case()
def all_else_needs_one(env):
    router = env.router()
    router.apply(ALICE)
    for path in ("/api/v1/users", "/api/v1/users/alice", "/api/v1/registrations", "/api/v1/status", "/api/v1/nonsense"):
        status, headers, body = router.http("GET", path)
        equal(401, status, path)
        check("alice" not in body.decode(), "the body tells: %s", body)
        equal("application/problem+json", headers["content-type"].split(";")[0], "type of the problem")
        equal(401, json.loads(body)["status"], "status in the problem document")
    for secret in ("", "x", "a" * 5000):
        status, _, _ = with_token(router, "GET", "/api/v1/users", secret)
        equal(401, status, "with the token %.10r" % secret)
    status, _, _ = router.http("DELETE", "/api/v1/users/alice")
    equal(401, status, "DELETE")


@case()
def metrics_are_prometheus_text(env):
    router = env.router()
    router.apply(ALICE, BOB)
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    status, headers, body = router.http("GET", "/metrics")
    equal(200, status, "/metrics")
    check(headers["content-type"].startswith("text/plain"), "type: %s", headers["content-type"])
    names = set()
    for line in body.decode().splitlines():
        if line.startswith("# TYPE "):
            names.add(line.split()[2])
        elif line and not line.startswith("#"):
            check(re.match(r'^[a-zA-Z_:][\w:]*(\{[^}]*\})? -?[\d.e+naif]+$', line, re.I), "metric line: %r", line)
    check(names and all(n.startswith("strowger_") for n in names), "names: %s", sorted(names)[:8])


@case()
def a_refusal_is_counted_with_its_reason(env):
    """DESIGN §5: every refusal is seen in a metric with a reason."""
    router = env.router()
    before = router.metrics()
    ua = UA(router, "x", address=env.address(2), domain="elsewhere.net")
    equal(404, ua.exchange(ua.request("OPTIONS", "sip:nobody@example.com")).status, "OPTIONS")
    ua.send(b"garbage\r\n\r\n")
    ua.exchange(ua.request("OPTIONS", "sip:" + router.address))
    after = router.metrics()
    grown = {k for k, v in after.items() if v > before.get(k, 0) and "reason" in k}
    check(grown, "no metric with a reason has grown; grown: %s", [k for k, v in after.items() if v > before.get(k, 0)])


@case()
def resources_over_the_control_socket(env):
    """The Unix socket needs no token: who may open it is the owner."""
    router = env.router()
    router.apply(ALICE, BOB)
    status, headers, body = over_control(router, "GET", "/api/v1/users")
    equal((200, "application/json"), (status, headers["content-type"].split(";")[0]), "GET users")
    listed = json.loads(body)
    equal((["alice", "bob"], None), (sorted(u["name"] for u in listed["items"]), listed["next"]), "users")
    for secret in ("alice-password", "digest", "password\": \""):
        check(secret not in json.dumps(listed), "%s is shown: %s", secret, listed)
    status, _, body = over_control(router, "GET", "/api/v1/users/bob")
    equal((200, "bob"), (status, json.loads(body)["name"]), "GET users/bob")
    status, _, body = over_control(router, "GET", "/api/v1/users/nobody")
    equal((404, 404), (status, json.loads(body)["status"]), "GET users/nobody")


@case()
def pages(env):
    router = env.router()
    router.apply(*[dict(name="u%03d" % n, password="long-password-%d" % n) for n in range(120)])
    seen, cursor = [], None
    for _ in range(10):
        path = "/api/v1/users?limit=50" + ("&cursor=" + cursor if cursor else "")
        status, _, body = over_control(router, "GET", path)
        equal(200, status, path)
        page = json.loads(body)
        check(len(page["items"]) <= 50, "%d items on a page of 50", len(page["items"]))
        seen += [u["name"] for u in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    equal(120, len(set(seen)), "users on all pages")
    equal(120, len(seen), "users counted twice")
    status, _, _ = over_control(router, "GET", "/api/v1/users?limit=100000")
    check(status in (200, 400, 422), "limit=100000: %d", status)
    status, _, _ = over_control(router, "GET", "/api/v1/users?cursor=%00garbage")
    check(status in (400, 422), "a made-up cursor: %d", status)


@case()
def roles(env):
    router = env.router()
    router.apply(ALICE, BOB)
    admin, analyst, agent = (token(router, role) for role in ("admin", "analyst", "agent"))
    for secret, path, wanted in ((admin, "/api/v1/users", 200), (analyst, "/api/v1/users", 200),
                                 (admin, "/api/v1/registrations", 200), (admin, "/api/v1/status", 200)):
        status, _, _ = with_token(router, "GET", path, secret)
        equal(wanted, status, "GET " + path)
    for role, secret in (("analyst", analyst), ("agent", agent)):
        status, _, _ = with_token(router, "DELETE", "/api/v1/users/bob", secret, If_Match="*")
        equal(403, status, "DELETE as " + role)
        status, _, _ = with_token(router, "PUT", "/api/v1/users/eve", secret, {"name": "eve"}, If_None_Match="*")
        equal(403, status, "PUT as " + role)
    equal({"alice", "bob"}, {u["name"] for u in router.json("get", "users")}, "users")


@case()
def put_patch_delete(env):
    router = env.router()
    router.apply(ALICE)
    admin = token(router, "admin")
    path = "/api/v1/users/dave"
    status, _, _ = with_token(router, "PUT", path, admin, {"name": "dave", "extension": "104"})
    equal(428, status, "PUT without a condition")
    status, _, body = with_token(router, "PUT", path, admin, {"name": "dave", "extension": "104"}, If_None_Match="*")
    equal(201, status, "PUT of a new user: %s" % body)
    status, headers, body = with_token(router, "GET", path, admin)
    equal((200, "104"), (status, str(json.loads(body)["extension"])), "GET")
    tag = headers["etag"]
    status, _, _ = with_token(router, "PUT", path, admin, {"name": "dave", "extension": "105"}, If_None_Match="*")
    equal(412, status, "PUT of a new user that is there")
    status, _, _ = with_token(router, "PUT", path, admin, {"name": "dave", "extension": "105"}, If_Match=tag)
    equal(200, status, "PUT with If-Match")
    status, _, _ = with_token(router, "PUT", path, admin, {"name": "dave", "extension": "106"}, If_Match=tag)
    equal(412, status, "PUT with an old tag")
    status, _, body = with_token(router, "PUT", path, admin, {"name": "dave", "extention": "106"}, If_Match="*")
    check(status in (400, 422) and "extension" in body.decode(), "PUT with an unknown field: %d %s", status, body)
    status, _, body = with_token(router, "PATCH", path, admin, {"display_name": "Dave"})
    equal(200, status, "PATCH: %s" % body)
    status, _, body = with_token(router, "GET", path, admin)
    equal(("105", "Dave"), (str(json.loads(body)["extension"]), json.loads(body)["display_name"]), "after PATCH")
    status, _, _ = with_token(router, "DELETE", path, admin)
    check(status in (200, 204), "DELETE: %d", status)
    status, _, _ = with_token(router, "GET", path, admin)
    equal(404, status, "GET after DELETE")


@case()
def registrations(env):
    router = env.router()
    router.apply(ALICE)
    UA(router, "alice", address=env.address(2)).register()
    status, _, body = over_control(router, "GET", "/api/v1/registrations")
    listed = json.loads(body)
    equal((200, 1), (status, len(listed["items"])), "GET registrations")
    check(env.address(2) in json.dumps(listed), "the contact is not shown: %s", listed)


@case()
def status_document(env):
    router = env.router()
    status, _, body = over_control(router, "GET", "/api/v1/status")
    equal(200, status, "GET status")
    check(router.address in body.decode(), "the listeners are not shown: %s", body)


@case()
def bad_requests_are_survived(env):
    router = env.router()
    for raw in (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"\0\0\0\0\r\n\r\n",
                b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                b"POST /api/v1/apply HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
                b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /api/v1/users/%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n"):
        with socket.create_connection((router.address, router.http_port), timeout=5) as s:
            s.sendall(raw)
            s.settimeout(0.5)
            try:
                check(b"root:" not in s.recv(65536), "a file came back")
            except OSError:
                pass
    status, _, _ = router.http("GET", "/healthz")
    equal(200, status, "/healthz afterwards")
    status, _, _ = router.http("POST", "/healthz")
    check(status in (404, 405), "POST /healthz: %d", status)


@case()
def many_idle_connections_do_not_stop_it(env):
    router = env.router()
    idle = []
    for _ in range(150):
        try:
            idle.append(socket.create_connection((router.address, router.http_port), timeout=2))
        except OSError:
            break
    over_control(router, "GET", "/api/v1/status")
    ua = UA(router, "x", address=env.address(2), domain="elsewhere.net")
    equal(200, ua.exchange(ua.request("OPTIONS", "sip:" + router.address)).status, "OPTIONS")
    for one in idle:
        one.close()
