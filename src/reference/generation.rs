//! From a question to the tape of its answer.

use std::iter;
use std::time::{Duration, Instant};

use super::State;
use super::catalogue::{Behaviour, Script};
use super::dialect::{Dialect, Ending, Metrics};
use super::faults;
use super::http::{Reply, chunked_head};
use super::question::{Question, Refusal};
use super::residents::{KeepAlive, Stay};
use super::tape::{LAST_CHUNK, Step, Tape, chunk};
use super::words::{self, Output, Piece, Wish};

/// An answer and the hold on the model that it needs.
pub enum Answer {
    /// At once.
    Now(Reply),
    /// In time.
    Later(Tape, Option<Stay>),
}

/// Answers a question. `earlier` is how many requests asked the same model before.
pub fn answer(
    state: &State,
    dialect: Dialect,
    question: &Question,
    received: Instant,
    earlier: usize,
) -> Answer {
    let model = &question.model;
    let prompt_tokens = words::count(&question.prompt);
    if prompt_tokens > question.context && !question.truncate {
        let refusal = too_long(prompt_tokens, question.context);
        return Answer::Now(dialect.route.refuse(&refusal));
    }
    if question.empty && question.keep_alive == KeepAlive::For(Duration::ZERO) {
        state.residents.unload(&model.name, received);
        return Answer::Now(only(&dialect, Duration::ZERO, "unload"));
    }
    // What it writes, or else what it breaks.
    let writing = match &model.behaviour {
        Behaviour::Writes(script) => Ok(script),
        Behaviour::Fails(fault) => Err(fault),
        Behaviour::Embeds => {
            let (name, verb) = (&model.name, dialect.route.verb());
            let refusal = Refusal::bad(format!("\"{name}\" does not support {verb}"));
            return Answer::Now(dialect.route.refuse(&refusal));
        }
    };
    let stay = state.residents.enter(
        &model.name,
        &question.settings,
        question.context,
        writing.map_or(Duration::ZERO, |script| script.load),
        question.keep_alive,
        received,
    );
    let loading = stay.ready.saturating_duration_since(received);
    let tape = match writing {
        _ if question.empty => at_once(loading, &only(&dialect, loading, "load"), false),
        Err(fault) => faults::tape(fault, &dialect, earlier),
        Ok(script) => written(script, dialect, question, &stay, loading),
    };
    Answer::Later(tape, Some(stay))
}

fn too_long(tokens: u64, context: u64) -> Refusal {
    Refusal::bad(format!(
        "request ({tokens} tokens) exceeds the available context size ({context} tokens), \
         try increasing it"
    ))
}

/// The single object that answers loading and unloading.
fn only(dialect: &Dialect, at: Duration, reason: &'static str) -> Reply {
    let ending = Ending {
        reason,
        ..Ending::default()
    };
    dialect.whole(at, "", None, &ending)
}

fn at_once(at: Duration, reply: &Reply, content: bool) -> Tape {
    Tape::complete([Step::Write {
        at,
        bytes: reply.to_bytes(true),
        content,
    }])
}

/// What a scripted model writes.
fn written(
    script: &Script,
    dialect: Dialect,
    question: &Question,
    stay: &Stay,
    loading: Duration,
) -> Tape {
    let output = words::write(
        script,
        Wish {
            prompt: &question.prompt,
            model: &question.model.name,
            seed: question.seed,
            think: question.think,
            limit: question.limit,
            stop: &question.stop,
            format: question.format.as_ref(),
            manner: question.model.manner,
        },
    );
    // Waiting counts as loading, as with the real server.
    let work = script.first + script.writing(output.pieces.len());
    let loading = loading + stay.queue(script.slots, work);
    let ending = ending(script, question, &output, loading);
    if !question.stream {
        let at = ending.metrics.total;
        let (thinking, answer) = joined(&output.pieces);
        let thinking = Some(thinking.as_str()).filter(|text| !text.is_empty());
        let reply = dialect.whole(at, &answer, thinking, &ending);
        return at_once(at, &reply, true);
    }
    stream(script.clone(), dialect, output, &ending, loading)
}

/// All thinking, and all of the answer.
fn joined(pieces: &[Piece]) -> (String, String) {
    let mut texts = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Thinking(text) => texts.0.push_str(text),
            Piece::Answer(text) => texts.1.push_str(text),
        }
    }
    texts
}

fn stream(
    script: Script,
    dialect: Dialect,
    output: Output,
    ending: &Ending,
    loading: Duration,
) -> Tape {
    // Status and headers leave with the first object, as from the real server.
    let mut head = chunked_head(dialect.route.stream_type());
    let end = ending.metrics.total;
    let last = dialect.end(end, "", ending);
    let pieces = output
        .pieces
        .into_iter()
        .enumerate()
        .map(move |(index, piece)| {
            let at = loading + script.offset(index);
            (at, dialect.piece(at, &piece), true)
        });
    let frames = pieces.chain(last.into_iter().map(move |frame| (end, frame, false)));
    let writes = frames.map(move |(at, frame, content)| {
        let mut bytes = std::mem::take(&mut head);
        bytes.extend_from_slice(&chunk(&frame));
        Step::Write { at, bytes, content }
    });
    let close = Step::Write {
        at: end,
        bytes: LAST_CHUNK.to_vec(),
        content: false,
    };
    Tape::complete(writes.chain(iter::once(close)))
}

fn ending(script: &Script, question: &Question, output: &Output, loading: Duration) -> Ending {
    let (admission, prompt_eval) = script.before_first();
    let eval = script.writing(output.pieces.len());
    let prompt_tokens = words::count(&question.prompt).min(question.context);
    let context = if question.raw {
        Vec::new()
    } else {
        (0..u32::try_from(prompt_tokens)
            .unwrap_or(u32::MAX)
            .saturating_add(output.tokens))
            .collect()
    };
    Ending {
        reason: output.reason,
        metrics: Metrics {
            total: loading + script.first + eval,
            load: loading + admission,
            prompt_eval,
            eval,
            prompt_tokens,
            output_tokens: u64::from(output.tokens),
        },
        context,
    }
}
