"""Addresses on loopback that take no connection, beside one that does, at the same port."""

import random
import socket


def free_port():
    """A port that is free at all addresses, and that no connection is given as its own."""
    while True:
        port = random.randrange(10000, 30000)
        try:
            with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True):
                return port
        except OSError:
            pass  # taken


class Hole:
    """
    An address on loopback that drops SYNs: a listener whose backlog is full, as nobody accepts.
    """

    def __init__(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sockets = [socket.create_server((host, port), family=family, backlog=0)]
        for _ in range(8):
            sock = socket.socket(family)
            sock.setblocking(False)
            sock.connect_ex((host, port))
            self._sockets.append(sock)

    def close(self):
        for sock in self._sockets:
            sock.close()
