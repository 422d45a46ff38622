//! Every fault gives the bytes that its name promises.

use std::time::Duration;

use ollama_benchmarker::reference::faults::{self, HOSTILE, TEXTS};
use serde_json::{Value, json};

use super::client::{Answer, Client, End};
use super::{post, server, wait_for};

/// Faults that never end by themselves.
const ENDLESS: [&str; 6] = [
    "stall",
    "trickle",
    "endless-objects",
    "endless-line",
    "silent",
    "header-flood",
];

fn generate(name: &str) -> Answer {
    post(
        &server(),
        "/api/generate",
        &json!({"model": format!("fault-{name}"), "prompt": "hi"}),
    )
}

fn chat(name: &str) -> Answer {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body = json!({"model": format!("fault-{name}"), "stream": true, "messages": messages});
    post(&server(), "/v1/chat/completions", &body)
}

fn text(objects: &[Value]) -> String {
    objects
        .iter()
        .filter_map(|object| object["response"].as_str())
        .collect()
}

fn dones(objects: &[Value]) -> usize {
    objects
        .iter()
        .filter(|object| object["done"] == json!(true))
        .count()
}

/// The stream is well-formed and says all there is to say.
#[track_caller]
fn check_whole(answer: &Answer) {
    let objects = answer.objects();
    assert_eq!(text(&objects), TEXTS.concat());
    assert_eq!(dones(&objects), 1);
    assert!(answer.complete);
}

#[test]
fn every_fault_answers_on_every_route() {
    let server = server();
    for name in faults::names()
        .into_iter()
        .filter(|name| !ENDLESS.contains(name))
    {
        for path in [
            "/api/generate",
            "/api/chat",
            "/v1/chat/completions",
            "/v1/completions",
        ] {
            let body = json!({
                "model": format!("fault-{name}:ms=1"), "stream": true, "prompt": "hi",
                "messages": [{"role": "user", "content": "hi"}],
            });
            let answer = post(&server, path, &body);
            let silent = ["close", "not-http"].contains(&name);
            assert_eq!(answer.status == 0, silent, "{name} on {path}");
        }
    }
}

#[test]
fn odd_cuts_change_no_object() {
    for name in [
        "none",
        "one-byte-writes",
        "one-write",
        "split-character",
        "crlf",
        "no-final-newline",
    ] {
        check_whole(&generate(name));
    }
    assert!(generate("crlf").text().contains("}\r\n\r\n\n"));
    assert!(!generate("no-final-newline").text().ends_with('\n'));
    let wire = generate("split-character").wire;
    let broken = wire
        .windows(4)
        .filter(|bytes| *bytes == "🙂".as_bytes())
        .count();
    assert_eq!(broken, 0, "the character is cut by the framing");
    let one = generate("one-write");
    let size = format!("{:x}\r\n", one.body.len());
    assert!(
        one.wire.starts_with(size.as_bytes()),
        "all objects in one chunk"
    );
}

#[test]
fn characters_come_as_promised() {
    assert!(
        generate("escaped-surrogates")
            .text()
            .contains(r"\ud83d\ude42")
    );
    assert!(generate("lone-surrogate").text().contains(r#""\ud83d""#));
    assert!(String::from_utf8(generate("invalid-utf8").body).is_err());
    let hostile = generate("hostile");
    assert_eq!(text(&hostile.objects()), HOSTILE);
    assert_eq!(generate("hostile-error").json()["error"], HOSTILE);
}

#[test]
fn streams_break_off_as_promised() {
    let truncated = generate("truncated");
    assert_eq!(
        (text(&truncated.objects()), dones(&truncated.objects())),
        (TEXTS.concat(), 0)
    );
    assert!(truncated.complete);
    let cut = generate("cut-object");
    assert!(cut.complete && !cut.text().ends_with('\n'));
    let empty = generate("empty");
    assert_eq!(
        (empty.status, empty.body.len(), empty.complete),
        (200, 0, true)
    );
    for name in ["broken-chunk", "wrong-length", "unfinished-chunks"] {
        let answer = generate(name);
        assert!(!answer.complete, "{name}");
        assert_eq!(text(&answer.objects()), TEXTS.concat(), "{name}");
        assert_eq!(answer.end, End::Clean, "{name}");
    }
    assert_eq!(generate("reset").end, End::Reset);
}

#[test]
fn errors_come_as_promised() {
    for status in [400, 404, 429, 500, 503] {
        let answer = generate(&format!("status-{status}"));
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (status, &json!("made to fail"))
        );
    }
    let line = generate("error-line").objects();
    assert!(line[2]["error"].is_string());
    assert_eq!(
        line[3]["response"], TEXTS[2],
        "text after the error, not to be believed"
    );
    assert_eq!(dones(&generate("error-then-done").objects()), 1);
    let (page, error) = (generate("html"), generate("html-error"));
    assert_eq!((page.status, error.status), (200, 500));
    assert!(page.text().starts_with("<!DOCTYPE html>"));
    assert_eq!(generate("huge-error").body.len(), 10 << 20);
    let forbidden = generate("forbidden");
    assert_eq!((forbidden.status, forbidden.body.len()), (403, 0));
    assert_eq!(
        generate("redirect-loop").header("location"),
        Some("/api/generate")
    );
    assert!(
        generate("redirect-host")
            .header("location")
            .is_some_and(|to| to.contains("elsewhere"))
    );
    assert!(generate("not-http").head.starts_with("220 "));
    assert_eq!(generate("close").head, "");
}

#[test]
fn busy_once_is_busy_once() {
    let server = server();
    let body = json!({"model": "fault-busy-once", "prompt": "hi"});
    let statuses: Vec<u16> = (0..4)
        .map(|_| post(&server, "/api/generate", &body).status)
        .collect();
    assert_eq!(statuses, [503, 200, 503, 200]);
}

#[test]
fn final_objects_are_odd_as_promised() {
    let last = |name: &str| generate(name).objects().pop().unwrap();
    assert!(
        last("no-metrics")
            .as_object()
            .unwrap()
            .keys()
            .all(|key| !key.ends_with("duration"))
    );
    assert_eq!(last("zero-eval")["eval_duration"], 0);
    assert_eq!(last("one-token")["eval_count"], 1);
    let odd = last("inconsistent");
    assert!(odd["total_duration"].as_u64() < odd["eval_duration"].as_u64());
    assert_eq!(last("text-in-final")["response"], TEXTS[2]);
    assert_eq!(last("load-object")["done_reason"], "load");
    assert_eq!(last("after-done")["response"], " too late");
    assert_eq!(dones(&generate("second-done").objects()), 2);
}

#[test]
fn objects_are_odd_as_promised() {
    let first = |name: &str| generate(name).objects().swap_remove(0);
    assert_eq!(first("early-metrics")["eval_count"], 77);
    assert_eq!(first("empty-first")["response"], "");
    assert_eq!(first("null-content").get("response"), Some(&Value::Null));
    assert_eq!(first("missing-message").get("response"), None);
    assert!(first("unknown-fields")["novelty"].is_object());
    assert!(
        first("created-at")["created_at"]
            .as_str()
            .unwrap()
            .starts_with("1970")
    );
    for name in [
        "early-metrics",
        "empty-first",
        "null-content",
        "unknown-fields",
        "created-at",
    ] {
        check_whole(&generate(name));
    }
}

#[test]
fn late_headers_are_late() {
    let late = generate("late-headers:ms=150");
    assert!(
        late.first_byte >= Duration::from_millis(149),
        "{:?}",
        late.first_byte
    );
    check_whole(&late);
}

#[test]
fn gzip_is_gzip() {
    let answer = generate("gzip");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.starts_with(&[0x1f, 0x8b, 8]));
}

#[test]
fn endless_faults_go_on_until_the_client_leaves() {
    let server = server();
    for name in ENDLESS {
        let mut client = Client::connect(&server);
        let model = format!("fault-{name}");
        let body = json!({"model": model, "prompt": "hi"}).to_string();
        client.send("POST", "/api/generate", "", &body);
        match name {
            "silent" => {}
            "stall" | "trickle" => drop(client.read_some(300)),
            _ => drop(client.read_some(20 << 20)),
        }
        drop(client);
        let request = wait_for(&server, |request| {
            request.model.as_deref() == Some(model.as_str()) && request.closed.is_some()
        });
        assert!(!request.finished, "{name}");
    }
}

#[test]
fn a_loaded_model_can_make_the_list_hang() {
    let server = server();
    post(
        &server,
        "/api/generate",
        &json!({"model": "fault-ps-hang", "prompt": "hi"}),
    );
    let mut client = Client::connect(&server);
    client.send("GET", "/api/ps", "", "");
    assert!(client.is_silent_for(Duration::from_millis(100)));
}

#[test]
fn event_streams_are_odd_as_promised() {
    assert!(
        chat("sse-comments")
            .text()
            .starts_with(": keep-alive\n\nevent: message\n")
    );
    assert!(chat("sse-no-space").text().starts_with("data:{"));
    assert!(chat("sse-multiline").text().contains(",\ndata: \""));
    assert_eq!(chat("sse-empty-choices").events()[0]["choices"], json!([]));
    assert_eq!(
        chat("sse-null-usage").events()[0].get("usage"),
        Some(&Value::Null)
    );
    assert_eq!(
        chat("sse-usage-everywhere").events()[1]["usage"]["completion_tokens"],
        2
    );
    assert_eq!(chat("sse-timings").events()[3]["timings"]["predicted_n"], 3);
    assert!(!chat("sse-no-done").text().contains("[DONE]"));
    assert_eq!(chat("sse-duplicated").text().matches("[DONE]").count(), 2);
    let error = chat("sse-error-then-end");
    assert!(error.events()[3]["error"]["message"].is_string());
    assert!(chat("error-then-done").text().ends_with("data: [DONE]\n\n"));
    assert!(chat("crlf").text().contains("\r\n\r\n"));
    let truncated = chat("truncated");
    assert!(
        truncated
            .events()
            .iter()
            .all(|event| event["choices"][0]["finish_reason"].is_null())
    );
    assert_eq!(
        generate("sse-comments").status,
        400,
        "these exist on /v1 only"
    );
}
