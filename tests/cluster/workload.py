"""
Publishers and receivers of a trial, a process of its own on the fourth host.

    workload.py PORT TOKEN PUBLISHERS PAD URL…

Events are of some PAD bytes. A session a publisher, whose webhooks are registered before: a third
of them in order, a third in order within each chat. A publisher sends its session's next event when the last one was acknowledged, and sends again,
with the same id, through the next URL, whatever was not. Lines of commands come on stdin:

    figures   prints what there is so far, as a line of JSON
    stop      publishes nothing more
    drain N   waits up to N s until all that was acknowledged has come
    end       prints what came of it, and ends
"""

import asyncio
import base64
import contextlib
import json
import random
import sys
import time

TIMEOUT_S = 12  # of a request: an append may wait for the journal's election
PAUSE_S = 0.1
CHATS = 5  # of a session


class Session:
    def __init__(self, number):
        self.name = f"s{number}"
        # behind an event comes the one that is so much newer; 0: any
        self.step = {0: 1, 1: CHATS, 2: 0}[number % 3]
        self.acked = {}  # n -> id
        self.times = {}  # n -> how often it came
        self.newest = {}  # by what is in order
        self.disorder = []


class Workload:
    def __init__(self, port, token, count, pad, urls):
        self.port = port
        self.token = token
        self.pad = pad
        self.urls = [url.removeprefix("http://").rsplit(":", 1) for url in urls]
        self.sessions = [Session(i) for i in range(count)]
        self.stopped = False
        self.acked = 0
        self.refused = 0
        self.delivered = 0
        self.last_ack = time.monotonic()
        self.longest_gap = 0.0
        self.changed_answers = []

    # --- publishing

    async def publish(self, session):
        n = 0
        way = int(session.name[1:]) % len(self.urls)
        link = None
        while not self.stopped:
            body = self.event(session, n)
            status, answer = None, b""
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError,
                                     ValueError, IndexError):
                async with asyncio.timeout(TIMEOUT_S):
                    if link is None:
                        link = await asyncio.open_connection(*self.urls[way])
                    status, answer = await self.ask(link, session.name, body)
            if status == 202:
                self.note(session, n, json.loads(answer)["id"])
                n += 1
                continue
            self.refused += status is not None
            if link is not None:
                link[1].close()
            link = None
            way = (way + 1) % len(self.urls)
            await asyncio.sleep(PAUSE_S)

    def note(self, session, n, event):
        now = time.monotonic()
        self.longest_gap = max(self.longest_gap, now - self.last_ack)
        self.last_ack = now
        session.acked[n] = event
        self.acked += 1

    def event(self, session, n):
        """The same each time that it is sent; nothing that could be packed."""
        name = f"{session.name}-{n}"
        pad = base64.b64encode(random.Random(name).randbytes(self.pad * 3 // 4)).decode()
        data = {"n": n, "chat": n % CHATS, "pad": pad}
        return json.dumps({"event": "message", "id": name, "data": data})

    async def ask(self, link, session, body):
        reader, writer = link
        writer.write(
            f"POST /api/v1/sessions/{session}/events HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        answer = await reader.readexactly(length)
        return int(head.split()[1]), answer

    async def ask_again(self):
        """The ids of the last events acknowledged, sent again: the answers are as before."""
        for session in self.sessions:
            for n in list(session.acked)[-3:]:
                body = self.event(session, n)
                for way in self.urls * 20:
                    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                        link = await asyncio.open_connection(*way)
                        status, answer = await self.ask(link, session.name, body)
                        link[1].close()
                        if status == 202:
                            if json.loads(answer)["id"] != session.acked[n]:
                                self.changed_answers.append((session.name, n))
                            break
                    await asyncio.sleep(PAUSE_S)
                else:
                    self.changed_answers.append((session.name, n))

    # --- receiving

    async def receive(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n")[1:]:
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                body = json.loads(await reader.readexactly(length))
                self.take(body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    def take(self, body):
        session = self.sessions[int(body["session_id"][1:])]
        n = body["data"]["n"]
        self.delivered += n not in session.times
        if session.step > 0:
            line = n % session.step
            before = session.newest.get(line, line - session.step)
            if n not in session.times and n != before + session.step:
                session.disorder.append((before, n))
            session.newest[line] = max(before, n)
        session.times[n] = session.times.get(n, 0) + 1

    # --- what came of it

    def missing(self):
        return [
            (s.name, n, event) for s in self.sessions for n, event in s.acked.items()
            if n not in s.times
        ]

    def figures(self):
        self.longest_gap = max(self.longest_gap, time.monotonic() - self.last_ack)
        figures = {"acked": self.acked, "refused": self.refused, "delivered": self.delivered,
                   "longest_gap": self.longest_gap}
        self.longest_gap = 0.0
        return figures

    def result(self):
        twice = sum(times - 1 for s in self.sessions for times in s.times.values())
        return {
            "acked": self.acked,
            "missing": self.missing(),
            "twice": twice,
            "disorder": [(s.name, d) for s in self.sessions for d in s.disorder],
            "changed_answers": self.changed_answers,
            "events": [s.acked[max(s.acked)] for s in self.sessions if s.acked],
        }

    async def run(self):
        server = await asyncio.start_server(self.receive, "0.0.0.0", self.port)
        publishers = [asyncio.create_task(self.publish(s)) for s in self.sessions]
        loop = asyncio.get_running_loop()
        print(json.dumps({"ready": True}), flush=True)
        while True:
            words = (await loop.run_in_executor(None, sys.stdin.readline)).split() or ["end"]
            if words[0] == "figures":
                print(json.dumps(self.figures()), flush=True)
            elif words[0] == "stop":
                self.stopped = True
                await asyncio.gather(*publishers)
                print(json.dumps(self.figures()), flush=True)
            elif words[0] == "drain":
                until = time.monotonic() + float(words[1])
                while self.missing() and time.monotonic() < until:
                    await asyncio.sleep(0.2)
                await self.ask_again()
                print(json.dumps(self.figures()), flush=True)
            else:
                print(json.dumps(self.result()), flush=True)
                server.close()
                return


if __name__ == "__main__":
    PORT, TOKEN, COUNT, PAD, *URLS = sys.argv[1:]
    asyncio.run(Workload(int(PORT), TOKEN, int(COUNT), int(PAD), URLS).run())
