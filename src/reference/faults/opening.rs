//! What goes wrong before the first object: statuses, headers, redirects, silence.

use std::time::Duration;

use super::{GAP, HOSTILE, Make, Scene, closing_head, reply, write};
use crate::reference::http::Reply;
use crate::reference::tape::{Step, Tape};

/// Length of a huge error body, bytes.
const HUGE: usize = 10 << 20;
const HTML: &str = "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head>\n\
    <body><h1>Bad gateway</h1><p>nothing to see here</p></body></html>\n";

/// Name and making of each case.
pub const CASES: &[(&str, Make)] = &[
    ("html", |_| page(200)),
    ("html-error", |_| page(500)),
    ("huge-error", huge_error),
    ("hostile-error", |scene| scene.refuse(500, HOSTILE)),
    ("forbidden", |_| {
        reply(&Reply {
            status: 403,
            content_type: "",
            body: Vec::new(),
        })
    }),
    ("busy-once", busy_once),
    ("late-headers", late_headers),
    ("late-body", late_body),
    ("silent", |_| Tape::closing([Step::Stall])),
    ("close", |_| Tape::closing([])),
    ("header-flood", header_flood),
    ("not-http", |_| {
        Tape::closing([write(Duration::ZERO, b"220 mail ready\r\n", false)])
    }),
    ("redirect-host", |_| {
        redirect("http://elsewhere.invalid/api/generate")
    }),
    ("redirect-loop", |_| redirect("/api/generate")),
    ("ps-hang", |scene| scene.stream(scene.whole())),
];

fn page(status: u16) -> Tape {
    reply(&Reply {
        status,
        content_type: "text/html; charset=utf-8",
        body: HTML.as_bytes().to_vec(),
    })
}

fn huge_error(_: &Scene<'_>) -> Tape {
    reply(&Reply {
        status: 500,
        content_type: "text/plain",
        body: vec![b'x'; HUGE],
    })
}

/// Busy at the first request and each second one after it.
fn busy_once(scene: &Scene<'_>) -> Tape {
    if scene.earlier.is_multiple_of(2) {
        return scene.refuse(
            503,
            "server busy, please try again. maximum pending requests exceeded",
        );
    }
    scene.stream(scene.whole())
}

/// A whole answer, but nothing at all of it for a while.
fn late_headers(scene: &Scene<'_>) -> Tape {
    Tape::complete(late(scene, 0))
}

/// A head at once, as of a proxy, and for a while nothing behind it.
fn late_body(scene: &Scene<'_>) -> Tape {
    let head = scene.head();
    let mut steps = vec![write(Duration::ZERO, &head, false)];
    steps.extend(late(scene, head.len()));
    Tape::complete(steps)
}

/// The steps of a whole answer without its first bytes, all of them late.
fn late(scene: &Scene<'_>, skipped: usize) -> Vec<Step> {
    let late = scene.time(1000);
    let steps = scene.stream(scene.whole()).steps.enumerate();
    let delayed = steps.map(|(index, step)| match step {
        Step::Write { at, bytes, content } => Step::Write {
            at: at + late,
            bytes: bytes[if index == 0 { skipped } else { 0 }..].to_vec(),
            content,
        },
        other => other,
    });
    delayed.collect()
}

/// A head that never ends.
fn header_flood(_: &Scene<'_>) -> Tape {
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
    Tape::closing([
        write(Duration::ZERO, b"HTTP/1.1 200 OK\r\n", false),
        Step::Endless {
            bytes: line.into_bytes(),
            gap: Duration::ZERO,
            content: false,
        },
    ])
}

fn redirect(location: &str) -> Tape {
    let more = format!("Location: {location}\r\nContent-Length: 0\r\n");
    Tape::closing([write(GAP, &closing_head(307, "", &more), false)])
}
