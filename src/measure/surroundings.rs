//! Which samples tell of the machine that a model ran on, and what they add to its figures.

use super::energy::{self, Price};
use super::participant::{labels, participants};
use super::sustained::{RateCourse, rate_change};
use crate::record::{BenchmarkResponse, EnergySummary, Location, RateChange, Samples};

/// What the machine of a backend's models was doing: what the agent there told, or this machine's own
/// samples where the server is on it; `None` where nobody knows.
pub fn samples_of<'a>(run: &'a BenchmarkResponse, backend: &str) -> Option<&'a Samples> {
    let told = run.remote_samples.iter().find(|it| it.backend == backend);
    if let Some(told) = told.filter(|it| !it.samples.items.is_empty()) {
        return Some(&told.samples);
    }
    if is_elsewhere(run, backend) {
        return None;
    }
    run.samples.as_ref()
}

/// Whether a backend's models are served by another machine than the one that measured.
pub fn is_elsewhere(run: &BenchmarkResponse, backend: &str) -> bool {
    let mut models = run.environment.models.iter();
    models.any(|it| it.backend == backend && it.location == Location::Remote)
}

/// Puts beside each model's figures what follows from the machine's: energy, and whether its rate was
/// sustained. `courses` are those of each model where its results have no chunks any more.
pub fn surround(run: &mut BenchmarkResponse, courses: &[RateCourse], price: Option<&Price>) {
    let found: Vec<(Option<EnergySummary>, Option<RateChange>)> = participants(run)
        .iter()
        .enumerate()
        .map(|(place, it)| {
            let own = RateCourse::of(it.results.iter().copied());
            let course = courses.get(place).unwrap_or(&own);
            (
                energy::summary(run, it, price),
                rate_change(run, it, course),
            )
        })
        .collect();
    for (one, (energy, change)) in run.summary.iter_mut().zip(found) {
        one.energy = energy;
        one.rate_change = change;
    }
}

/// A sentence for each model of which a part lay on the CPU after its last request.
pub fn placement_sentences(run: &BenchmarkResponse) -> Vec<String> {
    let all = participants(run);
    let placed = all.iter().zip(labels(&all)).filter_map(|(it, label)| {
        let placement = it.environment?.placement_after.as_ref()?;
        let share = placement.cpu_percent.filter(|share| *share >= 0.5)?;
        (!it.synthetic()).then(|| format!("{label}: {share:.0} % of the model was on the CPU."))
    });
    placed.collect()
}
