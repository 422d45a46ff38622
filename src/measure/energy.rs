//! Energy from meters: of one request, and of all requests of a model together. A counter's difference
//! where there is a counter, else power over time.

use super::load::{lives, union};
use super::participant::{Participant, named_summaries};
use super::statistics::finite;
use super::surroundings::samples_of;
use super::wording::significant;
use crate::record::{BenchmarkResponse, BenchmarkResult, Energy, EnergySummary, Sample};

/// Beyond the last look the power of the last interval is taken to last, but only for so many of it.
const LOOK_AHEAD: f64 = 1.5;

const JOULES_PER_KWH: f64 = 3.6e6;

/// What a meter had counted, J, at some times, s.
type Meter = Vec<(f64, f64)>;

/// The meters of one machine.
struct Meters {
    gpus: Vec<Meter>,
    cpu: Option<Meter>,
}

impl Meters {
    fn of(samples: &[Sample]) -> Self {
        let most = samples.iter().map(|it| it.gpus.len()).max().unwrap_or(0);
        let gpu = |place: usize| {
            let of = |sample: &Sample| sample.gpus.get(place).cloned();
            counted(samples, |it| of(it)?.energy_joules)
                .or_else(|| integrated(samples, |it| of(it)?.power_watts))
        };
        Self {
            gpus: (0..most).filter_map(gpu).collect(),
            cpu: counted(samples, |it| it.cpu_energy_joules),
        }
    }

    /// Energy of graphics processors and of processors in a stretch of time, J.
    fn between(&self, from: f64, to: f64) -> (Option<f64>, Option<f64>) {
        // With one of several missing, the sum would be too small.
        let gpus = self.gpus.iter().map(|meter| used(meter, from, to));
        let gpus: Option<f64> = gpus.sum();
        let gpus = gpus.filter(|_| !self.gpus.is_empty());
        let cpu = self.cpu.as_ref().and_then(|meter| used(meter, from, to));
        (gpus, cpu)
    }

    fn is_empty(&self) -> bool {
        self.gpus.is_empty() && self.cpu.is_none()
    }
}

fn counted(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Option<Meter> {
    let points = samples.iter().filter_map(|it| Some((it.offset, of(it)?)));
    let points: Meter = points.collect();
    // A counter that went back was begun anew: nothing can be said across that.
    let is_counter = points.len() > 1 && points.windows(2).all(|pair| pair[1].1 >= pair[0].1);
    is_counter.then_some(points)
}

/// Power over time, by the trapezoidal rule.
fn integrated(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Option<Meter> {
    let points = samples.iter().filter_map(|it| Some((it.offset, of(it)?)));
    let points: Vec<(f64, f64)> = points.collect();
    let mut sum = 0.0;
    let mut meter: Meter = points
        .first()
        .map(|first| (first.0, 0.0))
        .into_iter()
        .collect();
    for pair in points.windows(2) {
        sum += (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1);
        meter.push((pair[1].0, sum));
    }
    (meter.len() > 1).then_some(meter)
}

/// What a meter counted from one time to another, J.
fn used(meter: &Meter, from: f64, to: f64) -> Option<f64> {
    finite(at(meter, to)? - at(meter, from)?)
}

/// What a meter had counted at a time, between two looks in proportion.
fn at(meter: &Meter, time: f64) -> Option<f64> {
    let next = meter.partition_point(|point| point.0 < time);
    let pair = match next {
        0 => return meter.first().filter(|first| first.0 <= time).map(|it| it.1),
        next if next < meter.len() => [meter[next - 1], meter[next]],
        _ => {
            let pair = [*meter.get(meter.len().checked_sub(2)?)?, *meter.last()?];
            let reach = LOOK_AHEAD * (pair[1].0 - pair[0].0);
            (time - pair[1].0 <= reach).then_some(pair)?
        }
    };
    let [(from, low), (to, high)] = pair;
    let share = (time - from) / (to - from);
    finite(low + share * (high - low))
}

/// Power of the machine before the run began, W.
fn idle_watts(samples: &[Sample], meters: &Meters) -> Option<f64> {
    let mut before = samples.iter().filter(|it| it.offset < 0.0);
    let from = before.next()?.offset;
    let Some(to) = before.next_back().map(|last| last.offset) else {
        // One look knows no counter's pace, but power as it was then.
        let gpus = &samples.first()?.gpus;
        let watts: Option<f64> = gpus.iter().map(|it| it.power_watts).sum();
        return watts.filter(|_| !gpus.is_empty() && meters.cpu.is_none());
    };
    let joules = total(meters.between(from, to))?;
    finite(joules / (to - from))
}

/// The sum of what is known.
fn total((gpus, cpu): (Option<f64>, Option<f64>)) -> Option<f64> {
    gpus.into_iter().chain(cpu).reduce(|a, b| a + b)
}

/// Energy of a request that was sent and ended at these times, s since the run began, from samples of
/// its machine that begin with the baseline.
pub fn energy(
    samples: &[Sample],
    from: f64,
    to: f64,
    output_tokens: Option<u64>,
) -> Option<Energy> {
    let meters = Meters::of(samples);
    let parts = meters.between(from, to);
    let joules = total(parts)?;
    let idle = idle_watts(samples, &meters);
    let net = idle.and_then(|idle| net(joules, idle * (to - from)));
    let tokens = output_tokens.filter(|tokens| *tokens > 0);
    let a_token = |joules: f64| finite(joules / tokens? as f64);
    Some(Energy {
        joules,
        gpu_joules: parts.0,
        cpu_joules: parts.1,
        net_joules: net,
        joules_per_output_token: a_token(joules),
        net_joules_per_output_token: net.and_then(a_token),
    })
}

/// What is left without the idle machine; less than a thousandth is rounding.
fn net(joules: f64, idle: f64) -> Option<f64> {
    let left = joules - idle;
    let is_nothing = left.abs() < joules / 1000.0;
    finite(if is_nothing { 0.0 } else { left })
}

/// What a kilowatt-hour costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Of a kilowatt-hour.
    pub per_kwh: f64,
    /// In what.
    pub currency: String,
}

/// Energy of a model's measured requests, from the samples of its machine; `None` where there are none.
pub(super) fn summary(
    run: &BenchmarkResponse,
    it: &Participant,
    price: Option<&Price>,
) -> Option<EnergySummary> {
    if it.synthetic() {
        return Some(unknown(
            "a scripted model takes no energy that would mean anything",
        ));
    }
    let Some(samples) = samples_of(run, it.backend) else {
        run.samples.as_ref()?;
        return Some(unknown(
            "the model is served by another machine, and no agent tells what that does",
        ));
    };
    let meters = Meters::of(&samples.items);
    if meters.is_empty() {
        return Some(unknown(
            "no meter of energy or power can be read on the model's machine",
        ));
    }
    let own: Vec<&BenchmarkResult> = measured(&it.results);
    let stretches = union(&lives(&own));
    let strangers: Vec<&BenchmarkResult> = run
        .results
        .iter()
        .filter(|one| one.model != it.model || one.backend != it.backend)
        .collect();
    let is_shared = lives(&strangers)
        .iter()
        .any(|other| stretches.iter().any(|own| overlap(*own, *other)));
    if is_shared {
        return Some(unknown("other models were working at the same time"));
    }
    let parts = stretches
        .iter()
        .map(|(from, to)| meters.between(*from, *to));
    let (mut gpus, mut cpu) = (Some(0.0), Some(0.0));
    for part in parts {
        gpus = gpus.zip(part.0).map(|(sum, one)| sum + one);
        cpu = cpu.zip(part.1).map(|(sum, one)| sum + one);
    }
    let known = (gpus.filter(|_| !meters.gpus.is_empty()), cpu);
    let Some(joules) = total(known).filter(|_| !stretches.is_empty()) else {
        return Some(unknown("the samples do not cover the requests"));
    };
    Some(figures(
        joules,
        known,
        &stretches,
        &own,
        idle_watts(&samples.items, &meters),
        price,
    ))
}

fn measured<'a>(results: &[&'a BenchmarkResult]) -> Vec<&'a BenchmarkResult> {
    let measured = results.iter().copied();
    measured
        .filter(|it| it.is_measured() && it.success)
        .collect()
}

fn unknown(reason: &str) -> EnergySummary {
    EnergySummary {
        reason: Some(reason.to_owned()),
        ..EnergySummary::default()
    }
}

fn figures(
    joules: f64,
    parts: (Option<f64>, Option<f64>),
    stretches: &[(f64, f64)],
    own: &[&BenchmarkResult],
    idle: Option<f64>,
    price: Option<&Price>,
) -> EnergySummary {
    let seconds: f64 = stretches.iter().map(|(from, to)| to - from).sum();
    let tokens = own.iter().try_fold(0, |sum: u64, it| {
        Some(sum.saturating_add(it.throughput.output_tokens?))
    });
    let tokens = tokens
        .filter(|tokens| *tokens > 0)
        .map(|tokens| tokens as f64);
    let requests = own.len() as f64;
    let net = idle.and_then(|idle| net(joules, idle * seconds));
    let cost_of = |joules: f64| price.and_then(|it| finite(joules / JOULES_PER_KWH * it.per_kwh));
    EnergySummary {
        reason: None,
        joules: Some(joules),
        gpu_joules: parts.0,
        cpu_joules: parts.1,
        seconds: Some(seconds),
        mean_watts: finite(joules / seconds),
        idle_watts: idle,
        net_joules: net,
        joules_per_output_token: tokens.and_then(|tokens| finite(joules / tokens)),
        net_joules_per_output_token: net.zip(tokens).and_then(|(net, n)| finite(net / n)),
        joules_per_request: finite(joules / requests),
        net_joules_per_request: net.and_then(|net| finite(net / requests)),
        price_per_kwh: price.map(|it| it.per_kwh),
        currency: price.map(|it| it.currency.clone()),
        cost: cost_of(joules),
        cost_per_million_output_tokens: tokens.and_then(|n| cost_of(joules / n * 1e6)),
    }
}

fn overlap(one: (f64, f64), other: (f64, f64)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// A sentence for each model whose energy is known.
pub fn energy_sentences(run: &BenchmarkResponse) -> Vec<String> {
    let known = named_summaries(run).filter_map(|(name, one)| {
        let it = one.energy.as_ref()?;
        let watts = it.mean_watts.and_then(significant)?;
        let request = it.joules_per_request.and_then(significant)?;
        let figure = |value: Option<f64>| value.and_then(significant);
        let token = figure(it.joules_per_output_token)
            .map(|joules| format!("{joules} J a token"))
            .unwrap_or_default();
        let net = figure(it.net_joules_per_output_token).zip(figure(it.idle_watts));
        let net =
            net.map(|(net, idle)| format!(" ({net} J without the {idle} W of the idle machine)"));
        let comma = if token.is_empty() { "" } else { ", " };
        let cost = figure(it.cost_per_million_output_tokens).map(|cost| {
            let currency = it.currency.as_deref().unwrap_or_default();
            format!("; a million tokens cost {cost} {currency}")
        });
        Some(format!(
            "{name}: {token}{}{comma}{request} J a request, {watts} W on average{}.",
            net.unwrap_or_default(),
            cost.unwrap_or_default(),
        ))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::fixture::{at_rates, run};
    use crate::measure::participant::participants;
    use crate::record::{GpuSample, Location, Samples};

    fn look(offset: f64, cpu_joules: Option<f64>, gpus: &[(Option<f64>, Option<f64>)]) -> Sample {
        let gpus = gpus.iter().map(|(joules, watts)| GpuSample {
            energy_joules: *joules,
            power_watts: *watts,
            ..GpuSample::default()
        });
        Sample {
            offset,
            cpu_energy_joules: cpu_joules,
            gpus: gpus.collect(),
            ..Sample::default()
        }
    }

    #[track_caller]
    fn close(found: Option<f64>, expected: f64) {
        assert!(
            found.is_some_and(|found| (found - expected).abs() < 1e-9),
            "{found:?} is not {expected}"
        );
    }

    #[test]
    fn a_counter_s_difference_is_the_energy_and_idle_power_is_taken_off() {
        // 20 W idle, then 100 W.
        let at = |offset: f64| {
            let joules = if offset < 0.0 {
                20.0 * (offset + 1.0)
            } else {
                20.0 + 100.0 * offset
            };
            look(offset, Some(joules), &[])
        };
        let samples: Vec<Sample> = [-1.0, -0.5, -0.1, 0.0, 1.0, 2.0, 3.0].map(at).to_vec();
        let found = energy(&samples, 0.5, 2.5, Some(100)).unwrap();
        close(Some(found.joules), 200.0);
        close(found.cpu_joules, 200.0);
        assert_eq!(found.gpu_joules, None);
        close(found.net_joules, 160.0);
        close(found.joules_per_output_token, 2.0);
        close(found.net_joules_per_output_token, 1.6);
        // A little beyond the last look the power goes on, further it is not known.
        close(energy(&samples, 2.5, 3.5, None).map(|it| it.joules), 100.0);
        assert_eq!(energy(&samples, 2.5, 6.0, None), None);
        assert_eq!(energy(&samples, -3.0, 1.0, None), None);
        assert_eq!(energy(&[], 0.0, 1.0, None), None);
    }

    #[test]
    fn power_is_integrated_where_there_is_no_counter() {
        let samples = [
            look(-0.2, None, &[(None, Some(50.0)), (Some(0.0), Some(1.0))]),
            look(0.0, None, &[(None, Some(50.0)), (Some(2.0), Some(1.0))]),
            look(2.0, None, &[(None, Some(150.0)), (Some(22.0), Some(1.0))]),
        ];
        let found = energy(&samples, 0.0, 2.0, Some(0)).unwrap();
        close(found.gpu_joules, 220.0);
        assert_eq!(found.joules_per_output_token, None);
        // A device whose meter is gone makes the sum unknown.
        let gone = [
            look(0.0, None, &[(Some(0.0), None), (Some(0.0), None)]),
            look(1.0, None, &[(Some(5.0), None), (Some(5.0), None)]),
            look(9.0, None, &[(Some(9.0), None), (None, None)]),
        ];
        assert_eq!(energy(&gone, 1.0, 9.0, None), None);
        assert!(energy(&gone, 0.0, 1.0, None).is_some());
    }

    fn metered(location: Location) -> BenchmarkResponse {
        let mut run = run(&["a", "b"], at_rates("a", &[10.0; 4]));
        run.results.extend(at_rates("b", &[10.0; 2]));
        for (place, result) in run.results.iter_mut().enumerate() {
            result.timing.send_offset = Some(10.0 * place as f64);
            result.timing.total_time = Some(10.0);
            result.throughput.output_tokens = Some(50);
        }
        for model in &mut run.environment.models {
            model.location = location;
            model.synthetic = false;
        }
        let items = (-10..=600).map(|tenth| {
            let offset = f64::from(tenth) / 10.0;
            look(offset, Some(30.0 * (offset + 1.0)), &[])
        });
        run.samples = Some(Samples {
            interval: 0.1,
            items: items.collect(),
            ..Samples::default()
        });
        run
    }

    #[test]
    fn a_model_s_energy_is_that_of_its_own_requests() {
        let run = metered(Location::Local);
        let price = Price {
            per_kwh: 0.36,
            currency: "EUR".into(),
        };
        let all = participants(&run);
        let found = summary(&run, &all[0], Some(&price)).unwrap();
        assert_eq!(found.reason, None);
        close(found.joules, 1200.0);
        close(found.seconds, 40.0);
        close(found.mean_watts, 30.0);
        close(found.idle_watts, 30.0);
        close(found.net_joules, 0.0);
        close(found.joules_per_output_token, 6.0);
        close(found.joules_per_request, 300.0);
        close(found.cost, 1200.0 / 3.6e6 * 0.36);
        close(found.cost_per_million_output_tokens, 0.6);
        let mut run = run.clone();
        run.summary = vec![crate::record::ModelSummaryStatistics {
            model: "a".into(),
            energy: Some(found),
            ..Default::default()
        }];
        insta::assert_snapshot!(energy_sentences(&run).join(""), @"a: 6.00 J a token (0 J without the 30.0 W of the idle machine), 300 J a request, 30.0 W on average; a million tokens cost 0.600 EUR.");
        let found = summary(&run, &all[1], None).unwrap();
        close(found.joules, 600.0);
        assert_eq!(found.cost, None);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let reason = |run: &BenchmarkResponse| {
            let found = summary(run, &participants(run)[0], None);
            found.map(|it| it.reason.unwrap_or_default())
        };
        let elsewhere = reason(&metered(Location::Remote)).unwrap();
        assert!(elsewhere.contains("another machine"), "{elsewhere}");
        let mut shared = metered(Location::Local);
        for result in &mut shared.results {
            result.timing.send_offset = Some(0.0);
        }
        assert!(reason(&shared).unwrap().contains("other models"));
        let mut without = metered(Location::Local);
        if let Some(samples) = &mut without.samples {
            samples
                .items
                .iter_mut()
                .for_each(|it| it.cpu_energy_joules = None);
        }
        assert!(reason(&without).unwrap().contains("no meter"));
        let mut short = metered(Location::Local);
        if let Some(samples) = &mut short.samples {
            samples.items.truncate(30);
        }
        assert!(reason(&short).unwrap().contains("do not cover"));
        without.samples = None;
        assert_eq!(reason(&without), None);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(
            steps in prop::collection::vec((0.01_f64..1.0, 0.0_f64..500.0), 3..60),
            cut in 0.0_f64..1.0,
        ) {
            let (mut time, mut joules) = (0.0, 0.0);
            let mut samples = vec![look(0.0, Some(0.0), &[(None, Some(10.0))])];
            for (step, watts) in steps {
                time += step;
                joules += step * watts;
                samples.push(look(time, Some(joules), &[(None, Some(watts))]));
            }
            let whole = energy(&samples, 0.0, time, None).map(|it| it.joules);
            let cut = cut * time;
            let parts = [(0.0, cut), (cut, time)].map(|(from, to)| {
                energy(&samples, from, to, None).map_or(0.0, |it| it.joules)
            });
            let whole = whole.unwrap_or_default();
            prop_assert!((parts[0] + parts[1] - whole).abs() <= 1e-6 * (1.0 + whole));
        }
    }
}
