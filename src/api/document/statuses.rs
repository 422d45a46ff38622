//! Which statuses an operation can answer with when it fails. The type of its failures knows all; here each
//! keeps those that can happen.

use serde_json::{Map, Value, json};

/// Those that begin what asks a model server.
const ASKING: [&str; 6] = [
    "POST /api/benchmarks/run",
    "POST /api/benchmarks/start",
    "POST /api/benchmarks/{id}/rerun",
    "POST /api/nova/ask",
    "POST /api/nova/sessions/{id}/benchmark",
    "POST /api/nova/turns/{id}/replay",
];

/// Those that something which goes on, or was closed, may be in the way of.
const IN_CONFLICT: [&str; 7] = [
    "DELETE /api/benchmarks/history/{id}",
    "POST /api/benchmarks/{id}/cancel",
    "POST /api/nova/turns/{id}/cancel",
    "POST /api/nova/turns/{id}/replay",
    "POST /api/nova/ask",
    "POST /api/nova/sessions/{id}/benchmark",
    "DELETE /api/nova/sessions/{id}",
];

/// Those without an id in their path that name what may not be there.
const NAMING: [&str; 7] = [
    "POST /api/benchmarks/run",
    "POST /api/benchmarks/start",
    "POST /api/nova/ask",
    "POST /api/nova/memory",
    "GET /api/benchmarks/compare",
    "GET /api/benchmarks/trend",
    "GET /api/system/calibration",
];

/// Whether an operation can fail with a status.
fn can_fail(method: &str, path: &str, operation: &Value, status: u16) -> bool {
    let name = format!("{method} {path}");
    let is = |names: &[&str]| names.contains(&name.as_str());
    // It is read as it comes, and what is wrong with it is told in the report.
    let is_import = path == "/api/benchmarks/import";
    let has_body = operation.get("requestBody").is_some();
    let has_parameters = operation["parameters"]
        .as_array()
        .is_some_and(|it| !it.is_empty());
    match status {
        // A request that names no host, or a foreign one, is refused everywhere, and so is one too many.
        400 | 403 | 500 | 503 => true,
        401 => path.starts_with("/api") || path == "/metrics",
        404 => path.contains('{') || is(&NAMING),
        408 | 413 | 415 => has_body && !is_import,
        409 => is(&IN_CONFLICT),
        422 => has_body || has_parameters,
        429 => is(&ASKING),
        501 => name == "GET /api/models/{name}",
        502 => is(&ASKING) || name == "GET /api/models/{name}",
        504 => name == "POST /api/benchmarks/run",
        // 405 is of routes and methods that are not documented.
        _ => false,
    }
}

/// Leaves an operation the statuses that it can answer with, and names the headers that come with them.
pub fn mend(method: &str, path: &str, operation: &mut Value) {
    let told = operation.clone();
    let responses = operation["responses"].as_object_mut();
    let Some(responses) = responses else { return };
    responses.retain(|status, _| {
        let status: u16 = status.parse().unwrap_or_default();
        status < 400 || can_fail(method, path, &told, status)
    });
    name_header(
        responses,
        "401",
        "WWW-Authenticate",
        "`Bearer`: how a token is sent.",
        &json!({ "type": "string" }),
    );
    name_header(
        responses,
        "429",
        "Retry-After",
        "Seconds to wait before trying again.",
        &json!({ "type": "integer", "minimum": 0 }),
    );
    if path == "/api/benchmarks/export" {
        name_header(
            responses,
            "200",
            "Content-Disposition",
            "The name that a file of it would have.",
            &json!({ "type": "string" }),
        );
    }
}

fn name_header(
    responses: &mut Map<String, Value>,
    status: &str,
    name: &str,
    description: &str,
    schema: &Value,
) {
    if let Some(response) = responses.get_mut(status) {
        response["headers"][name] =
            json!({ "description": description, "required": true, "schema": schema });
    }
}
