"""The program with its reference server and a fresh database, as long as a `with` lasts; and what it takes of the machine."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """Settings are those of the environment, without `BENCHMARKER_`. `backends` more, r0, r1, …, are a reference server in a
    process of its own: runs on different backends go side by side. `history` is a database to begin with a copy of."""

    def __init__(self, backends=0, history=None, **settings):
        self.backends, self.history, self.settings = backends, history, settings
        self.models = None

    def serve_models(self):
        """Ends with this process, whatever becomes of it."""
        command = [os.environ["PROGRAM"], "reference", "--port", "0", "--until-eof"]
        self.models = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        url = self.models.stdout.readline().strip()
        self.settings |= {f"BACKENDS__R{number}__URL": url for number in range(self.backends)}

    def __enter__(self):
        if self.backends:
            self.serve_models()
        self.folder = tempfile.TemporaryDirectory(prefix="load-")
        self.database = Path(self.folder.name, "load.db")
        if self.history:
            shutil.copyfile(self.history, self.database)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BENCHMARKER_")}
        environment |= {
            "DATABASE_URL": f"sqlite:{self.database}",
            "OLLAMA_HOST": "127.0.0.1:9",
            "NO_COLOR": "1",
            "BENCHMARKER_PORT": "0",
            "BENCHMARKER_CALIBRATION__AUTOMATIC": "false",
            # An hour of ordinary use shall pass in minutes.
            "BENCHMARKER_SAMPLING__BASELINE": "0",
            "BENCHMARKER_LOG__FILTER": "warn,ollama_benchmarker::cli=info",
        }
        environment |= {f"BENCHMARKER_{name}": str(value) for name, value in self.settings.items()}
        self.log = Path(self.folder.name, "log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [os.environ["PROGRAM"], "serve"], cwd=self.folder.name, env=environment, stdout=log, stderr=log
            )
        self.host, self.port = self.address()
        return self

    def address(self):
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(r"serving on http://([0-9.]+):([0-9]+)", self.log.read_text())
            if found:
                return found[1], int(found[2])
            time.sleep(0.02)
        raise SystemExit(f"the program did not start:\n{self.log.read_text()}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("the program did not end within half a minute") from None
        said = self.log.read_text()
        self.folder.cleanup()
        if self.models:
            self.models.stdin.close()
            self.models.wait(10)
        if status != 0 or "panicked" in said:
            raise SystemExit(f"the program ended with {status}:\n{said}")

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """Resident, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def processor(self):
        """Used so far, s."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


class Watch:
    """Looks at the program while something goes on: its highest memory, its most descriptors, its processor time."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.begun, self.used = time.monotonic(), self.program.processor()
        self.memory = self.descriptors = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while True:
            self.memory = max(self.memory, self.program.memory())
            self.descriptors = max(self.descriptors, self.program.descriptors())
            if self.over.wait(0.2):
                return

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.seconds = time.monotonic() - self.begun
        self.cores = (self.program.processor() - self.used) / self.seconds
