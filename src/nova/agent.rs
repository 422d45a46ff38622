//! One call of an agent: it waits for its turn, asks its model as a benchmark does, and is a step of the
//! turn.

use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::accounting::Activity;
use super::instruments::Lent;
use super::turn::{Errand, Placed, Stop, Turn, Voice};
use crate::backend::Words;
use crate::backend::stream::News;
use crate::clock::time_of_day;
use crate::record::{
    BenchmarkRequest, BenchmarkResult, ErrorCode, ErrorInfo, JsonOutcome, NovaEvent, NovaRole,
    NovaStage, NovaStep, Parameters, SessionStep, StepPhase, StepProgress, StepStarted,
    SystemImpact, Throughput, Timing, TokensArrived,
};
use crate::run::engine::{Asked, Labels, Unit};

/// Chunks that come faster than this are told in one event.
const TELL_INTERVAL: Duration = Duration::from_millis(20);
/// How often what there is of an output is kept, in case the program ends.
const DRAFT_INTERVAL: Duration = Duration::from_secs(1);

/// What an agent is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What the agent is called.
    pub agent_name: String,
    /// What it is there for.
    pub role: NovaRole,
    /// The part of the turn.
    pub stage: NovaStage,
    /// The round of experts, or the step of the plan, from 1.
    pub iteration: Option<u32>,
    /// What the model is told.
    pub prompt: String,
    /// JSON schema that the output shall follow.
    pub format: Option<Value>,
    /// What it writes is the answer.
    pub answers: bool,
    /// What was noticed while its prompt was put together.
    pub notes: Vec<String>,
}

/// What a step is before anything has come of it.
pub fn blank(turn: &Turn, task: &Task) -> NovaStep {
    NovaStep {
        number: turn.next_step(),
        agent_name: task.agent_name.clone(),
        role: task.role,
        stage: task.stage,
        iteration: task.iteration,
        input: task.prompt.clone(),
        output: String::new(),
        thinking: None,
        timestamp: time_of_day(),
        elapsed_time_ms: 0.0,
        offset: turn.begun.elapsed().as_secs_f64(),
        queue_time: 0.0,
        model: None,
        backend: None,
        backend_version: None,
        digest: None,
        parameters: Parameters::default(),
        format: task.format.clone(),
        json: None,
        prompt_sha256: None,
        output_sha256: sha256(""),
        prompt_truncated: false,
        partial: true,
        success: false,
        error: None,
        done_reason: None,
        contended: false,
        timing: Timing::default(),
        throughput: Throughput::default(),
        system_impact: SystemImpact::default(),
        energy: None,
        documents: Vec::new(),
        notes: task.notes.clone(),
        chunks: None,
    }
}

/// Tells that a step begins.
pub fn announce(turn: &Turn, task: &Task, step: &NovaStep, model: Option<String>) {
    turn.log.announce(NovaEvent::StepStarted(StepStarted {
        step: step.number,
        agent_name: step.agent_name.clone(),
        role: step.role,
        stage: step.stage,
        iteration: step.iteration,
        model,
        answers: task.answers,
        offset: step.offset,
    }));
}

/// Asks a model and follows its answer to whatever end. The step is whole but for what its output is taken
/// for; it is not kept yet.
pub async fn call(turn: &Turn, task: &Task) -> Result<NovaStep, Stop> {
    turn.check()?;
    let placed = turn.models.get(&task.role).ok_or_else(|| {
        let message = format!("the role {} has no model", task.role.as_str());
        Stop::failed(ErrorCode::Server, message)
    })?;
    let begun = Instant::now();
    let mut step = blank(turn, task);
    step.model = Some(placed.name.name.clone());
    step.backend = Some(placed.name.backend.clone());
    step.backend_version
        .clone_from(&placed.environment.backend_version);
    step.digest.clone_from(&placed.environment.digest);
    step.parameters = placed.parameters.clone();
    step.prompt_sha256 = Some(sha256(&task.prompt));
    announce(turn, task, &step, Some(placed.name.to_string()));
    let ticket = wait(turn, placed, &step).await;
    let admitted = Instant::now();
    turn.spend(Activity::Queue, begun, admitted);
    step.queue_time = (admitted - begun).as_secs_f64();
    if ticket.is_some() {
        let result = match &turn.voice {
            Voice::Tape(tape) => tape.answer(&step),
            Voice::Models(lent) => ask(turn, task, placed, &step, Ear::Turn(lent)).await?,
            Voice::Run { unit, turn: number } => {
                let of_session = SessionStep::of(*number, &step);
                ask(turn, task, placed, &step, Ear::Run(unit, &of_session)).await?
            }
        };
        // Somebody stopped it then, and stops it now.
        let is_cancelled = |it: &ErrorInfo| it.code == ErrorCode::Cancelled;
        if result.error.as_ref().is_some_and(is_cancelled) {
            turn.cancel.cancel();
        }
        take(&mut step, result, placed);
    } else {
        step.error = Some(cancelled());
    }
    drop(ticket);
    step.elapsed_time_ms = begun.elapsed().as_secs_f64() * 1e3;
    Ok(step)
}

fn cancelled() -> ErrorInfo {
    ErrorInfo {
        code: ErrorCode::Cancelled,
        message: "cancelled".into(),
    }
}

/// Waits for its turn on the backend; `None` where the turn was stopped meanwhile.
async fn wait(turn: &Turn, placed: &Placed, step: &NovaStep) -> Option<crate::run::queue::Ticket> {
    let mut ticket = turn.queue.enter_call(&placed.name.backend, placed.at_once);
    let mut told = None;
    while let Some(position) = ticket.position() {
        if told.replace(position) != Some(position) {
            progress(turn, step, StepPhase::Queued, Some(position));
        }
        tokio::select! {
            () = ticket.changed() => {}
            () = turn.cancel.cancelled() => return None,
        }
    }
    (!turn.cancel.is_cancelled()).then_some(ticket)
}

fn progress(turn: &Turn, step: &NovaStep, phase: StepPhase, position: Option<u32>) {
    turn.log.announce(NovaEvent::Progress(StepProgress {
        step: step.number,
        phase,
        position,
        offset: turn.begun.elapsed().as_secs_f64(),
    }));
}

/// Who measures a call.
#[derive(Clone, Copy)]
enum Ear<'a> {
    /// What looks at the machines for turns.
    Turn(&'a Lent),
    /// A run, of which the call is a request.
    Run(&'a Unit, &'a SessionStep),
}

async fn ask(
    turn: &Turn,
    task: &Task,
    placed: &Placed,
    step: &NovaStep,
    ear: Ear<'_>,
) -> Result<BenchmarkResult, Stop> {
    let backend = turn.engine.backends.get(&placed.name.backend);
    let Some(backend) = backend.cloned() else {
        let message = format!("there is no backend {}", placed.name.backend);
        return Err(Stop::failed(ErrorCode::Connect, message));
    };
    let mut request = BenchmarkRequest::new("", vec![placed.name.to_string()]);
    request.parameters = placed.parameters.clone();
    request.format.clone_from(&task.format);
    request.timeout = turn.request.timeout;
    let mut asked = Asked {
        request: &request,
        model: &placed.name,
        environment: Some(&placed.environment),
        words: Words::alone(&task.prompt),
        due: None,
        // Asking that after every step would be half of what a short one takes.
        locate: false,
        labels: Labels {
            prompt: &task.prompt,
            repetition: 1,
            ..Labels::default()
        },
    };
    let phase = if placed.is_loaded {
        StepPhase::PromptEval
    } else {
        StepPhase::Loading
    };
    progress(turn, step, phase, None);
    let mut teller = Teller::new(turn, task, step);
    let sent = Instant::now();
    let (backend, cancel) = (backend.as_ref(), &turn.cancel);
    let result = match ear {
        Ear::Turn(lent) => {
            let mut hear = |_, news: News<'_>| teller.hear(&news);
            let instrument = lent.instrument();
            instrument.measure(&asked, backend, cancel, &mut hear).await
        }
        Ear::Run(unit, of_session) => {
            asked.labels = unit.labels(&task.prompt, Some(of_session));
            asked.locate = true;
            let mut hear = |news: &News<'_>| teller.hear(news);
            unit.send(&asked, backend, cancel, &mut hear).await
        }
    };
    let ended = Instant::now();
    teller.tell();
    // What is done after the last byte is this program's own.
    let timing = &result.timing;
    let took = timing.connect_time.unwrap_or(0.0) + timing.total_time.unwrap_or(0.0);
    let took = Duration::try_from_secs_f64(took).unwrap_or_default();
    let last = if result.success {
        (sent + took).min(ended)
    } else {
        ended
    };
    turn.spend(Activity::Model, sent, last);
    Ok(result)
}

/// Gives a step what was measured.
fn take(step: &mut NovaStep, result: BenchmarkResult, placed: &Placed) {
    let tokens = &result.throughput;
    step.prompt_truncated = tokens
        .prompt_tokens
        .is_some_and(|tokens| tokens >= placed.context_size);
    if step.prompt_truncated {
        let size = placed.context_size;
        step.notes.push(format!(
            "what the model was told filled its context of {size} tokens: part of it may have been cut off"
        ));
    }
    if result.done_reason.as_deref() == Some("length") {
        let most = placed.most_output;
        step.notes.push(format!(
            "the output was cut at its bound (`num_predict` {most}, or a full context)"
        ));
    }
    step.timestamp = result.timestamp;
    step.digest = result.digest;
    step.output_sha256 = result.response_sha256;
    step.output = result.response;
    step.thinking = result.thinking;
    step.partial = !result.success;
    step.success = result.success;
    step.error = result.error;
    step.done_reason = result.done_reason;
    step.contended = result.contended;
    step.timing = result.timing;
    step.throughput = result.throughput;
    step.system_impact = result.system_impact;
    step.energy = result.energy;
    step.chunks = result.chunks;
    step.notes.extend(result.notes);
}

/// SHA-256 of a text, hexadecimal.
pub fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Ends a step for which text was asked, and keeps it. What it wrote; or why the turn cannot go on.
pub async fn conclude(turn: &Turn, step: NovaStep) -> Result<String, Stop> {
    let outcome = outcome(turn, &step);
    let output = step.output.clone();
    turn.keep(step).await?;
    outcome.map(|()| output)
}

/// Ends a step for which JSON was asked, and keeps it.
pub async fn conclude_json(
    turn: &Turn,
    mut step: NovaStep,
    outcome: JsonOutcome,
    wrong: Option<String>,
) -> Result<(), Stop> {
    step.json = Some(outcome);
    step.notes.extend(wrong);
    turn.keep(step).await
}

/// Whether a call gave something to go on with.
fn outcome(turn: &Turn, step: &NovaStep) -> Result<(), Stop> {
    turn.check()?;
    match &step.error {
        None => Ok(()),
        Some(error) => Err(Stop::Failed(ErrorInfo {
            code: error.code,
            message: format!("{}: {}", step.agent_name, error.message),
        })),
    }
}

/// Announces text as it comes, no faster than anybody reads, and keeps it now and then.
struct Teller<'a> {
    turn: &'a Turn,
    step: NovaStep,
    answers: bool,
    pending: TokensArrived,
    told: Option<Duration>,
    drafted: Duration,
}

impl<'a> Teller<'a> {
    fn new(turn: &'a Turn, task: &Task, step: &NovaStep) -> Self {
        Self {
            turn,
            step: step.clone(),
            answers: task.answers,
            pending: TokensArrived {
                step: step.number,
                text: String::new(),
                thinking: String::new(),
                answers: task.answers,
                chunks: 0,
                offset: 0.0,
            },
            told: None,
            drafted: Duration::ZERO,
        }
    }

    fn hear(&mut self, news: &News<'_>) {
        if self.told.is_none() {
            progress(self.turn, &self.step, StepPhase::Generating, None);
        }
        if self.answers && !news.text.is_empty() {
            self.turn.hear_answer();
        }
        self.pending.chunks += 1;
        self.pending.offset = self.turn.begun.elapsed().as_secs_f64();
        self.pending.text.push_str(news.text);
        self.pending.thinking.push_str(news.thinking);
        self.step.output.push_str(news.text);
        let since = |at: Duration| news.at.saturating_sub(at);
        if self.told.is_none_or(|told| since(told) >= TELL_INTERVAL) {
            self.told = Some(news.at);
            self.tell();
        }
        if since(self.drafted) >= DRAFT_INTERVAL {
            self.drafted = news.at;
            let draft = Errand::Draft(Box::new(self.step.clone()));
            // Where the store is behind, a later one does as well.
            let _ = self.turn.errands.try_send(draft);
        }
    }

    fn tell(&mut self) {
        if self.pending.text.is_empty() && self.pending.thinking.is_empty() {
            return;
        }
        self.turn
            .log
            .announce(NovaEvent::Token(self.pending.clone()));
        self.pending.text.clear();
        self.pending.thinking.clear();
    }
}
