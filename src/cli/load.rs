//! Flags that say how hard to work each model.

use clap::Args;

use super::values;
use crate::record::{Load, LoadPattern};

/// Flags of a load; without any of them requests go out one at a time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadFlags {
    /// Virtual users of a closed loop: each sends its next request when its last one has ended
    #[arg(long, value_name = "N", conflicts_with_all = ["repetitions", "rate"])]
    concurrency: Option<u32>,
    /// Requests a second of an open loop, sent whatever the server does
    #[arg(
        long,
        value_name = "R",
        conflicts_with = "repetitions",
        allow_negative_numbers = true
    )]
    rate: Option<f64>,
    /// Intervals of an open loop
    #[arg(long, value_name = "PATTERN", default_value = "constant", requires = "rate", value_parser = values::choice::<LoadPattern>(&["constant", "poisson"]))]
    arrival: LoadPattern,
    /// Seed of random intervals
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "rate")]
    arrival_seed: u64,
    /// One request at a time, then rising rates until the server falls behind
    #[arg(long, conflicts_with_all = ["repetitions", "concurrency", "rate"])]
    sweep: bool,
    /// How long requests are sent, s; of a sweep, in each stage
    #[arg(
        long,
        value_name = "SECONDS",
        conflicts_with = "repetitions",
        allow_negative_numbers = true
    )]
    duration: Option<f64>,
    /// Requests of each model; of a sweep, of each stage at most
    #[arg(long, value_name = "N", conflicts_with = "repetitions")]
    requests: Option<u32>,
}

impl LoadFlags {
    /// The load, where one was asked for.
    pub fn load(&self) -> Option<Load> {
        let is_asked = self.sweep
            || self.concurrency.is_some()
            || self.rate.is_some()
            || self.duration.is_some()
            || self.requests.is_some();
        is_asked.then_some(Load {
            pattern: match self.rate {
                _ if self.sweep => LoadPattern::Sweep,
                Some(_) => self.arrival,
                None => LoadPattern::Closed,
            },
            concurrency: self.concurrency,
            rate: self.rate,
            duration: self.duration,
            max_requests: self.requests,
            seed: self.arrival_seed,
        })
    }
}
