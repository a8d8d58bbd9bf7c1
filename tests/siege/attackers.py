"""
What attackers on the receiving side are made of: a receiver of very many connections that
treats its requests badly, each as its path says, and webhooks by the hundred.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import itertools
import re
import socket
import threading

import requests

from harness import TlsAdapter, hooks_path

PER_NET = 250  # addresses that are used of 127.0.N.0/24
CALLERS = 4  # connections over which webhooks are registered
SIZE = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class BadReceiver:
    """
    One thread that takes connections at all addresses of loopback. What it does with a request
    is the first part of its path:

        /hang        never reads the body, never answers
        /take        reads all, never answers
        /drip        answers with a head of a byte every half second, without end
        /crumbs      answers 200 and a body of a byte every half second, without end
        /fail        answers 500 at once
        /chat        the same with 1 KB of text
        /slow-4      answers 200 after 4 s
        /refuse-4    answers 503 after 4 s

    `requests` counts those that have come, `held` those that are not answered yet, by that part.
    """

    CHAT = b" ".join(b"%03d" % (n % 1000) for n in range(256))

    def __init__(self):
        self.requests = collections.Counter()
        self.held = collections.Counter()
        self.port = None
        self._loop = asyncio.new_event_loop()
        self._connections = set()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._is_up.wait()

    def url(self, what, n=0, scheme="http"):
        """The `n`th URL that is treated so, at a host of its own."""
        host = f"127.{1 + n // PER_NET // 250}.{1 + n // PER_NET % 250}.{1 + n % PER_NET}"
        return f"{scheme}://{host}:{self.port}/{what}/{n}"

    def urls(self, what, count, **options):
        return [self.url(what, n, **options) for n in range(count)]

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        listener = socket.create_server(("0.0.0.0", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # each one's
        self.port = listener.getsockname()[1]
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=listener, limit=1 << 16, backlog=1024)
        )
        self._is_up.set()
        self._loop.run_forever()
        server.close()
        for task in self._connections:
            task.cancel()
        waiting = asyncio.gather(*self._connections, return_exceptions=True)
        self._loop.run_until_complete(waiting)
        self._loop.close()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            # a peer may leave at any time, and is left in the midst of something
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        what = head.split(b" ", 2)[1].split(b"/")[1].decode()
        self.requests[what] += 1
        self.held[what] += 1
        try:
            if what != "hang":
                await reader.readexactly(int(SIZE.search(head).group(1)))
            kind, _, seconds = what.partition("-")
            await getattr(self, "_do_" + kind)(writer, float(seconds or 0))
            await writer.drain()
        finally:
            self.held[what] -= 1
        return True

    async def _do_hang(self, _writer, _seconds):
        await asyncio.Event().wait()

    _do_take = _do_hang

    async def _do_drip(self, writer, _seconds):
        await self._drip(writer, b"HTTP/1.1 200 OK\r\nX-Drip: ")

    async def _do_crumbs(self, writer, _seconds):
        await self._drip(writer, b"HTTP/1.1 200 OK\r\n\r\n")

    @staticmethod
    async def _drip(writer, begin):
        writer.write(begin)
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.5)

    async def _do_slow(self, writer, seconds):
        await asyncio.sleep(seconds)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def _do_refuse(self, writer, seconds):
        await asyncio.sleep(seconds)
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    async def _do_fail(self, writer, _seconds):
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    async def _do_chat(self, writer, _seconds):
        size = b"%d" % len(self.CHAT)
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: " + size + b"\r\n\r\n" + self.CHAT)


class Api(requests.Session):
    """Full access on one connection that stays."""

    def __init__(self, gateway):
        super().__init__()
        self.trust_env = False
        self.mount("https://", TlsAdapter(gateway.tls))
        self.headers["Authorization"] = "Bearer " + gateway.token
        self._base = gateway.url + "/api/v1"

    def request(self, method, path, **options):
        answer = super().request(method, self._base + path, timeout=20, **options)
        assert answer.ok, answer.text
        return answer


def register_many(gateway, urls, sessions=("attacker",), **fields):
    """A webhook for all events at each of `urls`, by turns in `sessions`."""
    hooks = list(zip(itertools.cycle(sessions), urls))

    def register(some):
        with Api(gateway) as api:
            for session, url in some:
                api.post(hooks_path(session), json={"events": ["all"], "url": url, **fields})

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(register, [hooks[n::CALLERS] for n in range(CALLERS)]))


def publish_batch(gateway, sessions, times=1, **event):
    """The same event `times` in each of `sessions`, by one request."""
    batch = [{"event": "message", **event, "session_id": s} for s in sessions] * times
    answer = gateway.api("POST", "/events", json=batch)
    assert answer.status_code == 202, answer.text
