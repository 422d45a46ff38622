"""More than the program may take, of each kind: it refuses and says when to come back, goes on meanwhile, and is as
before afterwards."""

import asyncio
import sqlite3
import time

from client import TINY, Client, work
from program import Program, Watch

QUEUE, TURNS, CONNECTIONS, WATCHERS, PATIENCE = 8, 4, 300, 100, 4
# Long enough to be watched, s.
LONG = "script:tokens=300,ttft=20,gap=10@reference"
ENDLESS = "script:tokens=20000,ttft=20,gap=10@reference"


class Stories:
    def __init__(self, program, check, crowd):
        self.program, self.check, self.crowd = program, check, crowd
        # How long the database is held, s, and how many tokens slow readers do not read.
        self.held, self.tokens = (40, 20_000) if crowd > 500 else (2, 2000)
        self.client = Client(program)

    def refusals(self, answers, taken, what):
        """Of these answers some were taken, and the rest say when to come back."""
        refused = [it for it in answers if it.status not in taken]
        for it in refused:
            self.check(it.is_refusal(), f"{what}: refused with {it.status} and {it.headers}: {it.body[:200]}")
        self.check(refused, f"{what}: nobody was refused")
        return f"{len(answers) - len(refused)} taken, {len(refused)} told to come back"

    async def cancel(self, *ids):
        for id in ids:
            await self.client.post(f"/api/benchmarks/{id}/cancel", {})
            await self.client.ended(id)

    async def queue_full(self):
        """More runs than may wait."""
        body = work(LONG)
        answers = await asyncio.gather(*(self.client.post("/api/benchmarks/start", body) for _ in range(self.crowd)))
        ids = [it.json()["id"] for it in answers if it.status == 202]
        self.check(len(ids) == QUEUE, f"{len(ids)} runs were taken, {QUEUE} may wait")
        said = self.refusals(answers, {202}, "queue full")
        await self.cancel(*ids)
        await self.client.ended(await self.client.start())
        return said

    async def turns_full(self):
        """More turns of agents than may go on."""
        run = await self.client.start(ENDLESS)
        body = {"prompt": "x", "model": TINY}
        asked = [asyncio.create_task(self.client.post("/api/nova/ask", body, timeout=120)) for _ in range(TURNS * 3)]
        while sum(it.done() for it in asked) < TURNS * 2:
            await asyncio.sleep(0.05)
        # Turns wait behind the run.
        await self.cancel(run)
        answers = await asyncio.gather(*asked)
        return self.refusals(answers, {200}, "turns full")

    async def too_many_watchers(self):
        """More clients that follow a run than may; those who may hear everything."""
        run = await self.client.start(LONG)
        heard = await asyncio.gather(*(self.client.watch(run) for _ in range(WATCHERS * 3 // 2)))
        refused = [it for it in heard if hasattr(it, "status")]
        for witness in heard:
            if witness not in refused:
                self.check(not witness.whole(), f"a watcher heard wrong: {witness.whole()[:1]}")
        self.check(len(refused) == WATCHERS // 2, f"{len(refused)} watchers were refused")
        self.check(all(it.is_refusal() for it in refused), f"watchers were refused so: {refused[:1]}")
        again = await self.client.watch(run)
        self.check(not again.whole(), "who comes back later may not watch")
        return f"{len(heard) - len(refused)} heard all, {len(refused)} told to come back"

    async def too_many_connections(self):
        """Clients that connect and send nothing: each loses its place, and who asks meanwhile is answered or refused."""
        silent = [await self.client.connect() for _ in range(CONNECTIONS)]
        asked = [asyncio.create_task(self.client.get("/healthz", timeout=30)) for _ in range(20)]
        begun = time.monotonic()
        answers = await asyncio.gather(*asked)
        waited = time.monotonic() - begun
        for it in answers:
            self.check(it.status == 200 or it.is_refusal(), f"too many connections: {it.status} {it.headers}")
        ends = await asyncio.gather(*(asyncio.wait_for(reader.read(), 30) for reader, _ in silent))
        self.check(not any(ends), "something was sent to who asked for nothing")
        for _, writer in silent:
            writer.close()
        self.check((await self.client.get("/healthz")).status == 200, "nobody is answered afterwards")
        refused = sum(it.status != 200 for it in answers)
        self.check(refused, "too many connections: nobody was refused")
        return f"{len(silent)} put off, {refused} of {len(answers)} others told to come back, after {waited:.1f} s at most"

    async def slow_readers(self):
        """Clients that follow and never read: nothing is kept for them, they lose their places, others hear all."""
        before = self.program.memory()
        run = await self.client.start(f"script:tokens={self.tokens},ttft=20,gap=1@reference")
        slow = [self.client.send_and_never_read(f"/api/benchmarks/{run}/events") for _ in range(WATCHERS // 2)]
        heard = await asyncio.gather(*(self.client.watch(run) for _ in range(5)))
        for witness in heard:
            self.check(not witness.whole(), f"beside slow readers somebody heard wrong: {witness.whole()[:1]}")
        grown = self.program.memory() - before
        for connection in slow:
            connection.close()
        self.check(grown < 100, f"{len(slow)} slow readers took {grown:.0f} MiB")
        return f"{len(slow)} did not read, {len(heard)} heard {heard[0].events} events each; memory {grown:+.0f} MiB"

    async def database_locked(self):
        """Another process holds the database: reading goes on, what is measured is stored later, new runs are refused."""
        run = await self.client.start("script:tokens=100,ttft=20,gap=10@reference")
        other = sqlite3.connect(self.program.database, isolation_level=None, timeout=30)
        other.execute("begin immediate")
        begun = time.monotonic()
        asked = [asyncio.create_task(self.client.post("/api/benchmarks/start", work())) for _ in range(QUEUE - 2)]
        reads = await asyncio.gather(*(self.client.get("/api/benchmarks/history?limit=5") for _ in range(20)))
        self.check(all(it.status == 200 for it in reads), f"reading: {[it.status for it in reads]}")
        await asyncio.wait(asked, timeout=self.held)
        held = time.monotonic() - begun
        other.execute("rollback")
        answers = await asyncio.gather(*asked)
        for it in answers:
            self.check(it.status == 202 or it.is_refusal(), f"database locked: {it.status} {it.body[:200]}")
        record = await self.client.ended(run)
        self.check(record["status"] == "completed" and len(record["results"]) == 1, f"the run beside the lock is {record['status']}")
        for it in answers:
            if it.status == 202:
                record = await self.client.ended(it.json()["id"])
                self.check(record["status"] == "completed", f"a run is {record['status']}")
        await self.client.ended(await self.client.start())
        taken = sum(it.status == 202 for it in answers)
        return f"held {held:.0f} s; {taken} taken, {len(answers) - taken} told to come back; the run beside it was stored"


async def told(program, check, crowd):
    stories, rows = Stories(program, check, crowd), []
    client = stories.client
    await asyncio.gather(*(client.get("/api/benchmarks/history") for _ in range(32)))
    await client.ended(await client.start())
    await asyncio.sleep(1)
    before = program.descriptors()
    for tell in (
        stories.queue_full, stories.turns_full, stories.too_many_watchers, stories.too_many_connections,
        stories.slow_readers, stories.database_locked,
    ):
        begun = time.monotonic()
        with Watch(program) as look:
            said = await tell()
        await client.idle()
        check((await client.get("/healthz")).status == 200, f"{tell.__name__}: not well afterwards")
        rows.append([tell.__name__.replace("_", " "), time.monotonic() - begun, look.memory, look.descriptors, said])
    for _ in range(150):
        if program.descriptors() <= before:
            break
        await asyncio.sleep(0.1)
    check(program.descriptors() <= before, f"{program.descriptors()} descriptors, {before} before")
    rows.append(["afterwards", 0.0, program.memory(), program.descriptors(), f"{before} descriptors before"])
    return rows


def main(check, table, crowd):
    settings = {
        "LIMITS__MAX_QUEUED_RUNS": QUEUE,
        "LIMITS__MAX_CONNECTIONS": CONNECTIONS,
        "LIMITS__MAX_WATCHERS": WATCHERS,
        "TIMEOUTS__CLIENT": PATIENCE,
        "NOVA__MAX_TURNS": TURNS,
    }
    with Program(**settings) as program:
        rows = asyncio.run(told(program, check, crowd))
    print(f"beyond the limits: {QUEUE} runs, {TURNS} turns, {WATCHERS} watchers, {CONNECTIONS} connections, {PATIENCE} s of patience")
    table(["what", "s", "memory, MiB", "descriptors", ""], rows)
