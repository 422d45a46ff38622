//! A pause before each measured request, so that heat of the one before does not slow it down.

use std::fmt;
use std::str::FromStr;

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
    #[oai(validator(minimum(value = "0"), maximum(value = "3600")))]
    pub seconds: Option<f64>,
    /// Until the hottest graphics processor, or the processor where there is none, is no warmer, °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "20"), maximum(value = "110")))]
    pub temperature_celsius: Option<f64>,
    /// With a temperature: so long at most, s; 600 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(validator(minimum(value = "0"), maximum(value = "3600")))]
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

impl FromStr for Cooldown {
    type Err = String;

    /// Seconds, such as `30` or `30s`, or a temperature, such as `60C`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || "must be seconds, such as 30 or 30s, or a temperature, such as 60C".to_owned();
        let number = |text: &str| {
            let number = text.trim().parse::<f64>().ok();
            number.filter(|number| number.is_finite()).ok_or_else(wrong)
        };
        let text = text.trim();
        let degrees = text
            .strip_suffix("°C")
            .or_else(|| text.strip_suffix(['C', 'c']));
        Ok(match degrees {
            Some(degrees) => Self {
                temperature_celsius: Some(number(degrees)?),
                ..Self::default()
            },
            None => Self {
                seconds: Some(number(text.strip_suffix('s').unwrap_or(text))?),
                ..Self::default()
            },
        })
    }
}

impl fmt::Display for Cooldown {
    /// As it is read.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.temperature_celsius, self.seconds) {
            (Some(degrees), _) => write!(formatter, "{degrees}C"),
            (None, seconds) => write!(formatter, "{}s", seconds.unwrap_or_default()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_time_or_a_temperature() {
        let read = |text: &str| text.parse::<Cooldown>();
        assert_eq!(read("30").map(|it| it.seconds), Ok(Some(30.0)));
        assert_eq!(read(" 2.5s ").map(|it| it.seconds), Ok(Some(2.5)));
        for text in ["60C", "60 °C", "60c"] {
            assert_eq!(read(text).map(|it| it.temperature_celsius), Ok(Some(60.0)));
        }
        for wrong in ["", "C", "warm", "NaN", "5m"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for text in ["30s", "61.5C"] {
            assert_eq!(read(text).map(|it| it.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_pause_is_one_of_the_two_and_within_bounds() {
        let pointers = |cooldown: Cooldown| {
            let mut check = Check::default();
            cooldown.check(&mut check);
            check.into_pointers()
        };
        let of = |seconds: Option<f64>, degrees: Option<f64>, at_most: Option<f64>| {
            pointers(Cooldown {
                seconds,
                temperature_celsius: degrees,
                at_most,
            })
        };
        assert_eq!(of(Some(5.0), None, None), Vec::<String>::new());
        assert_eq!(of(None, Some(60.0), Some(30.0)), Vec::<String>::new());
        assert_eq!(of(None, None, None), ["/cooldown"]);
        assert_eq!(of(Some(1.0), Some(60.0), None), ["/cooldown"]);
        assert_eq!(of(Some(1.0), None, Some(2.0)), ["/cooldown/at_most"]);
        assert_eq!(of(Some(-1.0), None, None), ["/cooldown/seconds"]);
        assert_eq!(
            of(None, Some(900.0), None),
            ["/cooldown/temperature_celsius"]
        );
    }
}
