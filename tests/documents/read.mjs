// Reads exported documents with MongoDB's own parser for JavaScript, and compares them with the records.
//
//   node read.mjs RECORDS.json EXPORT.jsonl…

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { BSON, Decimal128, Double, Int32, Long, ObjectId } = createRequire(process.env.BSON_FROM)("bson");

/** As the API says it: an id and a time are text. */
function plain(value) {
  if (value instanceof ObjectId) return value.toHexString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Long || value instanceof Decimal128) return Number(value.toString());
  if (value instanceof Double || value instanceof Int32) return value.valueOf();
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

const times = new Set(["timestamp", "finished_at", "expires_at", "calibrated"]);
const records = JSON.parse(readFileSync(process.argv[2], "utf8"), (name, value) =>
  times.has(name) && typeof value === "string" ? new Date(value).toISOString() : value);
assert.ok(records.length > 0, "no record to compare with");
for (const path of process.argv.slice(3)) {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const found = lines.map((line) => {
    const document = BSON.EJSON.parse(line, { relaxed: false });
    // Into the bytes that a database stores, and back.
    const { _id, ...rest } = plain(BSON.deserialize(BSON.serialize(document), { promoteValues: false }));
    return { ...rest, id: _id };
  });
  assert.deepEqual(found, records, `${path} is not what is stored`);
  console.log(`${path}: ${found.length} documents are what is stored`);
}
