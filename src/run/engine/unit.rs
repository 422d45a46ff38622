//! A step of a plan that becomes several requests, each of which follows from what came of those before it.
//! Who knows what is asked is not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::{Asked, Finished, Job, Labels, Walker};
use crate::backend::Backend;
use crate::backend::stream::News;
use crate::record::{BenchmarkResult, SessionStep};
use crate::run::plan::Step;

/// Such a step on its way.
pub struct Unit {
    walker: Walker,
    step: Step,
    has_begun: AtomicBool,
}

impl Walker {
    /// Begins a step that becomes several requests.
    pub fn unit(&self, step: &Step) -> Unit {
        Unit {
            walker: self.clone(),
            step: step.clone(),
            has_begun: AtomicBool::new(false),
        }
    }
}

impl Unit {
    /// The step of the plan.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// The run that it belongs to.
    pub fn job(&self) -> &Arc<Job> {
        &self.walker.job
    }

    /// How a request of it is marked.
    pub fn labels<'a>(&self, prompt: &'a str, session_step: Option<&'a SessionStep>) -> Labels<'a> {
        Labels {
            prompt,
            session_step,
            repetition: self.step.repetition,
            warmup: self.step.warmup,
            contended: self.walker.job.is_contended(),
            ..Labels::default()
        }
    }

    /// Sends a request of it; `hear` is told of each chunk. Its result goes to those of the run, too.
    pub async fn send(
        &self,
        asked: &Asked<'_>,
        backend: &dyn Backend,
        cancel: &CancellationToken,
        hear: &mut (dyn FnMut(&News<'_>) + Send),
    ) -> BenchmarkResult {
        let walker = &self.walker;
        let mut step = self.step.clone();
        // The plan has counted one request.
        if self.has_begun.swap(true, Ordering::Relaxed) {
            step.index = walker.next_index.fetch_add(1, Ordering::Relaxed);
            walker.job.plan_more(1);
        }
        walker.tell_start(&step);
        let result = walker.timed(&step, asked, backend, cancel, hear).await;
        let finished = Finished {
            request: step.index,
            model: step.model,
            result: result.clone(),
        };
        // Where nobody takes results any more, the run is stopped already.
        let _ = walker.results.send(finished).await;
        result
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let is_stopped = self.walker.job.cancel.is_cancelled();
        if !self.has_begun.load(Ordering::Relaxed) && !is_stopped {
            self.walker.job.forgo(1);
        }
    }
}
