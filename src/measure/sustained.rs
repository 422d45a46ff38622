//! Burst against sustained: whether a model's decode rate changed for good in the course of a run, and
//! what changed beside it. Requests that went on together are left out: they slow each other down.

use super::participant::{Participant, named_summaries};
use super::statistics::{median, sorted};
use super::surroundings::samples_of;
use super::wording::{list, significant};
use crate::record::{BenchmarkResponse, BenchmarkResult, RateChange, Sample};

/// Decode rate is taken over stretches of so long at least, s: shorter ones tell jitter.
const STRETCH: f64 = 1.0;

/// And of so many gaps at least.
const GAPS: usize = 4;

/// Fewest stretches on each side of a change: with fewer a level is a guess.
const FEWEST: usize = 6;

/// Pettitt's test is asked once for each model of a run: one in a hundred is rare enough.
const CHANCE: f64 = 0.01;

/// A change by less than this share is of no use to anybody.
const SMALLEST: f64 = 0.05;

/// A clock that changes by more than this share is no jitter.
const CLOCK: f64 = 0.05;

/// A temperature that changes by more than this is no jitter, °C.
const WARMER: f64 = 5.0;

/// A model server that uses less than this share of what it used before was kept from working.
const SERVER_LESS: f64 = 0.85;

/// A reason that holds in this share more of the time after than before came with the change.
const MORE_OFTEN: f64 = 0.3;

/// The decode rate of one model over a run: when, s since it began, and tokens/s.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateCourse {
    points: Vec<(f64, f64)>,
}

impl RateCourse {
    /// Takes in a request, as long as its chunks are there.
    pub fn add(&mut self, result: &BenchmarkResult) {
        let counts = result.success && result.is_measured() && !result.contended;
        let chunks = result.chunks.as_ref().filter(|_| counts);
        if let Some((send, chunks)) = result.timing.send_offset.zip(chunks) {
            let tokens = result.throughput.output_tokens;
            // A chunk may hold several tokens.
            let a_chunk = tokens.map_or(1.0, |tokens| {
                tokens as f64 / (chunks.offsets.len().max(1)) as f64
            });
            self.points
                .extend(stretches(&chunks.offsets, send, a_chunk));
        }
    }

    /// The course of these requests.
    pub(super) fn of<'a>(results: impl IntoIterator<Item = &'a BenchmarkResult>) -> Self {
        let mut course = Self::default();
        results.into_iter().for_each(|result| course.add(result));
        course
    }
}

/// Rates of the stretches of one request; what is left at its end belongs to the last.
fn stretches(offsets: &[f64], send: f64, a_chunk: f64) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    let mut first = 0;
    for place in 1..offsets.len() {
        let (time, gaps) = (offsets[place] - offsets[first], place - first);
        let rest = offsets.last().map_or(0.0, |last| last - offsets[place]);
        let is_last = place + 1 == offsets.len();
        if gaps >= GAPS && time > 0.0 && (is_last || (time >= STRETCH && rest >= STRETCH)) {
            let middle = send + f64::midpoint(offsets[first], offsets[place]);
            found.push((middle, gaps as f64 * a_chunk / time));
            first = place;
        }
    }
    found
}

/// Where the level of a series changes, and how probable as great a change is by chance, by Pettitt's
/// test (A. N. Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 28,
/// 1979). The place is that of the first value of the new level.
fn change_point(values: &[f64]) -> Option<(usize, f64)> {
    let n = values.len();
    if n < 2 * FEWEST {
        return None;
    }
    let ranks = ranks(values);
    let middle = f64::midpoint(n as f64, 1.0);
    // U(t) = 2 · (sum of the first t ranks) − t · (n + 1).
    let mut sum = 0.0;
    let mut best: Option<(usize, f64)> = None;
    for (place, rank) in ranks.iter().enumerate() {
        sum += rank - middle;
        let size = (2.0 * sum).abs();
        let is_inside = (FEWEST..=n - FEWEST).contains(&(place + 1));
        if is_inside && best.is_none_or(|(_, most)| size > most) {
            best = Some((place + 1, size));
        }
    }
    let (place, size) = best?;
    let n = n as f64;
    let p = 2.0 * (-6.0 * size * size / (n * n * n + n * n)).exp();
    Some((place, p.min(1.0)))
}

/// Ranks from 1, equal values sharing theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let equal = order[from..]
            .iter()
            .take_while(|place| values[**place].total_cmp(&values[order[from]]).is_eq())
            .count();
        let shared = f64::midpoint((from + 1) as f64, (from + equal) as f64);
        for place in &order[from..from + equal] {
            ranks[*place] = shared;
        }
        from += equal;
    }
    ranks
}

/// Where the decode rate of a model changed for good; `None` where it did not.
pub(super) fn rate_change(
    run: &BenchmarkResponse,
    it: &Participant,
    course: &RateCourse,
) -> Option<RateChange> {
    let mut points = course.points.clone();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rates: Vec<f64> = points.iter().map(|point| point.1).collect();
    let (place, p_value) = change_point(&rates)?;
    let level = |rates: &[f64]| median(&sorted(rates));
    let (burst, sustained) = (level(&rates[..place])?, level(&rates[place..])?);
    let share = sustained / burst - 1.0;
    if p_value >= CHANCE || !share.is_finite() || share.abs() < SMALLEST {
        return None;
    }
    let offset = points[place].0;
    let samples = samples_of(run, it.backend).map(|it| it.items.as_slice());
    Some(RateChange {
        offset,
        burst_tokens_per_second: burst,
        sustained_tokens_per_second: sustained,
        change_percent: 100.0 * share,
        p_value,
        beside: beside(samples.unwrap_or_default(), it.backend, points[0].0, offset),
    })
}

/// What changed of the machine between the time before and the time after.
fn beside(samples: &[Sample], backend: &str, from: f64, at: f64) -> Vec<String> {
    let (before, after): (Vec<&Sample>, Vec<&Sample>) = samples
        .iter()
        .filter(|sample| sample.offset >= from)
        .partition(|sample| sample.offset < at);
    let compared = Sides {
        before: &before,
        after: &after,
    };
    let mut found = Vec::new();
    found.extend(compared.clock("the processor's clock", |it| it.frequency_max_mhz));
    found.extend(compared.temperature("the processor", |it| it.cpu_temperature_celsius));
    let gpus = samples.iter().map(|it| it.gpus.len()).max().unwrap_or(0);
    for place in 0..gpus {
        let name = if gpus > 1 {
            format!("GPU {place}")
        } else {
            "the GPU".to_owned()
        };
        found.extend(compared.clock(&format!("the clock of {name}"), |it| {
            it.gpus.get(place)?.clock_mhz
        }));
        found.extend(compared.temperature(&name, |it| it.gpus.get(place)?.temperature_celsius));
        found.extend(compared.reasons(&name, place));
    }
    if let Some((old, new)) = compared.medians(|it| it.other_cpu_percent)
        && new - old > 10.0
    {
        found.push(format!(
            "other programs took {new:.0} % of the processor instead of {old:.0} %"
        ));
    }
    if let Some((old, new)) = compared.medians(|it| it.server(backend)?.cpu_percent)
        && new < SERVER_LESS * old
    {
        found.push(format!(
            "the model server used {new:.0} % of the processor instead of {old:.0} %"
        ));
    }
    found
}

struct Sides<'a> {
    before: &'a [&'a Sample],
    after: &'a [&'a Sample],
}

impl Sides<'_> {
    fn medians(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<(f64, f64)> {
        let side = |samples: &[&Sample]| {
            let values: Vec<f64> = samples.iter().filter_map(|it| of(it)).collect();
            median(&sorted(&values))
        };
        side(self.before).zip(side(self.after))
    }

    fn clock(&self, what: &str, of: impl Fn(&Sample) -> Option<f64>) -> Option<String> {
        let (old, new) = self.medians(of)?;
        let word = if new < old { "fell" } else { "rose" };
        ((new - old).abs() > CLOCK * old)
            .then(|| format!("{what} {word} from {old:.0} to {new:.0} MHz"))
    }

    fn temperature(&self, what: &str, of: impl Fn(&Sample) -> Option<f64>) -> Option<String> {
        let (old, new) = self.medians(of)?;
        let word = if new < old { "cooled" } else { "warmed" };
        ((new - old).abs() > WARMER).then(|| format!("{what} {word} from {old:.0} to {new:.0} °C"))
    }

    fn reasons(&self, what: &str, place: usize) -> Option<String> {
        let share = |samples: &[&Sample], reason: &str| {
            let known: Vec<bool> = samples
                .iter()
                .filter_map(|it| it.gpus.get(place)?.throttle_reasons.as_ref())
                .map(|reasons| reasons.iter().any(|it| it == reason))
                .collect();
            let set = known.iter().filter(|is_set| **is_set).count();
            set as f64 / known.len().max(1) as f64
        };
        let mut names: Vec<&str> = self
            .after
            .iter()
            .filter_map(|it| it.gpus.get(place)?.throttle_reasons.as_ref())
            .flatten()
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        let came: Vec<String> = names
            .into_iter()
            .filter(|name| *name != "gpu_idle")
            .filter(|name| share(self.after, name) - share(self.before, name) > MORE_OFTEN)
            .map(throttle_words)
            .collect();
        let came: Vec<&str> = came.iter().map(String::as_str).collect();
        (!came.is_empty()).then(|| format!("{what} was held down by {}", list(&came)))
    }
}

/// A reason for a low clock in words.
pub fn throttle_words(reason: &str) -> String {
    match reason {
        "gpu_idle" => "having nothing to do",
        "applications_clocks_setting" | "user_defined_clocks" => "the clocks that were set for it",
        "sw_power_cap" | "pl1" | "pl2" | "pl4" => "its limit of power",
        "hw_slowdown" => "its hardware (heat or power)",
        "hw_thermal_slowdown" | "sw_thermal_slowdown" | "thermal" | "prochot" | "ratl" => "heat",
        "hw_power_brake_slowdown" => "the power supply's brake",
        "sync_boost" => "another GPU that it keeps pace with",
        "display_clock_setting" => "the clock of a display",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

/// A sentence for each model whose rate was not sustained.
pub fn rate_change_sentences(run: &BenchmarkResponse) -> Vec<String> {
    let changed =
        named_summaries(run).filter_map(|(name, one)| Some((name, one.rate_change.as_ref()?)));
    changed.map(|(name, change)| words(&name, change)).collect()
}

/// The change in a sentence.
pub(super) fn words(label: &str, change: &RateChange) -> String {
    let word = if change.change_percent < 0.0 {
        "fell"
    } else {
        "rose"
    };
    let figure = |value: f64| significant(value).unwrap_or_else(|| "–".to_owned());
    let beside = if change.beside.is_empty() {
        "no clock, temperature or other load that was sampled changed with it".to_owned()
    } else {
        change.beside.join(", ")
    };
    format!(
        "{label}: after {} s its decode rate {word} from {} to {} tokens/s ({:+.0} %): {beside}",
        figure(change.offset),
        figure(change.burst_tokens_per_second),
        figure(change.sustained_tokens_per_second),
        change.change_percent,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::fixture::{result, run};
    use crate::measure::participant::participants;
    use crate::record::{Chunks, GpuSample, Location, Samples};

    /// A request of `count` chunks at a rate, sent at a time.
    fn request(send: f64, rate: f64, count: u32) -> BenchmarkResult {
        let offsets: Vec<f64> = (0..count).map(|n| 0.1 + f64::from(n) / rate).collect();
        let mut found = result("a", 0.1, 1.0 / rate);
        found.timing.send_offset = Some(send);
        found.throughput.output_tokens = Some(u64::from(count) * 2);
        found.chunks = Some(Chunks {
            sizes: vec![4; offsets.len()],
            offsets,
        });
        found
    }

    fn throttled() -> BenchmarkResponse {
        let results = (0..20).map(|place| {
            let rate = if place < 9 { 20.0 } else { 15.0 };
            request(
                f64::from(place) * 5.0,
                rate + f64::from(place % 3) * 0.1,
                40,
            )
        });
        let mut run = run(&["a"], results.collect());
        run.environment.models[0].location = Location::Local;
        run.environment.models[0].synthetic = false;
        let items = (0..400).map(|quarter| {
            let offset = f64::from(quarter) / 4.0;
            let is_hot = offset > 45.0;
            let gpu = GpuSample {
                clock_mhz: Some(if is_hot { 1500.0 } else { 2500.0 }),
                temperature_celsius: Some(if is_hot { 86.0 } else { 70.0 }),
                throttle_reasons: Some(if is_hot {
                    vec!["sw_thermal_slowdown".to_owned()]
                } else {
                    Vec::new()
                }),
                ..GpuSample::default()
            };
            Sample {
                offset,
                frequency_max_mhz: Some(4000.0),
                gpus: vec![gpu],
                ..Sample::default()
            }
        });
        run.samples = Some(Samples {
            interval: 0.25,
            items: items.collect(),
            ..Samples::default()
        });
        run
    }

    fn change(run: &BenchmarkResponse) -> Option<RateChange> {
        rate_change(run, &participants(run)[0], &RateCourse::of(&run.results))
    }

    #[test]
    fn a_rate_that_falls_with_the_clock_is_found_and_explained() {
        let found = change(&throttled()).unwrap();
        assert!((45.0..48.0).contains(&found.offset), "{found:?}");
        assert!(
            (found.burst_tokens_per_second - 40.2).abs() < 0.5,
            "{found:?}"
        );
        assert!((found.sustained_tokens_per_second - 30.2).abs() < 0.5);
        insta::assert_snapshot!(words("a", &found), @"a: after 45.6 s its decode rate fell from 40.2 to 30.2 tokens/s (-25 %): the clock of the GPU fell from 2500 to 1500 MHz, the GPU warmed from 70 to 86 °C, the GPU was held down by heat");
    }

    #[test]
    fn where_nothing_else_changed_that_is_said() {
        let mut run = throttled();
        run.samples = None;
        let found = change(&run).unwrap();
        assert_eq!(found.beside, Vec::<String>::new());
        assert!(words("a", &found).ends_with("changed with it"));
    }

    #[test]
    fn a_level_rate_or_a_short_run_has_no_change() {
        let steady: Vec<BenchmarkResult> = (0..20)
            .map(|place| request(f64::from(place) * 5.0, 20.0 + f64::from(place % 5), 40))
            .collect();
        assert_eq!(change(&run(&["a"], steady)), None);
        let mut short = throttled();
        short.results.drain(..4);
        short.results.truncate(4);
        assert_eq!(change(&short), None);
        // Requests beside others are slow for another reason.
        let mut shared = throttled();
        shared.results.iter_mut().for_each(|it| it.contended = true);
        assert_eq!(change(&shared), None);
    }

    #[test]
    fn one_long_answer_has_a_course_too() {
        let mut offsets = vec![0.0];
        for place in 0..600 {
            let gap = if place < 300 { 0.05 } else { 0.1 };
            offsets.push(offsets[place] + gap);
        }
        let found = stretches(&offsets, 2.0, 1.0);
        assert_eq!(found.len(), 44);
        assert!((found[0].1 - 20.0).abs() < 1.0 && (found[43].1 - 10.0).abs() < 0.5);
        let (place, p) = change_point(&found.iter().map(|it| it.1).collect::<Vec<_>>()).unwrap();
        assert!((14..=16).contains(&place) && p < 0.001, "{place} {p}");
    }

    proptest! {
        #[test]
        fn values_without_order_rarely_have_a_change(seed in prop::collection::vec(0.0_f64..1.0, 40..60)) {
            // Whatever the values, the test gives a probability and a place with both sides filled.
            let (place, p) = change_point(&seed).unwrap();
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!(place >= FEWEST && seed.len() - place >= FEWEST);
        }
    }
}
