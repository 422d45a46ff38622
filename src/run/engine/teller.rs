//! Announces text as it comes, no faster than anybody reads.

use std::time::Duration;

use crate::backend::stream::News;
use crate::record::{RunEvent, TextArrived};
use crate::run::events::EventLog;
use crate::run::plan::Step;

/// Chunks that come faster than this are told in one event; where many requests go on, so many times
/// slower, since nobody reads faster. Only the telling is slowed down.
const TELL_INTERVAL: Duration = Duration::from_millis(20);

/// Tells of one request.
pub(super) struct Teller<'a> {
    log: &'a EventLog,
    pending: TextArrived,
    first: Option<Duration>,
    told: Option<Duration>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(step: &Step, log: &'a EventLog) -> Self {
        let pending = TextArrived {
            request: step.index,
            model_index: u32::try_from(step.model).unwrap_or(u32::MAX),
            text: String::new(),
            thinking: String::new(),
            chunks: 0,
            time_to_first_chunk: None,
            offset: 0.0,
            chunks_per_second: None,
        };
        Self {
            log,
            pending,
            first: None,
            told: None,
        }
    }

    /// `others` went on when the request was sent.
    pub(super) fn hear(&mut self, others: usize, news: &News<'_>) {
        let streams = u32::try_from(others + 1).unwrap_or(u32::MAX);
        let interval = TELL_INTERVAL.saturating_mul(streams);
        let first = *self.first.get_or_insert(news.at);
        let pending = &mut self.pending;
        pending.text.push_str(news.text);
        pending.thinking.push_str(news.thinking);
        pending.chunks += 1;
        pending.time_to_first_chunk = Some(first.as_secs_f64());
        pending.offset = news.at.as_secs_f64();
        let span = news.at.saturating_sub(first).as_secs_f64();
        pending.chunks_per_second =
            (pending.chunks > 1 && span > 0.0).then(|| (pending.chunks - 1) as f64 / span);
        if self
            .told
            .is_none_or(|told| news.at.saturating_sub(told) >= interval)
        {
            self.told = Some(news.at);
            self.tell();
        }
    }

    pub(super) fn tell(&mut self) {
        if self.pending.text.is_empty() && self.pending.thinking.is_empty() {
            return;
        }
        self.log
            .announce(RunEvent::TextArrived(self.pending.clone()));
        self.pending.text.clear();
        self.pending.thinking.clear();
    }
}
