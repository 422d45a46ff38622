#!/usr/bin/env python3
"""Ollama's protocol in front of a real llama.cpp engine, and beside it the engine's own server.

usage: server.py NAME=FILE.gguf [NAME=FILE.gguf ...]

Listens on free ports of 127.0.0.1 and prints them. The first model is also served by the engine
itself, which speaks OpenAI's protocol. Text streams as the engine makes it; counts and durations
are the engine's own. Not for anything but tests.
"""

import datetime
import hashlib
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import xllamacpp

MODELS = dict(argument.split("=", 1) for argument in sys.argv[1:])
DIGESTS = {}
for model, file in MODELS.items():
    with open(file, "rb") as weights:
        DIGESTS[model] = hashlib.file_digest(weights, "sha256").hexdigest()

# Options that the engine takes at each request, and by which names.
SAMPLING = {
    name: name
    for name in ("temperature", "seed", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty")
    + ("repeat_last_n", "presence_penalty", "frequency_penalty", "stop")
} | {"num_predict": "n_predict", "num_keep": "n_keep"}


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def engine(path, context, threads, alias):
    """Starts an engine with its own server on a free port."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.model_alias = {alias}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.verbosity = 0
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    return xllamacpp.Server(parameters)


def post(url, body):
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(url, data, headers))


def busy(address):
    """Requests that an engine is working on."""
    with urllib.request.urlopen(address + "/slots") as answer:
        return sum(slot["is_processing"] for slot in json.load(answer))


class Loaded:
    """The model that is loaded: at most one, as on a machine with little memory."""

    def __init__(self):
        self.lock = threading.Lock()
        self.key = self.server = None

    def load(self, name, options):
        """The engine's address, and how long it took to be ready, ns."""
        # One thread: on a busy machine of two cores the engine's own choice is far slower.
        key = (name, int(options.get("num_ctx", 2048)), int(options.get("num_thread") or 1))
        with self.lock:
            begun = time.perf_counter_ns()
            if key == self.key:
                return self.server.listening_address, 0
            self.key = self.server = None
            self.server = engine(MODELS[name], key[1], key[2], name)
            self.key = key
            return self.server.listening_address, time.perf_counter_ns() - begun

    def unload(self, name):
        with self.lock:
            if self.key and self.key[0] == name:
                self.key = self.server = None

    def name(self):
        return self.key[0] if self.key else None

    def busy(self):
        with self.lock:
            return busy(self.server.listening_address) if self.server else 0


LOADED = Loaded()


def known(name):
    return next((it for it in (name, f"{name}:latest") if it in MODELS), None)


def summary(name):
    return {
        "name": name,
        "model": name,
        "modified_at": now(),
        "size": os.path.getsize(MODELS[name]),
        "digest": DIGESTS[name],
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "",
            "quantization_level": "",
        },
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    direct = None  # the engine that is served by itself

    def log_message(self, *_):
        pass

    def do_GET(self):
        match self.path:
            case "/":
                self.send(200, b"Ollama is running", "text/plain")
            case "/api/version":
                self.answer(200, {"version": "0.0.0-real-model"})
            case "/api/tags":
                self.answer(200, {"models": [summary(name) for name in MODELS]})
            case "/api/ps":
                name = LOADED.name()
                loaded = [{**summary(name), "size_vram": 0, "expires_at": now()}] if name else []
                self.answer(200, {"models": loaded})
            case "/busy":
                self.answer(200, {"busy": LOADED.busy() + busy(self.direct.listening_address)})
            case _:
                self.answer(404, {"error": "not found"})

    def do_POST(self):
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        except ValueError as error:
            return self.answer(400, {"error": str(error)})
        name = known(request.get("model", ""))
        if self.path not in ("/api/show", "/api/generate", "/api/chat"):
            self.answer(404, {"error": "not found"})
        elif name is None:
            self.answer(404, {"error": f"model '{request.get('model', '')}' not found"})
        elif self.path == "/api/show":
            self.answer(200, {**summary(name), "model_info": {}})
        else:
            self.generate(name, request, chat=self.path == "/api/chat")

    def generate(self, name, request, chat):
        begun = time.perf_counter_ns()
        options = request.get("options") or {}

        def piece(text, **rest):
            said = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
            return {"model": request["model"], "created_at": now(), **said, **rest}

        if not request.get("messages" if chat else "prompt"):
            if request.get("keep_alive") == 0:
                LOADED.unload(name)
                return self.answer(200, piece("", done=True, done_reason="unload"))
            LOADED.load(name, options)
            return self.answer(200, piece("", done=True, done_reason="load"))

        base, load_duration = LOADED.load(name, options)
        body = {named: options[name] for name, named in SAMPLING.items() if name in options}
        body |= {"prompt": prompt(base, request, chat), "stream": True, "cache_prompt": False}
        stream = request.get("stream", True)
        if stream:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        text, last = [], {}
        # Closing the answer, which happens also where our client has gone, stops the engine.
        with post(base + "/completion", body) as answer:
            for line in answer:
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line[len(b"data: ") :])
                if event.get("stop"):
                    last = event
                if event.get("content"):
                    text.append(event["content"])
                    if stream:
                        self.chunk(piece(event["content"], done=False))
        timings = last.get("timings", {})
        figures = {
            "done": True,
            "done_reason": "length" if last.get("stop_type") == "limit" else "stop",
            "total_duration": time.perf_counter_ns() - begun,
            "load_duration": load_duration,
            "prompt_eval_count": timings.get("prompt_n", 0),
            "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
            "eval_count": timings.get("predicted_n", 0),
            "eval_duration": int(timings.get("predicted_ms", 0) * 1e6),
        }
        if request.get("keep_alive") == 0:
            LOADED.unload(name)
        if stream:
            self.chunk(piece("", **figures))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.answer(200, piece("".join(text), **figures))

    def chunk(self, value):
        line = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def answer(self, status, value):
        self.send(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def send(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def prompt(base, request, chat):
    """What the model reads, by its own template."""
    if request.get("raw") and not chat:
        return request["prompt"]
    messages = request.get("messages", [])
    if not chat:
        system = request.get("system")
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": request["prompt"]})
    with post(base + "/apply-template", {"messages": messages}) as answer:
        return json.load(answer)["prompt"]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A client that goes away in the middle is what the tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main():
    first = next(iter(MODELS))
    Handler.direct = engine(MODELS[first], 2048, 1, first)
    server = Server(("127.0.0.1", 0), Handler)
    print(f"ollama http://127.0.0.1:{server.server_port}")
    print(f"openai {Handler.direct.listening_address}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        # Whoever started this holds the other end; its death ends us too.
        sys.stdin.read()
    except KeyboardInterrupt:
        pass
    # The engines' threads need not be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
