//! Where a value lies in a drawing, and which values its axis names.

use serde::Serialize;

/// A linear axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// A value that an axis names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tick {
    /// Where, in units of the drawing.
    pub at: f64,
    /// The value in words.
    pub label: String,
}

impl Scale {
    /// Puts `low` at `from` and `high` at `to`.
    pub fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self {
            low,
            high,
            from,
            to,
        }
    }

    /// Where a value lies, to a tenth of a unit; values beyond the ends lie at the ends.
    pub fn at(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        tenths(self.from + share * (self.to - self.from))
    }

    /// Round values from the axis's low end to its high end, about `wanted` of them, each in words.
    pub fn ticks(&self, wanted: f64, words: impl Fn(f64, f64) -> String) -> Vec<Tick> {
        let step = nice_step((self.high - self.low) / wanted);
        let first = (self.low / step).ceil();
        (0..)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            .map(|value| Tick {
                at: self.at(value),
                label: words(value, step),
            })
            .collect()
    }
}

/// Drawings need no finer places than this.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The smallest of 1, 2, 5, 10, 20, … (and their tenths) that is not below `rough`.
pub fn nice_step(rough: f64) -> f64 {
    if !rough.is_finite() || rough <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

/// A tick of a time axis: all ticks in the unit of the step's size, the unit with each.
pub fn time_label(value: f64, step: f64) -> String {
    let (scale, unit) = match step {
        step if step >= 0.1 => (1.0, "s"),
        step if step >= 0.000_1 => (1e3, "ms"),
        _ => (1e6, "µs"),
    };
    format!("{} {unit}", plain_label(value * scale, step * scale))
}

/// A tick with as many decimals as the step has.
pub fn plain_label(value: f64, step: f64) -> String {
    let decimals = match step {
        step if step >= 1.0 => 0,
        step if step >= 0.1 => 1,
        step if step >= 0.01 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let scale = Scale::new(0.0, 1.7, 100.0, 270.0);
        let ticks = scale.ticks(4.0, time_label);
        let words: Vec<(f64, &str)> = ticks
            .iter()
            .map(|tick| (tick.at, tick.label.as_str()))
            .collect();
        assert_eq!(
            words,
            [
                (100.0, "0.0 s"),
                (150.0, "0.5 s"),
                (200.0, "1.0 s"),
                (250.0, "1.5 s")
            ]
        );
    }

    #[test]
    fn an_axis_without_extent_still_works() {
        let scale = Scale::new(3.0, 3.0, 0.0, 10.0);
        assert_eq!(scale.at(3.0), 0.0);
        assert!(!scale.ticks(4.0, plain_label).is_empty());
    }

    #[test]
    fn steps_are_nice() {
        for (rough, step) in [
            (0.3, 0.5),
            (1.0, 1.0),
            (1.1, 2.0),
            (7.0, 10.0),
            (0.0, 1.0),
            (f64::NAN, 1.0),
        ] {
            assert!((nice_step(rough) - step).abs() < 1e-12, "{rough}");
        }
    }

    #[test]
    fn labels_name_the_unit() {
        assert_eq!(time_label(0.02, 0.005), "20 ms");
        assert_eq!(time_label(0.000_02, 0.000_005), "20 µs");
        assert_eq!(time_label(20.0, 5.0), "20 s");
    }
}
