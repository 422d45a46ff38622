//! Counts and rates of one request: tokens as the server counts them, chunks as they were seen.
//!
//! A chunk is not a token, and a cached token was not evaluated: a rate that would overlook either
//! is missing, with the reason beside it.

use std::time::Duration;

use super::statistics::{finite, significant};
use super::timeline::{ChunkKind, ServerReport, Timeline};
use crate::record::{Throughput, Timing};

/// More tokens a second than any machine evaluates or writes for one request, by an order of
/// magnitude: such a rate comes from a clock that was not read or from output that was held back
/// and sent at once. It is not averaged in.
const MOST_TOKENS_PER_SECOND: f64 = 1e6;

/// Below so many chunks, each of several tokens, the client's decode rate is more than a tenth too
/// high: of k bundles, k − 1 lie between the first and the last arrival, but the tokens of nearly
/// all k are counted.
const FEW_CHUNKS: u64 = 10;

/// A chat template puts some ten to thirty tokens before a prompt, and those may be cached even where
/// every prompt begins differently. Of so many tokens they are about a tenth at most.
const FEWEST_UNCACHED: u64 = 256;

/// Counts and rates; what was noticed about them goes to the notes.
pub(super) fn throughput(
    timeline: &Timeline,
    timing: &Timing,
    notes: &mut Vec<String>,
) -> Throughput {
    let report = &timeline.report;
    let total_chunks = timeline.chunks.len() as u64;
    let total_bytes = timeline.chunks.iter().map(|c| u64::from(c.bytes)).sum();
    let (prompt_rate, prompt_rate_reason) = match prompt_rate(report, timeline.unique_prefix) {
        Ok(rate) => (Some(rate), None),
        Err(reason) => (None, Some(reason)),
    };
    remark_bundles(timeline, timing, notes);
    Throughput {
        total_chunks,
        total_bytes,
        thinking_percent: thinking_percent(timeline, total_bytes),
        average_chunk_size: quotient(total_bytes as f64, total_chunks as f64),
        bytes_per_second: timing
            .total_time
            .and_then(|time| quotient(total_bytes as f64, time)),
        prompt_tokens: report.prompt_tokens,
        cached_prompt_tokens: report.cached_prompt_tokens,
        output_tokens: report.output_tokens,
        output_tokens_per_second: timing
            .time_per_output_token
            .and_then(|tpot| quotient(1.0, tpot)),
        server_output_tokens_per_second: server_decode_rate(report, notes),
        client_prompt_tokens_per_second: report
            .prompt_tokens
            .zip(timing.time_to_first_chunk)
            .and_then(|(tokens, time)| quotient(tokens as f64, time))
            .filter(|rate| *rate <= MOST_TOKENS_PER_SECOND),
        prompt_tokens_per_second: prompt_rate,
        prompt_rate_reason,
    }
}

/// `None` where the model did not think.
fn thinking_percent(timeline: &Timeline, total_bytes: u64) -> Option<f64> {
    let thought = timeline
        .chunks
        .iter()
        .filter(|c| c.kind == ChunkKind::Thinking);
    let bytes: u64 = thought.map(|c| u64::from(c.bytes)).sum();
    quotient(bytes as f64 * 100.0, total_bytes as f64).filter(|_| bytes > 0)
}

fn server_decode_rate(report: &ServerReport, notes: &mut Vec<String>) -> Option<f64> {
    let tokens = report.output_tokens.filter(|tokens| *tokens >= 2)?;
    let rate = quotient(tokens as f64, report.eval?.as_secs_f64())?;
    if rate > MOST_TOKENS_PER_SECOND {
        notes.push(format!(
            "the server's decode rate is left out: {rate:.0} tokens/s is not plausible"
        ));
        return None;
    }
    Some(rate)
}

/// Prefill rate by the server's clock, or why it is unknown.
///
/// The server counts cached tokens among the prompt's but not in its duration. Without a cached
/// count the quotient may overstate the rate a hundredfold, and nothing in a single answer rules
/// that out: a load that took time need not have emptied the cache, since waiting counts as load.
fn prompt_rate(report: &ServerReport, unique_prefix: bool) -> Result<f64, String> {
    let tokens = report
        .prompt_tokens
        .ok_or("the server does not say how many tokens the prompt has")?;
    let duration = report
        .prompt_eval
        .filter(|duration| !duration.is_zero())
        .ok_or("the server does not say how long it evaluated the prompt")?;
    let cached = report
        .cached_prompt_tokens
        .or((unique_prefix && tokens >= FEWEST_UNCACHED).then_some(0))
        .ok_or("the server does not say how many prompt tokens came from its cache")?;
    let evaluated = tokens
        .checked_sub(cached)
        .ok_or("the server says that more prompt tokens were cached than there are")?;
    if evaluated == 0 {
        return Err("the whole prompt came from the server's cache".to_owned());
    }
    quotient(evaluated as f64, duration.as_secs_f64())
        .filter(|rate| *rate <= MOST_TOKENS_PER_SECOND)
        .ok_or_else(|| {
            format!(
                "not plausible: {evaluated} tokens in {} s",
                duration.as_secs_f64()
            )
        })
}

/// Says where the client's decode rate is unknown or too high because chunks are not tokens.
fn remark_bundles(timeline: &Timeline, timing: &Timing, notes: &mut Vec<String>) {
    let chunks = timeline.chunks.len() as u64;
    let Some(tokens) = timeline.report.output_tokens.filter(|tokens| *tokens >= 2) else {
        return;
    };
    if chunks == 0 {
        return;
    }
    if timing.time_per_output_token.is_none() {
        notes.push(
            "the output came all at once: the decode rate by the client's clock is unknown"
                .to_owned(),
        );
    } else if chunks < FEW_CHUNKS && tokens >= 2 * chunks {
        notes.push(format!(
            "{tokens} tokens came in {chunks} chunks: the decode rate by the client's clock is too high, by about one part in {chunks}"
        ));
    }
}

/// Unknown where all came in one instant: then nothing was seen of the decoding.
pub(super) fn time_per_output_token(
    span: Option<Duration>,
    output_tokens: Option<u64>,
) -> Option<f64> {
    let span = span.filter(|span| !span.is_zero())?;
    let gaps = output_tokens?.checked_sub(1).filter(|gaps| *gaps > 0)?;
    exact_quotient(span.as_secs_f64(), gaps as f64)
        .filter(|tpot| *tpot > 0.0 && 1.0 / tpot <= MOST_TOKENS_PER_SECOND)
}

/// `a / b` as it is told; `None` where that is no number.
fn quotient(a: f64, b: f64) -> Option<f64> {
    exact_quotient(a, b).map(significant)
}

/// `a / b` with all digits, for what further figures are computed of.
fn exact_quotient(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b).and_then(finite)
}
