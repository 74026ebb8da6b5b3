# SPDX-License-Identifier: Apache-2.0
"""The forgetting disk of tests/support/losefs.c: built here, loaded into a program, told when to cut the power."""
import os
import pathlib
import subprocess

from .case import need

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent / "support" / "losefs.c"


class LoseFs:
    def __init__(self, env, folder, mode="drop", seed=1, sync_us=2000, kill_sync=0, eio_sync=0, name="losefs"):
        library = env.path("losefs.so")
        if not os.path.exists(library):
            need("cc")
            subprocess.run(["cc", "-std=c17", "-O1", "-g", "-shared", "-fPIC", "-o", library, str(SOURCE), "-ldl",
                            "-pthread"], check=True)
        self.trigger, self.log = env.path(name + ".fifo"), env.path(name + ".log")
        os.mkfifo(self.trigger)
        self.env = {
            "LD_PRELOAD": library, "LOSEFS_DIR": str(folder), "LOSEFS_TRIGGER": self.trigger, "LOSEFS_LOG": self.log,
            "LOSEFS_MODE": mode, "LOSEFS_SEED": str(seed), "LOSEFS_SYNC_US": str(sync_us),
            "LOSEFS_KILL_SYNC": str(kill_sync), "LOSEFS_EIO_SYNC": str(eio_sync),
            # A build with AddressSanitizer wants to be loaded first; it need not be.
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0",
        }

    def cut(self):
        """The power goes."""
        fd = os.open(self.trigger, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"!")
        os.close(fd)
