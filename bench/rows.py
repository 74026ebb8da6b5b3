# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: each group starts its servers, takes its samples and adds its rows."""
import json
import socket
import statistics
import time

import callgrind
from harness import OTHERS_MAX, PORT, Failed, finish_load, sample, void_reason
from systems import Kamailio, Own, Relay, one_line

CALL = "-m call -N 10000 -H 100 -R 5"
FILL = "-m register -n 10000 -N 10000 -w 64"
KAMAILIO_CALLS = 8000  # of a sample; two of them touch less memory than the warm-up did
OWN_CALLS = 12000
PATIENCE_OF_ALL = 40  # samples of a table that are measured again for noise: 10 s each at most


class Run:
    """What is asked for, and what came out so far."""

    def __init__(self, reps=5, quick=False):
        self.reps, self.quick = reps, quick
        self.rows, self.voids, self.settings = [], [], {}
        self.own_calls = OWN_CALLS // 2 if quick else OWN_CALLS
        self.patience = 2  # how many samples of this group may still be measured again for noise
        self.patience_of_all = PATIENCE_OF_ALL

    def note_settings(self, what, server):
        """Prints a whole configuration of ours once."""
        text = one_line(server.settings)
        if text not in self.settings.values():
            self.settings[what] = text
            print(f"   own configuration ({what}): {text}", flush=True)

    def add(self, name, own, unit, bound=None, sense="at most", peer=None, peer_name="kamailio", note="",
            samples=None, absolute=False):
        """Adds a row and prints it. `bound` is of the ratio, or, `absolute`, of our figure."""
        ratio = own / peer if peer else None
        noisy = [x["others_busy"] for x in samples or [] if x["others_busy"] > OTHERS_MAX]
        if noisy:
            note += f"; NOISY: others used up to {max(noisy)} cores in {len(noisy)} of {len(samples)} samples"
        judged = own if absolute else ratio
        ok = None if bound is None else judged <= bound if sense == "at most" else judged >= bound
        self.rows.append({"row": name, "own": own, "unit": unit, "peer": peer, "peer_name": peer_name,
                          "ratio": ratio, "sense": sense, "bound": bound, "ok": ok, "note": note,
                          "noisy_samples": len(noisy), "others_busy_max": max(noisy, default=0.0),
                          "samples": samples})
        text = [f"{name:12s}", f"own {figure(own)} {unit}"]
        if peer:
            text += [f"{peer_name} {figure(peer)} {unit}", f"ratio {ratio:.2f}"]
        if bound is not None:
            text += [f"{sense} {figure(bound)}", "ok" if ok else "MISSED"]
        print("  ".join(text) + (f"   ({note})" if note else ""), flush=True)

    def failed(self, name, why):
        self.rows.append({"row": name, "ok": False, "failed": True, "note": str(why)})
        print(f"{name:12s}  FAILED: {why}", flush=True)

    def sample(self, server, load, between_s=0.0):
        result = sample(server, load, self.voids, between_s, min(2, self.patience, self.patience_of_all))
        again = max(0, result.get("noisy", 0) - 1)
        self.patience -= again
        self.patience_of_all -= again
        return result


def figure(value):
    """With as many digits as mean something."""
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:,.0f}"


def median(samples):
    return statistics.median(x["us"] for x in samples)


def spread(samples):
    values = [x["us"] for x in samples]
    return f"{min(values):.1f}..{max(values):.1f}"


def alternate(run, first, first_load, second, second_load, pause_s=0.0):
    """Samples in turn, so that both see the same machine; `pause_s` after each of the second's."""
    samples = [], []
    for _ in range(run.reps):
        samples[0].append(run.sample(first, first_load))
        second.pause(pause_s)
        samples[1].append(run.sample(second, second_load, pause_s))
    return samples


# --- D: the proxied call ---

def warm_calls(run, own, kamailio):
    """Touches the memory that the samples will use. A first touch costs more than a call does, and
    ours comes back only when its timers (32 s) have ended."""
    own.must(FILL)
    own.must(f"{CALL} -n {(run.reps + 2) * run.own_calls} -w 200")
    kamailio.must(FILL)
    kamailio.must(f"{CALL} -n 20000 -w 200")


def rows_call(run):
    """D by CPU, against Kamailio and the relay, saturated."""
    relay = []
    with Own("own", 1) as own, Kamailio("D") as kamailio:
        run.note_settings("A, B, D", own)
        warm_calls(run, own, kamailio)
        # While our memory comes back Kamailio is measured, two samples for each of its pauses.
        theirs = []
        while len(theirs) < run.reps:
            if len(theirs) % 2 == 0:
                kamailio.pause(kamailio.linger_s)
            theirs.append(run.sample(kamailio, f"{CALL} -n {KAMAILIO_CALLS} -w 200", kamailio.linger_s))
        if not run.quick:
            relay = relay_samples(run)
        own.pause(own.linger_s)
        ours = [run.sample(own, f"{CALL} -n {run.own_calls} -w 200") for _ in range(run.reps)]
        run.add("D", median(ours), "us", 0.33, peer=median(theirs), samples=ours + theirs,
                note=f"{spread(ours)} against {spread(theirs)}")
        if relay:
            busy = statistics.median(x["server_busy"] for x in relay)
            run.add("D/relay", median(ours), "us", 2.0, peer=median(relay), peer_name="relay-mmsg",
                    samples=relay, note=f"relay {100 * busy:.0f} % busy, {relay[0]['load']}")
        if run.quick:
            return
        ending(run, own, kamailio)


# Over connections that stay: 100 phones on each side, a proxy's connection on each side.
STREAM_CALL = "-m call -N 1000 -H 100 -R 5"
STREAM_SIDES = {"": "-P 100", "/peers": "-P 1"}


def rows_streams(run, transport):
    """D over TCP or TLS."""
    with Own("own", 1, transport=transport) as own, Kamailio("D", transport=transport) as kamailio:
        run.note_settings(f"D/{transport}", own)
        for which, sides in STREAM_SIDES.items():
            calls = f"{STREAM_CALL} {sides} -w 200 -n"
            for server, times in ((own, run.reps + 1), (kamailio, 2)):
                server.must(f"{calls} {times * KAMAILIO_CALLS}")
            own.pause(own.linger_s)
            ours, theirs = alternate(run, own, f"{calls} {KAMAILIO_CALLS}", kamailio, f"{calls} {KAMAILIO_CALLS}",
                                     kamailio.linger_s)
            run.add(f"D/{transport}{which}", median(ours), "us", 0.5, peer=median(theirs), samples=ours + theirs,
                    note=f"{spread(ours)} against {spread(theirs)}; {sides.split()[1]} connections on each side")


def rows_tcp(run):
    rows_streams(run, "tcp")


def rows_tls(run):
    rows_streams(run, "tls")


def relay_samples(run):
    """The relay with the smallest window that keeps it busy for 95 % of the time."""
    with Relay() as relay:
        relay.must(f"{CALL} -n 20000 -w 200")
        load = ""
        for window in (200, 400, 700, 1000, 1400, 2000):
            load = f"{CALL} -n 120000 -w {window}"
            if relay.measure(load)["server_busy"] >= 0.95:
                break
        return [run.sample(relay, load) for _ in range(run.reps)]


def ending(run, own, kamailio):
    """What the end of the transactions costs, which falls after the samples: shown, not judged."""
    after = []
    for server in (own, kamailio):
        done = server.must(f"{CALL} -n {KAMAILIO_CALLS} -w 200")["done"]
        before = server.cpu()
        server.pause(server.linger_s)
        after.append((server.cpu() - before) * 1e6 / done)
    run.add("D/ending", after[0], "us", peer=after[1], note="CPU after a sample, until its transactions are gone")


def rows_steady(run):
    """D at a steady 1,000 calls/s: a wake-up for nearly every packet."""
    with Own("own", 1) as own, Kamailio("D") as kamailio:
        run.note_settings("A, B, D", own)
        own.must(FILL)
        own.must(f"{CALL} -n 60000 -w 200")
        kamailio.must(FILL)
        kamailio.must(f"{CALL} -n 20000 -w 200")
        own.pause(own.linger_s)
        load = f"{CALL} -n 5000 -r 1000"
        ours, theirs = alternate(run, own, load, kamailio, load)
        ratios = sorted(a["us"] / b["us"] for a, b in zip(ours, theirs))
        run.add("D/1000", median(ours), "us", 0.80, peer=median(theirs), samples=ours + theirs,
                note=f"{spread(ours)} against {spread(theirs)}; ratios of pairs {ratios[0]:.2f}..{ratios[-1]:.2f}")


STEP_S = 2
STEPS = 6
STEP_UP, STEP_LAST = 1.25, 1.06  # how far up; how near a clean rate and one that is not end the search
OWN_TOUCHED, KAMAILIO_TOUCHED = 220000, 45000  # calls whose memory a warm-up touches


class Clean:
    """The highest open-loop rate without a failure or a retransmission: upwards from a guess, then by halving.

    No step needs memory that was not touched before: `touched` calls may linger at once. A step that is
    not clean is made again once: where a machine is shared, a core that stands still for half a second ends
    a step at a third of the rate that the server carries."""

    def __init__(self, server, touched):
        self.server, self.touched, self.lingering = server, touched, touched
        self.steps, self.best = [], None

    def _step(self, rate):
        calls = int(rate * STEP_S)
        if self.lingering + calls > self.touched:
            self.server.pause(self.server.linger_s)
            self.lingering = 0
        result = self.server.measure(f"{CALL} -G -E -n {calls} -r {rate:.0f} -w 20000")
        self.lingering += calls
        offered = result["started"] / result["offered_secs"]
        result["asked"], result["generator_busy"] = rate, round(result["gen_cpu"] / result["secs"], 2)
        reason = void_reason(result)
        result["clean"] = reason is None and offered > 0.97 * rate
        result["why"] = "" if result["clean"] else reason or f"only {offered:.0f} calls/s offered"
        print(f"   {self.server.name} at {rate:,.0f} calls/s: {result['why'] or 'clean'}", flush=True)
        self.steps.append(result)
        if not result["clean"]:
            self.lingering = self.touched  # what was broken off must not disturb the next step
        return result

    def search(self, guess):
        low, high, rate = 0.0, None, guess
        for _ in range(STEPS):
            result = self._step(rate)
            if not result["clean"]:
                result = self._step(rate)
            if result["clean"]:
                low, self.best = rate, result
            else:
                high = rate
            if low and high and high / low <= STEP_LAST:
                break
            rate = low * STEP_UP if high is None else (low + high) / 2 if low else high / STEP_UP
        if self.best is None:
            raise Failed(f"{self.server.name}: no clean rate found down to {high:.0f} calls/s")
        return low


def rows_clean(run):
    """D: the highest clean rate on one core. The generator sends bursts, to both, so that its core is not the limit."""
    with Own("own", 1) as own, Kamailio("D") as kamailio:
        run.note_settings("A, B, D", own)
        own.must(FILL)
        kamailio.must(FILL)
        own.must(f"{CALL} -n {OWN_TOUCHED} -w 200")
        kamailio.must(f"{CALL} -n {KAMAILIO_TOUCHED} -w 100")
        kamailio.pause(kamailio.linger_s)
        guess = run.sample(kamailio, f"{CALL} -n {KAMAILIO_CALLS} -w 200", kamailio.linger_s)["rate"]
        peer = Clean(kamailio, KAMAILIO_TOUCHED)
        theirs = peer.search(guess)
        mine = Clean(own, OWN_TOUCHED)
        ours = mine.search(theirs * 2.6)
        note = f"setup p99 {mine.best['p99_us'] / 1000:.1f} ms"
        for what, found in (("ours", mine), ("theirs", peer)):
            if found.best["generator_busy"] > 0.9:
                note += f"; the load generator was at its end with {what}: the true figure is higher"
        run.add("D/clean", ours, "calls/s", 2.5, "at least", peer=theirs, note=note,
                samples=mine.steps + peer.steps)


def rows_call_instructions(run):
    """D by user instructions."""
    with Own("own", 1, callgrind.wrap("own"), 60) as own, \
            Kamailio("D", 3, callgrind.wrap("kamailio"), 60) as kamailio:
        run.note_settings("A, B, D", own)
        counted = count_together([own, kamailio], [callgrind.calls(900)] * 2)
        run.add("D/instr", counted[0], "instructions", 0.30, peer=counted[1],
                note="callgrind, until the transactions are gone")


def count_together(servers, loads, fill=True, users=500, more=("", "")):
    """Instructions per transaction of each server; other processes do not disturb the counts."""
    for server, extra in zip(servers, more):
        if fill:
            server.must(callgrind.registrations(users, more=extra), **ports(extra))
        server.must(callgrind.calls(60, users, extra), **ports(extra))
    counts = [callgrind.Count(server) for server in servers]
    for count in counts:
        count.idle()
    under_way = [server.start_load(load, **ports(load)) for server, load in zip(servers, loads)]
    results = [finish_load(process) for process in under_way]
    for server in servers:
        server.warm_at = time.monotonic()
    figures = []
    for server, count, result in sorted(zip(servers, counts, results), key=lambda x: x[0].linger_s):
        server.pause(server.linger_s)
        figures.append((server, count.result(result)))
    return [next(value for other, value in figures if other is server) for server in servers]


def ports(arguments):
    """Where a load with many ports has them."""
    return {"caller": ":20000", "callee": ":21000"} if "-P" in arguments else {}


# --- A, B, C: one request, one answer ---

def rows_options(run):
    with Own("own", 1) as own, Kamailio("A") as kamailio:
        run.note_settings("A, B, D", own)
        load = "-m options -n 100000 -w 64"
        for server in (own, kamailio):
            server.must(load)
        ours, theirs = alternate(run, own, load, kamailio, load)
        run.add("A", median(ours), "us", 0.60, peer=median(theirs), samples=ours + theirs,
                note=f"{spread(ours)} against {spread(theirs)}")


def rows_register(run):
    """B in memory, and what our REGISTER costs when it is on disk."""
    with Own("own", 1) as own, Own("own-disk", 2, store="sqlite:strowger.db") as disk, \
            Kamailio("B") as kamailio:
        run.note_settings("A, B, D", own)
        run.note_settings("B/durable", disk)
        load = "-m register -n 100000 -N 100000 -w 64"
        for server, times in ((own, run.reps + 2), (disk, 4)):
            for _ in range(times):
                server.must(load)
        kamailio.must(load)
        disk.pause(disk.linger_s)
        wait_applied(disk)
        ours, theirs = alternate(run, own, load, kamailio, load)
        run.add("B", median(ours), "us", 0.60, peer=median(theirs), samples=ours + theirs,
                note=f"{spread(ours)} against {spread(theirs)}; both in memory only")
        load = "-m register -n 50000 -N 50000 -w 1000"
        disk.settle = lambda: wait_applied(disk)
        ours, theirs = alternate(run, disk, load, kamailio, load)
        run.add("B/durable", median(ours), "us", 1.2, peer=median(theirs), samples=ours + theirs,
                note=f"{spread(ours)} against {spread(theirs)}; all our threads, until SQLite has it all")


def wait_applied(server, patience_s=60):
    """Until what was registered is in SQLite."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        store = json.loads(server.command("status", "--json"))["store"]
        if store["applied"] >= store["appended"] and store["journal_depth"] == 0:
            return
        time.sleep(0.1)
    raise Failed(f"{server.name}: SQLite is {store['appended'] - store['applied']} operations behind "
                 f"after {patience_s} s")


def rows_digest(run):
    with Own("own", 1, auth=True) as own, Kamailio("C") as kamailio:
        run.note_settings("C", own)
        load = "-m register -a -n 40000 -N 20000 -w 64"
        for _ in range(run.reps + 1):
            own.must(load)
        kamailio.must(load)
        own.pause(own.linger_s)
        ours, theirs = alternate(run, own, load, kamailio, load)
        run.add("C", median(ours), "us", 0.60, peer=median(theirs), samples=ours + theirs,
                note=f"{spread(ours)} against {spread(theirs)}")


# --- memory ---

def rows_memory(run):
    """Bytes for each binding, and for each call while its finished transactions linger."""
    with Own("own", 1) as own, Own("own-calls", 2) as calling, Kamailio("B") as kamailio:
        run.note_settings("A, B, D", own)
        # Registering the same thousand touches the transactions' memory, and makes no binding more.
        own.must("-m register -n 150000 -N 1000 -w 64")
        kamailio.must("-m options -n 500 -w 8")
        before = kamailio.pss()
        kamailio.must("-m register -n 100000 -N 100000 -w 64")
        theirs = (kamailio.pss() - before) / 100000

        calling.must(FILL)
        calling.must(f"{CALL} -n 300 -w 10")
        before = calling.pss()
        calling.must(f"{CALL} -n 20000 -w 200")
        per_call = (calling.pss() - before) / 20000

        own.pause(own.linger_s)
        before = own.pss()
        own.must("-m register -n 100000 -N 100000 -w 64")
        ours = (own.pss() - before) / 99000
    with Kamailio("D") as kamailio:
        kamailio.must(FILL)
        kamailio.must(f"{CALL} -n 300 -w 10")
        before = kamailio.pss()
        kamailio.must(f"{CALL} -n 20000 -w 200")
        theirs_per_call = (kamailio.pss() - before) / 20000
    run.add("binding", ours, "bytes", 400, peer=theirs, absolute=True, note="99,000 more; PSS")
    run.add("call", per_call, "bytes", 4096, peer=theirs_per_call, absolute=True,
            note="20,000 finished calls that linger; PSS")


# --- growth ---

MANY = 1000000


def register_many(server, more=""):
    """A million phones, at a pace at which the finished transactions stay below their limit."""
    server.must(f"-m register -n {MANY} -N {MANY} -r 25000 -w 2000 -T 8000 {more}")


def rows_growth(run):
    """A call's CPU with a thousand bindings and with a million."""
    few_call, many_call = "-m call -N 1000 -H 100 -R 5", f"-m call -N {MANY} -H 100 -R 5"
    with Own("own-few", 1) as few, Own("own-many", 2) as many:
        run.note_settings("A, B, D", few)
        for server in (few, many):
            server.must("-m register -n 1000 -N 1000 -w 64")
            server.must(f"{few_call} -n {(run.reps + 2) * OWN_CALLS} -w 200")
        before = many.pss()
        register_many(many)
        many.pause(many.linger_s)
        big, small = alternate(run, many, f"{many_call} -n {OWN_CALLS} -w 200",
                               few, f"{few_call} -n {OWN_CALLS} -w 200")
        ratio = statistics.median(a["us"] / b["us"] for a, b in zip(big, small))
        run.add("growth/cpu", median(big), "us", 1.15, peer=median(big) / ratio, peer_name="1,000 bindings",
                samples=big + small, note=f"a million bindings, median of pairs; "
                f"{(many.pss() - before) / MANY:,.0f} bytes each with all else")


def rows_growth_instructions(run):
    with Own("own-few", 1, callgrind.wrap("own-few"), 60) as few, \
            Own("own-many", 2, callgrind.wrap("own-many"), 60) as many:
        run.note_settings("A, B, D", few)
        few.must(callgrind.registrations(1000))
        many.must(f"-m register -n {MANY} -N {MANY} -w 200 -T 8000")
        many.pause(many.linger_s)
        small, big = count_together([few, many], [callgrind.calls(900, 1000), callgrind.calls(900, MANY)],
                                    fill=False)
        run.add("growth/instr", big, "instructions", 1.05, peer=small, peer_name="1,000 bindings",
                note="a million bindings")


# --- two workers ---

def rows_workers(run):
    """Two workers against one: what it costs that a message arrives at the wrong one."""
    for many in (64, 1):
        more = f"-P {many}" if many > 1 else ""
        with Own("own-one", 1, callgrind.wrap("own-one"), 60) as one, \
                Own("own-two", 2, callgrind.wrap("own-two"), 60, workers=2) as two:
            run.note_settings("A, B, D", one)
            run.note_settings("workers", two)
            single, double = count_together([one, two], [callgrind.calls(900, more=more)] * 2,
                                            more=(more, more))
            run.add(f"workers/{many}", double, "instructions", 1.15, peer=single, peer_name="one worker",
                    note=f"{many} source port{'s' if many > 1 else ''} on each side")


# --- an INVITE that comes again ---

RESEND_AFTER_S = 20
RESEND_LATEST_S = 30  # at 32 s its transaction may be gone


class Resent:
    """A phone by hand: its INVITE comes again 20 s after the 200, and the callee must not see it."""

    def __init__(self, server):
        self.server = server
        self.caller, self.callee = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for which in (self.caller, self.callee):
            which.bind((server.ip, 0))
            which.settimeout(2)
        self._request(self.callee, "REGISTER", "r", f"<sip:resent@{server.address}>",
                      f"Contact: <sip:resent@{self._at(self.callee)}>;expires=300\r\n")
        self._expect(self.callee, b"SIP/2.0 200")
        self.invite = self._request(self.caller, "INVITE", "i", f"<sip:resent@{server.address}>",
                                    f"Contact: <sip:caller@{self._at(self.caller)}>\r\n")
        got = self._expect(self.callee, b"INVITE ").decode()
        repeated = [line for line in got.split("\r\n")
                    if line.split(":")[0] in ("Via", "Record-Route", "From", "Call-ID", "CSeq")]
        self.callee.sendto(("SIP/2.0 200 OK\r\n" + "\r\n".join(repeated) +
                            f"\r\nTo: <sip:resent@{server.address}>;tag=2\r\n"
                            f"Contact: <sip:resent@{self._at(self.callee)}>\r\n"
                            "Content-Length: 0\r\n\r\n").encode(), (server.ip, PORT))
        answer = self._expect(self.caller, b"SIP/2.0 200").decode()
        routes = "".join("Route:" + line.split(":", 1)[1] + "\r\n" for line in answer.split("\r\n")
                         if line.startswith("Record-Route:"))
        self._request(self.caller, "ACK", "a", f"<sip:resent@{server.address}>;tag=2", routes,
                      uri=f"sip:resent@{self._at(self.callee)}")
        self._expect(self.callee, b"ACK ")
        self.answered_at = time.monotonic()
        self.absorbed, self.after_s = None, 0.0

    @staticmethod
    def _at(which):
        return "%s:%d" % which.getsockname()

    def _request(self, which, method, branch, to, more, uri=None):
        text = (f"{method} {uri or 'sip:resent@' + self.server.address} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self._at(which)};branch=z9hG4bKresent{branch};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:resent@{self.server.address}>;tag=1\r\nTo: {to}\r\n"
                f"Call-ID: resent{'r' if method == 'REGISTER' else ''}\r\nCSeq: 1 {method}\r\n{more}"
                "Content-Length: 0\r\n\r\n").encode()
        which.sendto(text, (self.server.ip, PORT))
        return text

    def _expect(self, which, start):
        """The next message that begins so."""
        try:
            while True:
                got = which.recv(4096)
                if got.startswith(start):
                    return got
        except OSError:
            raise Failed(f"{self.server.name}: no {start.decode()} came") from None

    def check(self):
        """Sends the INVITE again, 20 s after its 200 at the earliest."""
        time.sleep(max(0, self.answered_at + RESEND_AFTER_S - time.monotonic()))
        self.after_s = time.monotonic() - self.answered_at
        self.callee.settimeout(1)
        self.caller.sendto(self.invite, (self.server.ip, PORT))
        try:
            self.absorbed = not self.callee.recv(4096)
        except OSError:
            self.absorbed = True
        self.caller.close()
        self.callee.close()


def rows_resent(run):
    """Timer L is not shortened: it is 32 s, and the samples wait for it."""
    with Own("own", 1) as own:
        run.note_settings("A, B, D", own)
        resent = Resent(own)
        resent.check()
    if resent.after_s > RESEND_LATEST_S:
        raise Failed(f"the INVITE was sent again {resent.after_s:.0f} s after its 200: too late to tell")
    run.rows.append({"row": "resent", "ok": resent.absorbed, "note": f"{resent.after_s:.0f} s after its 200"})
    print(f"{'resent':12s}  an INVITE sent again {resent.after_s:.0f} s after its 200  "
          f"{'absorbed  ok' if resent.absorbed else 'REACHED THE CALLEE  MISSED'}", flush=True)


# What can be asked for, in the order of the table: names of rows -> what measures them.
GROUPS = {
    "D": rows_call, "D/instr": rows_call_instructions, "D/1000": rows_steady, "D/clean": rows_clean,
    "D/tcp": rows_tcp, "D/tls": rows_tls,
    "A": rows_options, "B": rows_register, "C": rows_digest, "memory": rows_memory,
    "growth": rows_growth, "growth/instr": rows_growth_instructions, "workers": rows_workers,
    "resent": rows_resent,
}
