//! `run`: one benchmark from the terminal, through the same application as the server's.

use anyhow::Context;
use clap::Args;
use futures_util::StreamExt;

use super::load::LoadFlags;
use super::output::ReportFlags;
use super::progress::Progress;
use super::prompts::PromptFlags;
use super::show::parse_id;
use super::{Exit, Usage, calibrate, parameters, report, signals, values};
use crate::app::{App, AppError};
use crate::config::Config;
use crate::measure;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, Cooldown, Execution, KeepAlive, Status, Think,
};

/// Repetitions where nobody says how many.
const REPETITIONS: u32 = 3;
/// The most of them until it is decided. A difference that takes more is of no use to anybody who
/// chooses a model.
const UNTIL_DECIDED: u32 = 100;

/// Flags of `run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "`--run-timeout` is its flag")]
pub struct Run {
    /// Model to measure, NAME or NAME@BACKEND; may be repeated
    #[arg(long = "model", short, value_name = "MODEL", required = true)]
    models: Vec<String>,
    #[command(flatten)]
    prompts: PromptFlags,
    /// Measured requests a model and prompt; 3, or at most 100 with `--until-decided`
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    repetitions: Option<u32>,
    /// Let models take turns until it is sure which is fastest, or the repetitions are used up
    #[arg(long, conflicts_with = "execution")]
    until_decided: bool,
    /// Requests a model before them, not averaged
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    warmup: u32,
    /// In which order requests go out
    #[arg(long, value_name = "ORDER", default_value = "sequential", value_parser = values::choice::<Execution>(&["sequential", "concurrent", "interleaved"]))]
    execution: Execution,
    /// Generation parameter, such as temperature=0 or seed=7; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// System prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Whether a thinking model thinks: true, false, low, medium, high or max
    #[arg(long, value_name = "BOOL", value_parser = values::think)]
    think: Option<Think>,
    /// How long models stay loaded afterwards: seconds, or such as 5m
    #[arg(long, value_name = "DURATION", value_parser = values::keep_alive, allow_hyphen_values = true)]
    keep_alive: Option<KeepAlive>,
    /// Unload the model before each measured request, so that loading is measured
    #[arg(long)]
    cold: bool,
    /// Pause before each measured request but the first: seconds, such as 30s, or until it is as cool
    /// as, such as, 60C (the hottest GPU, else the processor; 10 minutes at most)
    #[arg(long, value_name = "PAUSE", allow_negative_numbers = true)]
    cooldown: Option<Cooldown>,
    /// Longest time for one request, s
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<f64>,
    /// Longest time for the whole run, s
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    run_timeout: Option<f64>,
    /// A name to find the run by
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// A word to group runs by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What a figure must keep, such as `time_to_first_chunk.p95<0.5`; may be repeated
    #[arg(long = "objective", value_name = "EXPR")]
    objectives: Vec<String>,
    /// Earlier run to hold this one against, by its id, or `last`: the newest of the same work on this
    /// machine. Ends with 3 where a model became slower
    #[arg(long, value_name = "ID", conflicts_with = "no_save")]
    baseline: Option<String>,
    /// Store nothing
    #[arg(long)]
    no_save: bool,
    #[command(flatten)]
    load: LoadFlags,
    #[command(flatten)]
    output: ReportFlags,
}

impl Run {
    /// Runs it to its end, or to the first signal.
    pub async fn execute(self, mut config: Config) -> anyhow::Result<Exit> {
        let is_kept = !self.no_save;
        if !is_kept {
            config.database_url = "sqlite::memory:".into();
        }
        let request = self.request(config.limits.max_prompt_bytes)?;
        let output = self.output.open()?;
        let signal = signals::listen().context("cannot listen for signals")?;
        let app = App::open(config).await?;
        tokio::pin!(signal);
        if is_kept && app.is_calibration_due().await {
            tokio::select! {
                () = calibrate::unasked(&app) => {}
                () = &mut signal => {
                    app.shutdown().await;
                    return Ok(Exit::Interrupted);
                }
            }
        }
        let baseline = match self.baseline.as_deref() {
            None => None,
            Some(named) => match earlier(&app, named, &request).await {
                Ok(run) => Some(run),
                Err(error) => {
                    app.shutdown().await;
                    return Err(error);
                }
            },
        };
        let finished = follow(&app, request, signal).await;
        app.shutdown().await;
        let Some((run, interrupted)) = finished? else {
            return Ok(Exit::Interrupted);
        };
        let against = baseline.map(|baseline| measure::against_baseline(&run, &baseline));
        report::present(&run, against.as_ref(), is_kept, output)?;
        if app.is_unsaved(&run.id) {
            return Err(anyhow::anyhow!(
                "the run is not stored: the database did not take it; what is printed is all there is"
            ));
        }
        Ok(if interrupted {
            Exit::Interrupted
        } else if run.status != Status::Completed {
            Exit::Failed
        } else if measure::missed_objectives(&run) > 0 || against.is_some_and(|it| it.is_slower) {
            Exit::Missed
        } else {
            Exit::Done
        })
    }

    fn request(&self, most: usize) -> Result<BenchmarkRequest, Usage> {
        let mut request = BenchmarkRequest::new("", self.models.clone());
        self.prompts.fill(&mut request, most)?;
        request.parameters = parameters::parse(&self.parameters).map_err(Usage)?;
        request.load = self.load.load();
        let usual = if self.until_decided {
            UNTIL_DECIDED
        } else {
            REPETITIONS
        };
        // With a load, its own flags say how many requests there are.
        request.repetitions = if request.load.is_some() {
            1
        } else {
            self.repetitions.unwrap_or(usual)
        };
        request.warmup = self.warmup;
        request.until_decided = self.until_decided;
        request.cooldown = self.cooldown;
        request.execution = if self.until_decided {
            Execution::Interleaved
        } else {
            self.execution
        };
        request.system.clone_from(&self.system);
        request.think = self.think;
        request.keep_alive.clone_from(&self.keep_alive);
        request.cold_start = self.cold;
        request.timeout = self.timeout;
        request.run_timeout = self.run_timeout;
        request.name.clone_from(&self.name);
        request.tags.clone_from(&self.tags);
        request.objectives.clone_from(&self.objectives);
        Ok(request)
    }
}

/// The run that a new one is held against.
async fn earlier(
    app: &App,
    named: &str,
    request: &BenchmarkRequest,
) -> anyhow::Result<BenchmarkResponse> {
    if named != "last" {
        return Ok(app.record(&parse_id(named)?).await?);
    }
    let newest = app.newest_like(request).await?;
    newest.ok_or_else(|| {
        Usage("--baseline last: no earlier run of the same work on this machine is stored".into())
            .into()
    })
}

/// Starts a run and shows it until it ends; a signal cancels it. Whether one came is told beside
/// the record; `None` where it came before there was a run.
async fn follow(
    app: &App,
    request: BenchmarkRequest,
    signal: impl Future<Output = ()>,
) -> Result<Option<(BenchmarkResponse, bool)>, AppError> {
    tokio::pin!(signal);
    let run = tokio::select! {
        run = app.start(request) => run?,
        () = &mut signal => return Ok(None),
    };
    let progress = Progress::new(&run);
    let mut events = app.events(&run.id, None).await?;
    let mut interrupted = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(told) => progress.tell(&told.event),
                None => break,
            },
            () = &mut signal, if !interrupted => {
                interrupted = true;
                app.cancel(&run.id).await?;
            }
        }
    }
    progress.finish();
    Ok(Some((app.finished(&run.id).await?, interrupted)))
}
