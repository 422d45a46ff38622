//! MongoDB Extended JSON (version 2): values that JSON has no form for stand in objects whose only
//! member begins with `$`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value};

/// Beyond this a reader that keeps numbers as doubles loses digits (2^53 − 1).
const LARGEST_SAFE: u64 = (1 << 53) - 1;

/// Digits of the shortest whole number that the relaxed form tells the type of.
pub const SHORTEST_TYPED: usize = 16;

/// Writes a time. MongoDB keeps milliseconds; what is finer is cut off.
pub fn write_time(out: &mut Vec<u8>, time: DateTime<Utc>, is_canonical: bool) {
    let milliseconds = time.timestamp_millis();
    // The relaxed form is for the years 1970 to 9999.
    let is_readable = (0..253_402_300_800_000).contains(&milliseconds);
    let text = if is_readable && !is_canonical {
        let cut = DateTime::from_timestamp_millis(milliseconds).unwrap_or(time);
        let text = cut.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!(r#"{{"$date":"{text}"}}"#)
    } else {
        format!(r#"{{"$date":{{"$numberLong":"{milliseconds}"}}}}"#)
    };
    out.extend_from_slice(text.as_bytes());
}

/// The type that a number of JSON has in the canonical form, and in the relaxed one where plain digits
/// would lose something; `None` where they do not.
pub fn number_type(digits: &[u8], is_canonical: bool) -> Option<&'static str> {
    let is_integer = digits
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'-');
    if !is_integer {
        return is_canonical.then_some("$numberDouble");
    }
    if !is_canonical && digits.len() < SHORTEST_TYPED {
        return None;
    }
    let value = std::str::from_utf8(digits)
        .ok()
        .and_then(|it| it.parse::<i64>().ok());
    match value {
        // BSON knows no unsigned numbers.
        None => Some("$numberDecimal"),
        Some(value) if !is_canonical => {
            (value.unsigned_abs() > LARGEST_SAFE).then_some("$numberLong")
        }
        Some(value) if i32::try_from(value).is_ok() => Some("$numberInt"),
        Some(_) => Some("$numberLong"),
    }
}

/// A value with plain JSON in place of numbers, times and ids; anything else stays as it is.
pub fn plain(value: Value) -> Value {
    convert(value, &|name, inner| match name {
        "$oid" | "$symbol" => inner.is_string().then(|| inner.clone()),
        "$date" => date(inner).map(Value::String),
        _ => number(name, inner),
    })
}

/// A value with plain JSON in place of numbers only.
pub fn with_plain_numbers(value: Value) -> Value {
    convert(value, &number)
}

fn convert(value: Value, known: &dyn Fn(&str, &Value) -> Option<Value>) -> Value {
    match value {
        Value::Object(members) => {
            if let (1, Some((name, inner))) = (members.len(), members.iter().next())
                && let Some(plain) = known(name, inner)
            {
                return plain;
            }
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(name, inner)| (name, convert(inner, known)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| convert(item, known)).collect())
        }
        other => other,
    }
}

fn number(name: &str, inner: &Value) -> Option<Value> {
    let text = inner.as_str()?;
    let number = match name {
        "$numberInt" | "$numberLong" => Number::from(text.parse::<i64>().ok()?),
        "$numberDouble" => Number::from_f64(text.parse().ok()?)?,
        // Of these there are only whole ones that no other type holds.
        "$numberDecimal" => Number::from(text.parse::<u64>().ok()?),
        _ => return None,
    };
    Some(Value::Number(number))
}

/// RFC 3339 of a date: text, or milliseconds since 1970 as a number or as a 64-bit one.
fn date(inner: &Value) -> Option<String> {
    let milliseconds = match inner {
        Value::String(text) => return Some(text.clone()),
        Value::Number(number) => number.as_i64()?,
        Value::Object(members) => members.get("$numberLong")?.as_str()?.parse().ok()?,
        _ => return None,
    };
    let time = DateTime::from_timestamp_millis(milliseconds)?;
    Some(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
