# SPDX-License-Identifier: Apache-2.0
"""An authority of the case's own, and certificates that it signs; made by OpenSSL's command."""
import os
import subprocess

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    assert done.returncode == 0, "openssl %s: %s" % (words[0], done.stderr)


class Authority:
    """FOLDER/NAME.pem and FOLDER/NAME.key, made once; certificates beside them."""

    def __init__(self, folder, name):
        self.folder, self.stem = folder, os.path.join(folder, name)
        self.path = self.stem + ".pem"
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(self.path):
            openssl("req", *EC, "-nodes", "-x509", "-days", "30", "-subj", "/CN=" + name, "-keyout", self.stem + ".key",
                    "-out", self.path)

    def pair(self, name, host, days=30, address=None):
        """FOLDER/NAME.pem and NAME.key for `host` (and an address, also as linphone looks for it: as if it were a host
        name); gives FOLDER/NAME."""
        stem = os.path.join(self.folder, name)
        names = "DNS:" + host + (",IP:%s,DNS:%s" % (address, address) if address else "")
        with open(stem + ".ext", "w", encoding="ascii") as out:
            out.write("subjectAltName=%s\n" % names)
        openssl("req", *EC, "-nodes", "-subj", "/CN=" + name, "-keyout", stem + ".key", "-out", stem + ".csr")
        openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.path, "-CAkey", self.stem + ".key",
                "-CAcreateserial", "-days", str(days), "-extfile", stem + ".ext", "-out", stem + ".pem")
        return stem
