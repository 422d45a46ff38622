//! The same objects, cut, joined, broken off or garbled on their way.

use std::time::Duration;

use super::{GAP, HOSTILE, Make, Scene, after, closing_head, write};
use crate::reference::tape::{LAST_CHUNK, Step, Tape, chunk};

/// Bytes of one write of an endless line.
const FLOOD: usize = 64 << 10;

/// Name and making of each case.
pub const CASES: &[(&str, Make)] = &[
    ("none", |scene| scene.stream(scene.whole())),
    ("one-byte-writes", one_byte_writes),
    ("one-write", one_write),
    ("split-character", split_character),
    ("escaped-surrogates", |scene| {
        literal(scene, br#""\ud83d\ude42""#)
    }),
    ("lone-surrogate", |scene| literal(scene, br#""\ud83d""#)),
    ("invalid-utf8", |scene| literal(scene, b"\"\xff\xfe\"")),
    ("crlf", crlf),
    ("no-final-newline", no_final_newline),
    ("truncated", |scene| scene.stream(scene.texts())),
    ("cut-object", cut_object),
    ("empty", |scene| scene.stream(Vec::new())),
    ("hostile", hostile),
    ("stall", |scene| scene.texts_then(Step::Stall)),
    ("trickle", trickle),
    ("endless-objects", endless_objects),
    ("endless-line", endless_line),
    ("gzip", gzip),
    ("broken-chunk", broken_chunk),
    ("unfinished-chunks", |scene| {
        scene.texts_then(write(GAP * 3, b"", false))
    }),
    ("wrong-length", wrong_length),
    ("reset", |scene| {
        scene.texts_then(Step::Reset { at: GAP * 3 })
    }),
];

fn literal(scene: &Scene<'_>, text: &[u8]) -> Tape {
    let frames = [scene.literal(text)]
        .into_iter()
        .chain(scene.end())
        .collect();
    scene.stream(frames)
}

/// Every byte of the body, the framing included, is a write of its own.
fn one_byte_writes(scene: &Scene<'_>) -> Tape {
    let mut steps = vec![write(Duration::ZERO, &scene.head(), false)];
    let gap = scene.time(0);
    for (frame, content) in scene.whole() {
        steps.push(Step::Bytewise {
            bytes: chunk(&frame),
            gap,
            content,
        });
    }
    steps.push(write(Duration::ZERO, LAST_CHUNK, false));
    Tape::complete(steps)
}

/// Head, all objects and the end in a single write.
fn one_write(scene: &Scene<'_>) -> Tape {
    let bytes = [
        scene.head(),
        chunk(&scene.whole_bytes()),
        LAST_CHUNK.to_vec(),
    ]
    .concat();
    Tape::complete([write(Duration::ZERO, &bytes, true)])
}

/// The last text is cut in the middle of its character of four bytes, 20 ms between the halves.
fn split_character(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.texts();
    let (last, _) = frames.remove(2);
    let at = last
        .windows(4)
        .position(|window| window == "🙂".as_bytes())
        .unwrap_or(0)
        + 2;
    let mut steps = scene.steps(frames);
    let due = after(&steps);
    steps.push(write(due, &chunk(&last[..at]), false));
    let due = due + scene.time(20);
    steps.push(write(due, &chunk(&last[at..]), true));
    for (frame, _) in scene.end() {
        steps.push(write(due + GAP, &chunk(&frame), false));
    }
    steps.push(write(due + GAP, LAST_CHUNK, false));
    Tape::complete(steps)
}

/// Lines end with CR LF, and blank lines stand between them.
fn crlf(scene: &Scene<'_>) -> Tape {
    let frames = scene.whole().into_iter().map(|(frame, content)| {
        let text = String::from_utf8_lossy(&frame).replace('\n', "\r\n");
        (format!("{text}\r\n\n").into_bytes(), content)
    });
    scene.stream(frames.collect())
}

/// The last line has no end.
fn no_final_newline(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.whole();
    if let Some((last, _)) = frames.last_mut() {
        last.truncate(last.trim_ascii_end().len());
    }
    scene.stream(frames)
}

/// The body ends properly, in the middle of the third object.
fn cut_object(scene: &Scene<'_>) -> Tape {
    let mut frames = scene.texts();
    if let Some((last, content)) = frames.last_mut() {
        last.truncate(last.len() / 2);
        *content = false;
    }
    scene.stream(frames)
}

fn hostile(scene: &Scene<'_>) -> Tape {
    let frames = [scene.text(HOSTILE)]
        .into_iter()
        .chain(scene.end())
        .collect();
    scene.stream(frames)
}

/// One byte a second for ever: white space, which is no object and no silence either.
fn trickle(scene: &Scene<'_>) -> Tape {
    scene.texts_then(Step::Endless {
        bytes: chunk(b"\n"),
        gap: scene.time(1000),
        content: false,
    })
}

/// Objects with text as fast as the client takes them.
fn endless_objects(scene: &Scene<'_>) -> Tape {
    let (frame, _) = scene.text("again and again ");
    scene.texts_then(Step::Endless {
        bytes: chunk(&frame),
        gap: scene.time(0),
        content: true,
    })
}

/// A text that never ends, as fast as the client takes it.
fn endless_line(scene: &Scene<'_>) -> Tape {
    let (frame, _) = scene.text("~");
    let begin = frame.split(|byte| *byte == b'~').next().unwrap_or_default();
    Tape::closing([
        write(
            Duration::ZERO,
            &[scene.head(), chunk(begin)].concat(),
            false,
        ),
        Step::Endless {
            bytes: chunk(&vec![b'a'; FLOOD]),
            gap: Duration::ZERO,
            content: false,
        },
    ])
}

/// The answer compressed, though nobody asked for it.
fn gzip(scene: &Scene<'_>) -> Tape {
    let more = "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n";
    let head = crate::reference::http::head(200, scene.dialect.route.stream_type(), more);
    let body = chunk(&stored_gzip(&scene.whole_bytes()));
    Tape::complete([write(
        Duration::ZERO,
        &[head, body, LAST_CHUNK.to_vec()].concat(),
        true,
    )])
}

/// A gzip file with a single stored block (RFC 1951, section 3.2.4, and RFC 1952).
fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let bytes = &bytes[..usize::from(length)];
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&(!length).to_le_bytes());
    file.extend_from_slice(bytes);
    file.extend_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(&u32::from(length).to_le_bytes());
    file
}

/// A chunk size that is no number.
fn broken_chunk(scene: &Scene<'_>) -> Tape {
    scene.texts_then(write(GAP * 3, b"zz\r\nnothing\r\n", false))
}

/// More promised than sent.
fn wrong_length(scene: &Scene<'_>) -> Tape {
    let body: Vec<u8> = scene
        .texts()
        .into_iter()
        .flat_map(|(bytes, _)| bytes)
        .collect();
    let more = format!("Content-Length: {}\r\n", body.len() + 1000);
    let head = closing_head(200, scene.dialect.route.stream_type(), &more);
    Tape::closing([write(Duration::ZERO, &[head, body].concat(), true)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_gzip() {
        // The check value of CRC-32 for the nine digits.
        let file = stored_gzip(b"123456789");
        assert_eq!(
            file[file.len() - 8..file.len() - 4],
            0xcbf4_3926_u32.to_le_bytes()
        );
    }
}
