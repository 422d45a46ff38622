use std::collections::BTreeSet;
use std::path::Path;

use ollama_benchmarker::api;
use serde_json::Value;

use super::request;
use super::schema::violations;
use crate::support::start;

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    each.collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == api::text(),
        "openapi/openapi.json is out of date: cargo run -- openapi > openapi/openapi.json"
    );
}

#[test]
fn every_operation_is_described() {
    let document = api::document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{name}"
        );
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{name} {status}"
            );
            let content = response["content"].as_object();
            let is_error = status.starts_with('4') || status.starts_with('5');
            if is_error {
                assert!(
                    content.unwrap().contains_key("application/problem+json"),
                    "{name} {status}"
                );
            } else {
                for (kind, media) in content.into_iter().flatten() {
                    let example = !media["example"].is_null() || !media["examples"].is_null();
                    assert!(example, "{name} {status} {kind} has no example");
                }
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].is_string(),
                "{name} {}",
                parameter["name"]
            );
        }
    }
}

#[test]
fn every_field_is_described() {
    let document = api::document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let described = property["description"].is_string();
            assert!(
                described || field == "type",
                "{name}.{field} has no description"
            );
        }
    }
}

/// The schema of an operation's answer of a kind.
fn answer_schema<'a>(document: &'a Value, operation: &str, status: &str, kind: &str) -> &'a Value {
    let found = operations(document)
        .into_iter()
        .find(|(_, it)| it["operationId"] == operation);
    &found.unwrap().1["responses"][status]["content"][kind]["schema"]
}

#[test]
fn every_example_keeps_its_schema() {
    let document = api::document();
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        let answers = responses
            .iter()
            .filter_map(|(_, answer)| answer["content"].as_object());
        let bodies = operation["requestBody"]["content"].as_object();
        for (kind, media) in answers.chain(bodies).flatten() {
            let named = media["examples"].as_object().into_iter().flatten();
            let named = named.map(|(_, example)| &example["value"]);
            for example in named.chain(media.get("example")) {
                let found = violations(&document, &media["schema"], example, "");
                assert!(found.is_empty(), "{name} {kind}: {found:#?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_its_schema() {
    let server = start().await;
    let document = api::document();
    let mut body = request(&["thinking@reference", "fault-truncated@reference"]);
    body["system"] = "Be brief.".into();
    body["think"] = true.into();
    body["keep_alive"] = "5m".into();
    body["tags"] = serde_json::json!(["a"]);
    body["repetitions"] = 1.into();
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    let events = server.events(id, None).await.all().await;
    let event = answer_schema(&document, "followBenchmark", "200", "text/event-stream");
    for told in events {
        let found = violations(&document, event, &told.data, "");
        assert!(found.is_empty(), "{found:#?}");
    }
    server
        .post(
            "/api/prompts",
            &serde_json::json!({"name": "a", "text": "b"}),
        )
        .await;
    let json = "application/json";
    let get = async |path: &str| server.get(path).await.body;
    for (operation, status, kind, answer) in [
        ("startBenchmark", "202", json, started.body.clone()),
        (
            "getBenchmark",
            "200",
            json,
            get(&format!("/api/benchmarks/history/{id}")).await,
        ),
        (
            "listBenchmarks",
            "200",
            json,
            get("/api/benchmarks/history").await,
        ),
        (
            "compareBenchmarks",
            "200",
            json,
            get(&format!("/api/benchmarks/compare?ids={id}")).await,
        ),
        ("listModels", "200", json, get("/api/models").await),
        (
            "getModel",
            "200",
            json,
            get("/api/models/steady@reference").await,
        ),
        ("getSystem", "200", json, get("/api/system").await),
        ("listPrompts", "200", json, get("/api/prompts").await),
        ("getHealth", "200", json, get("/healthz").await),
        (
            "getModel",
            "404",
            "application/problem+json",
            get("/api/models/x@reference").await,
        ),
    ] {
        let found = violations(
            &document,
            answer_schema(&document, operation, status, kind),
            &answer,
            "",
        );
        assert!(found.is_empty(), "{operation}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_and_views_keep_their_schema() {
    let server = start().await;
    let document = api::document();
    server.run(&request(&["fault-truncated@reference"])).await;
    server.run(&request(&["steady@reference"])).await;
    let view = serde_json::json!({"name": "a", "query": "tag=b"});
    let saved = server.post("/api/views", &view).await.body;
    let statistics = "/api/benchmarks/statistics?bucket=day";
    for (operation, status, answer) in [
        ("saveView", "201", saved),
        ("listViews", "200", server.get("/api/views").await.body),
        ("getStatistics", "200", server.get(statistics).await.body),
    ] {
        let schema = answer_schema(&document, operation, status, "application/json");
        let found = violations(&document, schema, &answer, "");
        assert!(found.is_empty(), "{operation}: {found:#?}");
    }
}

/// What generators of clients stumble over is not in the document, and names read well there.
#[test]
fn a_client_can_be_generated() {
    let document = api::document();
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(name.chars().all(char::is_alphanumeric), "{name}");
    }
    for (name, operation) in operations(&document) {
        let bodies = operation["requestBody"]["content"].as_object();
        assert!(bodies.is_none_or(|kinds| kinds.len() == 1), "{name}");
        let stream = operation.pointer("/responses/200/content/text~1event-stream/schema");
        assert!(
            stream.is_none_or(|event| event["$ref"].is_string()),
            "{name}"
        );
    }
    plain("", &document);
}

/// A type with words beside it is one reference, one that may be null says so as a choice, and formats and
/// titles are none that only this program knows.
#[track_caller]
fn plain(place: &str, value: &Value) {
    if let Some(parts) = value["allOf"].as_array() {
        assert!(parts.len() == 1 && parts[0]["$ref"].is_string(), "{place}");
        assert_ne!(value["nullable"], true, "{place}");
        assert!(!value["default"].is_object(), "{place}");
    }
    if value["type"].is_string() {
        assert!(value["title"].is_null(), "{place}");
        assert_ne!(value["format"], "naive-date", "{place}");
    }
    let fields = value.as_object().into_iter().flatten();
    for (name, field) in fields.filter(|(name, _)| !name.starts_with("example")) {
        plain(&format!("{place}/{name}"), field);
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        plain(&format!("{place}/{index}"), item);
    }
}

/// Nothing in the document's own words is only said: each route is there.
#[tokio::test(flavor = "multi_thread")]
async fn every_documented_route_answers() {
    let server = start().await;
    let document = api::document();
    for (name, operation) in operations(&document) {
        let (method, path) = name.split_once(' ').unwrap();
        if path.ends_with("/events") {
            continue;
        }
        let path = path
            .replace("{id}", "6742f0a1c3d2e1f0a9b8c7d6")
            .replace("{name}", "steady@reference");
        let method = method.to_uppercase().parse::<reqwest::Method>().unwrap();
        let call = server.http.request(method, format!("{}{path}", server.url));
        let status = call.send().await.unwrap().status().as_u16();
        assert_ne!(status, 405, "{name}");
        assert!(
            !operation["responses"][status.to_string()].is_null(),
            "{name} answered {status}"
        );
    }
    assert_eq!(server.get("/openapi.json").await.body, document);
    assert_eq!(server.get("/openapi.yaml").await.body, document);
}

/// Objects that refuse unknown fields are those whose schema says so.
#[test]
fn the_document_knows_which_objects_are_strict() {
    let document = api::document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let closed = schemas
        .iter()
        .filter(|(_, it)| it["additionalProperties"] == false);
    let closed: BTreeSet<String> = closed.map(|(name, _)| name.clone()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut strict = BTreeSet::new();
    for folder in ["record", "record/nova", "api"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for rest in text.split("deny_unknown_fields").skip(1) {
                let Some((_, named)) = rest.split_once("pub struct ") else {
                    continue;
                };
                let end = named.find(|it: char| !it.is_alphanumeric()).unwrap();
                strict.insert(named[..end].to_owned());
            }
        }
    }
    assert_eq!(closed, strict);
}

/// Every route of the API is documented, but those that serve the document itself.
#[test]
fn no_route_is_left_out_of_the_document() {
    let document = api::document();
    let paths = document["paths"].as_object().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let others = ["/api", "/openapi.json", "/openapi.yaml", "/docs"];
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text: String = std::fs::read_to_string(&path).unwrap();
        let text: String = text.split_whitespace().collect();
        for call in [".at(\"", ".nest(\"", ".nest_no_strip(\""] {
            for rest in text.split(call).skip(1) {
                let route = rest.split('"').next().unwrap();
                let is_known = paths.contains_key(route) || others.contains(&route);
                assert!(is_known, "{} serves {route}", path.display());
            }
        }
    }
}

/// What an operation says of its failures is what can happen to it, not all that can happen anywhere.
#[test]
fn operations_name_only_failures_that_they_can_have() {
    let document = api::document();
    for (name, operation) in operations(&document) {
        let has_body = !operation["requestBody"].is_null();
        let has_parameters = operation["parameters"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        let fails_with = |status: &str| !operation["responses"][status].is_null();
        assert!(!fails_with("405"), "{name}");
        let needs_token = name.contains(" /api/") || name.ends_with(" /metrics");
        assert_eq!(fails_with("401"), needs_token, "{name}");
        assert_eq!(fails_with("422"), has_body || has_parameters, "{name}");
        for status in ["408", "413", "415"] {
            assert!(has_body || !fails_with(status), "{name} {status}");
        }
        let named_by_path = name.contains('{');
        assert!(!named_by_path || fails_with("404"), "{name}");
        for status in ["429", "504"] {
            assert!(
                name.starts_with("post") || !fails_with(status),
                "{name} {status}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_told_which_ones_there_are() {
    let server = start().await;
    for (method, path, allowed) in [
        ("PUT", "/api/benchmarks/history", "DELETE, GET, HEAD"),
        ("TRACE", "/api/benchmarks/start", "POST"),
        ("OPTIONS", "/api/models/hf.co/maker/model", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let method = method.parse::<reqwest::Method>().unwrap();
        let call = server.http.request(method, format!("{}{path}", server.url));
        let answer = server.call(call).await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), allowed, "{path}");
    }
}
