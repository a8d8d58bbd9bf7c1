"""A name server on loopback for one gateway, which answers as a test says."""

import collections
import ipaddress
import select
import socket
import struct
import threading
import time

NO_ERROR, SERVFAIL, NO_NAME = 0, 2, 3
TYPES = {1: 4, 28: 6}  # A, AAAA: of which version of IP their addresses are
SILENT = "silent"


class NameServer:
    """
    It knows what is set: names["receiver.test"] = ["127.0.0.1"], or SILENT, or a number, the
    response code to fail with; names[".test"] is for all that end so and are not named. Another
    name does not exist. `delays` are the seconds before an answer, by the same names.
    """

    def __init__(self, ttl=0, port=0):
        self.names = {}
        self.delays = {}
        self.asked = collections.Counter()  # questions for IPv4 addresses, by name
        self._ttl = ttl
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1", port))
        self.address = "127.0.0.1:%d" % self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def _find(self, table, name):
        labels = name.split(".")
        known = [name, *("." + ".".join(labels[n:]) for n in range(1, len(labels)))]
        return next((table[k] for k in known if k in table), None)

    def _run(self):
        late = []  # of (when, answer, peer)
        while not self._closing.is_set():
            if select.select([self._socket], [], [], 0.02)[0]:
                question, peer = self._socket.recvfrom(512)
                late += self._take(question, peer)
            now = time.monotonic()
            for _, answer, peer in (entry for entry in late if entry[0] <= now):
                self._socket.sendto(answer, peer)
            late = [entry for entry in late if entry[0] > now]

    def _take(self, question, peer):
        """The answer, and when it is to be sent; none where there is nothing to say."""
        end = question.index(b"\0", 12) + 1
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii").lower())
            at += 1 + question[at]
        name = ".".join(labels)
        kind = struct.unpack_from(">H", question, end)[0]
        if TYPES.get(kind) == 4:
            self.asked[name] += 1
        known = self._find(self.names, name)
        if known == SILENT:
            return []
        code = NO_NAME if known is None else known if isinstance(known, int) else NO_ERROR
        addresses = [] if code != NO_ERROR else map(ipaddress.ip_address, known)
        rows = [
            struct.pack(">HHHIH", 0xC00C, kind, 1, self._ttl, len(a.packed)) + a.packed
            for a in addresses
            if a.version == TYPES.get(kind)
        ]
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(rows), 0, 0)
        when = time.monotonic() + (self._find(self.delays, name) or 0)
        return [(when, head + question[12 : end + 4] + b"".join(rows), peer)]
