# SPDX-License-Identifier: Apache-2.0
"""linphonec in its file mode: it plays a WAV file into the call and records what it hears."""
import os

from . import audio
from .deadline import until

CONFIG = """\
[sip]
sip_port={port_udp}
sip_tcp_port={port_tcp}
sip_tls_port={port_tls}
root_ca={ca}
verify_server_certs=1
verify_server_cn=1
bind_address={address}
guess_hostname=0
contact="{name}" <sip:{name}@{address}>
auto_net_state_mon=0
register_only_when_network_is_up=0
default_proxy=0
use_ipv6=0
media_encryption={encryption}

[video]
enabled=0

[rtp]
audio_rtp_port={rtp}

[proxy_0]
reg_proxy=<sip:{router};transport={transport}>
reg_route=<sip:{router};transport={transport};lr>
reg_identity=sip:{name}@{domain}
reg_expires=600
reg_sendregister=1
publish=0
dial_escape_plus=0

[auth_info_0]
username={name}
passwd={password}
domain={domain}
"""


def rtp_port(address):
    """It binds its RTP socket to all addresses, so each phone on this machine needs a port of its own."""
    _, run, number, last = [int(o) for o in address.split(".")]
    return 10000 + 4 * ((run * 31 + number * 4 + last) % 5000)


class Linphone:
    def __init__(self, env, router, name, last, frequency, transport="udp", password=None, answer=True,
                 domain="example.com", ca="", port=None, encryption="none"):
        """`ca`: who signs the router's certificate, with transport tls; it must name the router's address as if it
        were a host name."""
        self.env, self.name, self.address, self.frequency = env, name, env.address(last), frequency
        self.folder = env.path("linphone-" + name)
        # Without this folder for its database it ends at once.
        os.makedirs(os.path.join(self.folder, ".local", "share", "linphone"))
        tone, self.recording = os.path.join(self.folder, "tone.wav"), os.path.join(self.folder, "heard.wav")
        audio.write_tone(tone, frequency)
        config = os.path.join(self.folder, "linphonerc")
        with open(config, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(
                address=self.address, name=name, rtp=rtp_port(self.address),
                router="%s:%d" % (router.address, port or router.port),
                ca=ca, encryption=encryption, port_tls=5061 if transport == "tls" else -1, domain=domain,
                transport=transport, password=password or name + "-password",
                port_udp=5060 if transport == "udp" else 0, port_tcp=5060 if transport == "tcp" else 0))
        home = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        self.process = env.program(
            "linphone-" + name, ["linphonec", "-c", config, "-d", "6", "-l", os.path.join(self.folder, "debug.log")]
            + (["-a"] if answer else []), stdin=True, env=dict(home, HOME=self.folder))
        self.say("soundcard use files", "Using wav files")
        self.say("play " + tone)
        self.say("record " + self.recording)

    def say(self, line, expected=None, seconds=15.0):
        since = self.process.mark()
        self.process.say(line)
        if expected:
            return self.process.wait_line(expected, seconds, since)
        return None

    def registered(self, seconds=15.0):
        """It says nothing by itself, so it is asked until it is."""
        until("%s is registered" % self.name,
              lambda: self.say("status register", r"registered") and self.process.find(r"registered, identity"),
              seconds, step=0.1)
        return self

    def dial(self, where):
        self.say("call " + where)

    def established(self, seconds=10.0):
        return self.process.wait_line(r"Media streams established", seconds)

    def hang_up(self):
        self.say("terminate")

    def heard(self, frequency):
        try:
            return audio.seconds_of_tone(self.recording, frequency)
        except (OSError, ValueError):
            return 0

    def quit(self):
        """It writes the recording's header only when the call or the program ends."""
        self.say("quit")
        self.process.wait(15)


def ended(phone, seconds=10.0):
    """Its call is over, whoever ended it. It is asked, for it prints an end only together with what comes next."""
    return until("%s's call is over" % phone.name,
                 lambda: phone.say("status hook", r"hook=").group(0) and phone.process.find(r"Call \d+ with .* ended"),
                 seconds, step=0.2)
