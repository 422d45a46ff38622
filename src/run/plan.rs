//! Pure: from a request to the requests that are sent, in order.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::synthetic;
use crate::record::{BenchmarkRequest, Execution, Load, LoadPattern, ModelName, Stage};

/// One request to one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Place in the plan, from 0.
    pub index: u32,
    /// Which model of the run, from 0.
    pub model: usize,
    /// Which prompt of the run, from 0.
    pub prompt: usize,
    /// Which repetition of this prompt and model, from 1.
    pub repetition: u32,
    /// Sent to warm up.
    pub warmup: bool,
    /// Stage of a sweep.
    pub stage: Option<Stage>,
}

/// Requests whose order in time is ruled in one way.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Lanes run side by side, the steps of a lane one after another.
    Lanes(Vec<Vec<Step>>),
    /// Closed loop: users share the steps; each takes the next one when its last has ended.
    Users {
        /// How many.
        users: usize,
        /// What they send, in order.
        steps: Vec<Step>,
        /// After so long none begins.
        duration: Option<Duration>,
    },
    /// Open loop: each step has its time since the phase began, whatever became of the others.
    Schedule(Vec<(Duration, Step)>),
    /// Stages at rising rates; what is sent in each follows from what came of those before.
    Sweep {
        /// Which model of the run, from 0.
        model: usize,
        /// How long its stages are.
        load: Load,
    },
    /// Models take turns until it is sure which is fastest, or each has had so many repetitions.
    UntilDecided {
        /// Most repetitions of each model and prompt.
        budget: u32,
    },
}

impl Phase {
    fn len(&self) -> usize {
        match self {
            Self::Lanes(lanes) => lanes.iter().map(Vec::len).sum(),
            Self::Users { steps, .. } => steps.len(),
            Self::Schedule(steps) => steps.len(),
            Self::Sweep { .. } | Self::UntilDecided { .. } => 0,
        }
    }
}

/// Phases of requests, one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The models, in the order of the request.
    pub models: Vec<ModelName>,
    /// The prompts, in the order of the request.
    pub prompts: Vec<String>,
    /// What is sent.
    pub phases: Vec<Phase>,
}

impl Plan {
    /// The plan of a request that was found valid.
    pub fn new(request: &BenchmarkRequest, models: Vec<ModelName>) -> Self {
        let given = request.all_prompts().into_iter().map(str::to_owned);
        let prompts: Vec<String> = match &request.synthetic {
            Some(synthetic) => synthetic::prompts(synthetic),
            None => given.collect(),
        };
        let mut counter = Counter { next: 0 };
        let phases = match &request.load {
            None if request.until_decided => {
                let mut warmups = Vec::new();
                for model in 0..models.len() {
                    counter.warmups(request, model, &mut warmups);
                }
                let budget = request.repetitions;
                vec![Phase::Lanes(vec![warmups]), Phase::UntilDecided { budget }]
            }
            None => vec![Phase::Lanes(lanes(
                request,
                models.len(),
                // Of a live session each step is the whole of it.
                if request.live_turns().is_some() {
                    1
                } else {
                    prompts.len()
                },
                &mut counter,
            ))],
            Some(load) => (0..models.len())
                .flat_map(|model| under_load(request, load, model, prompts.len(), &mut counter))
                .collect(),
        };
        Self {
            models,
            prompts,
            phases,
        }
    }

    /// Requests in all, but for those that follow from what came before them.
    pub fn total(&self) -> u32 {
        u32::try_from(self.phases.iter().map(Phase::len).sum::<usize>()).unwrap_or(u32::MAX)
    }
}

fn lanes(
    request: &BenchmarkRequest,
    models: usize,
    prompts: usize,
    counter: &mut Counter,
) -> Vec<Vec<Step>> {
    let all: Vec<usize> = (0..models).collect();
    match request.execution {
        Execution::Sequential => {
            let mut lane = Vec::new();
            for model in all {
                counter.warmups(request, model, &mut lane);
                counter.measured(request, &[model], prompts, &mut lane);
            }
            vec![lane]
        }
        Execution::Interleaved => {
            let mut lane = Vec::new();
            for model in &all {
                counter.warmups(request, *model, &mut lane);
            }
            counter.measured(request, &all, prompts, &mut lane);
            vec![lane]
        }
        Execution::Concurrent => all
            .into_iter()
            .map(|model| {
                let mut lane = Vec::new();
                counter.warmups(request, model, &mut lane);
                counter.measured(request, &[model], prompts, &mut lane);
                lane
            })
            .collect(),
    }
}

/// A model's warm-up, one request after another, and then its load.
fn under_load(
    request: &BenchmarkRequest,
    load: &Load,
    model: usize,
    prompts: usize,
    counter: &mut Counter,
) -> [Phase; 2] {
    let mut warmups = Vec::new();
    counter.warmups(request, model, &mut warmups);
    if load.pattern == LoadPattern::Sweep {
        let sweep = Phase::Sweep {
            model,
            load: load.clone(),
        };
        return [Phase::Lanes(vec![warmups]), sweep];
    }
    let requests = load.requests().unwrap_or_default();
    let steps = steps(model, prompts, requests, counter.next, None);
    counter.next += requests;
    let phase = match load.pattern {
        LoadPattern::Closed => Phase::Users {
            users: load.concurrency.unwrap_or(1) as usize,
            steps,
            duration: load.duration.map(Duration::from_secs_f64),
        },
        _ => Phase::Schedule(times(load).zip(steps).collect()),
    };
    [Phase::Lanes(vec![warmups]), phase]
}

/// Measured requests to one model, which take the prompts in turn. `first` is the index of the first.
pub fn steps(
    model: usize,
    prompts: usize,
    requests: u32,
    first: u32,
    stage: Option<Stage>,
) -> Vec<Step> {
    let prompts = u32::try_from(prompts).unwrap_or(u32::MAX).max(1);
    (0..requests)
        .map(|number| Step {
            index: first.saturating_add(number),
            model,
            prompt: (number % prompts) as usize,
            repetition: number / prompts + 1,
            warmup: false,
            stage,
        })
        .collect()
}

/// When requests at a constant rate are meant to be sent, since the first could be.
pub fn constant(rate: f64) -> impl Iterator<Item = Duration> {
    (0_u32..).map(move |number| {
        Duration::try_from_secs_f64(f64::from(number) / rate).unwrap_or(Duration::MAX)
    })
}

/// When requests are meant to be sent, since the first could be.
fn times(load: &Load) -> Box<dyn Iterator<Item = Duration>> {
    let rate = load.rate.filter(|rate| *rate > 0.0).unwrap_or(1.0);
    if load.pattern == LoadPattern::Poisson {
        Box::new(random(rate, load.seed))
    } else {
        Box::new(constant(rate))
    }
}

/// The same for a Poisson process.
fn random(rate: f64, seed: u64) -> impl Iterator<Item = Duration> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = 0.0_f64;
    std::iter::repeat_with(move || {
        // Its gaps are -ln(1 - u) / rate. 1 - u is never 0.
        let uniform: f64 = random.random();
        at -= (1.0 - uniform).ln() / rate;
        Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX)
    })
}

/// After how many repetitions it is asked whether it is decided: from the fewest that an interval
/// needs on, each time about four tenths more.
pub fn looks(budget: u32) -> Vec<u32> {
    let mut looks = Vec::new();
    let mut next = f64::from(FEWEST);
    while next < f64::from(budget) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below the budget"
        )]
        looks.push(next as u32);
        next *= std::f64::consts::SQRT_2;
    }
    looks.push(budget);
    looks
}

const FEWEST: u32 = 5;

/// The repetitions `from` to `to`, both included, of all models in turns (A B B A …). `first` is the
/// index of the first.
pub fn turns(plan: &Plan, from: u32, to: u32, first: u32) -> Vec<Step> {
    let all: Vec<usize> = (0..plan.models.len()).collect();
    let mut counter = Counter { next: first };
    let mut steps = Vec::new();
    counter.turns(&all, plan.prompts.len(), from..=to, &mut steps);
    steps
}

struct Counter {
    next: u32,
}

impl Counter {
    fn push(
        &mut self,
        lane: &mut Vec<Step>,
        model: usize,
        prompt: usize,
        repetition: u32,
        warmup: bool,
    ) {
        lane.push(Step {
            index: self.next,
            model,
            prompt,
            repetition,
            warmup,
            stage: None,
        });
        self.next += 1;
    }

    fn warmups(&mut self, request: &BenchmarkRequest, model: usize, lane: &mut Vec<Step>) {
        for repetition in 1..=request.warmup {
            self.push(lane, model, 0, repetition, true);
        }
    }

    /// Models take turns forwards, then backwards (A B B A …): a drift of the machine then
    /// weighs on all of them alike.
    fn measured(
        &mut self,
        request: &BenchmarkRequest,
        models: &[usize],
        prompts: usize,
        lane: &mut Vec<Step>,
    ) {
        self.turns(models, prompts, 1..=request.repetitions, lane);
    }

    fn turns(
        &mut self,
        models: &[usize],
        prompts: usize,
        repetitions: RangeInclusive<u32>,
        lane: &mut Vec<Step>,
    ) {
        // Each repetition turns round once for each prompt.
        let before = u64::from(repetitions.start().saturating_sub(1)) * prompts as u64;
        let mut forwards = before.is_multiple_of(2);
        for repetition in repetitions {
            for prompt in 0..prompts {
                for turn in 0..models.len() {
                    let turn = if forwards {
                        turn
                    } else {
                        models.len() - 1 - turn
                    };
                    self.push(lane, models[turn], prompt, repetition, false);
                }
                forwards = !forwards;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(execution: Execution, warmup: u32, repetitions: u32) -> Vec<String> {
        let mut request = BenchmarkRequest::new("x", vec!["a".into(), "b".into()]);
        request.execution = execution;
        request.warmup = warmup;
        request.repetitions = repetitions;
        let models = ["a", "b"].map(|name| name.parse().unwrap()).to_vec();
        let plan = Plan::new(&request, models);
        assert_eq!(plan.total(), 2 * (warmup + repetitions));
        let [Phase::Lanes(lanes)] = plan.phases.as_slice() else {
            panic!("one phase of lanes");
        };
        lanes
            .iter()
            .map(|lane| {
                let name = |step: &Step| {
                    format!(
                        "{}{}",
                        if step.warmup { "w" } else { "" },
                        ["a", "b"][step.model]
                    )
                };
                lane.iter().map(name).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn each_execution_has_its_order() {
        assert_eq!(order(Execution::Sequential, 1, 2), ["wa a a wb b b"]);
        assert_eq!(order(Execution::Interleaved, 1, 3), ["wa wb a b b a a b"]);
        assert_eq!(order(Execution::Concurrent, 1, 2), ["wa a a", "wb b b"]);
    }

    #[test]
    fn turns_go_on_where_the_last_look_left_them() {
        let mut request = BenchmarkRequest::new("x", vec!["a".into(), "b".into()]);
        request.execution = Execution::Interleaved;
        request.warmup = 1;
        request.repetitions = 8;
        request.prompts = vec!["y".into(), "z".into()];
        let models = ["a", "b"].map(|name| name.parse().unwrap()).to_vec();
        let whole = Plan::new(&request, models.clone());
        let [Phase::Lanes(lanes)] = whole.phases.as_slice() else {
            panic!("{:?}", whole.phases);
        };
        request.until_decided = true;
        let plan = Plan::new(&request, models);
        assert_eq!((plan.total(), plan.phases.len()), (2, 2));
        assert_eq!(looks(8), [5, 7, 8]);
        let mut steps = turns(&plan, 1, 5, 2);
        steps.extend(turns(&plan, 6, 7, 32));
        steps.extend(turns(&plan, 8, 8, 44));
        assert_eq!(steps, lanes[0][2..]);
    }

    #[test]
    fn looks_lie_ever_further_apart_and_end_with_the_budget() {
        assert_eq!(looks(100), [5, 7, 10, 14, 20, 28, 40, 56, 80, 100]);
        assert_eq!(looks(5), [5]);
        assert_eq!(looks(2), [2]);
    }

    #[test]
    fn every_prompt_is_repeated() {
        let mut request = BenchmarkRequest::new("x", vec!["a".into()]);
        request.prompts = vec!["y".into()];
        request.repetitions = 2;
        let plan = Plan::new(&request, vec!["a".parse().unwrap()]);
        let [Phase::Lanes(lanes)] = plan.phases.as_slice() else {
            panic!("one phase of lanes");
        };
        let prompts: Vec<usize> = lanes[0].iter().map(|step| step.prompt).collect();
        assert_eq!(prompts, [0, 1, 0, 1]);
    }

    fn loaded(load: Load) -> Plan {
        let mut request = BenchmarkRequest::new("x", vec!["a".into(), "b".into()]);
        request.prompts = vec!["y".into()];
        request.warmup = 2;
        request.load = Some(load);
        Plan::new(
            &request,
            ["a", "b"].map(|name| name.parse().unwrap()).to_vec(),
        )
    }

    #[test]
    fn models_are_worked_one_after_another() {
        let plan = loaded(Load {
            concurrency: Some(4),
            max_requests: Some(5),
            duration: Some(1.5),
            ..Load::default()
        });
        assert_eq!(plan.total(), 14);
        let [
            Phase::Lanes(warm),
            Phase::Users {
                users,
                steps,
                duration,
            },
            _,
            last,
        ] = plan.phases.as_slice()
        else {
            panic!("{:?}", plan.phases);
        };
        assert_eq!(
            (warm[0].len(), *users, *duration),
            (2, 4, Some(Duration::from_millis(1500)))
        );
        let sent: Vec<_> = steps.iter().map(|it| (it.prompt, it.repetition)).collect();
        assert_eq!(sent, [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3)]);
        let Phase::Users { steps, .. } = last else {
            panic!("{last:?}");
        };
        assert!(steps.iter().all(|it| it.model == 1 && !it.warmup));
        assert_eq!(steps.last().unwrap().index, 13);
    }

    fn offsets(pattern: LoadPattern, seed: u64, requests: u32) -> Vec<f64> {
        let load = Load {
            pattern,
            rate: Some(50.0),
            max_requests: Some(requests),
            seed,
            ..Load::default()
        };
        let plan = loaded(load);
        let Phase::Schedule(steps) = &plan.phases[1] else {
            panic!("{:?}", plan.phases);
        };
        steps.iter().map(|(at, _)| at.as_secs_f64()).collect()
    }

    #[test]
    fn a_constant_rate_has_equal_intervals() {
        assert_eq!(
            offsets(LoadPattern::Constant, 0, 4),
            [0.0, 0.02, 0.04, 0.06]
        );
    }

    /// The gaps of a Poisson process are exponential: their mean is that of the rate, their
    /// deviation equal to it, and a share of e⁻¹ is longer.
    #[test]
    fn random_arrivals_are_those_of_a_poisson_process() {
        let times = offsets(LoadPattern::Poisson, 7, 20_000);
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n).sqrt();
        let longer = gaps.iter().filter(|gap| **gap > 0.02).count() as f64 / n;
        assert!((mean / 0.02 - 1.0).abs() < 0.03, "{mean}");
        assert!((deviation / 0.02 - 1.0).abs() < 0.05, "{deviation}");
        assert!((longer - (-1.0_f64).exp()).abs() < 0.02, "{longer}");
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        assert_eq!(times, offsets(LoadPattern::Poisson, 7, 20_000));
        assert_ne!(times[..9], offsets(LoadPattern::Poisson, 8, 9));
    }
}
