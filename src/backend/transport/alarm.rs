//! When to give up waiting. One timer a request: re-arming it for every chunk would cost more than
//! reading the chunk.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use super::{Deadlines, TransportError};

/// Longer than anybody waits, and short enough to be added to any moment.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// Is done, with the reason, when nothing has come for too long or the whole takes too long.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    deadlines: Deadlines,
    sent: Instant,
    /// When something of the body came; a head alone says nothing of the model, which may still be loading.
    newest: Option<Instant>,
}

impl Alarm {
    /// For an answer to what was sent then.
    pub(super) fn new(sent: Instant, deadlines: Deadlines) -> Self {
        let mut alarm = Self {
            sleep: Box::pin(sleep_until(sent.into())),
            deadlines,
            sent,
            newest: None,
        };
        let due = alarm.due().0;
        alarm.sleep.as_mut().reset(due.into());
        alarm
    }

    /// Something came at this moment. Where it rings meanwhile, it finds that it was too early.
    pub(super) fn postpone(&mut self, at: Instant) {
        if self.newest.replace(at).is_none() {
            // The first byte may have been waited for until later than the next one is.
            let due = self.due().0;
            self.sleep.as_mut().reset(due.into());
        }
    }

    fn due(&self) -> (Instant, TransportError) {
        let Deadlines {
            first_byte,
            idle,
            total,
            ..
        } = self.deadlines;
        let whole = self.sent + total.min(FOREVER);
        let (silent, error) = match self.newest {
            None => (
                self.sent + first_byte.min(FOREVER),
                TransportError::FirstByte(first_byte),
            ),
            Some(newest) => (newest + idle.min(FOREVER), TransportError::Idle(idle)),
        };
        if whole <= silent {
            (whole, TransportError::Total(total))
        } else {
            (silent, error)
        }
    }
}

impl Future for Alarm {
    type Output = TransportError;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportError> {
        loop {
            ready!(self.sleep.as_mut().poll(context));
            let (due, error) = self.due();
            if Instant::now() >= due {
                return Poll::Ready(error);
            }
            self.sleep.as_mut().reset(due.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn alarm(first_byte: Duration, idle: Duration, total: Duration) -> (Alarm, Instant) {
        let sent = Instant::now();
        let deadlines = Deadlines {
            connect: MS,
            first_byte,
            idle,
            total,
        };
        (Alarm::new(sent, deadlines), sent)
    }

    #[tokio::test]
    async fn before_anything_came_a_silence_may_be_as_long_as_the_first_byte_may_take() {
        let (alarm, sent) = alarm(60 * MS, MS, Duration::MAX);
        let error = alarm.await;
        assert!(matches!(error, TransportError::FirstByte(_)), "{error}");
        assert!(sent.elapsed() >= 60 * MS);
    }

    #[tokio::test]
    async fn it_rings_when_nothing_came_for_too_long() {
        let (mut alarm, sent) = alarm(MS, 50 * MS, Duration::MAX);
        alarm.postpone(sent);
        tokio::time::sleep(20 * MS).await;
        let newest = Instant::now();
        alarm.postpone(newest);
        let error = alarm.await;
        assert!(matches!(error, TransportError::Idle(_)), "{error}");
        assert!(newest.elapsed() >= 50 * MS && sent.elapsed() >= 70 * MS);
    }

    #[tokio::test]
    async fn what_was_waited_for_before_the_first_byte_is_not_waited_for_after_it() {
        let (mut alarm, sent) = alarm(Duration::MAX, 50 * MS, Duration::MAX);
        alarm.postpone(sent);
        let error = alarm.await;
        assert!(matches!(error, TransportError::Idle(_)), "{error}");
    }

    #[tokio::test]
    async fn it_rings_at_the_end_of_all_time_however_much_comes() {
        let (mut alarm, sent) = alarm(MS, Duration::MAX, 60 * MS);
        alarm.postpone(Instant::now() + 40 * MS);
        let error = alarm.await;
        assert!(matches!(error, TransportError::Total(_)), "{error}");
        assert!(sent.elapsed() >= 60 * MS);
    }
}
