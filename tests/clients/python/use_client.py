"""Uses the client that is generated in Python, against the server whose address is the argument.

What the README shows is taken from here.
"""

import json
import sys
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ollama_benchmarker_client import Client
from ollama_benchmarker_client.api.benchmarks import (
    compare_benchmarks,
    export_benchmarks,
    get_benchmark,
    import_benchmarks,
    list_benchmarks,
    run_benchmark,
    start_benchmark,
)
from ollama_benchmarker_client.api.nova import ask_nova
from ollama_benchmarker_client.models import (
    BenchmarkRequest,
    BenchmarkResponse,
    Comparison,
    ImportReport,
    NovaRequest,
    NovaResponse,
    Problem,
    RunFinished,
    TextArrived,
)
from ollama_benchmarker_client.types import UNSET, File, Unset

MODEL = "steady@reference"


def run(client: Client, models: list[str]) -> BenchmarkResponse:
    request = BenchmarkRequest(prompt="Why is the sky blue?", models=models, repetitions=2)
    run = run_benchmark.sync(client=client, body=request)
    if not isinstance(run, BenchmarkResponse):
        raise RuntimeError(run)
    for model in run.summary:
        print(model.model, model.time_to_first_chunk.median, "s to the first chunk")
    return run


def events(client: Client, id: str) -> Iterator[dict[str, Any]]:
    path = f"/api/benchmarks/{id}/events"
    with client.get_httpx_client().stream("GET", path) as answer:
        for line in answer.raise_for_status().iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def follow(client: Client, models: list[str]) -> RunFinished:
    request = BenchmarkRequest(prompt="Why is the sky blue?", models=models)
    run = start_benchmark.sync(client=client, body=request)
    if not isinstance(run, BenchmarkResponse):
        raise RuntimeError(run)
    for event in events(client, run.id):
        if event["type"] == "text_arrived":
            print(TextArrived.from_dict(event).text, end="")
        elif event["type"] == "run_finished":
            return RunFinished.from_dict(event)
    raise RuntimeError("the stream ended before the run")


def history(client: Client) -> Iterator[list[BenchmarkResponse]]:
    cursor: str | Unset = UNSET
    while True:
        answer = list_benchmarks.sync_detailed(client=client, limit=2, cursor=cursor)
        if not isinstance(answer.parsed, list):
            raise RuntimeError(answer.parsed)
        yield answer.parsed
        if "Link" not in answer.headers:
            return
        address = answer.headers["Link"].partition(">")[0].lstrip("<")
        [cursor] = parse_qs(urlsplit(address).query)["cursor"]


def refused(client: Client) -> None:
    missing = get_benchmark.sync_detailed("0" * 24, client=client)
    assert missing.status_code == HTTPStatus.NOT_FOUND
    assert isinstance(missing.parsed, Problem)
    assert missing.parsed.type_ == "urn:ollama-benchmarker:problem:not-found"

    problem = run_benchmark.sync(client=client, body=BenchmarkRequest(prompt="", models=[]))
    assert isinstance(problem, Problem)
    assert problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
    for error in problem.errors:
        print(error.pointer, error.message)
    assert "/models" in [error.pointer for error in problem.errors]


def exchange(client: Client, run: BenchmarkResponse) -> None:
    exported = export_benchmarks.sync(client=client, format_="json", ids=[run.id])
    assert isinstance(exported, list)
    assert [it.id for it in exported] == [run.id]
    assert exported[0].timestamp == run.timestamp
    assert exported[0].results[0].chunks == run.results[0].chunks

    document = json.dumps([it.to_dict() for it in exported]).encode()
    report = import_benchmarks.sync(client=client, body=File(payload=BytesIO(document)))
    assert isinstance(report, ImportReport)
    assert (report.documents, report.known, report.failed) == (1, 1, 0)


def main() -> None:
    client = Client(base_url=sys.argv[1])
    first = run(client, [MODEL])
    assert first.status == "completed"
    assert first.results[0].chunks and first.results[0].throughput.total_chunks > 1
    second = run(client, [MODEL])

    finished = follow(client, [MODEL])
    print()
    assert finished.status == "completed"

    pages = list(history(client))
    assert len(pages) > 1 and all(1 <= len(page) <= 2 for page in pages)
    seen = [run.id for page in pages for run in page]
    assert {first.id, second.id, finished.id} <= set(seen) and len(seen) == len(set(seen))

    compared = compare_benchmarks.sync(client=client, ids=f"{first.id},{second.id}")
    assert isinstance(compared, Comparison)
    assert compared.rows and compared.runs == [first.id, second.id]
    print(compared.rows[0].sentence)

    answer = ask_nova.sync(client=client, body=NovaRequest(prompt="Why?", model=MODEL))
    assert isinstance(answer, NovaResponse)
    assert answer.status == "completed" and answer.steps

    exchange(client, first)
    refused(client)


main()
