#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./dev lint does: layering, format, clang-tidy, cppcheck; and lists what has grown too large.

Works on build/tsan's compile commands (clang's). The last line is `N passed, N failed`, one for each
file and tool. The list of large functions and files is to look at, and fails nothing.
"""
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import layering  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "tsan")
CORES = os.cpu_count() or 2
FUNCTION_LINES = 70
FILE_LINES = 800
NESTING = 3


def run(command):
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def format_one(path):
    status, output = run(["clang-format", "--dry-run", "-Werror", path])
    return status == 0, "\n".join(line for line in output.split("\n") if "error:" in line)


def tidy_one(path):
    status, output = run(["clang-tidy", "--quiet", "-p", BUILD, path])
    said = re.findall(r"^.*(?:error|warning): .*\[.*\]$", output, re.M)
    return status == 0, "\n".join(dict.fromkeys(said)) or output[-500:]


def cppcheck_one(path):
    status, output = run(["cppcheck", "--quiet", "--std=c11", "--enable=warning,portability", "-Isrc",
                          "--inline-suppr", "--error-exitcode=1", "--suppress=missingInclude",
                          "--suppress=unknownMacro", "-D_GNU_SOURCE", "-D__GNUC__", path])
    return status == 0, output


def each(name, function, paths):
    """Runs one tool over all files, as many at a time as there are cores."""
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        for path, (good, said) in zip(paths, pool.map(function, paths)):
            if not good:
                failed += 1
                print("FAIL %s %s\n%s" % (name, path, said.rstrip()))
    print("%-12s %d passed, %d failed" % (name, len(paths) - failed, failed), flush=True)
    return len(paths) - failed, failed


def large(path):
    """Yields what of a file is larger than we like; functions open and close in column 0."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        lines = layering.strip_c(file.read()).split("\n")
    if len(lines) > FILE_LINES:
        yield "%s: %d lines" % (path, len(lines))
    begin, deepest = None, 0
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            begin, deepest = number, 0
        elif begin is not None and re.match(r"^( *)(?:if|for|while|switch|do)\b", line):
            deepest = max(deepest, (len(line) - len(line.lstrip())) // 4)
        elif line.startswith("}") and begin is not None:
            if number - begin > FUNCTION_LINES:
                yield "%s:%d: a function of %d lines" % (path, begin, number - begin)
            if deepest > NESTING:
                yield "%s:%d: nested %d deep" % (path, begin, deepest)
            begin = None


def main():
    status, output = run(["tools/layering.py"])
    print(output, end="")
    passed, failed = (1, 0) if status == 0 else (0, 1)

    if not os.path.exists(os.path.join(BUILD, "compile_commands.json")):
        run(["cmake", "--preset", "tsan"])
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        compiled = sorted({os.path.relpath(entry["file"], ROOT) for entry in json.load(file)})
    sources = [path for path in compiled if path.startswith("src/")]
    everything = sorted(os.path.relpath(path, ROOT) for pattern in ("src/*/*.[ch]", "tests/**/*.[ch]")
                        for path in glob.glob(os.path.join(ROOT, pattern), recursive=True))
    for name, function, paths in (("format", format_one, everything), ("clang-tidy", tidy_one, sources),
                                  ("cppcheck", cppcheck_one, sources)):
        good, bad = each(name, function, paths)
        passed += good
        failed += bad

    found = [said for path in everything for said in large(path)]
    if found:
        print("To look at, not failures:\n  " + "\n  ".join(found))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
