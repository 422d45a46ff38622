//! Figures as text: no more digits than a measurement supports, and never a number for "unknown".

use crate::measure::significant;
use crate::record::Distribution;

/// What stands where a figure cannot be known.
pub const UNKNOWN: &str = "–";

/// Three significant digits.
pub fn figure(value: f64) -> String {
    significant(value).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// A figure that may be unknown, in a unit `scale` times smaller.
pub fn optional(value: Option<f64>, scale: f64) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| figure(value * scale))
}

/// Median with its 95 % interval, else (too few values for one) with smallest and largest.
pub fn median(distribution: &Distribution, scale: f64) -> String {
    let Some(middle) = distribution.median else {
        return UNKNOWN.to_owned();
    };
    let middle = figure(middle * scale);
    let pair = |low: f64, high: f64| (figure(low * scale), figure(high * scale));
    if let (Some(low), Some(high)) = (distribution.median_low, distribution.median_high) {
        let (low, high) = pair(low, high);
        return format!("{middle} [{low} – {high}]");
    }
    match (distribution.min, distribution.max) {
        (Some(low), Some(high)) if distribution.n > 1 => {
            let (low, high) = pair(low, high);
            format!("{middle} ({low} … {high})")
        }
        _ => middle,
    }
}

/// Bytes as GB or MB, as model servers word sizes.
pub fn size(bytes: Option<u64>) -> String {
    match bytes {
        None => UNKNOWN.to_owned(),
        Some(bytes) if bytes >= 1_000_000_000 => format!("{:.1} GB", bytes as f64 / 1e9),
        Some(bytes) => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown() {
        for (value, text) in [
            (0.0, "0"),
            (99.97, "100"),
            (9.996, "10.0"),
            (0.052_34, "0.0523"),
            (1.0, "1.00"),
            (12.345, "12.3"),
            (1234.5, "1235"),
            (-0.5, "-0.500"),
            (0.000_000_1, "0.000000"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn a_median_carries_its_uncertainty() {
        let mut distribution = Distribution {
            n: 1,
            median: Some(0.05),
            min: Some(0.05),
            max: Some(0.05),
            ..Distribution::default()
        };
        assert_eq!(median(&distribution, 1.0), "0.0500");
        distribution.n = 3;
        distribution.max = Some(0.06);
        assert_eq!(median(&distribution, 1000.0), "50.0 (50.0 … 60.0)");
        (distribution.median_low, distribution.median_high) = (Some(0.049), Some(0.051));
        assert_eq!(median(&distribution, 1.0), "0.0500 [0.0490 – 0.0510]");
        assert_eq!(median(&Distribution::default(), 1.0), "–");
    }
}
