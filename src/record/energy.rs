//! Energy that work took, and what it cost.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// Energy that one request took on the machine of its model: of graphics processors and processor
/// packages as far as they have meters. Of requests that go on together none is told: they share it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct Energy {
    /// From the send to the last byte, J.
    pub joules: f64,
    /// Of it by graphics processors, J; null where none has a meter.
    pub gpu_joules: Option<f64>,
    /// Of it by processor packages, J; null where they have no meter.
    pub cpu_joules: Option<f64>,
    /// `joules` without what the idle machine would have taken, J; null where that was not measured.
    pub net_joules: Option<f64>,
    /// `joules` / output tokens, J.
    pub joules_per_output_token: Option<f64>,
    /// `net_joules` / output tokens, J.
    pub net_joules_per_output_token: Option<f64>,
}

/// Energy that the measured requests of one model took together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct EnergySummary {
    /// Why it is not known; null where it is.
    pub reason: Option<String>,
    /// While any of them went on, J.
    pub joules: Option<f64>,
    /// Energy that graphics processors took for the requests, J.
    pub gpu_joules: Option<f64>,
    /// Energy that processor packages took for the requests, J.
    pub cpu_joules: Option<f64>,
    /// So long at least one of them went on, s.
    pub seconds: Option<f64>,
    /// Energy that the requests took, divided by the time in which any of them went on, W.
    pub mean_watts: Option<f64>,
    /// What the machine took in the baseline window before the run, W.
    pub idle_watts: Option<f64>,
    /// `joules` − `idle_watts` · `seconds`, J.
    pub net_joules: Option<f64>,
    /// Energy that the requests took, divided by their output tokens, J: that of graphics processors and
    /// processor packages, as far as those have meters.
    pub joules_per_output_token: Option<f64>,
    /// Energy for each output token without what the idle machine would have taken in that time, J.
    pub net_joules_per_output_token: Option<f64>,
    /// Energy that the requests took, divided by their number, J.
    pub joules_per_request: Option<f64>,
    /// `net_joules` / requests, J.
    pub net_joules_per_request: Option<f64>,
    /// Price of a kilowatt-hour that costs are told at; null where none is set.
    pub price_per_kwh: Option<f64>,
    /// What that price is in.
    pub currency: Option<String>,
    /// What `joules` cost.
    pub cost: Option<f64>,
    /// What the energy of a million output tokens costs at the price that is set.
    pub cost_per_million_output_tokens: Option<f64>,
}

/// Change of a model's decode rate in the course of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct RateChange {
    /// When it changed, s since the run began.
    pub offset: f64,
    /// Median decode rate before: the burst, tokens/s.
    pub burst_tokens_per_second: f64,
    /// Median decode rate from then on: what is sustained, tokens/s.
    pub sustained_tokens_per_second: f64,
    /// The second against the first, percent.
    pub change_percent: f64,
    /// Probability of as great a change by chance (Pettitt's test).
    pub p_value: f64,
    /// What else changed then, each a sentence.
    pub beside: Vec<String>,
}
