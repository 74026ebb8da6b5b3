#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end cases against the real program.

    tests/e2e/run.py [--all] [--only REGEX] [--binary PATH] [-j N] [--keep] [--list]

Each case runs in a process of its own, with a folder and a loopback /24 of its own. Prints `ok NAME` or
`FAIL NAME: reason` for each, and last `N passed, N failed`.
"""
import argparse
import hashlib
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from harness import case as cases  # noqa: E402


def load():
    for path in sorted((HERE / "cases").glob("*.py")):
        importlib.import_module("cases." + path.stem)
    return cases.CASES


def find_binary():
    for path in (ROOT / "build" / "strowger", ROOT / "build" / "debug" / "strowger"):
        if path.exists():
            return path
    return ROOT / "build" / "strowger"


def run_here(name, binary, folder, network):
    """The child: one case; its results go to results.jsonl, one line each."""
    wanted = [c for c in load() if c.name == name][0]
    results = open(os.path.join(folder, "results.jsonl"), "a", encoding="utf-8", buffering=1)

    def report(result, reason):
        results.write(json.dumps([result, reason]) + "\n")

    environment = cases.Environment(binary, folder, network, report)
    try:
        wanted.function(environment)
        report(name, None)
    except Exception as error:  # whatever it is, it is this case's failure
        traceback.print_exc()
        report(name, "%s" % error if isinstance(error, AssertionError) else "%s: %s" % (type(error).__name__, error))
    finally:
        environment.end()


def read_results(folder):
    path = os.path.join(folder, "results.jsonl")
    if not os.path.exists(path):
        return []
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def tails(folder, lines=15):
    """The ends of the logs that a failed case left."""
    text = []
    for path in sorted(pathlib.Path(folder).rglob("*.log")):
        last = path.read_bytes()[-6000:].decode("utf-8", "replace").splitlines()[-lines:]
        if last:
            text.append("    --- %s" % path)
            text += ["    | " + line[:220] for line in last]
    return "\n".join(text)


class Runner:
    def __init__(self, options, chosen):
        self.options, self.waiting = options, list(chosen)
        self.lock = threading.Lock()
        self.passed, self.failed, self.slowest = 0, [], []
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="strowger-e2e-"))

    def network(self, name):
        """A /24 for a case: its second octet from this run, the third from the case, so that two runs beside
        each other are unlikely to meet."""
        run = int(hashlib.sha256(str(self.base).encode()).hexdigest(), 16) % 120
        order = [c.name for c in cases.CASES].index(name)
        return "127.%d.%d" % (100 + (run + order // 250) % 120, order % 250 + 1)

    def one(self, chosen):
        folder = self.base / chosen.name
        folder.mkdir()
        argv = [sys.executable, str(HERE / "run.py"), "--child", chosen.name, "--binary", str(self.options.binary),
                "--folder", str(folder), "--network", self.network(chosen.name)]
        started, late = time.monotonic(), False
        with open(folder / "case.log", "wb") as log:
            child = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                     start_new_session=True)
            try:
                child.wait(chosen.seconds)
            except subprocess.TimeoutExpired:
                late = True
            cases.end_group(child.pid)
            child.wait()
        results = read_results(folder)
        if not any(name == chosen.name for name, _ in results):
            results.append([chosen.name, "given up after %d s" % chosen.seconds if late else "the case itself died"])
        self.print(chosen, folder, results, time.monotonic() - started)

    def print(self, chosen, folder, results, seconds):
        with self.lock:
            failed = [r for r in results if r[1] and r[0] != "note"]
            for name, reason in results:
                if name == "note":
                    print("   %s" % reason)
                elif reason:
                    print("FAIL %s: %s" % (name, reason.replace("\n", "\n    ")))
                    self.failed.append(name)
                else:
                    print("ok %s" % name)
                    self.passed += 1
            if failed:
                print("  logs: %s\n%s" % (folder, tails(folder)))
            elif not self.options.keep:
                shutil.rmtree(folder, ignore_errors=True)
            self.slowest.append((seconds, chosen.name))
            sys.stdout.flush()

    def work(self):
        while True:
            with self.lock:
                if not self.waiting:
                    return
                chosen = self.waiting.pop(0)
            self.one(chosen)

    def all(self):
        # The long ones first: the run then ends when the last short one does.
        self.waiting.sort(key=lambda c: -c.seconds)
        workers = [threading.Thread(target=self.work) for _ in range(self.options.jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if not self.failed and not self.options.keep:
            shutil.rmtree(self.base, ignore_errors=True)
        if self.options.times:
            for seconds, name in sorted(self.slowest, reverse=True)[:15]:
                print("  %6.1f s  %s" % (seconds, name))
        for name in self.failed:
            print("failed: %s" % name)
        print("%d passed, %d failed" % (self.passed, len(self.failed)))
        return 1 if self.failed or not self.passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="also the long cases")
    parser.add_argument("--only", help="cases whose name matches this expression (long ones too)")
    parser.add_argument("--binary", type=pathlib.Path, default=find_binary())
    parser.add_argument("-j", dest="jobs", type=int, default=2, help="cases beside each other")
    parser.add_argument("--keep", action="store_true", help="keep the folders of cases that passed")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--times", action="store_true", help="print the slowest cases")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    if options.child:
        run_here(options.child, options.binary, options.folder, options.network)
        return 0
    chosen = [c for c in load() if (re.search(options.only, c.name) if options.only else options.all or not c.long)]
    if options.list:
        for one in chosen:
            print("%s%s" % (one.name, " (long)" if one.long else ""))
        return 0
    if not options.binary.exists():
        print("FAIL: %s is missing; `./dev build` makes it" % options.binary)
        print("0 passed, 1 failed")
        return 1
    return Runner(options, chosen).all()


if __name__ == "__main__":
    sys.exit(main())
