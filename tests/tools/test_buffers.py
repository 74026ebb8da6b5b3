#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""packaging/raise-socket-buffers: raises what is too small, lowers nothing."""
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "packaging", "raise-socket-buffers")


class BuffersTest(unittest.TestCase):
    def after(self, rmem, wmem):
        """What the settings are when it has run on these."""
        with tempfile.TemporaryDirectory() as folder:
            for name, value in (("rmem_max", rmem), ("wmem_max", wmem)):
                with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                    file.write(f"{value}\n")
            subprocess.run([SCRIPT, folder], check=True, timeout=60)
            texts = []
            for name in ("rmem_max", "wmem_max"):
                with open(os.path.join(folder, name), encoding="ascii") as file:
                    texts.append(int(file.read()))
            return tuple(texts)

    def test_small_ones_are_raised(self):
        self.assertEqual(self.after(212992, 212992), (33554432, 4194304))

    def test_larger_ones_stay(self):
        self.assertEqual(self.after(67108864, 8388608), (67108864, 8388608))

    def test_each_for_itself(self):
        self.assertEqual(self.after(67108864, 4194303), (67108864, 4194304))

    def test_a_kernel_that_lets_nobody_in_is_told(self):
        said = subprocess.run([SCRIPT, "/nowhere"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        self.assertNotEqual(said.returncode, 0)


if __name__ == "__main__":
    unittest.main()
