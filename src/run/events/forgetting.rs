//! What a log forgets, so that it stays bounded however long a run is and however slowly it is read.
//!
//! Texts of requests that have finished go whole: their result follows, with all of it. Those of a request
//! that goes on become one, so that who reads from the start still gets every word. Of machines and pauses
//! only the newest tell anything.

use std::collections::{HashMap, HashSet};
use std::mem::discriminant;
use std::sync::Arc;

use super::{Announced, Kept, Weight};

/// Events of text, samples and pauses that a log keeps one by one.
pub(super) const MOST_PASSING: usize = 20_000;
/// Bytes of text that come until some of it is put together.
pub(super) const MOST_BYTES: usize = 16 << 20;

impl<E: Announced> Kept<E> {
    /// Forgets the older half of what may be forgotten, where there is too much of it.
    pub(super) fn forget_some(&mut self) {
        if self.passing <= MOST_PASSING && self.bytes <= MOST_BYTES {
            return;
        }
        let is_passing = |event: &E| event.weight() == Weight::Passing;
        let places = self.events.iter().enumerate();
        let mut passing = places.filter(|(_, it)| is_passing(&it.event));
        let Some((last, _)) = passing.nth((self.passing / 2).saturating_sub(1)) else {
            return;
        };
        let mut one_of_each = self.put_together(last);
        let mut place = 0;
        self.events.retain_mut(|kept| {
            let here = place;
            place += 1;
            kept.sent = None;
            if here > last || !is_passing(&kept.event) {
                return true;
            }
            let whole = one_of_each.remove(&here);
            let stays = whole.is_some();
            if let Some(whole) = whole {
                kept.event = Arc::new(whole);
            }
            self.forgotten = kept.id;
            stays
        });
        self.passing = self
            .events
            .iter()
            .filter(|it| is_passing(&it.event))
            .count();
        self.bytes = 0;
        self.times += 1;
    }

    /// What stays of the passing events up to a place, by the place of the last of each kind and subject.
    fn put_together(&self, last: usize) -> HashMap<usize, E> {
        let finished: HashSet<u32> = self
            .events
            .iter()
            .filter(|it| it.event.weight() == Weight::Stored)
            .filter_map(|it| it.event.subject())
            .collect();
        let mut found = HashMap::new();
        for (place, kept) in self.events.iter().enumerate().take(last + 1) {
            let event = &kept.event;
            let Some(subject) = event.subject().filter(|it| !finished.contains(it)) else {
                continue;
            };
            if event.weight() == Weight::Passing {
                found
                    .entry((discriminant(event.as_ref()), subject))
                    .and_modify(|(at, whole): &mut (usize, E)| {
                        *at = place;
                        whole.absorb(event);
                    })
                    .or_insert_with(|| (place, E::clone(event)));
            }
        }
        found.into_values().collect()
    }
}
