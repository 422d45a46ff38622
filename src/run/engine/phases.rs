//! In which order the requests of a phase go out, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::Walker;
use crate::measure;
use crate::record::{
    BenchmarkResult, Load, LoadStage, MOST_STREAMS, RunEvent, Stage, StageStarted,
};
use crate::run::plan::{self, Phase, Step};
use crate::run::sweep;

/// So long before its time a request of an open loop is begun, so that its connection stands when
/// its time has come.
const LEAD: Duration = Duration::from_millis(20);

impl Walker {
    /// Sends the requests of one phase and waits until all have ended.
    pub(super) async fn walk(&self, phase: usize) {
        let job = Arc::clone(&self.job);
        match &job.plan.phases[phase] {
            Phase::Lanes(lanes) => {
                let mut all = JoinSet::new();
                for lane in lanes {
                    let (walker, lane) = (self.clone(), lane.clone());
                    let walk = async move {
                        walker.one_after_another(&lane).await;
                    };
                    all.spawn(walk.in_current_span());
                }
                all.join_all().await;
            }
            Phase::Users {
                users,
                steps,
                duration,
            } => {
                let end = duration.and_then(|duration| Instant::now().checked_add(duration));
                self.users(*users, Arc::new(steps.clone()), 0, end).await;
            }
            Phase::Schedule(steps) => self.schedule(steps, None).await,
            Phase::Sweep { model, load } => self.sweep(*model, load).await,
            Phase::UntilDecided { budget } => self.until_decided(*budget).await,
        }
    }

    /// Sends steps one at a time; `false` where no more shall be sent.
    async fn one_after_another(&self, steps: &[Step]) -> bool {
        for step in steps {
            if !self.send(step, None).await {
                return false;
            }
        }
        true
    }

    /// Each user takes the next step when its last has ended; after `end` none of them begins, but for
    /// the `first` ones.
    async fn users(&self, users: usize, steps: Arc<Vec<Step>>, first: usize, end: Option<Instant>) {
        let next = Arc::new(AtomicUsize::new(0));
        let mut all = JoinSet::new();
        for _ in 0..users.min(steps.len()) {
            let (walker, steps, next) = (self.clone(), Arc::clone(&steps), Arc::clone(&next));
            let walk = async move {
                let may_begin =
                    |number| number < first || end.is_none_or(|end| Instant::now() < end);
                while may_begin(next.load(Ordering::Relaxed))
                    && let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed))
                    && walker.send(step, None).await
                {}
            };
            all.spawn(walk.in_current_span());
        }
        all.join_all().await;
        self.leave_out(steps.len().saturating_sub(next.load(Ordering::Relaxed)));
    }

    /// Requests that will not be sent, because their time is over.
    fn leave_out(&self, unsent: usize) {
        if !self.job.cancel.is_cancelled() {
            self.job.forgo(unsent);
        }
    }

    /// Sends each step at its time. Where too many go on it waits for one to end: it is then sent
    /// late, and says so. It ends where `limit` of them go on at once.
    async fn schedule(&self, steps: &[(Duration, Step)], limit: Option<usize>) {
        let places = Arc::new(Semaphore::new(MOST_STREAMS as usize));
        let begin = Instant::now();
        let mut all = JoinSet::new();
        for (number, (offset, step)) in steps.iter().enumerate() {
            let Some(start) = begin.checked_add(*offset) else {
                break;
            };
            let due = start + LEAD;
            tokio::select! {
                () = tokio::time::sleep_until(start.into()) => {}
                () = self.job.cancel.cancelled() => break,
            }
            if limit.is_some_and(|limit| self.instrument.in_flight() >= limit) {
                self.leave_out(steps.len() - number);
                break;
            }
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let (walker, step) = (self.clone(), step.clone());
            let send = async move {
                walker.send(&step, Some(due)).await;
                drop(place);
            };
            all.spawn(send.in_current_span());
            while all.try_join_next().is_some() {}
        }
        all.join_all().await;
    }

    /// Models take turns until it is sure which of them is fastest.
    async fn until_decided(&self, budget: u32) {
        let plan = &self.job.plan;
        let mut found: Vec<Vec<BenchmarkResult>> = vec![Vec::new(); plan.models.len()];
        let mut done = 0;
        for look in plan::looks(budget) {
            let first = self.next_index.load(Ordering::Relaxed);
            let steps = plan::turns(plan, done + 1, look, first);
            let requests = u32::try_from(steps.len()).unwrap_or(u32::MAX);
            self.next_index.fetch_add(requests, Ordering::Relaxed);
            self.job.plan_more(requests);
            if !self.one_after_another(&steps).await {
                return;
            }
            done = look;
            for result in self.take_kept() {
                let model = plan
                    .models
                    .iter()
                    .position(|it| it.name == result.model && it.backend == result.backend);
                if let Some(results) = model.and_then(|model| found.get_mut(model)) {
                    results.push(result);
                }
            }
            let sets: Vec<Vec<&BenchmarkResult>> = found
                .iter()
                .map(|results| results.iter().collect())
                .collect();
            if measure::is_decided(&sets) {
                return;
            }
        }
    }

    /// One request at a time, then rates until the server has fallen behind and it is known where.
    async fn sweep(&self, model: usize, load: &Load) {
        let objectives = self.job.request.parsed_objectives();
        let mut stages: Vec<LoadStage> = Vec::new();
        loop {
            let rate = match stages.as_slice() {
                [] => None,
                before => match sweep::next_rate(before) {
                    None => break,
                    rate => rate,
                },
            };
            let stage = Stage {
                number: u32::try_from(stages.len()).unwrap_or(u32::MAX),
                requests_per_second: rate,
            };
            let requests = sweep::requests(load, rate);
            self.job.plan_more(requests);
            let first = self.next_index.fetch_add(requests, Ordering::Relaxed);
            let prompts = self.job.plan.prompts.len();
            let steps = plan::steps(model, prompts, requests, first, Some(stage));
            self.job.log.announce(RunEvent::StageStarted(StageStarted {
                model_index: u32::try_from(model).unwrap_or(u32::MAX),
                stage: stage.number,
                requests_per_second: rate,
            }));
            match rate {
                None => {
                    let duration = Duration::from_secs_f64(load.stage_duration());
                    let end = Instant::now().checked_add(duration);
                    let fewest = sweep::fewest_alone(load);
                    self.users(1, Arc::new(steps), fewest, end).await;
                }
                Some(rate) => {
                    let limit = measure::most_in_flight(rate, &stages);
                    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                    let steps: Vec<_> = plan::constant(rate).zip(steps).collect();
                    self.schedule(&steps, Some(limit)).await;
                }
            }
            if self.job.cancel.is_cancelled() {
                break;
            }
            let results = self.take_kept();
            stages.push(measure::load_stage(stage, results, &objectives, &stages));
        }
    }
}
