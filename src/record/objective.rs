//! What figures must keep.

use std::fmt;
use std::str::FromStr;

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::BenchmarkRequest;
use super::request::Check;

/// Figures that are a distribution over requests, or gaps.
const DISTRIBUTIONS: [&str; 12] = [
    "time_to_first_chunk",
    "time_to_first_output",
    "time_to_second_chunk",
    "inter_chunk_latency",
    "time_per_output_token",
    "request_latency",
    "total_time",
    "output_tokens_per_second",
    "server_output_tokens_per_second",
    "prompt_tokens_per_second",
    "bytes_per_second",
    "load_time",
];

/// The figure of which each request has many.
const GAPS: &str = "inter_chunk_latency";

/// Figures that a model has one of.
const SINGLE: [&str; 2] = ["system_output_tokens_per_second", "failed_percent"];

/// Most objectives of a run.
const MOST: usize = 20;

/// What a figure must keep, written such as `time_to_first_chunk.p95<0.5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Name of the figure.
    pub metric: String,
    /// What of its distribution; `None` speaks of every request, or of a figure that stands alone.
    pub statistic: Option<Statistic>,
    /// How it must stand to the bound.
    pub relation: Relation,
    /// The bound, in the figure's unit.
    pub bound: f64,
}

/// One number of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Arithmetic mean.
    Mean,
    /// Middle value.
    Median,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
}

/// How a figure must stand to its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Relation {
    /// Whether a value keeps a bound.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
        }
    }

    /// The bound is the largest that is allowed.
    pub fn is_upper(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

const STATISTICS: [(&str, Statistic); 7] = [
    ("min", Statistic::Min),
    ("max", Statistic::Max),
    ("mean", Statistic::Mean),
    ("median", Statistic::Median),
    ("p90", Statistic::P90),
    ("p95", Statistic::P95),
    ("p99", Statistic::P99),
];

/// The longer ones first, since the shorter are their beginnings.
const RELATIONS: [(&str, Relation); 4] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Below),
    (">", Relation::Above),
];

/// Units that a time may be written with, and how many seconds they are.
const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("s", 1.0)];

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, sign, relation) = RELATIONS
            .into_iter()
            .filter_map(|(sign, relation)| Some((text.find(sign)?, sign, relation)))
            .min_by_key(|(place, ..)| *place)
            .ok_or("must compare a figure with a bound, such as time_to_first_chunk.p95<0.5")?;
        let (figure, bound) = (text[..place].trim(), text[place + sign.len()..].trim());
        let (metric, statistic) = match figure.rsplit_once('.') {
            None => (figure, None),
            Some((metric, name)) => (metric.trim_end(), Some(statistic(name.trim_start())?)),
        };
        if !DISTRIBUTIONS.contains(&metric) && !SINGLE.contains(&metric) {
            return Err(unknown(metric));
        }
        if SINGLE.contains(&metric) && statistic.is_some() {
            return Err(format!(
                "`{metric}` is one number: write it without a statistic"
            ));
        }
        if metric == GAPS && !relation.is_upper() {
            return Err(format!(
                "`{GAPS}` is a pause: give the longest that is allowed, with <"
            ));
        }
        Ok(Self {
            bound: bound_of(metric, bound)?,
            metric: metric.to_owned(),
            statistic,
            relation,
        })
    }
}

fn statistic(name: &str) -> Result<Statistic, String> {
    let found = STATISTICS.iter().find(|(known, _)| *known == name);
    found.map(|(_, statistic)| *statistic).ok_or_else(|| {
        let known: Vec<&str> = STATISTICS.iter().map(|(name, _)| *name).collect();
        format!("`{name}` must be one of {}", known.join(", "))
    })
}

fn unknown(metric: &str) -> String {
    let all = || DISTRIBUTIONS.iter().chain(&SINGLE);
    let near = all()
        .max_by(|a, b| strsim::jaro_winkler(a, metric).total_cmp(&strsim::jaro_winkler(b, metric)));
    let near = near.filter(|it| strsim::jaro_winkler(it, metric) > 0.8);
    near.map_or_else(
        || {
            let known: Vec<&str> = all().copied().collect();
            format!("`{metric}` is no figure; known are {}", known.join(", "))
        },
        |near| format!("`{metric}` is no figure; did you mean `{near}`?"),
    )
}

fn bound_of(metric: &str, text: &str) -> Result<f64, String> {
    let is_time = !metric.ends_with("_per_second") && !metric.ends_with("_percent");
    let unit = UNITS
        .into_iter()
        .find(|(unit, _)| is_time && text.ends_with(unit));
    let (number, scale) = unit.map_or((text, 1.0), |(unit, scale)| {
        (text[..text.len() - unit.len()].trim_end(), scale)
    });
    let bound = number.parse::<f64>().ok().map(|number| number * scale);
    bound
        .filter(|bound| bound.is_finite())
        .ok_or_else(|| format!("`{text}` is not a number"))
}

impl fmt::Display for Objective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.metric)?;
        let named = |statistic| STATISTICS.iter().find(|(_, known)| *known == statistic);
        if let Some((name, _)) = self.statistic.and_then(named) {
            write!(formatter, ".{name}")?;
        }
        let sign = RELATIONS.iter().find(|(_, known)| *known == self.relation);
        write!(
            formatter,
            "{}{}",
            sign.map_or("", |(sign, _)| sign),
            self.bound
        )
    }
}

impl BenchmarkRequest {
    /// The objectives that can be read; all of them where the request is valid.
    pub fn parsed_objectives(&self) -> Vec<Objective> {
        self.objectives
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    pub(super) fn check_objectives(&self, check: &mut Check) {
        if self.objectives.len() > MOST {
            check.push("/objectives", &format!("at most {MOST} objectives"));
        }
        for (index, text) in self.objectives.iter().enumerate() {
            if let Err(error) = text.parse::<Objective>() {
                check.push(&format!("/objectives/{index}"), &error);
            }
        }
    }
}

/// What became of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct ObjectiveOutcome {
    /// The objective, such as `time_to_first_chunk.p95<0.5`.
    pub objective: String,
    /// Whether it was met. One that could not be shown to be met was not.
    pub met: bool,
    /// The figure it speaks of, in its unit; of every request, the worst. Null where it is unknown.
    pub value: Option<f64>,
    /// Why it is unknown.
    pub reason: Option<String>,
}

/// Requests that kept the bounds of all objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Object)]
pub struct Goodput {
    /// Measured requests of which every figure that an objective speaks of keeps its bound.
    pub good: u64,
    /// Measured requests, failed ones too.
    pub requests: u64,
    /// `good` of `requests`, percent.
    pub good_percent: f64,
    /// `good` / (first send → last end); null where that is no time.
    pub requests_per_second: Option<f64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads(text: &str, written: &str) {
        let objective: Objective = text.parse().unwrap();
        assert_eq!(objective.to_string(), written);
        assert_eq!(written.parse(), Ok(objective));
    }

    #[test]
    fn objectives_are_read_as_people_write_them() {
        reads("time_to_first_chunk.p95<0.5", "time_to_first_chunk.p95<0.5");
        reads(
            " time_to_first_chunk . p95 <= 500 ms",
            "time_to_first_chunk.p95<=0.5",
        );
        reads(
            "inter_chunk_latency.max<80ms",
            "inter_chunk_latency.max<0.08",
        );
        reads(
            "output_tokens_per_second >= 20",
            "output_tokens_per_second>=20",
        );
        reads("failed_percent<1", "failed_percent<1");
    }

    #[test]
    fn nonsense_is_answered_with_what_would_be_right() {
        let error = |text: &str| text.parse::<Objective>().unwrap_err();
        assert!(error("fast").contains("such as"));
        assert_eq!(
            error("time_to_first_chunks.p95<1"),
            "`time_to_first_chunks` is no figure; did you mean `time_to_first_chunk`?"
        );
        assert!(error("x<1").contains("known are time_to_first_chunk"));
        assert!(error("total_time.p50<1").contains("must be one of min, max"));
        assert!(error("inter_chunk_latency.max>1").contains("is a pause"));
        assert!(error("failed_percent.max<1").contains("is one number"));
        assert_eq!(error("total_time<soon"), "`soon` is not a number");
        assert_eq!(error("total_time<"), "`` is not a number");
        assert_eq!(error("total_time<inf"), "`inf` is not a number");
        assert_eq!(
            error("output_tokens_per_second>20ms"),
            "`20ms` is not a number"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            if let Ok(objective) = text.parse::<Objective>() {
                prop_assert!(objective.bound.is_finite());
            }
        }
    }
}
