//! In which manner a model is asked: the order of requests, how hard it thinks, how long it stays loaded.

use poem_openapi::{Enum, Union};
use serde::{Deserialize, Serialize};

/// In which order requests go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Execution {
    /// One request at a time, model after model: the fair way.
    #[default]
    Sequential,
    /// All models at once; results are measured under contention and marked so.
    Concurrent,
    /// One request at a time, models in turn (A B B A …), so that drift hits all alike.
    Interleaved,
}

/// Whether, or how hard, a thinking model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Union)]
#[serde(
    untagged,
    expecting = "must be true, false, \"low\", \"medium\", \"high\" or \"max\""
)]
#[oai(one_of)]
pub enum Think {
    /// On or off.
    Flag(bool),
    /// How hard.
    Level(ThinkLevel),
}

/// How hard a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ThinkLevel {
    /// Least.
    Low,
    /// Between.
    Medium,
    /// Much.
    High,
    /// Most.
    Max,
}

/// How long a model stays loaded after a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Union)]
#[serde(
    untagged,
    expecting = "must be seconds or a duration with a unit, such as \"5m\""
)]
#[oai(one_of)]
pub enum KeepAlive {
    /// Seconds; negative is for ever, 0 unloads at once.
    Seconds(f64),
    /// A duration with its unit, such as `5m` or `1h30m`.
    Duration(String),
}

/// Go's duration syntax as `time.ParseDuration` takes it: an optional sign, then numbers with units.
pub(super) fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        if digits == 0 || rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        rest = &rest[digits..];
        let Some(unit) = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .iter()
            .find(|unit| rest.starts_with(**unit))
        else {
            return false;
        };
        rest = &rest[unit.len()..];
    }
    true
}
