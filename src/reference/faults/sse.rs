//! Oddities of server-sent events, for OpenAI's routes: all but the last three are allowed.

use serde_json::{Value, json};

use super::{Frame, Make, Scene};
use crate::reference::tape::Tape;

/// Name and making of each case.
pub const CASES: &[(&str, Make)] = &[
    ("sse-comments", comments),
    ("sse-no-space", no_space),
    ("sse-multiline", multiline),
    ("sse-empty-data", empty_data),
    ("sse-empty-choices", empty_choices),
    ("sse-null-usage", null_usage),
    ("sse-usage-everywhere", usage_everywhere),
    ("sse-timings", timings),
    ("sse-no-done", no_done),
    ("sse-duplicated", duplicated),
    ("sse-error-then-end", error_then_end),
    ("sse-blank-reason", blank_reason),
];

/// The object of a frame; `None` for `[DONE]`.
fn object(frame: &[u8]) -> Option<Value> {
    serde_json::from_slice(frame.strip_prefix(b"data: ")?).ok()
}

/// Every object changed.
fn changed(scene: &Scene<'_>, change: impl Fn(usize, &mut Value)) -> Vec<Frame> {
    let frames = scene.whole().into_iter().enumerate();
    frames
        .map(|(index, (frame, content))| match object(&frame) {
            None => (frame, content),
            Some(mut object) => {
                change(index, &mut object);
                (format!("data: {object}\n\n").into_bytes(), content)
            }
        })
        .collect()
}

/// The text of every frame changed.
fn rewritten(scene: &Scene<'_>, rewrite: impl Fn(&str) -> String) -> Tape {
    let frames = scene.whole().into_iter().map(|(frame, content)| {
        (
            rewrite(&String::from_utf8_lossy(&frame)).into_bytes(),
            content,
        )
    });
    scene.stream(frames.collect())
}

/// Comments, event names, ids and retry times around the data.
fn comments(scene: &Scene<'_>) -> Tape {
    rewritten(scene, |frame| {
        format!(": keep-alive\n\nevent: message\nid: 7\nretry: 3000\n{frame}:\n\n")
    })
}

fn no_space(scene: &Scene<'_>) -> Tape {
    rewritten(scene, |frame| frame.replacen("data: ", "data:", 1))
}

/// Objects broken over several data lines.
fn multiline(scene: &Scene<'_>) -> Tape {
    rewritten(scene, |frame| frame.replace(",\"", ",\ndata: \""))
}

/// Events without data around those that have some, which keep a connection alive.
fn empty_data(scene: &Scene<'_>) -> Tape {
    rewritten(scene, |frame| format!("data:\n\n{frame}data: \n\n"))
}

/// An object without any choice before the first with one.
fn empty_choices(scene: &Scene<'_>) -> Tape {
    let mut frames = changed(scene, |_, _| {});
    let empty = json!({"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": null});
    frames.insert(0, (format!("data: {empty}\n\n").into_bytes(), false));
    scene.stream(frames)
}

fn null_usage(scene: &Scene<'_>) -> Tape {
    scene.stream(changed(scene, |_, object| object["usage"] = Value::Null))
}

/// Running counts on every object that has a choice.
fn usage_everywhere(scene: &Scene<'_>) -> Tape {
    scene.stream(changed(scene, |index, object| {
        let written = index.min(2) + 1;
        object["usage"] = json!({
            "prompt_tokens": 5, "completion_tokens": written, "total_tokens": 5 + written,
        });
    }))
}

/// The figures that llama.cpp's server adds to the last object.
fn timings(scene: &Scene<'_>) -> Tape {
    scene.stream(changed(scene, |_, object| {
        if object["choices"][0]["finish_reason"].is_string() {
            object["timings"] = json!({
                "cache_n": 2, "prompt_n": 3, "prompt_ms": 4.0, "predicted_n": 3, "predicted_ms": 11.0,
            });
        }
    }))
}

/// A finish reason, but no `[DONE]`.
fn no_done(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.whole();
    frames.pop();
    scene.stream(frames)
}

/// The end comes twice.
fn duplicated(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.whole();
    frames.extend(scene.end());
    scene.stream(frames)
}

/// An error, then the end of the connection without another word.
fn error_then_end(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.texts();
    frames.push(scene.error("out of memory"));
    scene.stream(frames)
}

/// A reason on every object that says nothing, and the end of the connection before a proper end.
fn blank_reason(scene: &Scene<'_>) -> Tape {
    let mut frames = changed(scene, |_, object| {
        if let Some(choice) = object["choices"].get_mut(0) {
            choice["finish_reason"] = json!("");
        }
    });
    frames.truncate(scene.texts().len());
    scene.stream(frames)
}
