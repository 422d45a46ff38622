//! Views of the history that somebody gave a name.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{FieldError, RunId};

/// What a view may ask for.
const NAMES: [&str; 10] = [
    "q", "model", "backend", "status", "tag", "from", "to", "sort", "order", "limit",
];

/// Longest name, characters.
const LONGEST_NAME: usize = 120;
/// Longest query, bytes.
const LONGEST_QUERY: usize = 4000;

/// A view to save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct NewView {
    /// A short name to find it by, 1 to 120 characters.
    #[oai(validator(
        max_length = 120,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    ))]
    pub name: String,
    /// Filters and order as the query part of the address `/history`, such as
    /// `model=llama3.2%3A1b&status=failed`. What it may hold: `q`, `model`, `backend`, `status`, `tag`,
    /// `from`, `to`, `sort`, `order`, `limit`.
    #[oai(validator(
        max_length = 4000,
        pattern = r"^((q|model|backend|status|tag|from|to|sort|order|limit)(=[!$%(-;=?-\[\]^_a-~]*)?(&(q|model|backend|status|tag|from|to|sort|order|limit)(=[!$%(-;=?-\[\]^_a-~]*)?)*)?$"
    ))]
    pub query: String,
}

/// A view that was saved. It is the link `/history?` and its query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct SavedView {
    /// Its id, 24 hexadecimal digits.
    pub id: RunId,
    /// A short name to find it by.
    pub name: String,
    /// Filters and order as the query part of the address `/history`.
    pub query: String,
    /// When it was saved, UTC.
    pub created_at: DateTime<Utc>,
}

impl NewView {
    /// Everything that is wrong with it; empty where it is fine.
    pub fn problems(&self) -> Vec<FieldError> {
        let error = |pointer: &str, message: String| FieldError {
            pointer: pointer.to_owned(),
            message,
        };
        let mut errors = Vec::new();
        if self.name.trim().is_empty() || self.name.chars().count() > LONGEST_NAME {
            let message = format!("must have 1 to {LONGEST_NAME} characters");
            errors.push(error("/name", message));
        } else if self.name.contains(char::is_control) {
            errors.push(error("/name", "must not hold control characters".into()));
        }
        let is_plain = |letter: char| letter.is_ascii_graphic() && !"\"'<>#`\\".contains(letter);
        let mut pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        let unknown = pairs.find_map(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            (!NAMES.contains(&name)).then_some(name)
        });
        if self.query.len() > LONGEST_QUERY {
            errors.push(error("/query", format!("at most {LONGEST_QUERY} bytes")));
        } else if !self.query.chars().all(is_plain) {
            let message = "must be the query part of an address: write other signs as %XX";
            errors.push(error("/query", message.into()));
        } else if let Some(name) = unknown {
            let message = format!("`{name}` is no filter; known are {}", NAMES.join(", "));
            errors.push(error("/query", message));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, query: &str, pointers: &[&str]) {
        let view = NewView {
            name: name.into(),
            query: query.into(),
        };
        let problems = view.problems();
        let found: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{name} {query}");
    }

    #[test]
    fn only_addresses_of_the_history_are_views() {
        check("all", "", &[]);
        check("slow", "model=a%40b&q=one+two&sort=total_time", &[]);
        check(" ", "cursor=7b", &["/name", "/query"]);
        check("a\nb", "q=<script>", &["/name", "/query"]);
        check("x", "q=\u{e9}", &["/query"]);
        check("x", &"q=1&".repeat(1001), &["/query"]);
    }
}
