//! Bars on standard error while a run goes on; nothing where that is no terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{figures, values};
use crate::record::{BenchmarkResponse, RunEvent};

/// One bar for the run and a line for each of its models.
pub struct Progress {
    bars: MultiProgress,
    run: ProgressBar,
    models: Vec<Line>,
}

struct Line {
    bar: ProgressBar,
    label: String,
}

impl Progress {
    /// Shows the bars of a run that was just started.
    pub fn new(run: &BenchmarkResponse) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        // The templates are constants; a mistake in one shows the plain bar.
        let style = |template: &str| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let whole = bars.add(ProgressBar::new(u64::from(run.total_requests)));
        whole.set_style(style("{bar:30} {pos}/{len} requests  {elapsed}  {msg}"));
        whole.enable_steady_tick(Duration::from_millis(200));
        let line = |label: String| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style("  {msg}"));
            Line { bar, label }
        };
        let models = run.environment.models.iter();
        let models =
            models.map(|it| line(values::brief(&format!("{}@{}", it.model, it.backend), 60)));
        let models = models.collect();
        Self {
            bars,
            run: whole,
            models,
        }
    }

    /// Shows what happened.
    pub fn tell(&self, event: &RunEvent) {
        match event {
            RunEvent::Queued(queued) => {
                self.run
                    .set_message(format!("waits for {} other runs", queued.position));
            }
            RunEvent::RunStarted(_) => self.run.set_message(""),
            RunEvent::StageStarted(stage) => {
                let what = stage.requests_per_second.map_or_else(
                    || "one at a time".to_owned(),
                    |rate| format!("{} requests/s", figures::optional(Some(rate), 1.0)),
                );
                self.run
                    .set_message(format!("stage {}: {what}", stage.stage + 1));
            }
            RunEvent::RequestStarted(started) => {
                let what = if started.warmup {
                    "warm-up"
                } else {
                    "repetition"
                };
                let words = format!("{what} {}: reading the prompt", started.repetition);
                self.say(started.model_index, &words);
            }
            RunEvent::TextArrived(text) => {
                let first = figures::optional(text.time_to_first_chunk, 1000.0);
                let rate = figures::optional(text.chunks_per_second, 1.0);
                let words = format!(
                    "first chunk {first} ms, {} chunks, {rate} chunks/s",
                    text.chunks
                );
                self.say(text.model_index, &words);
            }
            RunEvent::RequestFinished(finished) => {
                self.run.set_length(u64::from(finished.total));
                self.run.set_position(u64::from(finished.finished));
                if let Some(error) = &finished.result.error {
                    let words = format!("failed: {}", values::brief(&error.message, 80));
                    self.say(finished.model_index, &words);
                }
            }
            RunEvent::SampleTaken(_) | RunEvent::RunFinished(_) => {}
        }
    }

    fn say(&self, model: u32, words: &str) {
        if let Some(line) = usize::try_from(model)
            .ok()
            .and_then(|it| self.models.get(it))
        {
            line.bar.set_message(format!("{}: {words}", line.label));
        }
    }

    /// Takes the bars away.
    pub fn finish(self) {
        // A terminal that went away has no bars to clear.
        let _ = self.bars.clear();
    }
}
