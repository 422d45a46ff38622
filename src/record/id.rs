//! Run ids: 24 hexadecimal digits, laid out as a MongoDB ObjectId.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Deserialize, Serialize};

/// An id of 24 lower-case hexadecimal digits: 4 bytes of seconds since 1970, 5 random bytes of
/// this process, a 3-byte counter (the BSON specification's ObjectId), so ids sort by time and
/// need no translation for MongoDB.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl Example for RunId {
    fn example() -> Self {
        Self("6742f0a1c3d2e1f0a9b8c7d6".to_owned())
    }
}

/// A text that is no id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an id: an id is 24 hexadecimal digits")]
pub struct InvalidId(String);

impl RunId {
    /// What an id looks like, as a regular expression; letters of either case are taken.
    pub const PATTERN: &str = "^[0-9a-fA-F]{24}$";

    /// A new id for something that happens at `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let process = PROCESS.get_or_init(rand::random) & 0xff_ffff_ffff;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xff_ffff;
        let seconds = u32::try_from(now.timestamp()).unwrap_or_default();
        Self(format!("{seconds:08x}{process:010x}{count:06x}"))
    }

    /// The id's digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidId(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Type for RunId {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            pattern: Some(Self::PATTERN.to_owned()),
            example: Self::example().to_json(),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(self.as_raw_value().into_iter())
    }
}

impl ParseFromJSON for RunId {
    fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
        let value = value.unwrap_or_default();
        let text = value.as_str().map(str::to_owned);
        let text = text.ok_or_else(|| ParseError::expected_type(value))?;
        text.parse().map_err(ParseError::custom)
    }
}

impl ToJSON for RunId {
    fn to_json(&self) -> Option<serde_json::Value> {
        Some(self.0.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_sort_by_time() {
        let earlier = RunId::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default());
        let later = RunId::new(DateTime::from_timestamp(1_700_000_001, 0).unwrap_or_default());
        assert!(earlier < later);
        assert_ne!(RunId::new(Utc::now()), RunId::new(Utc::now()));
        assert_eq!(earlier.as_str().len(), 24);
        assert_eq!(earlier.as_str().parse::<RunId>().ok(), Some(earlier));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "abc",
            "zzzzzzzzzzzzzzzzzzzzzzzz",
            "6742f0a1c3d2e1f0a9b8c7d6a",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
