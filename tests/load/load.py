"""Loads the program, prints what came of it, and says what is wrong; see run.sh."""

import argparse
import asyncio
import csv
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import limits
from client import Client, work
from program import Program, Watch

FOLDER = Path(__file__).parent
# Of soak.
BACKENDS = 8
SERIES = "{:8,} {:7.0f} {:12.1f} {:12} {:14.1f} {:13.1f}"
wrong: list = []


def check(holds, message):
    if not holds:
        wrong.append(message)


def table(head, rows):
    rows = [[f"{it:,.1f}" if isinstance(it, float) else f"{it:,}" if isinstance(it, int) else it for it in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    for row in [head, *rows]:
        print("  ".join(it.ljust(width) if n == 0 else it.rjust(width) for n, (it, width) in enumerate(zip(row, widths))))
    print()


def told(look):
    print(
        f"{look.seconds:.0f} s; the program used {look.cores:.2f} cores, at most {look.memory:.0f} MiB and "
        f"{look.descriptors} descriptors\n"
    )


# --- Many at once --------------------------------------------------------------------------------


async def stored(program, ids):
    """Every run that was taken has ended and is there."""
    client = Client(program)
    await client.idle()
    for id in ids:
        record = await client.record(id)
        check(record["status"] == "completed", f"run {id} is {record['status']}: {record['status_reason']}")
        check(len(record["results"]) == record["total_requests"], f"run {id} has {len(record['results'])} results")


async def back(program, before, what):
    """Descriptors are as many as before, once the last connections are gone."""
    for _ in range(100):
        if program.descriptors() <= before:
            return
        await asyncio.sleep(0.1)
    check(False, f"{what}: {program.descriptors()} descriptors, {before} before")


async def settled(program):
    """What is opened once and kept is open: connections to the database, those to the reference server."""
    client = Client(program)
    await asyncio.gather(*(client.get("/api/benchmarks/history") for _ in range(32)))
    await asyncio.gather(*(client.ended(id) for id in [await client.start() for _ in range(8)]))
    await asyncio.sleep(1)


def locust(users, seconds):
    """People who do all there is to do, with Locust."""
    with Program() as program, tempfile.TemporaryDirectory() as folder:
        asyncio.run(settled(program))
        before = program.descriptors()
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "-f", "locustfile.py", "--host", program.url]
        command += ["-u", str(users), "-r", str(users), "-t", f"{seconds}s", "--stop-timeout", "30"]
        with Watch(program) as look:
            done = subprocess.run(
                command, cwd=FOLDER, env=os.environ | {"LOAD_REPORT": str(report)}, capture_output=True, text=True
            )
        if not report.exists():
            raise SystemExit(f"Locust did not work:\n{done.stdout}{done.stderr}")
        found = json.loads(report.read_text())
        asyncio.run(stored(program, found["accepted"]))
        asyncio.run(back(program, before, "after many people"))
    print(f"{users} people for {seconds} s: Locust")
    table(["what", "times", "failed", "a second", "median, ms", "p95, ms", "p99, ms", "most, ms"], found["rows"])
    told(look)
    print(
        f"{len(found['accepted'])} runs were taken, all ended and stored; {found['refused']} refusals said when to come back; "
        f"{found['watched']} watchers heard {found['events']:,} events, each whole and in order\n"
    )
    wrong.extend(found["wrong"])
    check(found["accepted"] and found["watched"] and found["asked"], "somebody got nothing done")


# --- As much as it takes -------------------------------------------------------------------------


def hey(seconds):
    """Route by route, with hey."""
    with Program() as program:
        asyncio.run(settled(program))
        before, rows = program.descriptors(), []
        run = asyncio.run(Client(program).start())
        asyncio.run(Client(program).ended(run))
        send = ["-m", "POST", "-T", "application/json", "-d", json.dumps(work())]
        routes = [
            ("health", "/healthz", 64, []),
            ("history, first page", "/api/benchmarks/history?limit=20", 64, []),
            ("history, searched", "/api/benchmarks/history?limit=20&q=sky", 64, []),
            ("history, one run", f"/api/benchmarks/history/{run}", 64, []),
            ("statistics", "/api/benchmarks/statistics", 64, []),
            ("page of a result", f"/runs/{run}", 64, []),
            ("events of a run that has ended", f"/api/benchmarks/{run}/events", 64, []),
            ("run, and wait", "/api/benchmarks/run", 16, send),
            ("start a run, most refused", "/api/benchmarks/start", 64, send),
        ]
        with Watch(program) as look:
            for name, path, at_once, more in routes:
                command = ["hey", "-o", "csv", "-z", f"{seconds}s", "-t", "60", "-c", str(at_once), *more, program.url + path]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append([name, at_once, *figures(name, seconds, done.stdout)])
                asyncio.run(Client(program).idle())
        asyncio.run(back(program, before, "after hey"))
    print(f"as many requests as it takes, {seconds} s a route: hey")
    table(["what", "at once", "a second", "refused", "median, ms", "p95, ms", "p99, ms", "most, ms"], rows)
    told(look)


def figures(name, seconds, text):
    answers = list(csv.DictReader(io.StringIO(text)))
    refused = sum(it["status-code"] == "429" for it in answers)
    others = {it["status-code"] for it in answers} - {"200", "202", "429"}
    check(not others, f"{name}: statuses {others}")
    check((refused > 0) == name.endswith("refused"), f"{name}: {refused} were refused")
    times = sorted(float(it["response-time"]) * 1e3 for it in answers)
    check(times, f"{name}: no answer")
    at = [times[min(int(len(times) * share), len(times) - 1)] if times else 0.0 for share in (0.5, 0.95, 0.99, 1)]
    return [len(times) / seconds, refused, *at]


# --- For hours -----------------------------------------------------------------------------------


async def ordinary(client, number):
    """What somebody does around a run: starts it, watches it, reads its result and the list, at times more."""
    backend = number % BACKENDS
    id = await client.start(f"steady@r{backend}", name=f"run {number}", parameters={"num_predict": 8})
    witness = await client.watch(id)
    for fault in witness.whole():
        check(False, f"run {id}: {fault}")
    paths = [f"/runs/{id}", f"/api/benchmarks/history/{id}", "/api/benchmarks/history?limit=20"]
    if number % 10 == 0:
        paths += ["/history", "/api/benchmarks/statistics", "/api/benchmarks/history?q=sky", f"/api/benchmarks/compare?ids={id}"]
    for path in paths:
        answer = await client.get(path)
        # One model alone has nothing to be compared with.
        check(answer.status == 200 or path.startswith("/api/benchmarks/compare"), f"{path}: status {answer.status}")


async def soaking(program, runs, at_once):
    client, rows, numbers = Client(program), [], iter(range(runs))
    begun, used = time.monotonic(), program.processor()

    async def person():
        for number in numbers:
            await ordinary(client, number)
            if (number + 1) % max(runs // 20, 1) == 0:
                size = sum(it.stat().st_size for it in program.database.parent.glob("load.db*")) / 2**20
                row = [number + 1, time.monotonic() - begun, program.memory(), program.descriptors(), size, program.processor() - used]
                rows.append(row)
                print(SERIES.format(*row), flush=True)

    await asyncio.gather(*(person() for _ in range(at_once)))
    await client.idle()
    return rows


async def first(program):
    """A run on each backend, whose connections are there from then on."""
    client = Client(program)
    ids = [await client.start(f"steady@r{number}", parameters={"num_predict": 8}) for number in range(BACKENDS)]
    await asyncio.gather(*(client.ended(id) for id in ids))


def soak(runs, at_once, history=None):
    """Runs one after another on each backend, each watched and read."""
    with Program(BACKENDS, history) as program:
        asyncio.run(settled(program))
        asyncio.run(asyncio.wait_for(first(program), 120))
        before = program.descriptors()
        print(f"{runs:,} runs, {at_once} people: each starts a run, watches it, reads its page and the history")
        print("    runs       s  memory, MiB  descriptors  database, MiB  processor, s")
        rows = asyncio.run(soaking(program, runs, at_once))
        asyncio.run(back(program, before, "after hours"))
        print(f"at rest {program.memory():20.1f} {program.descriptors():12}\n")
    memory = [row[2] for row in rows]
    half = len(memory) // 2
    growth = max(memory[half:]) - max(memory[:half] or memory)
    print(f"memory of the second half against the first: {growth:+.1f} MiB; descriptors before: {before}\n")
    check(growth < 32 + 0.1 * max(memory), f"memory grew by {growth:.0f} MiB in the second half")


# --- The command ---------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(prog="tests/load/run.sh")
    parser.add_argument("what", choices=["locust", "hey", "limits", "soak", "short"])
    parser.add_argument("--users", type=int, default=200, help="people of locust")
    parser.add_argument("--seconds", type=int, default=60, help="how long they work; of hey, each route for a tenth of it")
    parser.add_argument("--runs", type=int, default=4000, help="runs of soak")
    parser.add_argument("--history", help="database that soak begins with a copy of: its caches are full sooner")
    parser.add_argument("--at-once", type=int, default=BACKENDS, help="people of soak")
    chosen = parser.parse_args()
    random.seed(1)
    if chosen.what == "locust":
        locust(chosen.users, chosen.seconds)
    elif chosen.what == "hey":
        hey(max(chosen.seconds // 10, 1))
    elif chosen.what == "soak":
        soak(chosen.runs, chosen.at_once, chosen.history)
    elif chosen.what == "limits":
        limits.main(check, table, crowd=1000)
    else:
        locust(users=40, seconds=3)
        soak(runs=40, at_once=BACKENDS)
        limits.main(check, table, crowd=100)
    for message in wrong[:20]:
        print(f"load: {message}", file=sys.stderr)
    if wrong:
        raise SystemExit(f"{len(wrong)} things are wrong")
    print("all is well")


if __name__ == "__main__":
    main()
