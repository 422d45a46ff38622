"""Holds compose.yaml against what it starts: python compose.py PROGRAM

The program takes every variable that it is given there and refuses none, it waits for a database that is
ready, what it keeps has a name, and nothing is offered to the network unasked.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def filled_in(value):
    """With the defaults of its variables, as where none is set."""
    if isinstance(value, dict):
        return {key: filled_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item) for item in value]
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value) if isinstance(value, str) else value


def main(program: str) -> None:
    compose = filled_in(yaml.safe_load((ROOT / "compose.yaml").read_text()))
    services = compose["services"]
    ours = services["benchmarker"]

    # Any command reads the settings first, and refuses a variable that it does not know, unless it is empty.
    environment = {name: value or "something" for name, value in ours["environment"].items()}
    answer = subprocess.run(
        [program, "openapi"], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr

    databases = [name for name, service in services.items() if "postgres" in service["image"]]
    assert list(ours["depends_on"]) == databases
    for name in databases:
        assert ours["depends_on"][name] == {"condition": "service_healthy"}
        assert services[name]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
        user, password, host, database = re.fullmatch(
            r"postgres://(\w+):(\w+)@(\w+)/(\w+)\?.*", ours["environment"]["DATABASE_URL"]
        ).groups()
        given = services[name]["environment"]
        assert host == name
        assert [user, password, database] == [
            given["POSTGRES_USER"],
            given["POSTGRES_PASSWORD"],
            given["POSTGRES_DB"],
        ]

    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert name == "benchmarker" or (tag and tag != "latest"), f"{name} has no version"
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], f"{name}: {volume} has no name"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is open to the network: {port}"

    # With the one on a GPU in place of the other, the program finds it by the same name.
    host = re.fullmatch(r"http://(\w+):11434", ours["environment"]["OLLAMA_HOST"]).group(1)
    assert host in services and "profiles" not in services[host]
    gpu = services[f"{host}-gpu"]
    assert gpu["profiles"] == ["gpu"] and gpu["networks"]["default"]["aliases"] == [host]


if __name__ == "__main__":
    main(sys.argv[1])
