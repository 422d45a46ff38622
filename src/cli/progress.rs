//! Bars on standard error while a run goes on; nothing where that is no terminal.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{figures, values};
use crate::record::{BenchmarkResponse, CoolingDown, Location, RunEvent, Sample, SampleTaken};

/// One bar for the run and a line for each of its models.
pub struct Progress {
    bars: MultiProgress,
    run: ProgressBar,
    models: Vec<Line>,
    /// A meter for each machine: this one, and those of backends that an agent looks at.
    machines: Vec<(Option<String>, ProgressBar)>,
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
        let meter = || {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style("  {msg}"));
            bar
        };
        let backends: BTreeSet<&String> = (run.environment.models.iter())
            .filter(|it| it.location == Location::Remote)
            .map(|it| &it.backend)
            .collect();
        let remote = backends
            .into_iter()
            .map(|name| (Some(name.clone()), meter()));
        let mut machines = vec![(None, meter())];
        machines.extend(remote);
        Self {
            machines,
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
            RunEvent::CoolingDown(pause) => self.run.set_message(pause_words(pause)),
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
            RunEvent::SampleTaken(taken) => self.machine(taken),
            RunEvent::RunFinished(_) => {}
        }
    }

    /// A line of meters for each machine.
    fn machine(&self, taken: &SampleTaken) {
        let place = self.machines.iter().position(|it| it.0 == taken.backend);
        let meter = place
            .and_then(|place| self.machines.get(place))
            .or_else(|| self.machines.first());
        if let Some((backend, bar)) = meter {
            let name = backend.as_deref().unwrap_or("this machine");
            bar.set_message(format!("{name}: {}", meters(&taken.sample)));
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

fn pause_words(pause: &CoolingDown) -> String {
    let waited = format!("{:.0} of at most {:.0} s", pause.waited, pause.at_most);
    match (pause.temperature_celsius, pause.target_celsius) {
        (Some(now), Some(target)) => {
            format!("cooling down: {now:.0} °C, waits for {target:.0} °C ({waited})")
        }
        _ => format!("pause: {waited}"),
    }
}

/// What a machine does, in a line.
fn meters(sample: &Sample) -> String {
    let percent = |value: f64| format!("{value:.0} %");
    let mut parts = vec![format!("CPU {}", percent(sample.cpu_percent))];
    for server in &sample.servers {
        let used = server.cpu_percent.map_or_else(|| "–".to_owned(), percent);
        parts.push(format!("model server {used}"));
    }
    parts.push(format!("memory {}", percent(sample.memory_percent)));
    for (place, gpu) in sample.gpus.iter().enumerate() {
        let figures = [
            gpu.utilization_percent.map(percent),
            gpu.power_watts.map(|watts| format!("{watts:.0} W")),
            gpu.temperature_celsius
                .map(|degrees| format!("{degrees:.0} °C")),
        ];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        parts.push(format!("GPU {place} {}", figures.join(", ")));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GpuSample, ServerSample};

    #[test]
    fn meters_fit_a_line() {
        let sample = Sample {
            cpu_percent: 43.2,
            memory_percent: 61.0,
            servers: vec![ServerSample {
                cpu_percent: Some(38.0),
                ..ServerSample::default()
            }],
            gpus: vec![GpuSample {
                utilization_percent: Some(97.0),
                temperature_celsius: Some(71.0),
                ..GpuSample::default()
            }],
            ..Sample::default()
        };
        insta::assert_snapshot!(meters(&sample), @"CPU 43 % · model server 38 % · memory 61 % · GPU 0 97 %, 71 °C");
    }

    #[test]
    fn a_pause_says_what_it_waits_for() {
        let mut pause = CoolingDown {
            waited: 12.3,
            at_most: 600.0,
            temperature_celsius: Some(71.0),
            target_celsius: Some(60.0),
        };
        insta::assert_snapshot!(pause_words(&pause), @"cooling down: 71 °C, waits for 60 °C (12 of at most 600 s)");
        pause.target_celsius = None;
        insta::assert_snapshot!(pause_words(&pause), @"pause: 12 of at most 600 s");
    }
}
