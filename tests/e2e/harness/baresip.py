# SPDX-License-Identifier: Apache-2.0
"""baresip, without a screen or a sound card: told what to do over its JSON port, plays a tone from a file,
writes what it hears into a WAV file."""
import glob
import json
import os
import socket

from . import audio
from .case import check
from .deadline import until

CONFIG = """\
poll_method epoll
sip_listen {address}:5060
net_interface {address}
call_local_timeout 120
call_max_calls 4
audio_player aubridge,nil
audio_source aufile,{tone}
audio_alert aubridge,nil
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
jitter_buffer_delay 5-10
module_path /usr/lib/baresip/modules
module g711.so
module srtp.so
module sndfile.so
module aufile.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {address}:4444
snd_path {folder}
menu_bell no
ringback_disabled yes
statmode_default off
"""

TLS_CONFIG = """\
sip_cafile {ca}
"""


class Baresip:
    def __init__(self, env, router, name, last, frequency, transport="udp", password=None, answer="auto",
                 domain="example.com", ca=None, port=None, config="", more=""):
        """`ca`: who signs the router's certificate, with transport tls. `config`: lines of its configuration.
        `more`: of the account, ";mediaenc=srtp"."""
        self.env, self.name, self.address, self.frequency = env, name, env.address(last), frequency
        self.folder = env.path("baresip-" + name)
        self.domain = domain
        os.makedirs(self.folder)
        tone = os.path.join(self.folder, "tone.wav")
        audio.write_tone(tone, frequency)
        with open(os.path.join(self.folder, "config"), "w", encoding="utf-8") as out:
            out.write(CONFIG.format(address=self.address, tone=tone, folder=self.folder) + config)
            out.write(TLS_CONFIG.format(ca=ca) if ca else "")
        with open(os.path.join(self.folder, "accounts"), "w", encoding="utf-8") as out:
            out.write('<sip:%s@%s;transport=%s>;auth_user=%s;auth_pass=%s;outbound="sip:%s:%d;transport=%s";'
                      "regint=600;answermode=%s;audio_codecs=pcmu%s\n" % (
                          name, domain, transport, name, password or name + "-password", router.address,
                          port or router.port, transport, answer, more))
        self.process = env.program("baresip-" + name, ["baresip", "-s", "-v", "-f", self.folder])
        self.events, self._rest, self._control = [], b"", None
        self.process.wait_line("baresip is ready", 15)
        self._connect()

    def _connect(self):
        def connect():
            try:
                return socket.create_connection((self.address, 4444), timeout=2)
            except OSError:
                return None
        self._control = until("%s's control port" % self.name, connect)
        self._control.settimeout(0.1)

    def _pump(self):
        """Reads events: netstrings with JSON in them."""
        try:
            data = self._control.recv(65536)
        except socket.timeout:
            return
        self._rest += data
        while b":" in self._rest:
            size, _, rest = self._rest.partition(b":")
            if len(rest) < int(size) + 1:
                return
            self.events.append(json.loads(rest[:int(size)]))
            self._rest = rest[int(size) + 1:]

    def command(self, name, parameters=""):
        raw = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self._control.sendall(b"%d:%s," % (len(raw), raw))

    def event(self, kind, seconds=10.0, since=0):
        """The first event of that type from number `since` on."""
        def look():
            self._pump()
            return next((e for e in self.events[since:] if e.get("type") == kind), None)
        try:
            return until("event %s at %s" % (kind, self.name), look, seconds, step=0)
        except AssertionError as error:
            seen = ["%s %s" % (e.get("type"), e.get("param", "")) for e in self.events if e.get("event")]
            raise AssertionError("%s; events: %s" % (error, seen[-8:])) from None

    def registered(self, seconds=10.0):
        # Not the event: the phone may have registered before its control port was open.
        self.process.wait_line(r"\} 200 OK .*\[\d+ bindings?\]", seconds)
        return self

    def dial(self, where):
        self.command("dial", where)

    def answer(self):
        self.command("accept")

    def hang_up(self):
        self.command("hangup")

    def heard(self, frequency):
        """Seconds of a tone in what arrived here; the longest recording counts."""
        # sndfile names them dump-TIME-dec.wav (what came from the network) and -enc.wav (what was sent).
        return max([audio.seconds_of_tone(f, frequency) for f in glob.glob(self.folder + "/dump-*-dec.wav")] or [0])

    def heard_anything(self):
        """Has any sound arrived here?"""
        return any(audio.loud(f) for f in glob.glob(self.folder + "/dump-*-dec.wav"))

    def quit(self):
        self.command("quit")
        self.process.wait(10)


def check_heard(phone, frequency, least=1.5):
    """What this phone heard is the other's tone, and not its own."""
    seconds = until("%s has heard %g s of %d Hz" % (phone.name, least, frequency),
                    lambda: (lambda s: s if s >= least else None)(phone.heard(frequency)), 15, step=0.3)
    own = phone.heard(phone.frequency)
    check(own == 0, "%s hears %.1f s of its own tone", phone.name, own)
    return seconds
