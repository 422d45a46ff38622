//! How hard a model server is worked.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{BenchmarkRequest, Execution, FieldError};

/// Most requests at once: more sockets than that measure this machine, not the model.
pub const MOST_STREAMS: u32 = 1000;
/// Most requests a second. Nothing that is measured here answers faster.
pub const HIGHEST_RATE: f64 = 10_000.0;
/// Most stages of a sweep: doubling the rate reaches a thousand times the first in ten.
pub const MOST_STAGES: u32 = 14;
/// Where a sweep does not say how long its stages are, s, and of how many requests at most.
const STAGE_DURATION: f64 = 10.0;
const STAGE_REQUESTS: u32 = 200;
/// Most requests of one model.
const MOST_REQUESTS: u32 = 1_000_000;

/// How hard each model is worked. Models take their turns, one after another; requests of one model
/// overlap, and are marked so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object that says how hard to work the models"
)]
#[oai(default)]
pub struct Load {
    /// When requests go out.
    pub pattern: LoadPattern,
    /// `closed`: virtual users, each of which sends its next request when its last one has ended,
    /// 1 to 1000; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    pub concurrency: Option<u32>,
    /// `constant` and `poisson`: requests a second, above 0 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0", exclusive), maximum(value = "10000")))]
    pub rate: Option<f64>,
    /// So long requests are sent, s. With `rate` it says how many there are; `closed` ends by it
    /// where `max_requests` have not been sent yet. Of a sweep it is each stage's, 10 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0.001"), maximum(value = "86400")))]
    pub duration: Option<f64>,
    /// Requests of each model; of a sweep, of each stage at most, 200 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    pub max_requests: Option<u32>,
    /// Of the random times of `poisson`; the same seed gives the same times.
    pub seed: u64,
}

/// When requests go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum LoadPattern {
    /// Closed loop: virtual users wait for their answers. A slow server is asked less often.
    #[default]
    Closed,
    /// Open loop at equal intervals, whatever the server does. Latencies count from when a request
    /// was meant to be sent, so that a server that stalls cannot hide it.
    Constant,
    /// Open loop at random intervals of the same mean, as independent people would come.
    Poisson,
    /// One request at a time first; then open loops at rising rates until the server falls behind,
    /// and between the last rate that it kept up with and the first that it did not.
    Sweep,
}

impl Load {
    /// How long requests are sent in a stage of a sweep, s.
    pub fn stage_duration(&self) -> f64 {
        self.duration.unwrap_or(STAGE_DURATION)
    }

    /// Most requests of a stage of a sweep.
    pub fn stage_requests(&self) -> u32 {
        self.max_requests.unwrap_or(STAGE_REQUESTS)
    }

    /// Requests of each model, where the fields say so; of a sweep, at most.
    pub fn requests(&self) -> Option<u32> {
        let of_rate = || {
            let requests = (self.rate? * self.duration?).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded just here"
            )]
            let requests = requests.clamp(1.0, f64::from(u32::MAX)) as u32;
            Some(requests)
        };
        match self.pattern {
            LoadPattern::Closed => self.max_requests,
            LoadPattern::Sweep => Some(self.stage_requests().saturating_mul(MOST_STAGES)),
            LoadPattern::Constant | LoadPattern::Poisson => match (of_rate(), self.max_requests) {
                (Some(by_rate), Some(most)) => Some(by_rate.min(most)),
                (one, other) => one.or(other),
            },
        }
    }

    /// Everything that is wrong with it.
    fn problems(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| {
            errors.push(FieldError {
                pointer: format!("/load/{field}"),
                message,
            });
        };
        if self
            .concurrency
            .is_some_and(|it| !(1..=MOST_STREAMS).contains(&it))
        {
            wrong("concurrency", format!("must be from 1 to {MOST_STREAMS}"));
        }
        if self
            .rate
            .is_some_and(|it| !(it > 0.0 && it <= HIGHEST_RATE))
        {
            wrong(
                "rate",
                format!("must be requests a second, above 0 and at most {HIGHEST_RATE}"),
            );
        }
        if self
            .duration
            .is_some_and(|it| !(0.001..=86_400.0).contains(&it))
        {
            wrong("duration", "must be seconds from 0.001 to 86400".into());
        }
        if self
            .max_requests
            .is_some_and(|it| !(1..=MOST_REQUESTS).contains(&it))
        {
            wrong("max_requests", format!("must be from 1 to {MOST_REQUESTS}"));
        }
        if self.pattern == LoadPattern::Closed {
            if self.rate.is_some() {
                wrong(
                    "rate",
                    "`closed` has none: choose `constant` or `poisson`".into(),
                );
            }
            if self.max_requests.is_none() {
                wrong(
                    "max_requests",
                    "say how many requests each model gets".into(),
                );
            }
        } else if self.pattern == LoadPattern::Sweep {
            if self.rate.is_some() {
                wrong("rate", "a sweep finds the rates itself".into());
            }
            if self.concurrency.is_some() {
                wrong("concurrency", "only `closed` has virtual users".into());
            }
        } else {
            if self.rate.is_none() {
                wrong("rate", "give the requests a second".into());
            }
            if self.concurrency.is_some() {
                wrong("concurrency", "only `closed` has virtual users".into());
            }
            if self.duration.is_none() && self.max_requests.is_none() {
                wrong("duration", "give the duration, or max_requests".into());
            }
        }
        errors
    }
}

impl BenchmarkRequest {
    /// Everything that is wrong with its load, and with what does not go together with one.
    pub(super) fn load_problems(&self) -> Vec<FieldError> {
        let Some(load) = &self.load else {
            return Vec::new();
        };
        let beside = [
            (
                self.execution != Execution::Sequential && !self.until_decided,
                "/execution",
                "with a load, models take their turns: `sequential`",
            ),
            (
                self.repetitions != 1,
                "/repetitions",
                "with a load, its own fields say how many requests there are",
            ),
            (
                self.cold_start,
                "/cold_start",
                "a model under load cannot be unloaded before each request",
            ),
        ];
        let beside = beside.into_iter().filter(|(is_wrong, ..)| *is_wrong);
        let beside = beside.map(|(_, pointer, message)| FieldError {
            pointer: pointer.into(),
            message: message.into(),
        });
        load.problems().into_iter().chain(beside).collect()
    }

    /// Measured requests of each model.
    pub(super) fn requests_per_model(&self) -> u64 {
        let prompts = self.prompt_count();
        // Of a load that is wrong there is nothing to count.
        let sound = |load: &Load| load.problems().is_empty();
        let requests = |load: &Load| load.requests().filter(|_| sound(load));
        match self.load.as_ref().map(requests) {
            None => u64::from(self.repetitions) * prompts,
            Some(requests) => u64::from(requests.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(rate: f64, duration: Option<f64>, max_requests: Option<u32>) -> Load {
        Load {
            pattern: LoadPattern::Constant,
            rate: Some(rate),
            duration,
            max_requests,
            ..Load::default()
        }
    }

    fn pointers(load: &Load) -> Vec<String> {
        load.problems().into_iter().map(|it| it.pointer).collect()
    }

    #[test]
    fn the_number_of_requests_follows_from_the_fields() {
        assert_eq!(open(50.0, Some(2.0), None).requests(), Some(100));
        assert_eq!(open(50.0, Some(2.0), Some(30)).requests(), Some(30));
        assert_eq!(open(50.0, None, Some(30)).requests(), Some(30));
        assert_eq!(open(0.1, Some(1.0), None).requests(), Some(1));
        assert_eq!(Load::default().requests(), None);
    }

    #[test]
    fn nonsense_is_named_field_by_field() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(pointers(&open(rate, Some(1.0), None)), ["/load/rate"]);
        }
        assert_eq!(pointers(&open(1.0, None, None)), ["/load/duration"]);
        assert_eq!(
            pointers(&open(1.0, Some(f64::NAN), None)),
            ["/load/duration"]
        );
        assert_eq!(pointers(&Load::default()), ["/load/max_requests"]);
        let mut closed = Load {
            concurrency: Some(0),
            max_requests: Some(0),
            rate: Some(3.0),
            ..Load::default()
        };
        assert_eq!(
            pointers(&closed),
            ["/load/concurrency", "/load/max_requests", "/load/rate"]
        );
        closed.concurrency = Some(8);
        closed.max_requests = Some(80);
        closed.rate = None;
        assert_eq!(closed.problems(), []);
    }
}
