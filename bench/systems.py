# SPDX-License-Identifier: Apache-2.0
"""The systems that are measured, and how each is set up: Strowger, Kamailio, a bare UDP relay."""
import hashlib
import os
import re
import shutil
import subprocess

from harness import HERE, NET, OUT, PORT, ROOT, TLS_PORT, Failed, Server

STROWGER = os.environ.get("BENCH_STROWGER", os.path.join(ROOT, "build/strowger"))
# Kamailio's settings are the yardstick: who changes them must say so here.
KAMAILIO_SETTINGS = "ef00dacbb4f4310e4357db6572e83d1e70ad56734d90d842fcfde4254188a24d"
KAMAILIO_SHM_MB = 4096  # 30 KB a call for 5 s: enough for 20,000 calls/s
USERS = 100000  # 1000000.. with password pwNUMBER

# What finished transactions linger for, with a margin: after that their memory is used again.
OWN_LINGER_S = 36  # timers D, J, L and M: 32 s
KAMAILIO_LINGER_S = 6.5  # its wt_timer: 5 s


def certificate():
    """One for all servers: ECDSA, of our own making. Its file and its key's."""
    files = os.path.join(OUT, "tls.crt"), os.path.join(OUT, "tls.key")
    if not all(os.path.exists(path) for path in files):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "3650", "-subj", "/CN=localhost", "-out", files[0], "-keyout",
                        files[1]], check=True, capture_output=True, timeout=60)
    return files


def own_settings(name, ip, workers=1, store="memory", auth=False, http=None, transactions=None,
                 transport="udp", limits=None):
    """The whole of strowger.yaml, and where it is written. UDP is always listened to, too."""
    more = {"udp": "", "tcp": f", tcp:{ip}:{PORT}", "tls": f", tls:{ip}:{TLS_PORT}"}[transport]
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    text = (f"domains: [localhost]\nlisten: [udp:{ip}:{PORT}{more}]\nworkers: {workers}\n"
            f"auth: {{required: {'true' if auth else 'false'}}}\nrecords: off\n"
            f"store: {store}\nhttp: {{listen: \"{http or ip + ':18080'}\"}}\ncontrol: \"unix:{folder}/c.sock\"\n"
            "log: {level: warning}\n")
    if transport == "tls":
        text += "tls: {{certificate: {}, key: {}}}\n".format(*certificate())
    limits = dict(limits or {})
    if transactions:
        limits["transactions"] = transactions
    if limits:
        text += "limits: {" + ", ".join(f"{key}: {value}" for key, value in limits.items()) + "}\n"
    path = os.path.join(folder, "strowger.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path, text


def one_line(settings):
    return "; ".join(line for line in settings.splitlines())


class Own(Server):
    """Strowger: the release build that `./dev build` leaves at build/strowger."""

    linger_s = OWN_LINGER_S

    def __init__(self, name="own", last=1, wrap=(), patience_s=20, ip=None, ready="options",
                 **settings):
        ip = ip or f"{NET}.{last}"
        self.config, self.settings = own_settings(name, ip, **settings)
        self.transport = settings.get("transport", "udp")
        super().__init__(name, ip, [STROWGER, "serve", "-c", self.config], wrap, patience_s, ready)
        if settings.get("auth"):
            self._make_users()

    def _make_users(self):
        path = os.path.join(OUT, "users.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("users:\n" + "".join(f'- {{name: "{n}", password: pw{n}}}\n'
                                            for n in range(1000000, 1000000 + USERS)))
        self.command("apply", path)

    def command(self, *arguments):
        done = subprocess.run([STROWGER, *arguments, "-c", self.config], capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode:
            raise Failed(f"strowger {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout


def kamailio_modules():
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"):
        if os.path.isdir(folder + "/kamailio/modules"):
            return folder + "/kamailio/modules/"
    raise Failed("Kamailio's modules are not where Debian puts them")


STREAMS = {
    # Instead of `disable_tcp=yes`; all else is as for UDP. One process reads all connections, as ours does.
    # tcp_rd_buf_size is the default of newer ones; no limit on connections may be met.
    "tcp": "tcp_children=1\ntcp_max_connections=50000\ntcp_connection_lifetime=7200\n"
           "tcp_rd_buf_size=65536\nlisten=tcp:{ip}:{port}",
    "tls": "enable_tls=yes\ntcp_children=1\ntcp_max_connections=50000\ntls_max_connections=50000\n"
           "tcp_connection_lifetime=7200\ntcp_rd_buf_size=65536\nlisten=tls:{ip}:{tls_port}",
}
STREAM_MODULES = {
    "tcp": "",
    "tls": 'loadmodule "tls.so"\nmodparam("tls", "tls_method", "TLSv1.2+")\n'
           'modparam("tls", "certificate", "{certificate}")\nmodparam("tls", "private_key", "{key}")\n',
}


def kamailio_settings(text, ip, transport):
    """kamailio.cfg for connections: the same but for how it listens."""
    if transport == "udp":
        return text
    names = dict(zip(("certificate", "key"), certificate()))
    listens = STREAMS[transport].format(ip=ip, port=PORT, tls_port=TLS_PORT)
    first = 'loadmodule "tm.so"'
    return (text.replace("disable_tcp=yes", listens)
            .replace(first, STREAM_MODULES[transport].format(**names) + first))


class Kamailio(Server):
    """Debian's Kamailio with cfg/kamailio.cfg; `workload` is the letter that it is told."""

    linger_s = KAMAILIO_LINGER_S

    def __init__(self, workload, last=3, wrap=(), patience_s=20, transport="udp", shm_mb=KAMAILIO_SHM_MB):
        self.transport = transport
        ip = f"{NET}.{last}"
        with open(os.path.join(HERE, "cfg/kamailio.cfg"), "rb") as file:
            text = file.read()
        if hashlib.sha256(text).hexdigest() != KAMAILIO_SETTINGS:
            raise Failed("cfg/kamailio.cfg was changed: ratios to it would not mean what they did")
        path = os.path.join(OUT, "kamailio.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(kamailio_settings(text.decode(), ip, transport).replace("@OUT@", OUT)
                       .replace("@CFG@", os.path.join(HERE, "cfg")))
        defines = [f"WL_{workload}", "CHILDREN=1", f'MPATH="{kamailio_modules()}"', f"BIND={ip}:{PORT}"]
        # -x fm -X fm: its fastest allocators here.
        command = ["kamailio", "-f", path, "-DD", "-E", "-m", str(shm_mb), "-M", "32",
                   "-x", "fm", "-X", "fm", "-w", OUT, "-Y", OUT]
        for define in defines:
            command += ["-A", define]
        super().__init__("kamailio", ip, command, wrap, patience_s)


class Relay(Server):
    """Moves the packets of workload D with recvmmsg and sendmmsg, and does nothing else."""

    linger_s = 0

    def __init__(self, last=4):
        ip = f"{NET}.{last}"
        super().__init__("relay-mmsg", ip, [os.path.join(OUT, "relay"), "-m", "mmsg", "-t", "-l",
                                            f"{ip}:{PORT}", "-u", f"{ip}:7070"], ready="port")


def versions():
    """What was measured, for the record."""
    kamailio = subprocess.run(["kamailio", "-v"], capture_output=True, text=True, check=False).stdout
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True,
                            text=True, check=False).stdout.strip()
    with open(STROWGER, "rb") as file:
        asserts = b"__assert_fail" in file.read()
    if not asserts:
        raise Failed("build/strowger was built without asserts: that is not what we ship")
    return {"strowger": commit or "unknown", "asserts": asserts,
            "kamailio": kamailio.split("\n", 1)[0].removeprefix("version: "),
            "cpu": model[1] if model else "unknown", "cores": os.cpu_count()}
