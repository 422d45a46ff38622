//! Numbers in sentences: with a unit, and with no more digits than the measurement supports.

/// Digits shown where nothing is known of a figure's uncertainty.
const DIGITS_WITHOUT_INTERVAL: i32 = 2;

/// Digits shown at most; no reader of a sentence needs more.
const MOST_DIGITS: i32 = 4;

/// Digits of a figure in a table: a stamp is good to about a microsecond, and a median is rarely
/// known better.
const TABLE_DIGITS: usize = 3;

/// Decimals of such a figure at most.
const MOST_DECIMALS: i32 = 6;

/// Names in a sentence at most; who wants all of them reads the table.
const MOST_NAMES: usize = 3;

/// A figure of a table with three significant digits, whole numbers as they are, in plain notation;
/// `None` where it is no number.
pub fn significant(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some("0".to_owned());
    }
    // Rounding may add a digit in front (9.996 becomes 10.0): the exponent is that of the rounded.
    let scientific = format!("{value:.*e}", TABLE_DIGITS - 1);
    let exponent = scientific.rsplit('e').next()?.parse::<i32>().ok()?;
    let last = i32::try_from(TABLE_DIGITS - 1).ok()?;
    Some(rounded(value, (last - exponent).clamp(0, MOST_DECIMALS)))
}

/// A time, in the unit that suits its size.
pub(super) fn time(seconds: f64, interval: Option<(f64, f64)>) -> String {
    let (scale, unit) = match seconds.abs() {
        size if size >= 1.0 || size <= 0.0 => (1.0, "s"),
        size if size >= 1e-3 => (1e3, "ms"),
        _ => (1e6, "µs"),
    };
    let interval = interval.map(|(low, high)| (low * scale, high * scale));
    with_interval(seconds * scale, interval, unit)
}

/// A decode rate.
pub(super) fn rate(tokens_per_second: f64, interval: Option<(f64, f64)>) -> String {
    with_interval(tokens_per_second, interval, "tokens/s")
}

/// `12.3 s (11.9 to 12.7)`, or `12 s` where there is no interval.
fn with_interval(value: f64, interval: Option<(f64, f64)>, unit: &str) -> String {
    let place = last_place(value, interval);
    let written = |number: f64| rounded(number, place);
    match interval {
        Some((low, high)) if written(low) != written(high) => {
            format!(
                "{} {unit} ({} to {})",
                written(value),
                written(low),
                written(high)
            )
        }
        _ => format!("{} {unit}", written(value)),
    }
}

/// Decimal place of the last digit that is supported: where the first digit of the interval's half
/// width stands. Positive places are behind the point.
fn last_place(value: f64, interval: Option<(f64, f64)>) -> i32 {
    let size = exponent(value);
    match interval {
        None => DIGITS_WITHOUT_INTERVAL - 1 - size,
        Some((low, high)) if high > low => {
            (-exponent((high - low) / 2.0)).clamp(-size, MOST_DIGITS - 1 - size)
        }
        Some(_) => MOST_DIGITS - 1 - size,
    }
}

/// Power of ten of the first digit.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the exponent of a double is at most 308"
)]
fn exponent(value: f64) -> i32 {
    let size = value.abs();
    if size.is_finite() && size > 0.0 {
        size.log10().floor() as i32
    } else {
        0
    }
}

/// A number rounded at a decimal place, in plain notation.
fn rounded(value: f64, place: i32) -> String {
    if place > 0 {
        let decimals = usize::try_from(place).unwrap_or(0);
        format!("{value:.decimals$}")
    } else {
        let unit = 10_f64.powi(-place);
        format!("{:.0}", (value / unit).round() * unit)
    }
}

/// A speed and its interval, new by old.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed {
    /// New by old.
    pub(super) ratio: f64,
    /// Lower end.
    pub(super) low: f64,
    /// Upper end.
    pub(super) high: f64,
}

/// A change in speed: `12 % faster (5 % to 19 %)`, or `2.4 times as fast (2.1 to 2.8)` where
/// percents would be hard to read; with the name of the old, `12 % faster than b (5 % to 19 %)`.
pub(super) fn speed_change(speed: Speed, old: Option<&str>) -> String {
    let Speed { ratio, low, high } = speed;
    let against = |word: &str| old.map_or_else(String::new, |old| format!(" {word} {old}"));
    if !(0.5..2.0).contains(&ratio) {
        let places = usize::from(ratio < 10.0) + usize::from(ratio < 1.0);
        let against = against("as");
        return format!(
            "{ratio:.places$} times as fast{against} ({low:.places$} to {high:.places$})"
        );
    }
    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
    let (word, size, mut ends) = if ratio >= 1.0 {
        ("faster", percent(ratio), [percent(low), percent(high)])
    } else {
        ("slower", -percent(ratio), [-percent(high), -percent(low)])
    };
    ends.sort_by(f64::total_cmp);
    // Whole percents, unless the interval is narrower than one.
    let place = (-exponent((ends[1] - ends[0]) / 2.0)).clamp(0, 2);
    let [size, low, high] = [size, ends[0], ends[1]].map(|number| rounded(number, place));
    let change = format!("{size} % {word}{}", against("than"));
    if low == high {
        change
    } else {
        format!("{change} ({low} % to {high} %)")
    }
}

/// `a, b and c`.
pub(super) fn list<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

/// The same of many: the first few by name.
pub(super) fn short_list<S: AsRef<str>>(words: &[S]) -> String {
    if words.len() <= MOST_NAMES + 1 {
        return list(words);
    }
    let mut named: Vec<String> = words
        .iter()
        .take(MOST_NAMES)
        .map(|word| word.as_ref().to_owned())
        .collect();
    named.push(format!("{} others", words.len() - MOST_NAMES));
    list(&named)
}

/// `1 request`, `2 requests`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The beginning of a text on one line, control characters made spaces.
pub(super) fn excerpt(text: &str, most: usize) -> String {
    let mut short: String = text
        .chars()
        .take(most)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_end_where_the_interval_begins() {
        assert_eq!(
            rate(12.345, Some((11.9, 12.7))),
            "12.3 tokens/s (11.9 to 12.7)"
        );
        assert_eq!(
            rate(432.1, Some((400.0, 470.0))),
            "430 tokens/s (400 to 470)"
        );
        assert_eq!(rate(12.345, Some((12.345, 12.345))), "12.35 tokens/s");
        assert_eq!(rate(12.345, Some((1.0, 90.0))), "10 tokens/s (0 to 90)");
    }

    #[test]
    fn without_an_interval_two_digits_are_shown() {
        assert_eq!(rate(12.345, None), "12 tokens/s");
        assert_eq!(rate(1234.5, None), "1200 tokens/s");
        assert_eq!(rate(0.0, None), "0.0 tokens/s");
    }

    #[test]
    fn times_take_the_unit_that_suits() {
        assert_eq!(time(2.34, None), "2.3 s");
        assert_eq!(time(0.2134, Some((0.2, 0.23))), "210 ms (200 to 230)");
        assert_eq!(time(0.000_042, None), "42 µs");
    }

    #[test]
    fn changes_read_as_percent_or_as_times() {
        let said = |ratio, low, high| speed_change(Speed { ratio, low, high }, None);
        assert_eq!(said(1.12, 1.05, 1.19), "12 % faster (5 % to 19 %)");
        assert_eq!(said(0.9, 0.85, 0.95), "10 % slower (5 % to 15 %)");
        assert_eq!(
            said(1.0051, 1.0046, 1.0057),
            "0.51 % faster (0.46 % to 0.57 %)"
        );
        assert_eq!(said(2.43, 2.1, 2.81), "2.4 times as fast (2.1 to 2.8)");
        assert_eq!(said(0.42, 0.38, 0.47), "0.42 times as fast (0.38 to 0.47)");
        assert_eq!(said(31.7, 28.0, 33.2), "32 times as fast (28 to 33)");
        let speed = Speed {
            ratio: 1.12,
            low: 1.05,
            high: 1.19,
        };
        assert_eq!(
            speed_change(speed, Some("b")),
            "12 % faster than b (5 % to 19 %)"
        );
    }

    #[test]
    fn lists_and_excerpts_read_well() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(excerpt("a\nb\u{1b}[0m", 3), "a b…");
        assert_eq!(count(1, "request"), "1 request");
        assert_eq!(count(3, "request"), "3 requests");
    }
}
