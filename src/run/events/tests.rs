//! What readers of a log see, early and late, quick and slow.

use futures_util::{FutureExt, StreamExt};

use super::forgetting::{MOST_BYTES, MOST_PASSING};
use super::*;
use crate::record::{RunStarted, TextArrived};

/// What happens in these tests.
#[derive(Clone, Debug, PartialEq)]
enum Happening {
    Start,
    Text(u32, String),
    End(u32),
    Over,
}

use Happening::{End, Over, Start, Text};

impl Announced for Happening {
    fn weight(&self) -> Weight {
        match self {
            Start => Weight::Lasting,
            Text(..) => Weight::Passing,
            End(_) => Weight::Stored,
            Over => Weight::Last,
        }
    }

    fn subject(&self) -> Option<u32> {
        match self {
            Text(subject, _) | End(subject) => Some(*subject),
            Start | Over => None,
        }
    }

    fn passing_bytes(&self) -> usize {
        match self {
            Text(_, text) => text.len(),
            _ => 0,
        }
    }

    fn absorb(&mut self, later: &Self) {
        if let (Text(_, text), Text(_, later)) = (self, later) {
            text.push_str(later);
        }
    }
}

fn text(subject: u32, words: &str) -> Happening {
    Text(subject, words.to_owned())
}

type Seen = Announcement<Happening>;

fn seen(events: impl IntoIterator<Item = Seen>) -> Vec<(EventId, Arc<Happening>)> {
    events.into_iter().map(|it| (it.id, it.event)).collect()
}

/// All that a reader can have now.
fn now(reader: &mut (impl Stream<Item = Seen> + Unpin)) -> Vec<Seen> {
    std::iter::from_fn(|| reader.next().now_or_never().flatten()).collect()
}

/// A text as a page shows it, which is empty when all begins.
fn shown(events: &[Seen], subject: u32) -> String {
    let mut shown = String::new();
    for event in events {
        match &*event.event {
            Start => shown.clear(),
            Text(of, text) if *of == subject => shown.push_str(text),
            _ => {}
        }
    }
    shown
}

#[tokio::test]
async fn late_and_returning_readers_see_the_same_events() {
    let log = EventLog::default();
    log.announce(Start);
    let early = log.follow(None);
    log.announce(text(0, "a"));
    log.announce(Over);
    let early = seen(early.collect::<Vec<_>>().await);
    let late = seen(log.follow(None).collect::<Vec<_>>().await);
    assert_eq!(early, late);
    assert_eq!(early.len(), 3);
    let resumed = seen(log.follow(Some(early[0].0)).collect::<Vec<_>>().await);
    assert_eq!(resumed, early[1..]);
    let unknown = EventId {
        finished: 999,
        step: 0,
    };
    let lost = seen(log.follow(Some(unknown)).collect::<Vec<_>>().await);
    assert_eq!(lost, early);
}

/// A text that has ended and one that goes on, of more events than are kept one by one, and their ids.
fn long_log() -> (EventLog<Happening>, Vec<EventId>, String) {
    let log = EventLog::default();
    let mut reader = Box::pin(log.follow(None));
    let (mut ids, mut whole) = (Vec::new(), String::new());
    for event in [Start, text(0, "gone"), End(0)] {
        log.announce(event);
    }
    for number in 0..MOST_PASSING + MOST_PASSING / 4 {
        let word = format!("{number} ");
        whole.push_str(&word);
        log.announce(text(1, &word));
        ids.extend(now(&mut reader).iter().map(|it| it.id));
    }
    (log, ids, whole)
}

#[test]
fn a_long_log_stays_bounded_and_loses_no_word_of_what_goes_on() {
    let (log, _, whole) = long_log();
    assert!(log.lock().events.len() <= MOST_PASSING + 2);
    let all = now(&mut Box::pin(log.follow(None)));
    assert_eq!(shown(&all, 1), whole);
    // Its result has it.
    assert_eq!(shown(&all, 0), "");
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
    let sent = all.iter().filter(|it| it.sent.is_some()).count();
    assert!(sent <= RECENT, "{sent} are kept as they are sent");
}

#[test]
fn who_comes_back_after_any_event_has_every_word_once() {
    let (log, ids, whole) = long_log();
    let forgotten = log.lock().forgotten;
    let words: Vec<&str> = whole.split_inclusive(' ').collect();
    // Before the first word: the start, the other text and its end.
    assert_eq!(ids.len(), words.len() + 3);
    let mut again = 0;
    for (place, id) in ids.iter().enumerate().skip(2).step_by(977) {
        let rest = now(&mut Box::pin(log.follow(Some(*id))));
        let begins = *rest[0].event == Start;
        assert_eq!(begins, *id < forgotten, "{id}");
        again += usize::from(begins);
        let before = if begins {
            ""
        } else {
            &*words[..place - 2].concat()
        };
        assert!(before.to_owned() + &shown(&rest, 1) == whole, "after {id}");
    }
    assert!((5..20).contains(&again), "{again} began again");
}

#[test]
fn a_reader_that_falls_behind_begins_again() {
    let log = EventLog::default();
    log.announce(Start);
    let mut reader = Box::pin(log.follow(None));
    log.announce(text(0, "a"));
    let mut events = now(&mut reader);
    assert_eq!(shown(&events, 0), "a");
    for _ in 0..=MOST_PASSING {
        log.announce(text(0, "b"));
    }
    events.extend(now(&mut reader));
    assert_eq!(shown(&events, 0).len(), MOST_PASSING + 2);
    let starts = events.iter().filter(|it| *it.event == Start);
    assert_eq!(starts.count(), 2);
}

#[test]
fn much_text_is_put_together_however_few_events_it_is() {
    let log = EventLog::default();
    let part = "x".repeat(MOST_BYTES / 8);
    for subject in 0..60 {
        log.announce(text(subject, &part));
        log.announce(End(subject));
    }
    let kept = log.lock();
    let bytes: usize = kept.events.iter().map(|it| it.event.passing_bytes()).sum();
    assert!(bytes <= 3 * MOST_BYTES, "{bytes} bytes are kept");
}

#[test]
fn texts_of_a_run_become_one() {
    let arrived = |text: &str, chunks| {
        RunEvent::TextArrived(TextArrived {
            request: 3,
            model_index: 1,
            text: text.into(),
            thinking: text.to_uppercase(),
            chunks,
            time_to_first_chunk: Some(0.5),
            offset: chunks as f64,
            chunks_per_second: Some(1.0 / chunks as f64),
        })
    };
    let mut whole = arrived("a", 1);
    whole.absorb(&arrived("b", 2));
    whole.absorb(&RunEvent::RunStarted(RunStarted { total_requests: 1 }));
    assert_eq!(whole, arrived("ab", 2));
}

#[test]
fn what_is_sent_is_made_once_for_all_that_keep_up() {
    let log = EventLog::default();
    let mut readers: Vec<_> = (0..3).map(|_| Box::pin(log.follow(None))).collect();
    log.announce(Start);
    let mut made = 0;
    for reader in &mut readers {
        for event in now(reader) {
            let bytes = event.as_sent(|_, _| {
                made += 1;
                Bytes::from_static(b"x")
            });
            assert_eq!(bytes, "x");
        }
    }
    assert_eq!(made, 1);
}
