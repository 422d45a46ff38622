//! A turn as the page shows it: what was asked, what was answered, what each agent did for it and what
//! that cost. Long texts are cut; the page of the turn alone has them whole.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ask_form, words};
use crate::record::{
    MemoryDocument, NovaMetrics, NovaStatus, NovaStep, NovaTurn, Parameters, RecallReason, RunId,
    TurnAccounting,
};
use crate::web::answers;

/// Of one text so much is shown, bytes.
const MOST_TEXT: usize = 20_000;
/// Of all texts together so much is shown, bytes: a page that loads at once.
const MOST_TEXT_IN_ALL: usize = 1_000_000;
/// Width of the drawing of where the time went, in its own units.
const BAR_WIDTH: f64 = 1000.0;

/// A text, or its beginning.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    text: String,
    is_cut: bool,
}

/// A part of a turn's time.
#[derive(Debug, PartialEq, Serialize)]
struct Part {
    name: &'static str,
    hint: &'static str,
    seconds: f64,
    percent: f64,
    x: f64,
    width: f64,
}

/// A document of the memory that was used.
#[derive(Debug, Serialize)]
struct Document {
    text: Text,
    is_shared: bool,
    how: &'static str,
    reason: String,
    score: Option<f64>,
}

/// A turn.
#[derive(Debug, Serialize)]
pub struct ShownTurn {
    id: RunId,
    session_id: RunId,
    number: u32,
    pipeline: &'static str,
    timestamp: DateTime<Utc>,
    status: &'static str,
    status_words: &'static str,
    is_live: bool,
    /// What there is of the answer is not all of it.
    is_partial: bool,
    reason: Option<String>,
    error: Option<String>,
    prompt: Text,
    text: Text,
    questions: Vec<String>,
    paused_after: Option<&'static str>,
    models: Vec<String>,
    steps: Vec<ShownStep>,
    documents: Vec<Document>,
    left_out: usize,
    parts: Vec<Part>,
    context_used: Option<u64>,
    context_size: Option<u64>,
    turns_told: u32,
    turns_summarised: u32,
    metrics: NovaMetrics,
}

/// What an agent did.
#[derive(Debug, Serialize)]
struct ShownStep {
    number: u32,
    agent: String,
    place: String,
    model: Option<String>,
    seconds: f64,
    queue_time: f64,
    time_to_first_chunk: Option<f64>,
    prompt_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_per_second: Option<f64>,
    json: Option<&'static str>,
    is_truncated: bool,
    is_partial: bool,
    is_contended: bool,
    error: Option<String>,
    notes: Vec<String>,
    parameters: Parameters,
    input: Text,
    output: Text,
    thinking: Option<Text>,
}

/// Turns with as much of each text as a page takes.
pub fn shown(turns: Vec<NovaTurn>) -> Vec<ShownTurn> {
    let steps: usize = turns.iter().map(|it| it.response.steps.len()).sum();
    // What a model is told, thinks and writes; and prompt and answer.
    let texts = (3 * steps + 2 * turns.len()).max(1);
    let most = (MOST_TEXT_IN_ALL / texts).min(MOST_TEXT);
    turns.into_iter().map(|turn| one(turn, most)).collect()
}

/// A turn with all of every text.
pub fn whole(turn: NovaTurn) -> ShownTurn {
    one(turn, usize::MAX)
}

fn one(turn: NovaTurn, most: usize) -> ShownTurn {
    let response = turn.response;
    let (status, state) = (response.status, response.state);
    let mut models: Vec<String> = Vec::new();
    for model in response.steps.iter().filter_map(model) {
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let steps = response.steps.into_iter().map(|it| step(it, most));
    let accounting = response.metrics.accounting.as_ref();
    let documents = state.memory_documents.into_iter();
    ShownTurn {
        id: response.turn_id,
        session_id: response.session_id,
        number: turn.number,
        pipeline: ask_form::pipeline_title(turn.pipeline),
        timestamp: turn.timestamp,
        status: status.as_str(),
        status_words: words::status(status),
        is_live: !status.is_final(),
        is_partial: matches!(
            status,
            NovaStatus::Cancelled | NovaStatus::Failed | NovaStatus::Interrupted
        ),
        reason: response.status_reason,
        error: response.error.map(|it| it.message),
        prompt: cut(&turn.request.prompt, most),
        text: cut(&response.text, most),
        questions: response.questions,
        paused_after: state.paused_after.map(words::stage),
        models,
        steps: steps.collect(),
        documents: documents.map(|it| document(it, most)).collect(),
        left_out: state.memory_left_out.len(),
        parts: accounting.map(parts).unwrap_or_default(),
        context_used: state.context_used,
        context_size: state.context_size,
        turns_told: state.turns_told,
        turns_summarised: state.turns_summarised,
        metrics: response.metrics,
    }
}

fn cut(text: &str, most: usize) -> Text {
    let (text, is_cut) = answers::cut(text, most);
    Text { text, is_cut }
}

fn model(step: &NovaStep) -> Option<String> {
    let (model, backend) = (step.model.as_ref()?, step.backend.as_ref()?);
    Some(format!("{model}@{backend}"))
}

fn step(step: NovaStep, most: usize) -> ShownStep {
    ShownStep {
        number: step.number,
        agent: words::agent(step.role, &step.agent_name),
        place: words::place(step.stage, step.iteration),
        model: model(&step),
        seconds: step.elapsed_time_ms / 1e3,
        queue_time: step.queue_time,
        time_to_first_chunk: step.timing.time_to_first_chunk,
        prompt_tokens: step.throughput.prompt_tokens,
        output_tokens: step.throughput.output_tokens,
        output_tokens_per_second: step.throughput.output_tokens_per_second,
        json: step.json.and_then(words::json),
        is_truncated: step.prompt_truncated,
        is_partial: step.partial,
        is_contended: step.contended,
        error: step.error.map(|it| it.message),
        notes: step.notes,
        parameters: step.parameters,
        input: cut(&step.input, most),
        output: cut(&step.output, most),
        thinking: step.thinking.map(|it| cut(&it, most)),
    }
}

fn document(document: MemoryDocument, most: usize) -> Document {
    Document {
        text: cut(&document.text, most),
        is_shared: document.session_id.is_none(),
        how: match document.found_by {
            Some(RecallReason::Embedding) => "alike in meaning",
            Some(RecallReason::FullText) => "alike in words",
            None => "",
        },
        reason: document.reason.unwrap_or_default(),
        score: document.score,
    }
}

/// Where the time went, as a bar: the parts add up to its width.
fn parts(accounting: &TurnAccounting) -> Vec<Part> {
    let named = [
        ("Models", "at least one model was at work", accounting.model),
        (
            "Waiting",
            "work waited for its turn on a model server",
            accounting.queue,
        ),
        (
            "Memory",
            "the memory was looked through or written",
            accounting.memory,
        ),
        (
            "Own overhead",
            "this program's own work",
            accounting.overhead,
        ),
    ];
    let wall: f64 = named.iter().map(|(_, _, seconds)| seconds).sum();
    let share = |seconds: f64| if wall > 0.0 { seconds / wall } else { 0.0 };
    let mut x = 0.0;
    let part = named.into_iter().map(|(name, hint, seconds)| {
        let width = share(seconds) * BAR_WIDTH;
        let from = x;
        x += width;
        Part {
            name,
            hint,
            seconds,
            percent: share(seconds) * 100.0,
            x: from,
            width,
        }
    });
    part.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_wide_as_its_parts() {
        let accounting = TurnAccounting {
            model: 3.0,
            queue: 0.0,
            memory: 0.5,
            overhead: 0.5,
        };
        let parts = parts(&accounting);
        let places: Vec<(f64, f64)> = parts.iter().map(|it| (it.x, it.width)).collect();
        let expected = [(0.0, 750.0), (750.0, 0.0), (750.0, 125.0), (875.0, 125.0)];
        assert_eq!(places, expected);
        let nothing = super::parts(&TurnAccounting::default());
        assert!(nothing.iter().all(|it| it.percent.abs() < f64::EPSILON));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(
            cut("äö", 3),
            Text {
                text: "ä".into(),
                is_cut: true
            }
        );
        assert!(!cut("äö", 4).is_cut);
    }
}
