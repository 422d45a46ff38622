//! What parameters may say, beyond their type; and where an answer leads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::schemas;
use crate::record::RunId;

/// Ids parted by commas.
const IDS: &str = "^[0-9a-fA-F]{24}(,[0-9a-fA-F]{24})*$";
/// A model's name: no blanks or `@` at its ends, and no control characters.
const MODEL: &str = r"^[^\s@\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s@\x00-\x1f\x7f-\x9f])?$";
/// An id of an event.
const EVENT: &str = r"^[0-9]{1,9}(\.[0-9]{1,9})?$";

/// Where an operation's answer leads: the operation, the status, and for each link its name, the operation
/// that it leads to, and its parameters with where in the answer they are.
type Links = (&'static str, &'static str, &'static [Link]);
type Link = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const OF_RUN: &[Link] = &[
    ("record", "GET /api/benchmarks/history/{id}", ID),
    ("events", "GET /api/benchmarks/{id}/events", ID),
    ("cancel", "POST /api/benchmarks/{id}/cancel", ID),
    ("rerun", "POST /api/benchmarks/{id}/rerun", ID),
    ("delete", "DELETE /api/benchmarks/history/{id}", ID),
];
const OF_SESSION: &[Link] = &[
    ("session", "GET /api/nova/sessions/{id}", ID),
    ("change", "PATCH /api/nova/sessions/{id}", ID),
    ("turns", "GET /api/nova/sessions/{id}/turns", ID),
    ("export", "GET /api/nova/sessions/{id}/export", ID),
    ("fork", "POST /api/nova/sessions/{id}/fork", ID),
    ("close", "POST /api/nova/sessions/{id}/close", ID),
    ("delete", "DELETE /api/nova/sessions/{id}", ID),
];
const ID: &[(&str, &str)] = &[("id", "$response.body#/id")];
const TURN: &[(&str, &str)] = &[("id", "$response.body#/turn_id")];

const LINKS: [Links; 10] = [
    ("POST /api/benchmarks/run", "200", OF_RUN),
    ("POST /api/benchmarks/start", "202", OF_RUN),
    ("POST /api/benchmarks/{id}/rerun", "202", OF_RUN),
    ("POST /api/nova/sessions", "201", OF_SESSION),
    ("POST /api/nova/sessions/import", "201", OF_SESSION),
    ("POST /api/nova/sessions/{id}/fork", "201", OF_SESSION),
    (
        "POST /api/prompts",
        "201",
        &[("delete", "DELETE /api/prompts/{id}", ID)],
    ),
    (
        "POST /api/views",
        "201",
        &[("delete", "DELETE /api/views/{id}", ID)],
    ),
    (
        "POST /api/nova/memory",
        "201",
        &[("delete", "DELETE /api/nova/memory/{id}", ID)],
    ),
    (
        "POST /api/nova/ask",
        "200",
        &[
            (
                "turn",
                "GET /api/nova/sessions/{id}/turns/{turn}",
                &[
                    ("id", "$response.body#/session_id"),
                    ("turn", "$response.body#/turn_id"),
                ],
            ),
            ("cancel", "POST /api/nova/turns/{id}/cancel", TURN),
            ("replay", "POST /api/nova/turns/{id}/replay", TURN),
            (
                "session",
                "GET /api/nova/sessions/{id}",
                &[("id", "$response.body#/session_id")],
            ),
        ],
    ),
];

/// Bounds the parameters of an operation.
pub fn mend(path: &str, operation: &mut Value) {
    let parameters = operation.get_mut("parameters");
    let Some(parameters) = parameters.and_then(Value::as_array_mut) else {
        return;
    };
    // What can be accepted is told by the media types of the answers.
    parameters.retain(|it| !(it["in"] == "header" && it["name"] == "accept"));
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let schema = &mut parameter["schema"];
        schemas::bound(schema);
        let bounds = bounds(path, &name);
        let of_items = schema["type"] == "array" && bounds.get("minItems").is_none();
        let schema = if of_items {
            &mut schema["items"]
        } else {
            schema
        };
        for (word, value) in bounds.as_object().into_iter().flatten() {
            schema[word] = value.clone();
        }
    }
}

/// What the schema of a parameter says besides its type.
fn bounds(path: &str, name: &str) -> Value {
    match (path, name) {
        (_, "id" | "session" | "like") | ("/api/benchmarks/export", "after") => {
            json!({ "pattern": RunId::PATTERN })
        }
        (_, "ids") => json!({ "pattern": IDS }),
        (path, "after" | "Last-Event-ID") if path.ends_with("/events") => {
            json!({ "pattern": EVENT })
        }
        ("/api/nova/memory/search", "limit") => json!({ "minimum": 1, "maximum": 50 }),
        (_, "limit") => json!({ "minimum": 1, "maximum": 500 }),
        ("/api/models/{name}" | "/api/benchmarks/trend", "name" | "model")
        | ("/api/benchmarks/compare", "models") => {
            json!({ "pattern": MODEL, "maxLength": 256 })
        }
        ("/api/nova/memory/search", "q") => json!({ "pattern": r"\S" }),
        (_, "q") => json!({ "maxLength": 1000 }),
        (_, "turn") => json!({ "pattern": "^([0-9]{1,9}|[0-9a-fA-F]{24})$" }),
        _ => json!({}),
    }
}

/// Says where answers lead.
pub fn link(document: &mut Value) {
    for (from, status, links) in LINKS {
        let mut described = json!({});
        for (name, to, parameters) in links {
            let Some(target) = operation(document, to) else {
                continue;
            };
            described[name] = json!({
                "operationId": target["operationId"],
                "description": target["summary"],
                "parameters": parameters.iter().copied().collect::<BTreeMap<_, _>>(),
            });
        }
        if let Some(answer) =
            operation(document, from).and_then(|it| it["responses"].get_mut(status))
        {
            answer["links"] = described;
        }
    }
}

/// An operation by its method and path.
fn operation<'a>(document: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let (method, path) = name.split_once(' ')?;
    document
        .get_mut("paths")?
        .get_mut(path)?
        .get_mut(method.to_ascii_lowercase())
}
