//! What a comparison found.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::RunId;

/// Whether a difference is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Verdict {
    /// Better than the baseline: the interval of the ratio excludes 1, and p is below 0.05.
    Faster,
    /// Worse than the baseline: the interval of the ratio excludes 1, and p is below 0.05.
    Slower,
    /// The samples do not tell them apart.
    CannotTell,
}

/// One metric of one candidate against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct ComparisonRow {
    /// The metric's name, such as `time_to_first_chunk`.
    pub metric: String,
    /// What is compared with the baseline: a label as given in `labels`.
    pub candidate: String,
    /// Samples of the baseline.
    pub baseline_n: u64,
    /// Samples of the candidate.
    pub candidate_n: u64,
    /// Median of the baseline, in the metric's unit.
    pub baseline_median: Option<f64>,
    /// Median of the candidate, in the metric's unit.
    pub candidate_median: Option<f64>,
    /// Candidate's median divided by the baseline's.
    pub ratio: Option<f64>,
    /// 95 % bootstrap interval of the ratio, lower end.
    pub ratio_low: Option<f64>,
    /// 95 % bootstrap interval of the ratio, upper end.
    pub ratio_high: Option<f64>,
    /// Two-sided p of the Mann–Whitney U test, normal approximation with tie correction.
    pub p_value: Option<f64>,
    /// Effect size: Cliff's delta, −1 to 1; positive where the candidate's values are higher.
    pub effect_size: Option<f64>,
    /// Whether the difference is real.
    pub verdict: Verdict,
    /// The verdict in words. "Faster" speaks of speed: of times it is the inverse ratio.
    pub sentence: String,
}

/// Two or more sets of results against the first of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Comparison {
    /// What is compared, the baseline first.
    pub labels: Vec<String>,
    /// A row for each metric and candidate.
    pub rows: Vec<ComparisonRow>,
    /// What differed in the set-up, in words.
    pub differences: Vec<String>,
    /// Whether the candidates wrote what the baseline wrote: an entry for each candidate and prompt
    /// that both answered, of at most 20 prompts.
    pub outputs: Vec<OutputComparison>,
    /// The runs whose requests were compared.
    pub runs: Vec<RunId>,
}

/// Answers of a candidate to one prompt, held against the baseline's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct OutputComparison {
    /// What is compared with the baseline: a label as given in `labels`.
    pub candidate: String,
    /// How the prompt begins.
    pub prompt: String,
    /// Its answers.
    pub answers: u64,
    /// Of them equal to one of the baseline's.
    pub same: u64,
    /// The same model with the same seed, options and prompt, without randomness.
    pub should_agree: bool,
    /// Where its first other answer parts from the baseline's first; null where all are the same.
    pub first_difference: Option<TextDifference>,
    /// The same in words.
    pub sentence: String,
}

/// Where two texts part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct TextDifference {
    /// The first word that differs, from 1; words are what lies between white space.
    pub word: u64,
    /// The first character that differs, from 1; a character is a Unicode scalar value.
    pub character: u64,
    /// The baseline's text around it.
    pub baseline: String,
    /// The candidate's text around it.
    pub candidate: String,
}
