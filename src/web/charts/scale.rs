//! Where a value lies in a drawing, and which values its axis names.

use serde::Serialize;

/// A drawing of curves, and where its axes lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Where the axis across begins.
    pub left: f64,
    /// Where it ends.
    pub right: f64,
    /// Where the axis upwards ends.
    pub top: f64,
    /// Where it begins.
    pub bottom: f64,
}

/// A linear axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// No axis names more values.
const MOST_TICKS: u32 = 100;

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
        (0..MOST_TICKS)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            .map(|value| Tick {
                at: self.at(value),
                label: words(value, step),
            })
            .collect()
    }
}

/// An axis that suits values which lie anywhere above zero.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    scale: Scale,
    kind: AxisKind,
    high: f64,
}

/// Where an axis begins and how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AxisKind {
    /// From zero, linear.
    FromZero,
    /// Linear, and around the values only: all are far from zero.
    Part,
    /// Logarithmic: some values are many times others.
    Logarithmic,
}

/// Values this many times others would leave those no room on a linear axis.
const DECADES_APART: f64 = 8.0;
/// Where the smallest is above this share of the largest, most of an axis from zero would be empty.
const FAR_FROM_ZERO: f64 = 0.4;
/// More decades than this are named by their powers alone.
const FEW_DECADES: f64 = 3.0;

impl Axis {
    /// Of values from `low` to `high`, from one place of the drawing to another.
    pub fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (kind, ends) = if low > 0.0 && high >= low * DECADES_APART {
            let room = (high / low).powf(0.03);
            let ends = ((low / room).log10(), (high * room).log10());
            (AxisKind::Logarithmic, ends)
        } else if low > high * FAR_FROM_ZERO {
            let room = ((high - low) * 0.06).max(high * 1e-3);
            (AxisKind::Part, (low - room, high + room))
        } else {
            (AxisKind::FromZero, (low.min(0.0), high))
        };
        Self {
            scale: Scale::new(ends.0, ends.1, from, to),
            kind,
            high,
        }
    }

    /// How it goes.
    pub fn kind(&self) -> AxisKind {
        self.kind
    }

    /// Where a value lies.
    pub fn at(&self, value: f64) -> f64 {
        match self.kind {
            AxisKind::Logarithmic => self.scale.at(value.log10()),
            AxisKind::FromZero | AxisKind::Part => self.scale.at(value),
        }
    }

    /// Round values, of a linear axis about `wanted`, as times or as numbers.
    pub fn ticks(&self, wanted: f64, is_time: bool) -> Vec<Tick> {
        let words = |value: f64, step: f64| {
            if is_time {
                time_label_up_to(value, step, self.high)
            } else {
                plain_label(value, step)
            }
        };
        if self.kind != AxisKind::Logarithmic {
            return self.scale.ticks(wanted, words);
        }
        let (low, high) = (self.scale.low, self.scale.high);
        round_values(low, high, high - low > FEW_DECADES)
            .map(|value| Tick {
                at: self.at(value),
                // Each in the unit that suits it: they are decades apart.
                label: if is_time {
                    time_label(value, value)
                } else {
                    plain_label(value, value)
                },
            })
            .collect()
    }
}

/// The powers of ten between two, given by their logarithms, and unless there are many also twice and five
/// times them.
pub fn round_values(low: f64, high: f64, are_many: bool) -> impl Iterator<Item = f64> {
    const DIGITS: [f64; 3] = [1.0, 2.0, 5.0];
    let digits = if are_many { &DIGITS[..1] } else { &DIGITS };
    (0..MOST_TICKS)
        .map(move |decade| 10_f64.powf(low.floor() + f64::from(decade)))
        .take_while(move |power| power.log10() <= high + 1e-7)
        .flat_map(move |power| digits.iter().map(move |digit| digit * power))
        .filter(move |value| (low - 1e-7..=high + 1e-7).contains(&value.log10()))
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

/// The same in the unit that suits the largest value, where that shows the step.
fn time_label_up_to(value: f64, step: f64, high: f64) -> String {
    let (scale, unit) = match high {
        high if high >= 1.0 => (1.0, "s"),
        high if high >= 1e-3 => (1e3, "ms"),
        _ => (1e6, "µs"),
    };
    if step * scale < 1e-3 {
        return time_label(value, step);
    }
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
        assert!(scale.at(3.0).abs() < 1e-9);
        assert!(!scale.ticks(4.0, plain_label).is_empty());
    }

    #[track_caller]
    fn labels(axis: Axis, is_time: bool) -> Vec<String> {
        let ticks = axis.ticks(4.0, is_time);
        assert!(ticks.iter().all(|tick| (0.0..=100.0).contains(&tick.at)));
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn an_axis_suits_its_values() {
        let from_zero = Axis::new(0.2, 1.0, 0.0, 100.0);
        assert_eq!(from_zero.kind(), AxisKind::FromZero);
        assert_eq!((from_zero.at(0.0), from_zero.at(1.0)), (0.0, 100.0));
        let part = Axis::new(20.05, 20.15, 0.0, 100.0);
        assert_eq!(part.kind(), AxisKind::Part);
        assert!(part.at(20.05) > 0.0 && part.at(20.15) < 100.0);
        assert_eq!(labels(part, true), ["20.05 s", "20.10 s", "20.15 s"]);
        let one = Axis::new(0.02, 0.02, 0.0, 100.0);
        assert!((one.at(0.02) - 50.0).abs() < 1e-9);
        let wide = Axis::new(0.004, 2.0, 0.0, 100.0);
        assert_eq!(wide.kind(), AxisKind::Logarithmic);
        assert_eq!(
            labels(wide, true),
            [
                "5 ms", "10 ms", "20 ms", "50 ms", "0.1 s", "0.2 s", "0.5 s", "1 s", "2 s"
            ]
        );
        let wider = Axis::new(0.5, 9000.0, 0.0, 100.0);
        assert_eq!(labels(wider, false), ["1", "10", "100", "1000", "10000"]);
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
