//! Words of the command line as values, and values as words that are safe on a terminal.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use crate::record::{KeepAlive, Think};

/// Reads one of `names` as the value that serde knows by that name.
pub fn choice<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: for<'de> Deserialize<'de> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| named::<T>(&name))
}

fn named<T: for<'de> Deserialize<'de>>(name: &str) -> Result<T, Error> {
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    T::deserialize(name)
}

/// `true`, `false` or how hard.
pub fn think(text: &str) -> Result<Think, String> {
    match text {
        "true" => Ok(Think::Flag(true)),
        "false" => Ok(Think::Flag(false)),
        level => named(level)
            .map(Think::Level)
            .map_err(|_| "must be true, false, low, medium, high or max".to_owned()),
    }
}

/// Seconds, or a duration with its unit.
pub fn keep_alive(text: &str) -> Result<KeepAlive, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(KeepAlive::Seconds(seconds)),
        Ok(_) => Err("must be finite; a negative number is for ever".to_owned()),
        Err(_) => Ok(KeepAlive::Duration(text.to_owned())),
    }
}

/// Reads seconds, as a duration that is worth timing something for.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.trim().parse().ok();
    number
        .filter(|number| (0.1..=3600.0).contains(number))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be seconds from 0.1 to 3600".to_owned())
}

/// Bytes, or a size with its unit: `500 MB` are 500,000,000 bytes, `500 MiB` 524,288,000.
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => f64::NAN,
    };
    let size = number.parse::<f64>().map(|number| number * factor);
    match size {
        // Far beyond any disk, and small enough for the conversion.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is looked at"
        )]
        Ok(size) if (1.0..=1e18).contains(&size) => Ok(size as u64),
        _ => Err("must be such as 500MB, 2GiB or 1000000".to_owned()),
    }
}

/// A moment (RFC 3339), or the beginning of a day, UTC.
pub fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || {
        text.parse::<NaiveDate>()
            .map(|day| day.and_time(NaiveTime::MIN).and_utc())
    };
    text.parse::<DateTime<Utc>>()
        .or_else(|_| day())
        .map_err(|_| "must be such as 2026-11-23 or 2026-11-23T12:00:00Z".to_owned())
}

/// The flag that sets the field at a JSON pointer.
pub fn flag_of(pointer: &str) -> String {
    let mut parts = pointer.split('/').skip(1);
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("load", None | Some("max_requests")) => "--requests".to_owned(),
        ("load", Some(field)) => format!("--{field}"),
        ("prompt" | "prompts", _) => "--prompt".to_owned(),
        ("models", _) => "--model".to_owned(),
        ("ids", _) => "ID".to_owned(),
        ("tags", _) => "--tag".to_owned(),
        ("objectives", _) => "--objective".to_owned(),
        ("cold_start", _) => "--cold".to_owned(),
        ("cooldown", _) => "--cooldown".to_owned(),
        ("synthetic", None) => "--synthetic-tokens".to_owned(),
        ("synthetic", Some(name)) => format!("--synthetic-{name}"),
        ("parameters", Some(name)) => format!("--param {name}"),
        ("parameters", None) => "--param".to_owned(),
        (name, _) => format!("--{}", name.replace('_', "-")),
    }
}

/// Writes what could drive a terminal, or turn text around, as its escape. Line breaks and tabs stay.
pub fn visible(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, character| {
            let turning = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if turning || (character.is_control() && !matches!(character, '\n' | '\t')) {
                shown.extend(character.escape_unicode());
            } else {
                shown.push(character);
            }
            shown
        })
}

/// As [`visible`], on one line and not longer than `most` characters.
pub fn brief(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = visible(&words);
    if shown.chars().count() <= most {
        return shown;
    }
    let mut short: String = shown.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ThinkLevel;

    #[test]
    fn words_become_values() {
        assert_eq!(think("false"), Ok(Think::Flag(false)));
        assert_eq!(think("high"), Ok(Think::Level(ThinkLevel::High)));
        assert!(think("hard").is_err());
        assert_eq!(keep_alive("-1"), Ok(KeepAlive::Seconds(-1.0)));
        assert_eq!(keep_alive("5m"), Ok(KeepAlive::Duration("5m".into())));
        assert!(keep_alive("inf").is_err());
        assert_eq!(bytes("1000000"), Ok(1_000_000));
        assert_eq!(bytes("1.5 GB"), Ok(1_500_000_000));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        for wrong in ["", "0", "-1", "much", "1 pint", "1e99"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(moment("2026-11-23"), moment("2026-11-23T00:00:00Z"));
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn fields_are_named_as_their_flags() {
        assert_eq!(flag_of("/models/0"), "--model");
        assert_eq!(flag_of("/parameters/top_k"), "--param top_k");
        assert_eq!(flag_of("/keep_alive"), "--keep-alive");
    }

    #[test]
    fn text_of_a_model_cannot_drive_a_terminal() {
        assert_eq!(
            visible("a\u{1b}[2J\r\u{9b}\u{202e}b\n"),
            "a\\u{1b}[2J\\u{d}\\u{9b}\\u{202e}b\n"
        );
        assert_eq!(brief("a\nb  c", 10), "a b c");
        assert_eq!(brief("abcdef", 4), "abc…");
    }
}
