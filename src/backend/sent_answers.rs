//! What the reference server wrote down of its own sends, for whoever checks a client against it.

use std::time::Duration;

use serde::Deserialize;

use super::BackendError;
use super::http::Http;
use crate::config::Secret;

/// An answer as its sender knows it. Times are of the wall clock, since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAnswer {
    /// The prompt that it answered.
    pub prompt: String,
    /// The whole request was there.
    pub received: Duration,
    /// Each content chunk left between these two.
    pub sends: Vec<(Duration, Duration)>,
}

#[derive(Deserialize)]
struct Entry {
    body: serde_json::Value,
    received_unix_nanoseconds: Option<u64>,
    sent: Vec<f64>,
    send_began: Vec<f64>,
}

/// The answers that the reference server at `url` remembers, oldest first.
pub async fn sent_answers(url: &str) -> Result<Vec<SentAnswer>, BackendError> {
    let http = Http::new("reference", url, Secret::default(), "restart")?;
    let entries: Vec<Entry> = http.get("/reference/requests").await?;
    Ok(entries.into_iter().filter_map(Entry::into_answer).collect())
}

impl Entry {
    fn into_answer(self) -> Option<SentAnswer> {
        let received = Duration::from_nanos(self.received_unix_nanoseconds?);
        let at = |offset: f64| {
            let offset = Duration::try_from_secs_f64(offset).ok()?;
            received.checked_add(offset)
        };
        let pairs = self.send_began.into_iter().zip(self.sent);
        let sends: Option<Vec<_>> = pairs
            .map(|(began, returned)| Some((at(began)?, at(returned)?)))
            .collect();
        Some(SentAnswer {
            prompt: self.body.get("prompt")?.as_str()?.to_owned(),
            received,
            sends: sends?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn offsets_become_times_and_what_cannot_be_read_is_left_out() {
        let entry = |value: serde_json::Value| -> Option<SentAnswer> {
            serde_json::from_value::<Entry>(value).ok()?.into_answer()
        };
        let answer = entry(json!({
            "body": {"prompt": "x"}, "received_unix_nanoseconds": 1_000_000_000_u64,
            "send_began": [0.5], "sent": [0.75], "more": true,
        }));
        let ms = Duration::from_millis;
        assert_eq!(
            answer,
            Some(SentAnswer {
                prompt: "x".into(),
                received: ms(1000),
                sends: vec![(ms(1500), ms(1750))],
            })
        );
        for (began, received) in [(json!([-1.0]), json!(1)), (json!([]), json!(null))] {
            let broken = json!({
                "body": {"prompt": "x"}, "received_unix_nanoseconds": received,
                "send_began": began, "sent": [0.75],
            });
            assert_eq!(entry(broken), None);
        }
    }
}
