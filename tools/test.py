#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All tests, part by part; ./dev test calls this after it has installed what they need.

    tools/test.py [--all] [--list] [PART...]

PARTS at the end of this file is the table of parts. A part gives (passed, [name of each failure]).
What a part says goes to build/test-logs/PART.log. A part whose program is missing has failed, and
so has a test that was skipped. The last line is `N passed, N failed` over all parts.
"""
import argparse
import collections
import concurrent.futures
import glob
import hashlib
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
CORES = os.cpu_count() or 2
SIM_SEEDS = 1000
SIM_SEEDS_LONG = 20000
SIM_CALLS = 20000  # in one run of the simulator
SIM_CALLS_LONG = 1000000
SIM_CROWD = 5000  # phones on streams
SIM_CROWD_LONG = 100000
SIM_SECONDS_MAX = 3600
FUZZ_SECONDS = 60
EXPOSURE_MOST = 2.0  # of `systemd-analyze security`; 0 is best, 10 worst

ENVIRONMENT = dict(
    os.environ,
    ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    UBSAN_OPTIONS="print_stacktrace=1",
    TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1",
    CMOCKA_MESSAGE_OUTPUT="stdout",
)


class Log:
    """The log of one part, and what to say of its failures."""

    def __init__(self, part):
        self.path = os.path.join(LOGS, part + ".log")
        self.file = open(self.path, "wb")

    def write(self, text):
        self.file.write(text if isinstance(text, bytes) else text.encode())
        self.file.flush()


def run(log, command, seconds, **more):
    """Runs a command in a group of its own; gives (status, output). Late: killed, status -9."""
    log.write("$ %s\n" % " ".join(command))
    more.setdefault("cwd", ROOT)
    more.setdefault("env", ENVIRONMENT)
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True, **more)
    except OSError as error:
        log.write("%s\n" % error)
        return 127, str(error)
    try:
        output, _ = process.communicate(timeout=seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += b"\nkilled after %d s\n" % seconds
        status = -signal.SIGKILL
    log.write(output)
    log.write("= %d\n" % status)
    return status, output.decode("utf-8", "replace")


def ok_fail_lines(status, output, name):
    """Reads lines `ok NAME` and `FAIL NAME: why`; a status that does not fit them is a failure."""
    passed = len(re.findall(r"^ok \S", output, re.M))
    failed = re.findall(r"^FAIL (.*)", output, re.M)
    if (status != 0 and not failed) or passed + len(failed) == 0:
        failed.append("%s ended with status %d" % (name, status))
    return passed, failed


def one(status, name):
    return (1, []) if status == 0 else (0, [name])


# --- Parts ---------------------------------------------------------------------------------------

def layering(log):
    return ok_fail_lines(*run(log, ["tools/layering.py"], 60), "tools/layering.py")


def tools_tests(log):
    """The tests of the tools themselves."""
    status, output = run(log, [sys.executable, "-m", "unittest", "discover", "-v", "-s",
                               "tests/tools"], 300)
    passed = len(re.findall(r"\.\.\. ok$", output, re.M))
    failed = re.findall(r"^(?:FAIL|ERROR): (\S+)", output, re.M)
    failed += re.findall(r"^(\S+) .*\.\.\. skipped", output, re.M)
    if (status != 0 and not failed) or passed == 0:
        failed.append("unittest ended with status %d" % status)
    return passed, failed


def compile_preset(log, preset, *targets):
    """Builds everything that can be built, also after an error, so that all errors are seen."""
    if not os.path.exists(os.path.join(ROOT, "build", preset, "build.ninja")):
        status, _ = run(log, ["cmake", "--preset", preset], 120)
        if status != 0:
            return 0, ["configuring " + preset]
    status, output = run(log, ["ninja", "-C", "build/" + preset, "-k", "0", "-j", str(CORES),
                               *targets], 1200)
    failed = re.findall(r"^FAILED: (\S+)", output, re.M)
    if status != 0:
        return 0, failed or ["building " + preset]
    return 1, []


def debug(log):
    return compile_preset(log, "debug")


def clang(log):
    return compile_preset(log, "tsan")


def fuzz_build(log):
    return compile_preset(log, "fuzz")


def release(log):
    return one(run(log, ["./dev", "build"], 1200)[0], "./dev build")


def unit_programs(preset):
    """(name, path) of every unit test that ought to be there."""
    programs = []
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/unit/*/test_*.c"))):
        room = os.path.basename(os.path.dirname(source))
        name = "unit_%s_%s" % (room, os.path.basename(source)[len("test_"):-len(".c")])
        programs.append((name, os.path.join(ROOT, "build", preset, "tests", name)))
    return programs


def unit_one(log, name, program):
    """One cmocka program: each of its test functions counts."""
    if not os.path.exists(program):
        return 0, ["%s: not built" % name]
    status, output = run(log, [program], 300)
    passed = len(re.findall(r"^\[ +OK \] ", output, re.M))
    failed = ["%s: %s" % (name, test) for test in
              re.findall(r"^\[  (?:FAILED|SKIPPED|ERROR) +\] (\w+)$", output, re.M)]
    failed = list(dict.fromkeys(failed))
    if status != 0 and not failed:
        failed.append("%s ended with status %d" % (name, status))
    elif passed + len(failed) == 0:
        failed.append("%s: no test in it" % name)
    return passed, failed


def unit_in(preset, log):
    programs = unit_programs(preset)
    if not programs:
        return 0, ["no unit tests"]
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        results = list(pool.map(lambda program: unit_one(log, *program), programs))
    return sum(passed for passed, _ in results), [f for _, failed in results for f in failed]


def unit(log):
    return unit_in("debug", log)


def tsan(log):
    return unit_in("tsan", log)


def tsan_e2e(log):
    """A few real calls, and everything at once with four workers, with ThreadSanitizer in the router."""
    return ok_fail_lines(*run(log, ["tests/e2e/run.py", "--binary", "build/tsan/strowger", "-j", "1",
                                    "--only", TSAN_CASES], 600), "tests/e2e/run.py")


TSAN_CASES = (r"^(auth\.registers_with_md5|auth\.a_changed_password_counts_at_once|registrar\.many_|"
              r"registrar\.a_tcp_contact_|proxy\.a_fork_ends_|proxy\.call_between_|proxy\.timer_c_|"
              r"sipp\.call_from_|sipp\.many_calls|load\.)")


def fuzz_names():
    return [os.path.basename(path)[:-len(".c")]
            for path in sorted(glob.glob(os.path.join(ROOT, "tests/fuzz/fuzz_*.c")))]


def replay(log):
    """The kept inputs of the fuzzers under gcc's sanitizers, one verdict per target."""
    passed, failed = 0, []
    for name in fuzz_names():
        corpus = "tests/fuzz/corpus/" + name[len("fuzz_"):]
        if name == "fuzz_peek":  # whatever is a message, whole or broken, is looked at and parsed
            more = ["tests/conformance", "tests/fuzz/corpus"]
        else:
            more = []
        status, _ = run(log, ["build/debug/tests/" + name, corpus, *more], 300)
        if status == 0:
            passed += 1
        else:
            failed.append("%s over %s" % (name, corpus))
    if passed + len(failed) == 0:
        failed.append("no fuzz targets")
    return passed, failed


def fuzz_long(log):
    """Each target for a while, one on each core."""
    names = fuzz_names()
    status, _ = compile_preset(log, "fuzz", *names)
    if status == 0:
        return 0, ["building the fuzz targets"]
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        results = list(pool.map(
            lambda name: run(log, ["./dev", "fuzz", "T=%d" % FUZZ_SECONDS, name],
                             FUZZ_SECONDS * 4 + 600), names))
    failed = [name for name, (status, _) in zip(names, results) if status != 0]
    return len(names) - len(failed), failed


def conformance(log):
    """The published messages are byte for byte as published, and each has its expected treatment.
    That the router treats them so is tested by unit tests and, over the wire, end to end."""
    passed, failed = 0, []
    for rfc in ("rfc4475", "rfc5118"):
        folder = os.path.join(ROOT, "tests", "conformance", rfc)
        expected = set()
        with open(os.path.join(folder, "expect.tsv"), encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    expected.add(line.split("\t")[0])
        with open(os.path.join(folder, "SHA256SUMS"), encoding="utf-8") as file:
            sums = [line.split() for line in file if line.strip()]
        for digest, name in sums:
            with open(os.path.join(folder, name), "rb") as file:
                good = hashlib.sha256(file.read()).hexdigest() == digest
            good = good and ("/" in name or name in expected)
            log.write("%s %s/%s\n" % ("ok" if good else "FAIL", rfc, name))
            passed += good
            failed += [] if good else ["%s/%s" % (rfc, name)]
    return passed, failed


def simulate(log, seeds, calls, crowd):
    """Each seed is one run, and there is one of very many calls, and one of very many phones. One that fails is printed
    with the line that replays it."""
    status, _ = compile_preset(log, "sim", "sim")
    if status == 0:
        return 0, ["building the simulator"]
    share = (seeds + CORES - 1) // CORES

    parts = [["--calls", str(calls)], ["--crowd", str(crowd)]]
    parts += [["--first", str(core * share + 1), "--seeds", str(share)] for core in range(CORES)]
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        results = list(pool.map(
            lambda part: run(log, ["build/sim/tests/sim"] + part, SIM_SECONDS_MAX), parts))
    passed, failed = 0, []
    for status, output in results:
        last = re.findall(r"(\d+) passed, (\d+) failed", output)
        passed += int(last[-1][0]) if last else 0
        seen = re.findall(r"^FAIL (.*)", output, re.M)
        if (status != 0 and not seen) or not last:
            seen.append("sim ended with status %d" % status)
        failed += seen
    return passed, failed


def sim(log):
    return simulate(log, SIM_SEEDS, SIM_CALLS, SIM_CROWD)


def sim_long(log):
    return simulate(log, SIM_SEEDS_LONG, SIM_CALLS_LONG, SIM_CROWD_LONG)


def planted(log):
    """Bugs kept as patches: each must be found by the simulator."""
    return ok_fail_lines(*run(log, ["tests/sim/planted/run"], 7200), "tests/sim/planted/run")


def e2e(log):
    return ok_fail_lines(*run(log, ["tests/e2e/run.py"], 1200), "tests/e2e/run.py")


def e2e_long(log):
    return ok_fail_lines(*run(log, ["tests/e2e/run.py", "--all"], 7200), "tests/e2e/run.py --all")


def dev_run(log):
    return ok_fail_lines(*run(log, ["tests/tools/run_dev_run.py"], 180), "tests/tools/run_dev_run.py")


def packaging(log):
    """The systemd unit is right, and locked down."""
    unit_file = "packaging/strowger.service"
    # The unit names /usr/bin/strowger; verify looks for it, so it is shown the one just built.
    shown = os.path.join(ROOT, "build", "strowger.service")
    with open(os.path.join(ROOT, unit_file), encoding="utf-8") as file:
        text = file.read().replace("/usr/bin/strowger", os.path.join(ROOT, "build/strowger"))
        text = text.replace("/usr/lib/strowger/", os.path.join(ROOT, "packaging/"))
    with open(shown, "w", encoding="utf-8") as file:
        file.write(text)
    status, output = run(log, ["systemd-analyze", "verify", "--man=no", shown], 60)
    passed, failed = one(0 if status == 0 and not output.strip() else 1, "systemd-analyze verify")
    status, output = run(log, ["systemd-analyze", "security", "--offline=true", "--no-pager",
                               unit_file], 60)
    level = re.search(r"exposure level for \S+: ([\d.]+)", output)
    if level and float(level.group(1)) < EXPOSURE_MOST:
        return passed + 1, failed
    said = level.group(1) if level else "none"
    return passed, failed + ["systemd-analyze security: %s, allowed < %.1f" % (said, EXPOSURE_MOST)]


def oom(log):
    return ok_fail_lines(*run(log, ["tools/oom.py"], 1800), "tools/oom.py")


Part = collections.namedtuple("Part", "name long function does")
NORMAL, LONG = "normal", "long"

PARTS = [
    Part("layering", NORMAL, layering, "includes, I/O, threads, SQL, banned functions, licence lines"),
    Part("tools", NORMAL, tools_tests, "the tests of our tools"),
    Part("release", NORMAL, release, "./dev build: gcc, -O3, hardened"),
    Part("debug", NORMAL, debug, "gcc build of everything with ASan and UBSan"),
    Part("unit", NORMAL, unit, "unit tests under ASan and UBSan"),
    Part("replay", NORMAL, replay, "the fuzzers' kept inputs"),
    Part("conformance", NORMAL, conformance, "the messages of RFC 4475 and 5118 are the published ones"),
    Part("sim", NORMAL, sim, "%d simulated runs, one of %d calls, one of %d phones on streams"
         % (SIM_SEEDS, SIM_CALLS, SIM_CROWD)),
    Part("packaging", NORMAL, packaging, "the systemd unit"),
    Part("run", NORMAL, dev_run, "./dev run, twice, and with a port that is taken"),
    Part("e2e", NORMAL, e2e, "phones and tools that we did not write"),
    Part("clang", NORMAL, clang, "clang build of everything"),
    Part("tsan", NORMAL, tsan, "unit tests under ThreadSanitizer"),
    Part("tsan-e2e", NORMAL, tsan_e2e, "registrations and calls under ThreadSanitizer"),
    Part("e2e-long", LONG, e2e_long, "the long cases too"),
    Part("sim-long", LONG, sim_long,
         "%d simulated runs, one of %d calls, one of %d phones on streams"
         % (SIM_SEEDS_LONG, SIM_CALLS_LONG, SIM_CROWD_LONG)),
    Part("planted", LONG, planted, "planted bugs are found"),
    Part("oom", LONG, oom, "every allocation fails once"),
    Part("fuzz-build", LONG, fuzz_build, "libFuzzer build"),
    Part("fuzz", LONG, fuzz_long, "each fuzz target for %d s" % FUZZ_SECONDS),
]
REPLACED_BY_LONG = {"e2e": "e2e-long", "sim": "sim-long"}


def choose(options):
    if options.parts:
        unknown = set(options.parts) - {part.name for part in PARTS}
        if unknown:
            sys.exit("unknown part: %s; --list shows them" % ", ".join(sorted(unknown)))
        return [part for part in PARTS if part.name in options.parts]
    if options.all:
        return [part for part in PARTS if part.name not in REPLACED_BY_LONG]
    return [part for part in PARTS if part.long == NORMAL]


def attempt(part):
    """Runs one part; whatever goes wrong in it is its failure."""
    log = Log(part.name)
    try:
        return part.function(log)
    except Exception as error:  # the other parts still run
        log.write("%s: %s\n" % (type(error).__name__, error))
        return 0, ["%s: %s" % (type(error).__name__, error)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the long parts too")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    chosen = choose(options)
    if options.list:
        for part in PARTS:
            print("%-11s %s%s" % (part.name, part.does, "" if part.long == NORMAL else " (--all)"))
        return 0

    os.makedirs(LOGS, exist_ok=True)
    begin, passed, failed = time.monotonic(), 0, []
    for part in chosen:
        print("%-11s " % part.name, end="", flush=True)
        started = time.monotonic()
        part_passed, part_failed = attempt(part)
        print("%5d passed, %d failed  %6.1f s  %s" % (part_passed, len(part_failed),
                                                      time.monotonic() - started, part.does))
        for name in part_failed[:20]:
            print("    FAIL %s" % name)
        if len(part_failed) > 20:
            print("    ... and %d more" % (len(part_failed) - 20))
        if part_failed:
            print("    log: %s" % os.path.relpath(os.path.join(LOGS, part.name + ".log"), ROOT))
        passed += part_passed
        failed += part_failed
    print("Tests: %d s" % (time.monotonic() - begin))
    print("%d passed, %d failed" % (passed, len(failed)))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
