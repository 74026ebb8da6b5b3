#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/layering.py finds a planted violation of each kind, and lets clean code pass."""
import os
import shutil
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import layering  # noqa: E402

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


class LayeringTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        os.mkdir(os.path.join(self.root, "tools"))
        shutil.copy(os.path.join(ROOT, "tools", "rooms.table"),
                    os.path.join(self.root, "tools", "rooms.table"))

    def write(self, path, text, spdx=True):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write((SPDX if spdx else "") + text)

    def found(self):
        return [(path, line, check)
                for path, line, check, _ in layering.Checker(self.root).run()]

    def assert_found(self, path, line, check):
        self.assertEqual([(path, line, check)], self.found())

    # A tree that keeps all rules, with every rule's near miss in it.
    def test_clean_code_passes(self):
        self.write("src/base/slice.h", "struct slice;\n")
        self.write("src/base/deep.h", '#include "base/slice.h"\n')
        self.write("src/txn/txn.h", "/*\n * txn\n *\n * Public headers: id.h\n */\n")
        self.write("src/txn/id.h", "")
        self.write("src/txn/own.h", "")
        self.write("src/txn/txn.c", '#include "base/deep.h"\n#include "txn/own.h"\n'
                                    "/* open(path) and // pthread_create */\n"
                                    'const char *text = "strcpy(a, b)";\n'
                                    "void f(void)\n{\n    net->send(1);\n    resend(2);\n}\n")
        self.write("src/registrar/registrar.c", '#include "txn/id.h"\n#include "txn/txn.h"\n')
        self.write("src/loop/loop.c", "#include <pthread.h>\n_Atomic int x;\n")
        self.write("src/store/store.c", "#include <sqlite3.h>\n#include <unistd.h>\n")
        self.write("src/main/main.c", '#include "txn/txn.h"\n')
        self.write("tests/unit/txn/test_txn.c", '#include "txn/own.h"\n#include <time.h>\n')
        self.assertEqual([], self.found())

    def test_upward_include(self):
        self.write("src/txn/txn.h", "")
        self.write("src/sip/sip.c", '\n#include "txn/txn.h"\n')
        self.assert_found("src/sip/sip.c", 3, "includes")

    def test_include_of_a_room_beside(self):
        self.write("src/calls/calls.h", "")
        self.write("src/registrar/registrar.c", '#include "calls/calls.h"\n')
        self.assert_found("src/registrar/registrar.c", 2, "includes")

    def test_io_room_may_not_see_the_core(self):
        self.write("src/txn/txn.h", "")
        self.write("src/net/net.c", '#include "txn/txn.h"\n')
        self.assert_found("src/net/net.c", 2, "includes")

    def test_include_of_an_unknown_room(self):
        self.write("src/sip/sip.c", '#include "nowhere/nowhere.h"\n')
        self.assert_found("src/sip/sip.c", 2, "includes")

    def test_private_header(self):
        self.write("src/txn/table.h", "")
        self.write("src/proxy/proxy.c", '#include "txn/table.h"\n')
        self.assert_found("src/proxy/proxy.c", 2, "private")

    def test_public_headers_of_a_room_without_a_header_of_its_name(self):
        self.write("src/routing/policy.h", "/*\n * policy\n *\n * Public headers: policy.h\n */\n")
        self.write("src/routing/plan.h", "/* plan */\n")
        self.write("src/core/core.c", '#include "routing/policy.h"\n#include "routing/plan.h"\n')
        self.assert_found("src/core/core.c", 3, "private")

    def test_socket_clock_and_file_calls_in_a_pure_room(self):
        for call in ("socket(1, 2, 3)", "clock_gettime(0, &now)", "fopen(path, mode)",
                     "printf(text)", "getrandom(out, 8, 0)", "time(NULL)"):
            with self.subTest(call=call):
                self.write("src/proxy/proxy.c", f"void f(void)\n{{\n    {call};\n}}\n")
                self.assert_found("src/proxy/proxy.c", 4, "io")

    def test_system_headers_in_a_pure_room(self):
        for header in ("sys/socket.h", "time.h", "unistd.h", "fcntl.h", "poll.h"):
            with self.subTest(header=header):
                self.write("src/core/core.c", f"#include <{header}>\n")
                self.assert_found("src/core/core.c", 2, "io")

    def test_threads_outside_loop(self):
        for text in ("#include <pthread.h>", "#include <stdatomic.h>", "pthread_mutex_t lock;",
                     "_Atomic int count;", "int x = __atomic_load_n(&y, 0);"):
            with self.subTest(text=text):
                self.write("src/net/net.c", text + "\n")
                self.assert_found("src/net/net.c", 2, "threads")

    def test_threads_in_a_pure_room(self):
        self.write("src/txn/txn.c", "pthread_mutex_t lock;\n")
        self.assert_found("src/txn/txn.c", 2, "threads")

    def test_sql_outside_store(self):
        for text in ("#include <sqlite3.h>", "int x = sqlite3_step(s);"):
            with self.subTest(text=text):
                self.write("src/api/api.c", text + "\n")
                self.assert_found("src/api/api.c", 2, "sql")

    def test_missing_licence_line(self):
        self.write("src/sip/sip.c", "int x;\n", spdx=False)
        self.assert_found("src/sip/sip.c", 1, "spdx")

    def test_long_line(self):
        self.write("src/sip/sip.c", "/* " + "é" * 94 + " */\n")
        self.assertEqual([], self.found(), "100 columns are allowed, whatever the bytes")
        self.write("src/sip/sip.c", "/* " + "é" * 95 + " */\n")
        self.assert_found("src/sip/sip.c", 2, "columns")

    def test_banned_functions(self):
        for name in ("strcpy", "sprintf", "strcat", "strtok", "gets", "localtime", "gmtime",
                     "atoi", "rand", "alloca", "vsprintf"):
            with self.subTest(name=name):
                self.write("tests/unit/sip/test_sip.c", f"int x = {name}(y);\n")
                self.assert_found("tests/unit/sip/test_sip.c", 2, "banned")

    def test_sleep_in_a_test(self):
        self.write("tests/unit/sip/test_sip.c", "int x = usleep(y);\n")
        self.assert_found("tests/unit/sip/test_sip.c", 2, "banned")

    def test_unfinished_work(self):
        for word in ("FIX" + "ME", "XX" + "X", "TO" + "DO"):
            with self.subTest(word=word):
                self.write("src/sip/sip.c", f"/* {word}: later */\n")
                self.assert_found("src/sip/sip.c", 2, "words")

    def test_header_that_nothing_includes(self):
        self.write("src/sip/lost.h", "")
        self.assert_found("src/sip/lost.h", 1, "headers")


if __name__ == "__main__":
    unittest.main()
