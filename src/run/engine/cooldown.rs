//! The pause before a measured request, so that the heat of the one before does not slow it down.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Walker;
use crate::machine::hottest;
use crate::record::{CooledDown, CoolingDown, RunEvent};
use crate::run::plan::Step;

/// So often the temperature is looked at and the pause is told of.
const TOLD_EVERY: Duration = Duration::from_secs(1);

impl Walker {
    /// Pauses as the request asks for, before each measured step but the first; `None` where there was
    /// no pause.
    pub(super) async fn cool_down(&self, step: &Step) -> Option<CooledDown> {
        let cooldown = self.job.request.cooldown?;
        if step.warmup || !self.is_warm.swap(true, Ordering::Relaxed) {
            return None;
        }
        let backend = &self.job.plan.models[step.model].backend;
        let begun = Instant::now();
        let at_most = cooldown.seconds.unwrap_or_else(|| cooldown.patience());
        loop {
            let temperature = self
                .instrument
                .watched
                .newest(backend)
                .as_ref()
                .and_then(hottest);
            let waited = begun.elapsed().as_secs_f64();
            let target = cooldown.temperature_celsius;
            let is_cool = target
                .zip(temperature)
                .is_some_and(|(target, now)| now <= target);
            if is_cool || waited >= at_most || self.job.cancel.is_cancelled() {
                return Some(CooledDown {
                    seconds: waited,
                    temperature_celsius: temperature,
                    reached: is_cool || (target.is_none() && waited >= at_most),
                });
            }
            self.job.log.announce(RunEvent::CoolingDown(CoolingDown {
                waited,
                at_most,
                temperature_celsius: temperature,
                target_celsius: target,
            }));
            let rest = Duration::from_secs_f64((at_most - waited).max(0.0));
            tokio::select! {
                () = tokio::time::sleep(rest.min(TOLD_EVERY)) => {}
                () = self.job.cancel.cancelled() => {}
            }
        }
    }
}
