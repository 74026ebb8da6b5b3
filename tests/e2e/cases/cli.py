# SPDX-License-Identifier: Apache-2.0
"""The commands: check, apply, export, get, delete, registrations, status; what they print and how they exit."""
import json
import os
import re
import signal
import socket
import stat
import subprocess

from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB, CAROL, Router, user
from harness.ua import UA

# (what, text, line of the fault, what the message must name: the fault or what to do)
BROKEN = [
    ("an unknown key", "domain: [example.com]\n", 1, r"domains"),
    ("an unknown key further in", "domains: [a.example]\nauth:\n  requierd: true\n", 3, r"required"),
    ("a number that is a word", "workers: many\n", 1, r"number|integer|whole"),
    ("a number out of range", "workers: 100000\n", 1, r"\d"),
    ("a port that cannot be", "listen:\n  - udp:127.0.0.1:99999\n", 2, r"port|65535"),
    ("an unknown transport", "listen: [\"upd:127.0.0.1:5060\"]\n", 1, r"udp"),
    ("a duration without a unit that exists", "registrar: {min_expires: 60 parsecs}\n", 1, r"60s|5m|duration|90d|1h"),
    ("an unknown algorithm", "auth: {algorithms: [MD6]}\n", 1, r"MD5"),
    ("an open door off loopback", "listen: [\"udp:192.0.2.1:5060\"]\nauth: {required: false}\n", 2,
     r"insecure|loopback"),
    ("plain HTTP off loopback", "http: {listen: \"192.0.2.1:8080\"}\n", 1, r"plain"),
    ("a key whose room is not built", "domains: [a.example]\ncluster: redis://127.0.0.1:6379\n", 2,
     r"not .*(built|yet|support)|yet"),
    ("a list that is never closed", "domains: [a.example\nworkers: 2\n", None, r""),
    ("a list where one value belongs", "domains: [a.example]\ncontrol: [1, 2]\n", 2, r""),
    ("a store of unknown kind", "store: mysql://x\n", 1, r"sqlite"),
    ("limits the wrong way round", "registrar: {min_expires: 2h, max_expires: 1h}\n", 1, r"min_expires|max_expires"),
    ("the same key twice", "workers: 1\nworkers: 2\n", 2, r"twice|already|duplicate|again"),
]

BROKEN_RESOURCES = [
    ("an unknown kind", "usres:\n  - {name: alice}\n", 1, r"users"),
    ("an unknown field", "users:\n  - {name: alice, extention: 101}\n", 2, r"extension"),
    ("no name", "users:\n  - {extension: 101}\n", 2, r"name"),
    ("a name twice", "users:\n  - {name: alice}\n  - {name: alice}\n", 3, r"alice"),
    ("an extension twice", "users:\n  - {name: alice, extension: 101}\n  - {name: bob, extension: 101}\n", 3,
     r"extension.*alice"),
    ("a caller number that is none", "users:\n  - {name: alice, caller_number: hello}\n", 2, r"E\.164|\+"),
    ("a role that is none", "users:\n  - {name: alice, role: emperor}\n", 2, r"admin|agent"),
    ("text where a list belongs", "users: alice\n", 1, r"list|sequence"),
]


def check_file(env, text, *resources):
    """`strowger check` of a text, without a server: (exit status, all output)."""
    path = env.path("broken.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    done = subprocess.run([env.binary, "check", "-c", path, *resources], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=20)
    return done.returncode, done.stdout


def shows(what, output, path, line, words):
    where = r"^\S*%s:%s:\d+: error: .*" % (re.escape(os.path.basename(path)), line or r"\d+")
    found = [row for row in output.splitlines() if re.match(where, row)]
    check(found, "%s: no error at line %s in:\n%s", what, line, output)
    check(re.search(words, " ".join(found)), "%s: /%s/ is not in: %s", what, words, " ".join(found))


@case()
def broken_configurations(env):
    for what, text, line, words in BROKEN:
        name, wrong = "cli.check_of_" + re.sub(r"\W+", "_", what), None
        try:
            status, output = check_file(env, text)
            equal(1, status, "%s: exit status of check" % what)
            shows(what, output, "broken.yaml", line, words)
        except AssertionError as error:
            wrong = str(error)
        env.result(name, wrong)


@case()
def broken_resources(env):
    good = env.path("good.yaml")
    with open(good, "w", encoding="utf-8") as out:
        out.write("domains: [example.com]\n")
    for what, text, line, words in BROKEN_RESOURCES:
        name, wrong = "cli.check_of_" + re.sub(r"\W+", "_", what), None
        try:
            path = env.path("resources.yaml")
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            done = subprocess.run([env.binary, "check", "-c", good, path], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=20)
            equal(1, done.returncode, "%s: exit status of check" % what)
            shows(what, done.stdout, path, line, words)
        except AssertionError as error:
            wrong = str(error)
        env.result(name, wrong)


@case()
def all_errors_at_once(env):
    text = "domain: [example.com]\nworkers: many\nauth:\n  algorithms: [MD6]\n  realmm: x\n"
    status, output = check_file(env, text)
    equal(1, status, "exit status of check")
    for line, words in ((1, "domains"), (2, ""), (4, "MD5"), (5, "realm")):
        shows("line %d" % line, output, "broken.yaml", line, words)


@case()
def a_good_configuration(env):
    router = env.router(start=False)
    answer = router.run("check")
    equal(0, answer.status, "check: %s" % answer)
    path = env.path("users.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write("users:\n  - {name: alice, extension: 0101, password: x-long-password}\n")
    equal(0, router.run("check", path).status, "check of resources")


@case()
def a_missing_file(env):
    done = subprocess.run([env.binary, "check", "-c", env.path("nowhere.yaml")], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=20)
    equal(1, done.returncode, "exit status: %s" % done.stdout)
    check("nowhere.yaml" in done.stdout, "the file is not named: %s", done.stdout)


@case()
def serve_refuses_a_broken_configuration(env):
    router = env.router(start=False)
    router.settings["workres"] = 3
    router.write_config()
    router.start(ready=False)
    equal(1, router.process.wait(10), "exit status")
    check(router.process.find(r"strowger\.yaml:\d+:\d+: error: .*workers"), "output: %s", router.process.text())


def users(router):
    return {u["name"]: u for u in router.json("get", "users")}


@case()
def apply_export_get_delete(env):
    router = env.router()
    router.apply(ALICE, BOB)
    equal({"alice", "bob"}, set(users(router)), "users")
    equal("101", str(users(router)["alice"]["extension"]), "alice's extension")
    exported = router.done("export")
    check("alice" in exported and "alice-password" not in exported, "export: %s", exported)
    again = router.run("apply", "-", text=exported)
    equal(0, again.status, "apply of the export: %s" % again)
    equal(exported, router.done("export"), "the export after applying it")
    equal(exported, router.done("export", "users"), "export of users")
    # The password was not in the export and is not lost.
    UA(router, "alice", address=env.address(2)).register()
    table = router.done("get", "users")
    check("alice" in table and "102" in table, "get: %s", table)
    one = router.json("get", "users", "bob")
    one = one[0] if isinstance(one, list) else one
    equal("bob", one["name"], "get users bob")
    router.done("delete", "users", "bob")
    equal({"alice"}, set(users(router)), "users after delete")
    equal(1, router.run("get", "users", "bob").status, "get of a deleted user")
    equal(1, router.run("delete", "users", "bob").status, "delete of a deleted user")


@case()
def an_export_moves_to_another_server(env):
    """With the digests in it, so that nobody needs a new password."""
    router = env.router()
    router.apply(ALICE, BOB)
    exported = router.done("export")
    other = env.router(last=2, name="other")
    equal(0, other.run("apply", "-", text=exported).status, "apply on another server")
    equal(exported, other.done("export"), "its export")
    UA(other, "alice", address=env.address(3)).register()


@case()
def apply_replaces_whole_and_keeps_secrets(env):
    router = env.router()
    router.apply(dict(ALICE, display_name="Alice"))
    changed = dict(ALICE, extension=111)
    del changed["password"], changed["display_name"]
    router.apply(changed)
    alice = users(router)["alice"]
    equal("111", str(alice["extension"]), "extension")
    check(not alice.get("display_name"), "display_name is still %r", alice.get("display_name"))
    UA(router, "alice", address=env.address(2)).register()


@case()
def apply_says_what_it_does(env):
    router = env.router()
    first = router.apply(ALICE, BOB)
    check(re.search(r"creat", first) and "alice" in first, "first apply: %s", first)
    second = router.apply(dict(ALICE, extension=109), BOB)
    check(re.search(r"chang|updat", second) and "alice" in second, "second apply: %s", second)


@case()
def apply_dry_run_changes_nothing(env):
    router = env.router()
    router.apply(ALICE)
    path = env.path("more.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write("users:\n  - {name: carol, extension: 103}\n")
    said = router.done("apply", "--dry-run", path)
    check("carol" in said, "dry run: %s", said)
    equal({"alice"}, set(users(router)), "users")


@case()
def apply_prune_deletes_what_is_not_named(env):
    router = env.router()
    router.apply(ALICE, BOB, CAROL)
    path = env.path("only.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write("users:\n  - {name: alice, extension: 101}\n")
    router.done("apply", path)
    equal({"alice", "bob", "carol"}, set(users(router)), "users after apply")
    router.done("apply", "--prune", "users", path)
    equal({"alice"}, set(users(router)), "users after apply --prune")


@case()
def apply_of_a_folder_and_several_files(env):
    router = env.router()
    folder = env.path("resources")
    os.makedirs(folder)
    for name in ("one", "two"):
        with open(os.path.join(folder, name + ".yaml"), "w", encoding="utf-8") as out:
            out.write("users:\n  - {name: %s}\n" % name)
    router.done("apply", folder)
    equal({"one", "two"}, set(users(router)), "users")


@case()
def apply_of_a_broken_file_changes_nothing(env):
    router = env.router()
    router.apply(ALICE)
    before = router.done("export")
    path = env.path("half.yaml")
    for text, line in (("users:\n  - {name: carol, extension: 103}\n  - {name: dave, extention: 104}\n", 3),
                       ("users:\n  - {name: carol, extension: 103}\n  - {name: dave, extension: 101}\n", 3),
                       ("users:\n  - {name: carol\n", None)):
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        answer = router.run("apply", path)
        equal(1, answer.status, "apply of %r: %s" % (text, answer))
        shows("apply", answer.out + answer.err, path, line, "")
        equal(before, router.done("export"), "what is stored after a broken apply")


@case()
def a_password_is_made_and_shown_once(env):
    router = env.router()
    path = env.path("dave.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write("users:\n  - {name: dave}\n")
    said = router.done("apply", path)
    check("dave" in said, "apply: %s", said)
    words = re.findall(r"[^\s\"',:]{8,}", said)
    for word in words:
        ua = UA(router, "dave", address=env.address(2), password=word)
        _, answer = ua.authenticated(ua.register_request())
        if answer.status == 200:
            return
    raise AssertionError("no password that works in: %s" % said)


@case()
def exit_codes(env):
    router = env.router(start=False)
    for words in (("frobnicate",), ("get",), ("delete", "users"), ("get", "users", "--nonsense")):
        answer = subprocess.run([env.binary, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                timeout=20, cwd=env.folder)
        equal(2, answer.returncode, "strowger %s: exit status (%s)" % (" ".join(words), answer.stderr))
    for words in (("get", "users"), ("registrations",), ("status",), ("export",)):
        equal(3, router.run(*words).status, "strowger %s without a server" % " ".join(words))
    router.start()
    for words in (("get", "users"), ("registrations",), ("status",), ("export",)):
        equal(0, router.run(*words).status, "strowger %s" % " ".join(words))
    equal(1, router.run("get", "users", "nobody").status, "get of nobody")
    answer = router.run("get", "usres")
    check(answer.status in (1, 2) and "users" in answer.err + answer.out, "get of an unknown kind: %s", answer)


@case()
def the_server_is_found(env):
    router = env.router()
    router.apply(ALICE)
    where = "unix:" + router.control
    for argv, environment in ((["--server", where], {}), ([], {"STROWGER_SERVER": where})):
        done = subprocess.run([env.binary, "get", "users", "--json", *argv], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=20, env=dict(os.environ, **environment))
        equal(0, done.returncode, "get users with %s %s: %s" % (argv, environment, done.stderr))
        check('"alice"' in done.stdout, "output: %s", done.stdout)


@case()
def registrations_and_status(env):
    router = env.router()
    router.apply(ALICE, BOB)
    for name, last in (("alice", 2), ("bob", 3)):
        UA(router, name, address=env.address(last)).register()
    found = router.registrations()
    equal({"sip:alice@example.com", "sip:bob@example.com"}, {b["aor"] for b in found}, "AORs")
    equal(1, len(router.registrations("sip:bob@example.com")), "bindings of one AOR")
    check(env.address(3) in router.done("registrations"), "the table does not show bob's address")
    status = router.json("status")
    check(isinstance(status, (dict, list)) and status, "status: %r", status)
    check(router.address in router.done("status"), "status does not show the address")


@case()
def get_shows_all_pages(env):
    router = env.router()
    router.apply(*[user("u%04d" % n) for n in range(1200)])
    equal(1200, len(router.json("get", "users")), "users")


@case()
def a_taken_port_is_reported_with_its_holder(env):
    for kind, number in ((socket.SOCK_DGRAM, 1), (socket.SOCK_STREAM, 1)):
        held = socket.socket(socket.AF_INET, kind)
        held.bind((env.address(number), 5060))
        if kind == socket.SOCK_STREAM:
            held.listen()
        router = env.router(start=False, name="router-%d" % kind).start(ready=False)
        equal(1, router.process.wait(15), "exit status with a taken port")
        said = router.process.text()
        check("5060" in said and env.address(number) in said, "the port is not named: %s", said)
        check(re.search(r"python|\b%d\b" % os.getpid(), said), "the holder is not named: %s", said)
        check(not router.process.find(r"^ready\b"), "it said ready")
        held.close()


@case()
def a_second_server_on_the_same_store_is_refused(env):
    router = env.router()
    other = Router(env.binary, env.path("other"), env.address(2), store=router.settings["store"])
    env.at_end(lambda: other.running() and other.kill())
    other.start(ready=False)
    equal(1, other.process.wait(15), "exit status of the second server")
    check(router.running(), "the first server has ended")
    router.done("status")


@case()
def the_control_socket_is_private(env):
    router = env.router()
    equal(0o600, stat.S_IMODE(os.stat(router.control).st_mode), "mode of the control socket")


@case()
def a_leftover_control_socket_does_not_stop_the_start(env):
    router = env.router()
    router.kill()
    check(os.path.exists(router.control), "no control socket is left after kill -9")
    router.start()
    router.done("status")


@case()
def sigterm_ends_it_and_leaves_nothing(env):
    router = env.router()
    router.stop(10)
    check(not os.path.exists(router.control), "the control socket is still there")


@case()
def ready_names_the_addresses(env):
    router = env.router()
    line = router.process.find(r"^ready\b.*").group(0)
    check("%s:5060" % router.address in line, "ready line: %s", line)


@case()
def json_logs_are_json(env):
    router = env.router(log={"format": "json", "level": "debug"})
    alice = UA(router, "alice", address=env.address(2))
    equal(401, alice.exchange(alice.register_request()).status, "REGISTER")
    router.stop()
    lines = [row for row in router.process.text().splitlines() if row and not row.startswith("ready")]
    check(lines, "no log lines")
    for row in lines:
        json.loads(row)


@case()
def a_changed_user_counts_within_50_ms(env):
    """INTERFACE: live within 50 ms; here with room for a busy machine, and calls that are up stay up."""
    router = env.router()
    router.apply(ALICE, BOB)
    alice, bob = UA(router, "alice", address=env.address(2)), UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    router.apply(dict(BOB, extension=155))

    def dialled():
        _, answer = alice.authenticated(alice.request("SUBSCRIBE", "sip:155@example.com", headers=[("Event", "x")]))
        return answer.status != 404
    until("155 is bob", dialled, 1)


@case()
def sighup_is_survived(env):
    router = env.router()
    router.apply(ALICE)
    router.process.signal(signal.SIGHUP)
    router.done("status")
    UA(router, "alice", address=env.address(2)).register()
    check(router.running(), "it has ended")
