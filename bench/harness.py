# SPDX-License-Identifier: Apache-2.0
"""Servers pinned to one core, the load generator to the other, and what the servers use.

A server's CPU time is the sum over its process tree of /proc/PID/task/*/schedstat: exact, and of all
its threads. Its memory is the proportional set size (PSS) of the tree.
"""
import glob
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
OUT = os.environ.get("BENCH_OUT", os.path.join(ROOT, "build/bench"))
NET = os.environ.get("BENCH_NET", "127.0.8")  # a loopback /24 that nobody else uses
SERVER_CPU = int(os.environ.get("BENCH_SERVER_CPU", 0))
LOAD_CPU = int(os.environ.get("BENCH_LOAD_CPU", 1))
PORT = 5060
TLS_PORT = 5061


class Failed(Exception):
    """A measurement that cannot be made; its text says why."""


def tree(root):
    """The process and all below it."""
    children = {}
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(folder + "/stat", encoding="utf-8") as file:
                stat = file.read()
        except OSError:
            continue
        parent = int(stat[stat.rindex(")") + 2:].split()[1])
        children.setdefault(parent, []).append(int(folder[6:]))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """What all threads of the processes have run for, in seconds."""
    total = 0
    for pid in pids:
        for thread in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(thread, encoding="utf-8") as file:
                    total += int(file.read().split()[0])
            except (OSError, IndexError):
                pass
    return total / 1e9


def pss_bytes(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1]) * 1024
        except (OSError, TypeError):
            pass
    return total


def machine_busy_seconds():
    with open("/proc/stat", encoding="utf-8") as file:
        fields = [int(x) for x in file.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / 100


def port_taken(ip, port):
    """A leftover server would share the port unseen (SO_REUSEADDR), and get the traffic or not."""
    number = int.from_bytes(socket.inet_aton(ip), "little")
    taken = {f"{number:08X}:{port:04X}", f"00000000:{port:04X}"}
    with open("/proc/net/udp", encoding="utf-8") as file:
        return any(line.split()[1] in taken for line in file.readlines()[1:])


def pinned(cpu):
    """For Popen: a session of its own, on one core, ahead of others where we may."""
    def before_exec():
        os.setsid()
        os.sched_setaffinity(0, {cpu})
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -15)
        except PermissionError:
            pass
    return before_exec


class Server:
    """A server that runs until it is stopped. `command` stays in the foreground, ends on SIGTERM and
    takes SIP on udp:`ip`:5060. `ready` is how one sees that it does: `options`, it answers them, with
    any code; `port`, the port is bound; `log`, a line of its output begins with `ready`."""

    def __init__(self, name, ip, command, wrap=(), patience_s=20, ready="options"):
        if ready != "log" and port_taken(ip, PORT):
            raise Failed(f"udp:{ip}:{PORT} is taken: another server runs")
        self.name, self.ip, self.address = name, ip, f"{ip}:{PORT}"
        self.transport = getattr(self, "transport", "udp")  # of the loads
        self.warm_at = 0.0  # when its last load ended, see pause()
        self.settle = lambda: time.sleep(0.05)  # waits until what a load left to do is done
        self.log_path = os.path.join(OUT, f"{name}.log")
        self._begin = lambda: self._start([*wrap, *command], patience_s, ready)
        self._begin()

    def _start(self, command, patience_s, ready):
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=OUT, stdin=subprocess.DEVNULL,
                                            preexec_fn=pinned(SERVER_CPU))
        try:
            self._wait_ready(time.monotonic() + patience_s, ready)
        except BaseException:
            self.stop()
            raise

    def crash(self):
        """Ends it without a word, and starts it anew with what it has on disk."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(5)
        self._begin()

    def _wait_ready(self, deadline, how):
        while not {"options": self._answers, "port": lambda: port_taken(self.ip, PORT),
                   "log": self._says_ready}[how]():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} did not start: see {self.log_path}")
            time.sleep(0.05)

    def _says_ready(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return any(line.startswith("ready") for line in log)

    def _answers(self):
        port, tag = 7099, time.time_ns()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((self.ip, port))
            probe.settimeout(0.2)
            probe.sendto((f"OPTIONS sip:{self.address} SIP/2.0\r\n"
                          f"Via: SIP/2.0/UDP {self.ip}:{port};branch=z9hG4bK{tag}\r\n"
                          f"Max-Forwards: 70\r\nFrom: <sip:p@127.0.0.1>;tag=1\r\n"
                          f"To: <sip:127.0.0.1>\r\nCall-ID: {tag}\r\nCSeq: 1 OPTIONS\r\n"
                          "Content-Length: 0\r\n\r\n").encode(), (self.ip, PORT))
            try:
                return probe.recv(4096).startswith(b"SIP/2.0")
            except OSError:
                return False

    def pids(self):
        return tree(self.process.pid)

    def cpu(self):
        return cpu_seconds(self.pids())

    def pss(self):
        return pss_bytes(self.pids())

    def stop(self):
        """A first SIGTERM lets a server finish what is under way, a second one ends it."""
        pids = self.pids()
        for wait_s in (0.5, 5):
            if self.process.poll() is not None:
                break
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(wait_s)
            except subprocess.TimeoutExpired:
                pass
        for pid in pids if self.process.poll() is None else pids[1:]:
            try:
                if pid == self.process.pid or os.getsid(pid) == self.process.pid:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # --- load ---

    def sip(self, transport):
        """Where it takes SIP by this transport."""
        return f"{self.ip}:{TLS_PORT if transport == 'tls' else PORT}"

    def _command(self, arguments, caller, callee):
        """Of the load generator; over TCP and TLS with connections that are there before the load begins."""
        more = []
        if self.transport != "udp":
            caller, callee, more = ":20000", ":21000", ["-t", self.transport, "-g"]
        return [os.path.join(OUT, "sipload"), "-s", self.sip(self.transport), "-l", self.ip + caller, "-u",
                self.ip + callee, *more, *shlex.split(arguments)]

    def start_load(self, arguments, caller=":7060", callee=":7070"):
        """The load generator, running; its standard output ends with a line of JSON."""
        process = subprocess.Popen(self._command(arguments, caller, callee), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, preexec_fn=pinned(LOAD_CPU))
        self.begun = machine_busy_seconds(), self.cpu()
        if self.transport != "udp":
            if process.stdout.readline() != "READY\n":
                raise Failed(f"{self.name}: the load generator did not get its connections")
            self.begun = machine_busy_seconds(), self.cpu()
            process.stdin.write("go\n")
            process.stdin.flush()
        return process

    def load(self, arguments, **more):
        """Runs a load to its end, gives what it says."""
        return finish_load(self.start_load(arguments, **more), lasts_s(arguments) + PATIENCE_S)

    def must(self, arguments, **more):
        """A load whose failure makes what follows meaningless."""
        result = self.load(arguments, **more)
        if result["failed"] or result["done"] < result["started"]:
            raise Failed(f"{self.name}: {arguments}: {result['failed']} of {result['started']} failed; "
                         f"see {self.log_path}")
        self.warm_at = time.monotonic()
        return result

    def pause(self, seconds):
        """Waits until `seconds` after the end of the last load."""
        time.sleep(max(0, self.warm_at + seconds - time.monotonic()))

    def measure(self, arguments):
        """One load and what the server used for it; `us` is CPU microseconds per transaction."""
        result = self.load(arguments)
        busy = machine_busy_seconds() - self.begun[0]
        self.settle()
        cpu = self.cpu() - self.begun[1]
        self.warm_at = time.monotonic()
        result.update(server=self.name, load=arguments, us=round(cpu * 1e6 / max(1, result["done"]), 3),
                      server_busy=round(cpu / result["secs"], 3),
                      others_busy=round((busy - cpu - result["gen_cpu"]) / result["secs"], 3))
        return result


PATIENCE_S = 180  # for a load, beyond what its rate says


def lasts_s(arguments):
    """How long a load takes that comes at a rate; 0 for a closed loop, which takes what it takes."""
    words = shlex.split(arguments)
    given = dict(zip(words, words[1:]))
    return int(given["-n"]) / float(given["-r"]) if "-n" in given and "-r" in given else 0.0


def finish_load(process, timeout=PATIENCE_S):
    """What a running load says at its end; it is broken off after `timeout` seconds."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate()
    lines = output.strip().splitlines()
    if not lines:
        raise Failed("the load generator ended without a result")
    return json.loads(lines[-1])


OTHERS_MAX = 0.2  # cores that other processes may use during a sample
TRIES = 6


def void_reason(result):
    """Why a sample does not count, or None. A strict load ends at what is the first of its kind."""
    if result["retrans"] and not result["failed"]:
        return f"{result['retrans']} retransmitted"
    if result["failed"] or result["done"] < result["started"]:
        return (f"{result['failed']} failed ({result['unanswered']} unanswered, {result['stalled']} stalled, "
                f"{result['refused']} refused, {result['rejected']} rejected, last with {result['last_code']})")
    return None


def sample(server, arguments, voids, between_s=0.0, patience=2):
    """A measurement that counts: what is void is said, noted in `voids`, and measured again.

    While other processes take the cores it is measured again, too, at most `patience` times. Then the
    sample with the least of it counts, and says so (`noisy`: how often it was measured)."""
    noisy, reason = [], ""
    for _ in range(TRIES):
        result = server.measure(arguments)
        reason = void_reason(result)
        if reason is not None:
            voids.append(f"{server.name}: {reason}")
            print(f"   void: {server.name} `{arguments}`: {reason}; measured again", flush=True)
            server.pause(max(1.0, between_s))
            continue
        if result["others_busy"] <= OTHERS_MAX:
            return result
        noisy.append(result)
        if len(noisy) > patience:
            break
        server.pause(between_s)
    if not noisy:
        raise Failed(f"{server.name}: {TRIES} samples void, the last: {reason}")
    best = min(noisy, key=lambda result: result["others_busy"])
    best["noisy"] = len(noisy)
    return best
