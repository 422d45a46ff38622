//! Well-framed streams whose objects say odd things.

use std::time::Duration;

use super::{Frame, Make, Scene, metrics, replace};
use crate::reference::dialect::Metrics;
use crate::reference::tape::Tape;

/// Name and making of each case.
pub const CASES: &[(&str, Make)] = &[
    ("error-line", error_line),
    ("error-then-done", error_then_done),
    ("no-metrics", |scene| ending(scene, &Metrics::default())),
    ("zero-eval", zero_eval),
    ("one-token", one_token),
    ("inconsistent", |scene| {
        ending(
            scene,
            &Metrics {
                total: Duration::from_millis(2),
                ..metrics()
            },
        )
    }),
    ("second-done", second_done),
    ("after-done", after_done),
    ("text-in-final", text_in_final),
    ("load-object", load_object),
    ("early-metrics", early_metrics),
    ("empty-first", empty_first),
    ("no-text", |scene| scene.stream(scene.end())),
    ("null-content", null_content),
    ("missing-message", missing_message),
    ("unknown-fields", unknown_fields),
    ("created-at", created_at),
];

fn ending(scene: &Scene<'_>, metrics: &Metrics) -> Tape {
    let frames = scene
        .texts()
        .into_iter()
        .chain(scene.end_with("", metrics))
        .collect();
    scene.stream(frames)
}

/// Two texts, an error, and then text that nobody should believe.
fn error_line(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.texts();
    frames.insert(
        2,
        scene.error("an error was encountered while running the model"),
    );
    scene.stream(frames)
}

/// Two texts, an error and a proper end.
fn error_then_done(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.texts();
    frames[2] = scene.error("an error was encountered while running the model");
    frames.extend(scene.end());
    scene.stream(frames)
}

/// The server says that writing took no time.
fn zero_eval(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.whole();
    for (frame, _) in &mut frames {
        let eval = format!("\"eval_duration\":{}}}", metrics().eval.as_nanos());
        *frame = replace(frame, eval.as_bytes(), b"\"eval_duration\":0}");
    }
    scene.stream(frames)
}

fn one_token(scene: &Scene<'_>) -> Tape {
    let figures = Metrics {
        output_tokens: 1,
        ..metrics()
    };
    let frames = [scene.text("Hello")]
        .into_iter()
        .chain(scene.end_with("", &figures))
        .collect();
    scene.stream(frames)
}

fn second_done(scene: &Scene<'_>) -> Tape {
    let other = Metrics {
        output_tokens: 99,
        ..metrics()
    };
    let mut frames = scene.whole();
    frames.extend(scene.end_with("", &other));
    scene.stream(frames)
}

fn after_done(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.whole();
    frames.push(scene.text(" too late"));
    scene.stream(frames)
}

fn text_in_final(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.texts();
    frames.pop();
    frames.extend(scene.end_with(super::TEXTS[2], &metrics()));
    scene.stream(frames)
}

/// The answer to a prompt is that the model was loaded.
fn load_object(scene: &Scene<'_>) -> Tape {
    let frames = scene.end_with("", &Metrics::default());
    let loaded = |(frame, content): Frame| (replace(&frame, b"\"stop\"", b"\"load\""), content);
    scene.stream(frames.into_iter().map(loaded).collect())
}

/// Figures on an object that is not the last, and others on the last.
fn early_metrics(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.whole();
    frames[0].0 = add(
        &frames[0].0,
        br#""eval_count":77,"eval_duration":1,"prompt_eval_count":88,"total_duration":2"#,
    );
    scene.stream(frames)
}

/// Three objects with empty text, 5 ms apart, before the first with some.
fn empty_first(scene: &Scene<'_>) -> Tape {
    let empty = || (scene.text("").0, false);
    let frames = [empty(), empty(), empty()]
        .into_iter()
        .chain(scene.whole())
        .collect();
    scene.stream(frames)
}

fn null_content(scene: &Scene<'_>) -> Tape {
    let (null, _) = scene.literal(b"null");
    let frames = [(null, false)].into_iter().chain(scene.whole()).collect();
    scene.stream(frames)
}

/// An object that lacks what it should carry.
fn missing_message(scene: &Scene<'_>) -> Tape {
    let (frame, _) = scene.text("");
    let renamed = [
        &b"\"response\""[..],
        b"\"message\"",
        b"\"delta\"",
        b"\"text\"",
    ]
    .iter()
    .fold(frame, |frame, key| replace(&frame, key, b"\"other\""));
    let frames = [(renamed, false)]
        .into_iter()
        .chain(scene.whole())
        .collect();
    scene.stream(frames)
}

/// Every object begins with fields that no version has had yet.
fn unknown_fields(scene: &Scene<'_>) -> Tape {
    let strange = |(frame, content): Frame| {
        (
            add(
                &frame,
                br#""novelty":{"deep":[1,{"done":true}]},"":null,"Done":true"#,
            ),
            content,
        )
    };
    scene.stream(scene.whole().into_iter().map(strange).collect())
}

/// Clocks of long ago and of the far future.
fn created_at(scene: &Scene<'_>) -> Tape {
    let years = ["1970", "9999", "0001", "1970"];
    let now = scene
        .dialect
        .received_at
        .format("\"created_at\":\"%Y")
        .to_string();
    let frames = scene.whole().into_iter().zip(years.into_iter().cycle());
    let moved = frames.map(|((frame, content), year)| {
        let then = format!("\"created_at\":\"{year}");
        let frame = replace(&frame, now.as_bytes(), then.as_bytes());
        let created = format!("\"created\":{}", scene.dialect.received_at.timestamp());
        (
            replace(&frame, created.as_bytes(), b"\"created\":-5"),
            content,
        )
    });
    scene.stream(moved.collect())
}

/// A frame whose object begins with more fields.
fn add(frame: &[u8], fields: &[u8]) -> Vec<u8> {
    let more = [b"{".as_slice(), fields, b","].concat();
    replace(frame, b"{", &more)
}
