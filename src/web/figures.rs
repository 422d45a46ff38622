//! Numbers as pages show them: three significant digits, a unit, and `–` for what is not known.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use minijinja::Environment;

use super::glossary;
use crate::measure;

/// What stands for an unknown figure.
pub const UNKNOWN: &str = "–";
/// Between a number and its unit: they stay on one line.
const GAP: char = '\u{a0}';

/// Makes the figures' words known to templates as filters.
pub fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("seconds", seconds);
    environment.add_filter("percent", percent);
    environment.add_filter("number", number);
    environment.add_filter("rate", rate);
    environment.add_filter("ratio", ratio);
    environment.add_filter("size", size);
    environment.add_filter("gibibytes", |amount: Option<f64>| with_unit(amount, "GiB"));
    environment.add_filter("megahertz", |clock: Option<f64>| with_unit(clock, "MHz"));
    environment.add_filter("grouped", grouped);
    environment.add_filter("utc", |stamp: Option<String>| utc(stamp.as_deref()));
    environment.add_filter("excerpt", excerpt);
    environment.add_filter("metric", glossary::title);
    environment.add_filter("meaning", meaning);
    environment.add_filter("figure", figure);
    environment.add_filter("words", |name: &str| name.replace('_', " "));
}

/// A number with three significant digits.
pub fn significant(value: f64) -> String {
    measure::significant(value).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// A number without a unit.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), significant)
}

fn with_unit(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(
        || UNKNOWN.to_owned(),
        |value| format!("{}{GAP}{unit}", significant(value)),
    )
}

/// The unit that suits a time, and by what to multiply seconds for it.
fn time_unit(seconds: f64) -> (f64, &'static str) {
    match seconds.abs() {
        size if size >= 0.9995 || size <= 0.0 => (1.0, "s"),
        size if size >= 0.000_999_5 => (1e3, "ms"),
        _ => (1e6, "µs"),
    }
}

/// A time: `123 ms`, `4.56 s`, `2 min 5 s`.
pub fn seconds(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return UNKNOWN.to_owned();
    };
    if value.abs() < 59.95 {
        let (scale, unit) = time_unit(value);
        return with_unit(Some(value * scale), unit);
    }
    let whole = value.round();
    let (hours, minutes) = ((whole / 3600.0).floor(), (whole % 3600.0 / 60.0).floor());
    if hours > 0.0 {
        format!("{hours:.0}{GAP}h {minutes:.0}{GAP}min")
    } else {
        format!("{minutes:.0}{GAP}min {:.0}{GAP}s", whole % 60.0)
    }
}

/// A rate such as `85.3 tokens/s`.
pub fn rate(value: Option<f64>, unit: &str) -> String {
    with_unit(value, unit)
}

/// A value of a figure that is named: a time or a rate.
pub fn figure(value: Option<f64>, name: &str) -> String {
    if name == "bytes_per_second" {
        rate(value, "B/s")
    } else if name.ends_with("_per_second") {
        rate(value, "tokens/s")
    } else {
        seconds(value)
    }
}

/// What a figure means. A template that asks for one that is not known is wrong.
fn meaning(name: &str) -> Result<&'static str, minijinja::Error> {
    let kind = minijinja::ErrorKind::InvalidOperation;
    glossary::meaning(name)
        .ok_or_else(|| minijinja::Error::new(kind, format!("there is no figure {name}")))
}

/// A share.
pub fn percent(value: Option<f64>) -> String {
    with_unit(value, "%")
}

/// A size in decimal units, as model servers state it.
fn size(bytes: Option<f64>) -> String {
    match bytes {
        Some(bytes) if bytes < 999.5 => with_unit(Some(bytes), "B"),
        Some(bytes) if bytes < 999.5e3 => with_unit(Some(bytes / 1e3), "kB"),
        Some(bytes) if bytes < 999.5e6 => with_unit(Some(bytes / 1e6), "MB"),
        bytes => with_unit(bytes.map(|bytes| bytes / 1e9), "GB"),
    }
}

/// How many times as much.
pub fn ratio(value: Option<f64>) -> String {
    value.map_or_else(
        || UNKNOWN.to_owned(),
        |value| format!("{}×", significant(value)),
    )
}

/// A whole number with its thousands apart.
fn grouped(value: Option<u64>) -> String {
    let Some(value) = value else {
        return UNKNOWN.to_owned();
    };
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A time of day as it is stored, in UTC.
fn utc(stamp: Option<&str>) -> String {
    stamp
        .and_then(|text| text.parse::<DateTime<Utc>>().ok())
        .map_or_else(
            || UNKNOWN.to_owned(),
            |stamp| stamp.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        )
}

/// The beginning of a text, on one line.
pub fn excerpt(text: &str, most: usize) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        let gap = if words.is_empty() { "" } else { " " };
        let _ = write!(words, "{gap}{word}");
        if words.chars().count() > most {
            let cut: String = words.chars().take(most).collect();
            return format!("{}…", cut.trim_end());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1234.6, "1235"),
            (123.4, "123"),
            (99.96, "100"),
            (12.34, "12.3"),
            (9.999, "10.0"),
            (1.234, "1.23"),
            (0.1234, "0.123"),
            (0.01234, "0.0123"),
            (0.001_234, "0.00123"),
            (-4.567, "-4.57"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(significant(value), text, "{value}");
        }
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (value, text) in [
            (None, "–"),
            (Some(0.0), "0 s"),
            (Some(0.000_045_6), "45.6 µs"),
            (Some(0.001_23), "1.23 ms"),
            (Some(0.123), "123 ms"),
            (Some(0.999_7), "1.00 s"),
            (Some(12.34), "12.3 s"),
            (Some(59.97), "1 min 0 s"),
            (Some(125.2), "2 min 5 s"),
            (Some(3_725.0), "1 h 2 min"),
        ] {
            assert_eq!(seconds(value).replace('\u{a0}', " "), text, "{value:?}");
        }
    }

    #[test]
    fn excerpts_are_one_line() {
        assert_eq!(excerpt("one\n two   three", 20), "one two three");
        assert_eq!(excerpt("one two three", 8), "one two…");
        assert_eq!(excerpt("äöüß", 2), "äö…");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(Some(1_234_567)), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(Some(12)), "12");
        assert_eq!(grouped(None), "–");
    }
}
