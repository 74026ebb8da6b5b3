# SPDX-License-Identifier: Apache-2.0
"""TLS for a program that speaks TCP only: Debian's SIPp is built without it. Connections to `listen` are joined to new
ones to `to`; one of the two sides is TLS."""
import socket
import threading


class Tunnel:
    def __init__(self, env, listen, to, server=None, client=None, name=None):
        """`server`: an SSLContext for who connects; `client`: one for where it goes, which must prove `name`."""
        self.to, self.server, self.client, self.name = to, server, client, name
        self.connections = 0
        self.socket = socket.create_server(listen)
        env.at_end(self.socket.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.socket.accept()
            except OSError:  # the end
                return
            threading.Thread(target=self.join, args=(near,), daemon=True).start()

    def join(self, near):
        near.settimeout(20)
        near = self.server.wrap_socket(near, server_side=True) if self.server else near
        far = socket.create_connection(self.to, timeout=20)
        far = self.client.wrap_socket(far, server_hostname=self.name) if self.client else far
        for stream in (near, far):
            stream.settimeout(None)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=copy, args=(one, other), daemon=True).start()


def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for stream in (one, other):
        try:
            stream.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended already
            pass
