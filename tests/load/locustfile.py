"""People who use the program all at once, for Locust: they start runs, watch them, ask agents, read the history.

Beside speed it looks at what comes. What it found goes to the file LOAD_REPORT at the end, for load.py to judge.
"""

import json
import os
import random
from collections import deque
from datetime import datetime

import gevent
from client import TINY, Frames, Witness, work
from locust import FastHttpUser, constant, events, task

accepted: list = []
newest: deque = deque(maxlen=8)
seen = {"refused": 0, "watched": 0, "events": 0, "asked": 0}
wrong: list = []


def is_refused(answer):
    """Too much at once is told with 429 or 503, and when to come back."""
    if answer.status_code not in (429, 503):
        return False
    if answer.headers.get("Retry-After", "").isdigit():
        seen["refused"] += 1
        answer.success()
    else:
        answer.failure(f"refused with {answer.status_code} without Retry-After")
    gevent.sleep(0.2)
    return True


class Person(FastHttpUser):
    abstract = True
    wait_time = constant(0.05)
    network_timeout = connection_timeout = 60.0

    def take(self, method, path, name, expected, body=None):
        """The body of an answer with the expected status; `None` where it was refused or is wrong."""
        with self.client.request(method, path, name=name, json=body, catch_response=True) as answer:
            if is_refused(answer):
                return None
            if answer.status_code != expected:
                answer.failure(f"status {answer.status_code}: {answer.text[:200]}")
                return None
            answer.success()
            return answer


class Starter(Person):
    weight = 3

    @task
    def start_a_run(self):
        answer = self.take("POST", "/api/benchmarks/start", "start a run", 202, work())
        if answer:
            id = answer.json()["id"]
            accepted.append(id)
            newest.append(id)


class Runner(Person):
    weight = 2

    @task
    def run_and_wait(self):
        answer = self.take("POST", "/api/benchmarks/run", "run, and wait", 200, work())
        if answer:
            record = answer.json()
            accepted.append(record["id"])
            if record["status"] != "completed":
                wrong.append(f"run {record['id']} is {record['status']}")


class Watcher(Person):
    weight = 10

    @task
    def watch(self):
        if not newest:
            return
        id = random.choice(newest)
        path = f"/api/benchmarks/{id}/events"
        with self.client.get(path, name="watch a run", stream=True, catch_response=True) as answer:
            if is_refused(answer):
                return
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return
            witness, frames = Witness(), Frames()
            while piece := answer.stream.read(1 << 14):
                for frame in frames.feed(bytes(piece)):
                    witness.hear(*frame)
            seen["watched"] += 1
            seen["events"] += witness.events
            if faults := witness.whole():
                answer.failure(f"run {id}: {faults[0]}")
            else:
                answer.success()


class Asker(Person):
    weight = 1

    @task
    def ask(self):
        body = {"prompt": "Plan a weekend in Lisbon", "model": TINY}
        answer = self.take("POST", "/api/nova/ask", "ask agents", 200, body)
        if answer:
            seen["asked"] += 1
            if not answer.json()["text"]:
                wrong.append("agents answered nothing")


class Reader(Person):
    weight = 4

    def list(self, query, name):
        return self.take("GET", f"/api/benchmarks/history?limit=20&{query}", name, 200)

    @task(4)
    def pages(self):
        """Each run once, from the newest on, whatever is added meanwhile."""
        query, records = "", []
        for _ in range(3):
            answer = self.list(query, "history, a page")
            if not answer:
                return
            records += answer.json()
            link = answer.headers.get("Link", "")
            if 'rel="next"' not in link:
                break
            query = "cursor=" + link.split("cursor=")[1].split(">")[0]
        # A whole second has no fraction: as texts they would be in another order.
        times = [datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00")) for record in records]
        if len({record["id"] for record in records}) != len(records) or times != sorted(times, reverse=True):
            wrong.append(f"pages of the history are not in order: {[str(time) for time in times]}")

    @task(2)
    def filters(self):
        answer = self.list("status=completed&sort=total_time&order=asc", "history, filtered and sorted")
        if answer and any(record["status"] != "completed" for record in answer.json()):
            wrong.append("a filter lets something else through")
        self.list("q=sky", "history, searched")

    @task(2)
    def one(self):
        if accepted:
            id = random.choice(accepted)
            answer = self.take("GET", f"/api/benchmarks/history/{id}", "history, one run", 200)
            if answer and answer.json()["id"] != id:
                wrong.append(f"{id} is another run")

    @task(1)
    def compare(self):
        answer = self.list("status=completed", "history, a page")
        ids = [record["id"] for record in answer.json()[:2]] if answer else []
        if len(ids) == 2:
            self.take("GET", f"/api/benchmarks/compare?ids={','.join(ids)}", "compare two runs", 200)

    @task(1)
    def statistics(self):
        self.take("GET", "/api/benchmarks/statistics", "statistics", 200)

    @task(2)
    def look(self):
        for path in ("/", "/history"):
            self.take("GET", path, f"page {path}", 200)


@events.quitting.add_listener
def report(environment, **_):
    rows = []
    for entry in [*environment.stats.entries.values(), environment.stats.total]:
        at = entry.get_response_time_percentile
        rows.append([entry.name, entry.num_requests, entry.num_failures, entry.total_rps, at(0.5), at(0.95), at(0.99), entry.max_response_time])
    errors = [f"{it.occurrences} × {it.name}: {it.error}" for it in environment.stats.errors.values()]
    with open(os.environ["LOAD_REPORT"], "w") as file:
        json.dump({"rows": rows, "wrong": wrong + errors, "accepted": accepted, **seen}, file)
