//! A pause before each measured request, so that heat of the one before does not slow it down.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::request::Check;

/// Longest pause, s.
const LONGEST: f64 = 3600.0;
/// A pause until a temperature ends after so long at the latest, s.
pub const PATIENCE: f64 = 600.0;

/// A pause before each measured request but the first: a time, or until it is cool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields, default)]
#[oai(deny_unknown_fields, skip_serializing_if_is_none, default)]
pub struct Cooldown {
    /// So long, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Until the hottest graphics processor, or the processor where there is none, is no warmer, °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<f64>,
    /// With a temperature: so long at most, s; 600 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

impl Cooldown {
    pub(super) fn check(&self, check: &mut Check) {
        match (self.seconds, self.temperature_celsius) {
            (None, None) => check.push("/cooldown", "needs `seconds` or `temperature_celsius`"),
            (Some(_), Some(_)) => check.push(
                "/cooldown",
                "takes either `seconds` or `temperature_celsius`, not both",
            ),
            _ => {}
        }
        if self.at_most.is_some() && self.temperature_celsius.is_none() {
            check.push("/cooldown/at_most", "is for a pause until a temperature");
        }
        check.range("/cooldown/seconds", self.seconds, 0.0, LONGEST);
        check.range(
            "/cooldown/temperature_celsius",
            self.temperature_celsius,
            20.0,
            110.0,
        );
        check.range("/cooldown/at_most", self.at_most, 0.0, LONGEST);
    }

    /// A pause until a temperature ends after so long at the latest, s.
    pub fn patience(&self) -> f64 {
        self.at_most.unwrap_or(PATIENCE)
    }
}

/// A pause that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(default)]
pub struct CooledDown {
    /// How long it took, s.
    pub seconds: f64,
    /// Temperature at its end, °C; null where none can be read.
    pub temperature_celsius: Option<f64>,
    /// It was as cool as was asked for, or the time was up that was asked for.
    pub reached: bool,
}
