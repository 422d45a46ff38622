"""Reads exported documents with MongoDB's own parser for Python, and compares them with the records.

    read.py RECORDS.json EXPORT.jsonl…
"""

import datetime
import json
import sys

import bson
from bson import json_util


def plain(value):
    """As the API says it: an id and a time are text."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bson.ObjectId):
        return str(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bson.Decimal128):
        return int(value.to_decimal())
    return int(value) if isinstance(value, bson.Int64) else value


def with_whole_times(value, name=""):
    """A record whose times all have three digits of a second, as above."""
    if isinstance(value, dict):
        return {name: with_whole_times(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_whole_times(inner) for inner in value]
    if isinstance(value, str) and name in ("timestamp", "finished_at", "expires_at", "calibrated"):
        return plain(datetime.datetime.fromisoformat(value.replace("Z", "+00:00")))
    return value


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        records = with_whole_times(json.load(file))
    assert records, "no record to compare with"
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            documents = [json_util.loads(line) for line in file]
        # Into the bytes that a database stores, and back.
        documents = [bson.decode(bson.encode(it), bson.CodecOptions(tz_aware=True)) for it in documents]
        found = [plain(it) for it in documents]
        for document in found:
            document["id"] = document.pop("_id")
        assert found == records, f"{path} is not what is stored"
        print(f"{path}: {len(found)} documents are what is stored")


main()
