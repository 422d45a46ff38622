"""A small HTTP client that can also behave badly, and a witness of what a watcher hears."""

import asyncio
import json
import socket
from dataclasses import dataclass, field

TINY = "script:tokens=20,ttft=2,gap=1@reference"


def work(model=TINY, **more):
    """A benchmark of one request."""
    return {"prompt": "Why is the sky blue?", "models": [model], "repetitions": 1, "warmup": 0, **more}


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)

    def is_refusal(self):
        """Told to come back, and when."""
        wait = self.headers.get("retry-after", "")
        return self.status in (429, 503) and wait.isdigit() and int(wait) >= 1


@dataclass
class Witness:
    """What one watcher hears: every event, once, in order, and of each answer the whole text."""

    wrong: list = field(default_factory=list)
    events: int = 0
    finished: int = 0
    is_over: bool = False
    last: tuple = (-1, -1)
    texts: dict = field(default_factory=dict)

    def hear(self, id, name, data):
        self.events += 1
        place = tuple(map(int, id.split(".")))
        if place <= self.last:
            self.wrong.append(f"event {id} came after {self.last}")
        if self.is_over:
            self.wrong.append(f"{name} came after the end")
        self.last = place
        if name == "request_started":
            self.texts[data["request"]] = ""
        elif name == "text_arrived" and data["request"] in self.texts:
            self.texts[data["request"]] += data["text"]
        elif name == "request_finished":
            self.finished += 1
            if data["finished"] != self.finished:
                self.wrong.append(f"result {data['finished']} came as number {self.finished}")
            heard, said = self.texts.get(data["request"], ""), data["result"]["response"]
            # A run that has ended is told without the pieces.
            if heard not in ("", said):
                self.wrong.append(f"the pieces {heard!r} are not the answer {said!r}")
        elif name == "run_finished":
            self.is_over = True
            if self.finished == 0 and data["status"] == "completed":
                self.wrong.append("the run was completed without a result")

    def whole(self):
        """What is wrong now that the stream has ended."""
        return self.wrong if self.is_over else [*self.wrong, f"the stream ended after {self.last}, before the run"]


class Frames:
    """Cuts a stream of events into its frames."""

    def __init__(self):
        self.rest = b""

    def feed(self, piece):
        *frames, self.rest = (self.rest + piece).split(b"\n\n")
        for frame in frames:
            lines = dict(line.split(": ", 1) for line in frame.decode().splitlines() if ": " in line)
            if "data" in lines:
                yield lines["id"], lines["event"], json.loads(lines["data"])


class Client:
    def __init__(self, program):
        self.host, self.port = program.host, program.port

    async def connect(self):
        return await asyncio.open_connection(self.host, self.port)

    async def send(self, method, path, body=None):
        reader, writer = await self.connect()
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: */*\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{head}\r\n".encode() + content)
        await writer.drain()
        return reader, writer

    def send_and_never_read(self, path):
        """A connection over which something is asked for and not taken; little fits into it."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((self.host, self.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection

    async def pieces(self, reader):
        """Status and headers, then the body as it comes."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        yield int(first.split()[1]), headers
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
        else:
            while piece := await reader.read(1 << 16):
                yield piece

    async def ask(self, method, path, body=None, timeout=60):
        async with asyncio.timeout(timeout):
            reader, writer = await self.send(method, path, body)
            try:
                pieces = self.pieces(reader)
                status, headers = await anext(pieces)
                return Answer(status, headers, b"".join([piece async for piece in pieces]))
            finally:
                writer.close()

    async def get(self, path, **more):
        return await self.ask("GET", path, **more)

    async def post(self, path, body, **more):
        return await self.ask("POST", path, body, **more)

    async def start(self, *args, **more):
        """The id of a run that was taken."""
        answer = await self.post("/api/benchmarks/start", work(*args, **more))
        if answer.status != 202:
            raise SystemExit(f"a run was not taken: {answer.status} {answer.body.decode()}")
        return answer.json()["id"]

    async def watch(self, id, timeout=120):
        """A witness of a run from now until it ends; the answer instead where it may not watch."""
        async with asyncio.timeout(timeout):
            reader, writer = await self.send("GET", f"/api/benchmarks/{id}/events")
            try:
                pieces = self.pieces(reader)
                status, headers = await anext(pieces)
                if status != 200:
                    return Answer(status, headers, b"".join([piece async for piece in pieces]))
                witness, frames = Witness(), Frames()
                async for piece in pieces:
                    for frame in frames.feed(piece):
                        witness.hear(*frame)
                return witness
            finally:
                writer.close()

    async def record(self, id):
        return (await self.get(f"/api/benchmarks/history/{id}")).json()

    async def ended(self, id, timeout=120):
        """The record of a run, at its end."""
        async with asyncio.timeout(timeout):
            while (record := await self.record(id))["status"] in ("queued", "running"):
                await asyncio.sleep(0.05)
            return record

    async def idle(self, timeout=120):
        """Waits until no run waits or goes on."""
        async with asyncio.timeout(timeout):
            for status in ("queued", "running"):
                while (await self.get(f"/api/benchmarks/history?limit=1&status={status}")).json():
                    await asyncio.sleep(0.1)
