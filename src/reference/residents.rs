//! Which models are loaded: cold starts one after another, idle models leave after their time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an unloading model is still listed, as with the real server, which answers first.
const LEAVING: Duration = Duration::from_millis(50);

/// How long a model stays after its last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// So long.
    For(Duration),
    /// Until it is told to go.
    Forever,
}

impl Default for KeepAlive {
    /// Five minutes, as with Ollama.
    fn default() -> Self {
        Self::For(Duration::from_mins(5))
    }
}

/// A loaded model, as `/api/ps` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Context that it was loaded with, tokens.
    pub context: u64,
    /// Until it leaves, if nobody asks; `None` is never.
    pub remaining: Option<Duration>,
}

/// The loaded models.
#[derive(Clone, Default)]
pub struct Residents {
    list: Arc<Mutex<List>>,
}

#[derive(Default)]
struct List {
    residents: Vec<Resident>,
    /// The last load that was begun ends then.
    loads_end: Option<Instant>,
    /// Loads so far.
    loads: u64,
}

struct Resident {
    /// Tells this load of the model from an earlier one.
    number: u64,
    name: String,
    /// Options that a change of means loading again.
    settings: String,
    context: u64,
    ready: Instant,
    active: u32,
    keep: KeepAlive,
    idle_since: Instant,
    leaving: bool,
    /// When each of its slots is free again.
    slots: Vec<Instant>,
}

impl Resident {
    fn expired(&self, now: Instant) -> bool {
        let keep = if self.leaving {
            KeepAlive::For(LEAVING)
        } else {
            self.keep
        };
        match keep {
            KeepAlive::Forever => false,
            KeepAlive::For(time) => self.active == 0 && now >= self.idle_since + time,
        }
    }
}

/// A request's hold on its model, for as long as it lives.
pub struct Stay {
    residents: Residents,
    number: u64,
    keep: KeepAlive,
    /// When the model is loaded.
    pub ready: Instant,
}

impl Stay {
    /// How long a request of so much work waits for a slot, from when the model is ready. The slot is
    /// taken for all of the work, also where the client goes away meanwhile.
    pub fn queue(&self, slots: Option<u32>, work: Duration) -> Duration {
        let Some(slots) = slots else {
            return Duration::ZERO;
        };
        let mut list = self.residents.lock();
        let mut residents = list.residents.iter_mut();
        let Some(resident) = residents.find(|it| it.number == self.number) else {
            return Duration::ZERO;
        };
        resident.slots.resize(slots as usize, self.ready);
        let Some(free) = resident.slots.iter_mut().min() else {
            return Duration::ZERO;
        };
        let begin = self.ready.max(*free);
        *free = begin + work;
        begin.saturating_duration_since(self.ready)
    }
}

impl Residents {
    /// Loads the model unless it is, with these settings, and holds it.
    pub fn enter(
        &self,
        name: &str,
        settings: &str,
        context: u64,
        load: Duration,
        keep: KeepAlive,
        now: Instant,
    ) -> Stay {
        let mut list = self.lock();
        list.residents.retain(|resident| {
            let same = resident.name == name;
            !resident.expired(now) && !(same && (resident.leaving || resident.settings != settings))
        });
        let known = list
            .residents
            .iter_mut()
            .find(|resident| resident.name == name);
        let (number, ready) = if let Some(resident) = known {
            resident.active += 1;
            (resident.number, resident.ready)
        } else {
            let begin = list.loads_end.map_or(now, |end| end.max(now));
            let ready = if load.is_zero() { now } else { begin + load };
            list.loads_end = Some(list.loads_end.map_or(ready, |end| end.max(ready)));
            list.loads += 1;
            let number = list.loads;
            list.residents.push(Resident {
                number,
                name: name.to_owned(),
                settings: settings.to_owned(),
                context,
                ready,
                active: 1,
                keep,
                idle_since: now,
                leaving: false,
                slots: Vec::new(),
            });
            (number, ready)
        };
        drop(list);
        Stay {
            residents: self.clone(),
            number,
            keep,
            ready: ready.max(now),
        }
    }

    /// Unloads a model, shortly after this was answered or after its last request.
    pub fn unload(&self, name: &str, now: Instant) {
        for resident in self
            .lock()
            .residents
            .iter_mut()
            .filter(|resident| resident.name == name)
        {
            resident.leaving = true;
            resident.idle_since = now;
        }
    }

    /// What is loaded now.
    pub fn loaded(&self, now: Instant) -> Vec<Loaded> {
        let mut list = self.lock();
        list.residents.retain(|resident| !resident.expired(now));
        let ready = list
            .residents
            .iter()
            .filter(|resident| resident.ready <= now);
        ready
            .map(|resident| Loaded {
                name: resident.name.clone(),
                context: resident.context,
                remaining: match resident.keep {
                    KeepAlive::Forever => None,
                    KeepAlive::For(time) if resident.active > 0 => Some(time),
                    KeepAlive::For(time) => {
                        Some((resident.idle_since + time).saturating_duration_since(now))
                    }
                },
            })
            .collect()
    }

    fn leave(&self, number: u64, keep: KeepAlive, now: Instant) {
        let mut list = self.lock();
        // Whoever leaves while the model still loads takes the load with him, unless another waits.
        list.residents.retain(|resident| {
            resident.number != number || resident.active != 1 || resident.ready <= now
        });
        for resident in list
            .residents
            .iter_mut()
            .filter(|resident| resident.number == number)
        {
            resident.active = resident.active.saturating_sub(1);
            resident.keep = keep;
            resident.idle_since = now;
            resident.leaving |= keep == KeepAlive::For(Duration::ZERO);
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.residents.leave(self.number, self.keep, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Duration = Duration::from_millis(400);

    fn enter(residents: &Residents, name: &str, settings: &str, now: Instant) -> Stay {
        residents.enter(name, settings, 4096, LOAD, KeepAlive::default(), now)
    }

    #[test]
    fn a_warm_model_is_ready_at_once_and_another_setting_loads_again() {
        let residents = Residents::default();
        let now = Instant::now();
        let later = now + LOAD;
        let cold = enter(&residents, "a", "", now);
        assert_eq!(cold.ready, later);
        assert!(
            residents.loaded(now).is_empty(),
            "listed only once it is loaded"
        );
        assert_eq!(enter(&residents, "a", "", later).ready, later);
        assert_eq!(
            enter(&residents, "a", "num_ctx=1", later).ready,
            later + LOAD
        );
    }

    #[test]
    fn cold_loads_wait_for_one_another() {
        let residents = Residents::default();
        let now = Instant::now();
        let _first = enter(&residents, "a", "", now);
        assert_eq!(enter(&residents, "b", "", now).ready, now + 2 * LOAD);
    }

    #[test]
    fn requests_wait_for_a_slot_in_their_order() {
        let (residents, now) = (Residents::default(), Instant::now());
        let work = Duration::from_secs(2);
        let waits = |slots: Option<u32>, now: Instant| {
            let stay = enter(&residents, "a", "", now);
            (stay.queue(slots, work).as_secs(), stay)
        };
        let stays: Vec<(u64, Stay)> = (0..5).map(|_| waits(Some(2), now)).collect();
        let told: Vec<u64> = stays.iter().map(|(wait, _)| *wait).collect();
        assert_eq!(told, [0, 0, 2, 2, 4]);
        let later = now + Duration::from_secs(5);
        assert_eq!(waits(Some(2), later).0, 0);
        assert_eq!(waits(None, now).0, 0);
    }

    #[test]
    fn a_client_that_leaves_takes_its_load_with_it() {
        let residents = Residents::default();
        let now = Instant::now();
        drop(enter(&residents, "a", "", now));
        assert!(residents.loaded(now + LOAD).is_empty());
    }

    #[test]
    fn an_unloaded_model_is_listed_a_moment_longer_and_then_is_cold() {
        let residents = Residents::default();
        let now = Instant::now();
        let stay = residents.enter("a", "", 4096, Duration::ZERO, KeepAlive::Forever, now);
        drop(stay);
        let then = Instant::now();
        assert_eq!(residents.loaded(then)[0].remaining, None);
        residents.unload("a", then);
        assert_eq!(residents.loaded(then).len(), 1);
        assert!(residents.loaded(then + LEAVING).is_empty());
        assert!(enter(&residents, "a", "", then).ready > then);
    }
}
