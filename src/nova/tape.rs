//! A recorded turn done again: what answers in the place of models, and in what two turns differ.

use std::sync::{Mutex, PoisonError};

pub use super::agent::sha256;
use crate::measure;
use crate::record::{
    BenchmarkResult, DifferenceKind, ErrorCode, ErrorInfo, NovaResponse, NovaStep, ReplayedStep,
    StepDifference, StepHashes,
};

/// A record that answers: each recorded call once, to who is told the very same.
pub struct Tape {
    left: Mutex<Vec<NovaStep>>,
}

impl Tape {
    /// The calls of these steps.
    pub fn of(steps: &[NovaStep]) -> Self {
        let calls = steps.iter().filter(|step| step.model.is_some());
        Self {
            left: Mutex::new(calls.cloned().collect()),
        }
    }

    /// What the record has of this step; a failure where it has nothing.
    pub fn answer(&self, asked: &NovaStep) -> BenchmarkResult {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |it: &NovaStep| is_same_place(it, asked) && it.input == asked.input;
        match left.iter().position(is_it) {
            Some(found) => result(left.remove(found)),
            None => result(NovaStep {
                success: false,
                error: Some(ErrorInfo {
                    code: ErrorCode::Protocol,
                    message: "the record has no answer to what it is told now".into(),
                }),
                ..asked.clone()
            }),
        }
    }
}

/// A recorded call as it was measured.
fn result(step: NovaStep) -> BenchmarkResult {
    BenchmarkResult {
        model: step.model.unwrap_or_default(),
        backend: step.backend.unwrap_or_default(),
        digest: step.digest,
        repetition: 1,
        warmup: false,
        stage: None,
        step: None,
        contended: step.contended,
        cold_start: false,
        success: step.success,
        error: step.error,
        timestamp: step.timestamp,
        prompt: step.input,
        prompt_prefix: None,
        response_sha256: step.output_sha256,
        response: step.output,
        thinking: step.thinking,
        done_reason: step.done_reason,
        timing: step.timing,
        throughput: step.throughput,
        system_impact: step.system_impact,
        energy: step.energy,
        cooled_down: None,
        placement: None,
        // The agents notice the same once more.
        notes: Vec::new(),
        chunks: step.chunks,
    }
}

fn is_same_place(one: &NovaStep, other: &NovaStep) -> bool {
    let place = |it: &NovaStep| (it.role, it.stage, it.iteration);
    place(one) == place(other) && one.agent_name == other.agent_name
}

fn hashes(step: &NovaStep) -> StepHashes {
    StepHashes {
        prompt_sha256: sha256(&step.input),
        output_sha256: sha256(&step.output),
    }
}

/// In what two steps differ; `None` where they do not.
fn kind(recorded: &NovaStep, replayed: &NovaStep) -> Option<DifferenceKind> {
    if !is_same_place(recorded, replayed) {
        Some(DifferenceKind::Agent)
    } else if recorded.input != replayed.input {
        Some(DifferenceKind::Prompt)
    } else if recorded.output != replayed.output || recorded.success != replayed.success {
        Some(DifferenceKind::Output)
    } else {
        None
    }
}

/// The first step in which a turn that was done again differs from its record.
pub fn first_difference(
    recorded: &NovaResponse,
    replayed: &NovaResponse,
) -> Option<StepDifference> {
    let (before, after) = (&recorded.steps, &replayed.steps);
    for at in 0..before.len().max(after.len()) {
        let (before, after) = (before.get(at), after.get(at));
        let kind = match (before, after) {
            (Some(before), Some(after)) => match kind(before, after) {
                Some(kind) => kind,
                None => continue,
            },
            (Some(_), None) => DifferenceKind::Missing,
            _ => DifferenceKind::Additional,
        };
        let text = before.zip(after).and_then(|(before, after)| {
            measure::first_difference(&before.input, &after.input)
                .or_else(|| measure::first_difference(&before.output, &after.output))
        });
        let named = before.or(after)?;
        return Some(StepDifference {
            step: Some(named.number),
            agent_name: named.agent_name.clone(),
            kind,
            recorded: before.map(hashes),
            replayed: after.map(hashes),
            text,
        });
    }
    let ends = |it: &NovaResponse| (it.text.clone(), it.status, it.questions.clone());
    if ends(recorded) == ends(replayed) {
        return None;
    }
    Some(StepDifference {
        step: None,
        agent_name: "the answer".into(),
        kind: DifferenceKind::Answer,
        recorded: None,
        replayed: None,
        text: measure::first_difference(&recorded.text, &replayed.text),
    })
}

/// The steps of a turn that was done again, each held against the recorded one of its place.
pub fn replayed_steps(recorded: &[NovaStep], replayed: &[NovaStep]) -> Vec<ReplayedStep> {
    let steps = replayed.iter().enumerate().map(|(at, step)| ReplayedStep {
        number: step.number,
        agent_name: step.agent_name.clone(),
        role: step.role,
        stage: step.stage,
        iteration: step.iteration,
        model: step.asked_model(),
        hashes: hashes(step),
        identical: recorded.get(at).is_some_and(|it| kind(it, step).is_none()),
    });
    steps.collect()
}
