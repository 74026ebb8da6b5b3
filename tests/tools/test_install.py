#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/install.sh: quiet when nothing is missing, plain when it cannot install."""
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOBODY = 65534


def need(lists, path, as_nobody=False, settings=""):
    """Runs `need` in a scratch folder; `path` is the whole PATH, so that no real apt is reached. `settings`: lines
    of shell before it."""
    with open(os.path.join(ROOT, "tools", "install.sh"), encoding="utf-8") as file:
        script = file.read() + "\n" + settings + '\nneed "$1"; echo done'

    def lower():
        if as_nobody and os.geteuid() == 0:
            os.setgroups([])
            os.setuid(NOBODY)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        return subprocess.run(["/bin/bash", "-c", script, "need", lists], cwd=folder, env={"PATH": path},
                              preexec_fn=lower, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)


class InstallTest(unittest.TestCase):
    def stubs(self, **scripts):
        """A folder of programs, to be the PATH."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        for name, text in scripts.items():
            path = os.path.join(folder.name, name.replace("_", "-"))
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/bash\n" + text + "\n")
            os.chmod(path, 0o755)
        return folder.name

    def test_says_and_does_nothing_when_all_is_there(self):
        done = need("cmd:bash bash\nfile:/etc/passw* base-passwd", "/bin:/usr/bin")
        self.assertEqual((0, "done\n"), (done.returncode, done.stdout))

    def test_prints_the_exact_line_without_root_and_sudo(self):
        done = need("cmd:bash bash\ncmd:not-there one\nfile:/not/there two", self.stubs(bash=""), as_nobody=True)
        self.assertEqual(1, done.returncode)
        self.assertIn("\n  apt-get install --no-install-recommends one two\n", done.stdout)

    def test_installs_once_and_quietly(self):
        record = tempfile.NamedTemporaryFile("r")
        self.addCleanup(record.close)
        os.chmod(record.name, 0o666)
        stubs = self.stubs()
        made = os.path.join(stubs, "made")
        sudo = '"$@"'
        apt = 'echo "apt-get $*" >>"%s"; echo noise; touch "%s"' % (record.name, made)
        stubs = self.stubs(sudo=sudo, apt_get=apt) + ":" + stubs + ":/bin:/usr/bin"
        os.chmod(os.path.dirname(made), 0o777)
        done = need("file:%s one" % made, stubs)
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertNotIn("noise", done.stdout)
        calls = record.read().splitlines()
        self.assertEqual(1, len(calls), calls)
        self.assertRegex(calls[0], "install --no-install-recommends one$")

    def test_refreshes_the_lists_once_when_a_package_is_unknown(self):
        record = tempfile.NamedTemporaryFile("r")
        self.addCleanup(record.close)
        os.chmod(record.name, 0o666)
        stubs = self.stubs(sudo='"$@"', apt_get='echo "$*" >>"%s"; exit 100' % record.name) + ":/bin:/usr/bin"
        done = need("cmd:not-there one", stubs)
        self.assertEqual(1, done.returncode)
        self.assertIn("Refreshing the package lists", done.stdout)
        self.assertIn("apt-get install --no-install-recommends one", done.stdout)
        self.assertEqual(1, len([call for call in record if "install" in call]))

    def installed(self, package, policy):
        """What apt finds at `policy`, and what is called, when `package` is installed."""
        record = tempfile.NamedTemporaryFile("r")
        self.addCleanup(record.close)
        os.chmod(record.name, 0o666)
        folder = self.stubs()
        os.chmod(folder, 0o777)
        made = os.path.join(folder, "made")
        apt = 'echo "policy $("%s" 2>/dev/null; echo $?)" >>"%s"; touch "%s"' % (policy, record.name, made)
        stubs = self.stubs(sudo='"$@"', apt_get=apt, systemctl='echo "$*" >>"%s"' % record.name)
        done = need("file:%s %s" % (made, package), stubs + ":/bin:/usr/bin",
                    settings='set -euo pipefail\nPOLICY="%s"' % policy)
        self.assertEqual((0, True), (done.returncode, done.stdout.endswith("done\n")), done.stdout)
        return record.read().splitlines()

    def test_what_brings_a_service_neither_starts_it_nor_lets_it_start_later(self):
        policy = os.path.join(self.stubs(), "policy-rc.d")
        os.chmod(os.path.dirname(policy), 0o777)
        self.assertEqual(["policy 101", "disable nsd"], self.installed("nsd", policy))
        self.assertFalse(os.path.exists(policy))

    def test_a_policy_that_is_there_stays(self):
        policy = os.path.join(self.stubs(policy_rc="exit 7"), "policy-rc")
        self.assertEqual(["policy 7", "disable nsd"], self.installed("nsd", policy))
        self.assertTrue(os.path.exists(policy))

    def test_services_of_other_packages_are_left_alone(self):
        policy = os.path.join(self.stubs(), "policy-rc.d")
        self.assertEqual(["policy 127"], self.installed("one", policy))


if __name__ == "__main__":
    unittest.main()
