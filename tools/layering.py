#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler cannot: which way includes go, and what a room may touch.

    tools/layering.py [ROOT]

Reads tools/rooms.table, the table that the build links by. Prints each violation as
`file:line: check: what is wrong`, then one line `ok CHECK` or `FAIL CHECK` per check.
Exits with 1 when a check failed.

The checks:
  includes   no include of a room above, beside, or unknown (tests are exempt, main sees all)
  private    no include of another room's private header: public are ROOM/ROOM.h, what its first
             comment names in a line `Public headers: a.h b.h`, and all of base and sip
  io         no socket, clock, file, process or random call, nor their headers, in a pure room
  threads    no thread, lock or atomic outside loop
  sql        no database call outside store
  spdx       a licence line on top of each source file
  columns    no line longer than 100 columns (Python: 120)
  banned     none of the C library's traps (strcpy, atoi, ...); no sleep in a test written in C
  words      no marker of unfinished work
  headers    no header that nothing includes
"""
import os
import re
import sys

COLUMNS = 100
PYTHON_COLUMNS = 120
CHECKS = ("includes", "private", "io", "threads", "sql", "spdx", "columns", "banned", "words",
          "headers")
ALL_PUBLIC = ("base", "sip")
SKIPPED_FOLDERS = {".git", "build", "run", "out", "__pycache__", ".cache", "node_modules"}

# Exceptions: (file or folder, header, function or whole check) -> why it is right there. Keep this short.
EXCEPTIONS = {
    ("bench/cgsum.py", "columns"): "a measuring script whose figures are compared over time",
    ("src/store", "threads"): "the journal and the database wait for the disk in threads of their "
                              "own, so that no worker does",
    ("src/push", "threads"): "libcurl waits for the push gateway in a thread of its own; what is "
                             "for it comes without a lock",
    ("src/api", "threads"): "HTTP is answered in libmicrohttpd's threads; no worker waits for them",
    ("src/main", "threads"): "starts and stops everybody's threads; HTTP's wait for workers' answers",
    ("src/sip/digest.c", "_Thread_local"): "a cache of OpenSSL's contexts, not state",
}

THREAD_HEADERS = {"pthread.h", "threads.h", "stdatomic.h", "semaphore.h"}
THREAD_WORDS = re.compile(
    r"(?<![\w.>])(pthread_\w+|thrd_\w+|mtx_\w+|cnd_\w+|call_once|tss_\w+|sem_(?:init|wait|post|"
    r"trywait|timedwait|destroy)|atomic_\w+|__atomic_\w+|__sync_\w+|_Atomic|_Thread_local|"
    r"__thread)\b")

SQL_HEADERS = {"sqlite3.h", "libpq-fe.h"}
SQL_WORDS = re.compile(r"(?<![\w.>])(sqlite3\w*|PQ[a-z]\w*)\b")

IO_HEADERS = {
    "sys/socket.h", "sys/un.h", "netdb.h", "netinet/in.h", "netinet/tcp.h", "netinet/udp.h",
    "arpa/inet.h", "net/if.h", "ifaddrs.h", "sys/epoll.h", "sys/eventfd.h", "sys/timerfd.h",
    "sys/signalfd.h", "sys/inotify.h", "poll.h", "sys/poll.h", "sys/select.h", "sys/ioctl.h",
    "sys/uio.h", "linux/errqueue.h",
    "time.h", "sys/time.h", "sys/times.h",
    "fcntl.h", "unistd.h", "dirent.h", "sys/stat.h", "sys/mman.h", "sys/file.h", "sys/sendfile.h",
    "aio.h", "ftw.h", "glob.h",
    "signal.h", "sys/wait.h", "spawn.h", "sched.h", "sys/prctl.h", "sys/resource.h", "syslog.h",
    "sys/random.h", "openssl/rand.h",
    "systemd/sd-daemon.h", "systemd/sd-journal.h", "microhttpd.h", "curl/curl.h", "libfyaml.h",
}
IO_CALLS = re.compile(
    r"(?<![\w.>])("
    r"socket|socketpair|bind|listen|accept4?|connect|shutdown|send|sendto|sendmmsg|sendmsg|recv|"
    r"recvfrom|recvmmsg|recvmsg|getsockopt|setsockopt|getsockname|getpeername|getaddrinfo|"
    r"freeaddrinfo|getnameinfo|gethostbyname\w*|getifaddrs|p?poll|p?select|epoll_\w+|eventfd|"
    r"time|clock|clock_\w+|gettimeofday|nanosleep|usleep|sleep|timerfd_\w+|timer_create|"
    r"localtime_r|mktime|tzset|alarm|setitimer|"
    r"open|openat|creat|close|read|readv|pread|write|writev|pwrite|lseek|fsync|fdatasync|"
    r"sync_file_range|ftruncate|truncate|rename|renameat|unlink|unlinkat|link|symlink|mkdir|rmdir|"
    r"stat|fstat|lstat|access|chmod|chown|opendir|readdir|scandir|mmap|munmap|msync|fcntl|ioctl|"
    r"dup[23]?|pipe2?|fopen|fdopen|freopen|fclose|fread|fwrite|fflush|fgets|fgetc|getc|getchar|"
    r"getline|fputs|fputc|putc|putchar|puts|printf|fprintf|vprintf|vfprintf|dprintf|fscanf|scanf|"
    r"perror|remove|tmpfile|mkstemp|"
    r"fork|vfork|exec[lv]\w*|system|popen|posix_spawn\w*|waitpid|kill|raise|signal|sigaction|"
    r"getenv|secure_getenv|setenv|syslog|getpid|gettid|sched_\w+|syscall|"
    r"getrandom|getentropy|random|drand48|RAND_\w+|sd_\w+|MHD_\w+|curl_\w+|fy_\w+"
    r")\s*\(")

BANNED = re.compile(
    r"(?<![\w.>])(strcpy|stpcpy|strcat|sprintf|vsprintf|strtok|gets|localtime|gmtime|asctime|ctime|"
    r"atoi|atol|atoll|atof|rand|srand|alloca|tmpnam|mktemp)\s*\(")
SLEEPS = re.compile(r"(?<![\w.>])(sleep|usleep|nanosleep)\s*\(")
# Spelled apart, so that this file passes its own check.
WORDS = re.compile(r"\b(FIX" r"ME|XX" r"X|TO" r"DO)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Rooms:
    """The table of rooms: who is pure, and whom each may include."""

    def __init__(self, path):
        self.pure = {}
        self.below = {}
        with open(path, encoding="utf-8") as table:
            for line in table:
                if not re.match(r"[a-z]", line):
                    continue
                name, kind, stands_on, _ = line.split()
                self.pure[name] = kind == "pure"
                seen = set()
                for other in stands_on.split(","):
                    if other != "-":
                        seen |= {other} | self.below[other]
                self.below[name] = seen


class Source:
    """One file: its lines as they are, and its C code without comments and string contents."""

    def __init__(self, root, path):
        self.path = path
        self.room = None
        parts = path.split(os.sep)
        if parts[0] == "src" and len(parts) >= 3:
            self.room = parts[1]
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")
        self.is_c = path.endswith((".c", ".h"))
        self.code = strip_c(self.text).split("\n") if self.is_c else []

    def includes(self):
        """Yields (line number, '<' or '"', header) for each include outside comments."""
        for number, (raw, code) in enumerate(zip(self.lines, self.code), 1):
            match = INCLUDE.match(raw)
            if match and re.match(r"\s*#\s*include", code):
                yield number, match.group(1), match.group(2)


def strip_c(text):
    """Blanks comments and the contents of strings and characters, keeping every newline."""
    token = re.compile(r'//(?:[^\n\\]|\\.)*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                       re.DOTALL)

    def blank(match):
        found = match.group(0)
        newlines = "\n" * found.count("\n")
        if found.startswith("/"):
            return " " + newlines
        return found[0] + newlines + found[0]
    return token.sub(blank, text)


def find_sources(root):
    """All C, Python and shell files of the tree, and the scripts without an ending."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root)
            if name.endswith((".c", ".h", ".py", ".sh")) or path in ("dev", ".ci/run"):
                found.append(Source(root, path))
    return found


def public_headers(root, room):
    """The headers of `room` that others may include: ROOM.h and what it lists. A room without a
    header of its own name has those that list themselves."""
    folder = os.path.join(root, "src", room)
    path = os.path.join(folder, room + ".h")
    if os.path.exists(path):
        return {room + ".h"} | listed_headers(path)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return {name for name in names
            if name.endswith(".h") and name in listed_headers(os.path.join(folder, name))}


def listed_headers(path):
    """What the first comment of a header names as public."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    comments = re.findall(r"/\*.*?\*/", text.replace("/* SPDX", "// SPDX", 1), re.DOTALL)
    listed = re.findall(r"Public headers:(.*)", comments[0]) if comments else []
    return {name for line in listed for name in re.findall(r"[\w.]+\.h", line)}


class Checker:
    def __init__(self, root):
        self.root = root
        self.rooms = Rooms(os.path.join(root, "tools", "rooms.table"))
        self.sources = find_sources(root)
        self.found = []  # (path, line, check, message)
        self.used_exceptions = set()

    def report(self, source, line, check, message):
        if self.excused(source, check):
            return
        self.found.append((source.path, line, check, message))

    def excused(self, source, what):
        path = source.path.replace(os.sep, "/")
        for key in ((path, what), (os.path.dirname(path), what)):
            if key in EXCEPTIONS:
                self.used_exceptions.add(key)
                return True
        return False

    def run(self):
        for source in self.sources:
            self.check_text(source)
            if source.is_c:
                self.check_banned(source)
            if source.room is not None and source.is_c:
                self.check_includes(source)
                self.check_calls(source)
        self.check_headers()
        return self.found

    def check_text(self, source):
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in source.lines[:3]):
            self.report(source, 1, "spdx", "no line 'SPDX-License-Identifier: Apache-2.0' on top")
        most = PYTHON_COLUMNS if source.path.endswith(".py") else COLUMNS
        for number, line in enumerate(source.lines, 1):
            if len(line) > most:
                self.report(source, number, "columns", f"{len(line)} columns, {most} at most")
            match = WORDS.search(line)
            if match:
                self.report(source, number, "words", f"unfinished work: {match.group(1)}")

    def check_banned(self, source):
        in_tests = source.path.startswith("tests" + os.sep)
        for number, line in enumerate(source.code, 1):
            for match in BANNED.finditer(line):
                self.report(source, number, "banned", f"{match.group(1)}() is banned")
            if in_tests:
                for match in SLEEPS.finditer(line):
                    self.report(source, number, "banned",
                                f"{match.group(1)}() in a test: wait for the event instead")

    def check_includes(self, source):
        for number, kind, header in source.includes():
            if kind == "<":
                self.check_system_header(source, number, header)
                continue
            room, _, name = header.rpartition("/")
            if room in ("", source.room):
                continue
            if room not in self.rooms.below:
                self.report(source, number, "includes", f'"{header}" is in no room of the table')
            elif room not in self.rooms.below.get(source.room, set()):
                self.report(source, number, "includes",
                            f'{source.room} may not include "{header}": {room} is not below it')
            elif room not in ALL_PUBLIC and name not in public_headers(self.root, room):
                self.report(source, number, "private",
                            f'"{header}" is private to {room}: include "{room}/{room}.h"')

    def check_system_header(self, source, number, header):
        if self.excused(source, header):
            return
        if header in THREAD_HEADERS and source.room != "loop":
            self.report(source, number, "threads", f"<{header}> outside loop")
        elif header in SQL_HEADERS and source.room != "store":
            self.report(source, number, "sql", f"<{header}> outside store")
        elif header in IO_HEADERS and self.rooms.pure.get(source.room, False):
            self.report(source, number, "io", f"<{header}> in {source.room}, which has no I/O")

    def check_calls(self, source):
        pure = self.rooms.pure.get(source.room, False)
        for number, line in enumerate(source.code, 1):
            if re.match(r"\s*#\s*include", line):
                continue
            if source.room != "loop":
                for match in THREAD_WORDS.finditer(line):
                    if not self.excused(source, match.group(1)):
                        self.report(source, number, "threads", f"{match.group(1)} outside loop")
            if source.room != "store":
                for match in SQL_WORDS.finditer(line):
                    if not self.excused(source, match.group(1)):
                        self.report(source, number, "sql", f"{match.group(1)} outside store")
            if pure:
                for match in IO_CALLS.finditer(line):
                    if not self.excused(source, match.group(1)):
                        self.report(source, number, "io",
                                    f"{match.group(1)}() in {source.room}, which has no I/O")

    def check_headers(self):
        included = set()
        for source in self.sources:
            if source.is_c:
                for _, _, header in source.includes():
                    included.add(os.path.basename(header))
        for source in self.sources:
            if source.path.endswith(".h") and os.path.basename(source.path) not in included:
                self.report(source, 1, "headers", "nothing includes this header")


def main(arguments):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    root = arguments[1] if len(arguments) > 1 else here
    checker = Checker(root)
    found = checker.run()
    for path, line, check, message in found:
        print(f"{path}:{line}: {check}: {message}")
    failed = {check for _, _, check, _ in found}
    for check in CHECKS:
        print(f"{'FAIL' if check in failed else 'ok'} {check}")
    if root == here:
        unused = sorted(set(EXCEPTIONS) - checker.used_exceptions)
        for path, what in unused:
            print(f"{path}: exception for {what} is no longer needed")
        print("FAIL exceptions" if unused else "ok exceptions")
        if unused:
            return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
