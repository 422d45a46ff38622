//! The answers on the page of a finished run: side by side, as much of each as a page should hold, and a whole
//! one when it is asked for.

use serde::Serialize;

use super::charts::Series;
use super::figures;
use crate::record::{BenchmarkRequest, BenchmarkResponse, BenchmarkResult, ErrorInfo};

/// Of one answer so much is shown, bytes; the rest is in the record.
const MOST_TEXT: usize = 20_000;
/// Of all answers together so much is shown, bytes: a page that loads at once.
const MOST_TEXT_IN_ALL: usize = 2_000_000;
/// So many answers of a model are shown.
const MOST_ANSWERS: usize = 10;

#[derive(Debug, PartialEq, Serialize)]
pub struct Answers {
    label: String,
    shown: Vec<Answer>,
    left_out: usize,
}

#[derive(Debug, PartialEq, Serialize)]
struct Answer {
    title: String,
    text: String,
    /// What is shown is the beginning.
    is_cut: bool,
    /// Which result of the run it is, from 0.
    place: Option<usize>,
    thinking: Option<String>,
    /// The earlier answer that has the very same text.
    same_as: Option<u32>,
    done_reason: Option<String>,
    chunks: u64,
    tokens: Option<u64>,
    thinking_time: Option<f64>,
    thinking_percent: Option<f64>,
    error: Option<ErrorInfo>,
}

/// The answers of each model of a run.
pub fn of_models(run: &BenchmarkResponse, series: &[Series]) -> Vec<Answers> {
    // Thinking counts too.
    let most_text = (MOST_TEXT_IN_ALL / (series.len().max(1) * MOST_ANSWERS * 2)).min(MOST_TEXT);
    let each = series.iter().map(|it| of_model(run, it, most_text));
    each.collect()
}

/// All that a request got: what was thought, if anything, and the answer.
pub fn whole(result: &BenchmarkResult) -> String {
    match &result.thinking {
        Some(thinking) => format!("Thinking:\n{thinking}\n\nAnswer:\n{}", result.response),
        None => result.response.clone(),
    }
}

/// The beginning of a text, and whether that is not all of it.
pub fn shortened(text: &str) -> (String, bool) {
    cut(text, MOST_TEXT)
}

/// The first bytes of a text, whole characters, and whether there are more.
pub fn cut(text: &str, most: usize) -> (String, bool) {
    let end = text.floor_char_boundary(most);
    (
        text.get(..end).unwrap_or_default().to_owned(),
        end < text.len(),
    )
}

/// Whether the requests of a run differ by what was asked.
fn has_prompts(request: &BenchmarkRequest) -> bool {
    let made_up = request.synthetic.map_or(0, |it| it.prompts);
    made_up > 1 || request.all_prompts().len() > 1 || request.replay.is_some()
}

fn of_model(run: &BenchmarkResponse, series: &Series, most_text: usize) -> Answers {
    let has_prompts = has_prompts(&run.request);
    let measured: Vec<&BenchmarkResult> = series
        .results
        .iter()
        .copied()
        .filter(|it| !it.warmup)
        .collect();
    let shown = measured
        .iter()
        .take(MOST_ANSWERS)
        .enumerate()
        .map(|(index, result)| {
            let earlier = measured.iter().take(index);
            let same = earlier.clone().find(|it| {
                !result.response.is_empty()
                    && it.response_sha256 == result.response_sha256
                    && it.thinking == result.thinking
            });
            let (text, is_cut) = cut(&result.response, most_text);
            let thinking = result.thinking.as_deref().map(|text| cut(text, most_text));
            let about = match &result.step {
                Some(step) => step.to_string(),
                None if has_prompts => figures::excerpt(&result.prompt, 60),
                None => String::new(),
            };
            let gap = if has_prompts { ": " } else { "" };
            Answer {
                title: format!("Repetition {}{gap}{about}", result.repetition),
                text,
                is_cut: is_cut || thinking.as_ref().is_some_and(|(_, is_cut)| *is_cut),
                place: (run.results.iter()).position(|it| std::ptr::eq(it, *result)),
                thinking: thinking.map(|(text, _)| text),
                same_as: same.filter(|_| !has_prompts).map(|it| it.repetition),
                done_reason: result.done_reason.clone(),
                chunks: result.throughput.total_chunks,
                tokens: result.throughput.output_tokens,
                thinking_time: result.timing.thinking_time,
                thinking_percent: result.throughput.thinking_percent,
                error: result.error.clone(),
            }
        });
    Answers {
        label: series.label.clone(),
        shown: shown.collect(),
        left_out: measured.len().saturating_sub(MOST_ANSWERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let (text, is_cut) = shortened(&"ä".repeat(MOST_TEXT));
        assert!(is_cut && text.len() <= MOST_TEXT);
        assert_eq!(shortened("ä"), ("ä".to_owned(), false));
    }
}
