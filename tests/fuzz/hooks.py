"""What the fuzzer is told besides the specification: rules between fields, and models that answer at once.

A body that keeps its schema is still not always one that the program takes: some fields exclude each other,
and a model must be there. Bodies that are meant to be valid are mended here, so that they reach real runs, and
short ones. Bodies that are meant to be invalid stay as they are.
"""

import zlib

import schemathesis
from schemathesis.core.parameters import ParameterLocation

# Models of the reference server that answer within milliseconds.
MODELS = [
    "script:tokens=3,ttft=1,gap=1@reference",
    "script:tokens=2,ttft=0,gap=0@reference",
    "script:tokens=4,ttft=2,gap=1@reference",
]


def choose(values, body):
    """One of some values, always the same for a body."""
    return values[zlib.crc32(repr(body).encode(errors="replace")) % len(values)]


def mend_parameters(holder):
    """The parameters of a body, or of the session in one: an output of no tokens is none."""
    if not isinstance(holder, dict):
        return holder
    parameters = holder.get("parameters")
    if not isinstance(parameters, dict) or parameters.get("num_predict") != 0:
        return holder
    return {**holder, "parameters": {**parameters, "num_predict": 1}}


def mend_benchmark(body):
    names = body.get("models") or []
    body["models"] = MODELS[: max(1, min(len(names), 2))]
    # These models do not think: the answer would be that no request succeeded.
    for field in ("replay", "cooldown", "until_decided", "think"):
        body.pop(field, None)
    prompts = list(body.get("prompts") or [])[:2]
    body.pop("prompts", None)
    if prompts:
        body["prompts"] = prompts
    if body.get("synthetic") is not None:
        body["synthetic"] = {"tokens": min(body["synthetic"]["tokens"], 50)}
        body.pop("prompt", None)
        body.pop("prompts", None)
    elif body.get("prompt") is None and not prompts:
        body["prompt"] = "Why is the sky blue?"
    if body.get("objectives"):
        body["objectives"] = ["total_time.max<60", "failed_percent<1"]
    mend_times(body)
    if body.get("load") is not None:
        body["load"] = choose(
            [
                {"pattern": "closed", "concurrency": 2, "max_requests": 3},
                {"pattern": "constant", "rate": 100, "max_requests": 3},
                {"pattern": "poisson", "rate": 100, "duration": 0.02},
            ],
            body,
        )
        body.update(execution="sequential", repetitions=1, cold_start=False)


def mend_session_benchmark(body):
    names = body.get("models") or []
    body["models"] = MODELS[: max(1, min(len(names), 2))]
    mend_times(body)


def mend_times(body):
    """A run shall be short, and end as it was meant to."""
    for field, most in (("repetitions", 2), ("warmup", 1)):
        if field in body:
            body[field] = min(body[field], most)
    for field in ("timeout", "run_timeout"):
        if body.get(field) is not None:
            body[field] = 30


def mend_question(body):
    body["model"] = MODELS[0]
    for field in ("models", "pause_after", "session_id"):
        body.pop(field, None)
    if body.get("domains"):
        body["domains"] = ["physics", "optics"]
    body.update(stream=False, max_iterations=1)
    mend_times(body)


def mend_replay(body):
    if body.get("mode", "tape") == "tape":
        body.pop("model", None)
    elif body.get("model") is not None:
        body["model"] = MODELS[0]


def mend_fork(body):
    # A session without turns has a beginning, and no more.
    body["turn"] = 0


def mend_checkpoint(body):
    # Turns are numbered from 1 and have ended, which a schema cannot say of a list.
    body.update(version=1, turns=[])
    if "session" in body:
        body["session"] = mend_parameters(body["session"])


MENDED = {
    ("POST", "/api/benchmarks/run"): mend_benchmark,
    ("POST", "/api/benchmarks/start"): mend_benchmark,
    ("POST", "/api/nova/ask"): mend_question,
    ("POST", "/api/nova/sessions/{id}/benchmark"): mend_session_benchmark,
    ("POST", "/api/nova/sessions/{id}/fork"): mend_fork,
    ("POST", "/api/nova/sessions/import"): mend_checkpoint,
    ("POST", "/api/nova/turns/{id}/replay"): mend_replay,
}


def mend_query(case):
    query = case.query
    # Only the program makes cursors; those that it made come back by `Link`.
    query.pop("cursor", None)
    if query.get("format") not in (None, "mongodb"):
        query.pop("canonical", None)


def mend_body(case):
    body = dict(mend_parameters(case.body))
    mend = MENDED.get((case.method.upper(), case.path))
    if mend is not None:
        mend(body)
    case.body = body


@schemathesis.hook
def before_call(context, case, **kwargs):
    def is_negative(place):
        return case.meta is not None and case.meta.is_negative_at(place)

    if case.query and not is_negative(ParameterLocation.QUERY):
        mend_query(case)
    if isinstance(case.body, dict) and not is_negative(ParameterLocation.BODY):
        mend_body(case)
