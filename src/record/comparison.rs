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
    /// The candidate's median divided by the baseline's.
    pub ratio: Option<f64>,
    /// Lower end of the 95 % interval of the ratio, by bootstrap. An interval that holds 1 does not tell the
    /// two apart.
    pub ratio_low: Option<f64>,
    /// Upper end of the 95 % interval of the ratio.
    pub ratio_high: Option<f64>,
    /// Two-sided p of the Mann–Whitney U test, normal approximation with tie correction.
    pub p_value: Option<f64>,
    /// Effect size: Cliff's delta, −1 to 1; positive where the candidate's values are higher.
    pub effect_size: Option<f64>,
    /// Whether the difference is real: faster or slower where the interval of the ratio does not hold 1 and p
    /// (Mann–Whitney) is below 0.05, else it cannot be told. Faster speaks of speed: half the time is 100 %
    /// faster.
    pub verdict: Verdict,
    /// The verdict in words. "Faster" speaks of speed: of times it is the inverse ratio.
    pub sentence: String,
}

/// How the values of one metric lie: what a box plot and a curve of percentiles are drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Spread {
    /// The metric's name, such as `time_to_first_chunk`.
    pub metric: String,
    /// Whose values: a label as given in `labels`.
    pub label: String,
    /// How many values.
    pub n: u64,
    /// Smallest.
    pub min: f64,
    /// First quartile: a quarter of the values lies below it.
    pub low_quartile: f64,
    /// Middle value.
    pub median: f64,
    /// Third quartile: a quarter of the values lies above it.
    pub high_quartile: f64,
    /// Largest.
    pub max: f64,
    /// 95 % bootstrap interval of the median, lower end; null below 5 values.
    pub median_low: Option<f64>,
    /// 95 % bootstrap interval of the median, upper end; null below 5 values.
    pub median_high: Option<f64>,
    /// The values in order, at equal steps from 0 to 100 %: of at most 101 values every one, of more their
    /// percentiles. The value at 90 % is the one that nine of ten lie below.
    pub percentiles: Vec<f64>,
}

/// Two or more sets of results against the first of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Comparison {
    /// What is compared, the baseline first.
    pub labels: Vec<String>,
    /// A row for each metric and candidate.
    pub rows: Vec<ComparisonRow>,
    /// How the values of each metric lie, of the baseline and of each candidate that has the metric.
    pub spreads: Vec<Spread>,
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
