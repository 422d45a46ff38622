//! One message of a session: what was said before and what is remembered is put together within the
//! context, the agents work, and what came of it is put together again. What becomes of it is not known
//! here: steps and documents go out as errands.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::accounting;
use super::budget::TokenRate;
use super::instruments::Instruments;
use super::orchestrator::{AgentOrchestrator, Written};
use super::pausing::Resumed;
use super::prompts::Prompts;
use super::recall;
use super::turn::{Errand, Placed, Progress, Stop, Turn, Voice};
use crate::backend::Backend;
use crate::record::{
    ErrorInfo, ModelName, NovaEvent, NovaMetrics, NovaPipeline, NovaRequest, NovaResponse,
    NovaRole, NovaState, NovaStatus, NovaStep, NovaTurn, RunId, SessionSummary, TurnAccounting,
    TurnAwaitsUser, TurnCancelled, TurnFailed,
};
use crate::run::engine::Engine;
use crate::run::events::EventLog;
use crate::run::queue::Queue;

/// Where messages are processed.
pub struct NovaCore {
    /// What looks at the machines meanwhile.
    pub instruments: Instruments,
    engine: Arc<Engine>,
    prompts: Prompts,
    /// How many characters a token has, as the servers counted.
    rates: Mutex<HashMap<ModelName, TokenRate>>,
}

/// A prompt and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Number of the turn.
    pub number: u32,
    /// What was asked.
    pub prompt: String,
    /// What was answered.
    pub answer: String,
}

/// What was said in a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// What the oldest turns came to.
    pub summary: Option<SessionSummary>,
    /// The turns after those, oldest first.
    pub exchanges: Vec<Exchange>,
    /// Work of the last one that goes on; what it was asked is in there.
    pub resumed: Option<Resumed>,
}

impl Conversation {
    /// From the turns of a session, oldest first, for a turn of this pipeline. Those without a text have
    /// nothing to tell.
    pub fn new(
        summary: Option<SessionSummary>,
        mut turns: Vec<NovaTurn>,
        pipeline: NovaPipeline,
    ) -> Self {
        let told = summary.as_ref().map_or(0, |it| it.through);
        let resumed = turns.last().and_then(|it| Resumed::of(it, pipeline));
        if resumed.is_some() {
            turns.pop();
        }
        let exchanges = turns
            .into_iter()
            .filter(|turn| turn.number > told && !turn.response.text.trim().is_empty())
            .map(|turn| Exchange {
                number: turn.number,
                prompt: turn.request.prompt,
                answer: turn.response.text,
            });
        Self {
            exchanges: exchanges.collect(),
            summary,
            resumed,
        }
    }
}

/// A message and everything that is needed to process it.
pub struct Message {
    /// The agents that work.
    pub pipeline: NovaPipeline,
    /// What is asked.
    pub request: NovaRequest,
    /// What was said before.
    pub conversation: Conversation,
    /// The model of each role.
    pub models: BTreeMap<NovaRole, Placed>,
    /// The model for embeddings, where there is one.
    pub embedding: Option<ModelName>,
    /// Whose turn it is.
    pub queue: Queue,
    /// Where events are announced.
    pub log: EventLog<NovaEvent>,
    /// Cancelled to stop the turn.
    pub cancel: CancellationToken,
    /// Who answers the agents.
    pub voice: Voice,
    /// Who keeps things.
    pub errands: mpsc::Sender<Errand>,
    /// How much the agents do.
    pub setting: Setting,
}

/// How much the agents do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Most steps of a plan.
    pub plan_steps: u32,
    /// Most rounds of experts, where the request names no number.
    pub iterations: u32,
    /// How many tokens a text has, as far as the servers of the models have told.
    pub rate: TokenRate,
}

/// What came of a message.
pub struct Outcome {
    /// The answer, but for the ids of session and turn, which are not known here.
    pub response: NovaResponse,
    /// What the oldest turns of the session came to, where that was summed up anew.
    pub summary: Option<SessionSummary>,
}

impl Outcome {
    /// Nothing was done, for this reason.
    pub fn failed(error: ErrorInfo) -> Self {
        let mut response = empty();
        response.status = NovaStatus::Failed;
        response.error = Some(error);
        Self {
            response,
            summary: None,
        }
    }
}

/// An answer of nobody yet: the ids are set by whoever knows them.
fn empty() -> NovaResponse {
    let nobody = RunId::new(chrono::DateTime::UNIX_EPOCH);
    NovaResponse {
        status: NovaStatus::Completed,
        ..NovaResponse::begun(nobody.clone(), nobody)
    }
}

/// What became of the work of the agents.
struct Worked {
    written: Result<Written, Stop>,
    state: NovaState,
    summary: Option<SessionSummary>,
}

impl NovaCore {
    /// Where messages are processed on this engine, with these prompts.
    pub fn new(engine: Arc<Engine>, prompts: Prompts) -> Self {
        Self {
            instruments: Instruments::new(Arc::clone(&engine)),
            engine,
            prompts,
            rates: Mutex::default(),
        }
    }

    /// A backend that the agents may ask.
    pub fn backend(&self, name: &str) -> Option<Arc<dyn Backend>> {
        self.engine.backends.get(name).cloned()
    }

    /// How many tokens a text has for a model, as far as its server has told.
    pub fn rate(&self, model: &ModelName) -> TokenRate {
        self.rates().get(model).copied().unwrap_or_default()
    }

    fn rates(&self) -> MutexGuard<'_, HashMap<ModelName, TokenRate>> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in how many tokens the servers counted.
    fn observe(&self, turn: &Turn) {
        let mut rates = self.rates();
        for step in turn.steps() {
            let (Some(placed), Some(tokens)) =
                (turn.models.get(&step.role), step.throughput.prompt_tokens)
            else {
                continue;
            };
            let rate = rates.entry(placed.name.clone()).or_default();
            let characters = u64::try_from(step.input.chars().count()).unwrap_or(u64::MAX);
            rate.observe(characters, tokens, placed.context_size);
        }
    }

    /// Processes a message to whatever end.
    pub async fn process_message(&self, message: Message) -> Outcome {
        let Message {
            pipeline,
            request,
            conversation,
            models,
            embedding,
            queue,
            log,
            cancel,
            voice,
            errands,
            setting,
        } = message;
        let turn = Turn {
            engine: Arc::clone(&self.engine),
            queue,
            voice,
            log,
            errands,
            cancel: cancel.clone(),
            request,
            models,
            embedding,
            begun: Instant::now(),
            progress: Progress::default(),
        };
        let wished = Arc::new(OnceLock::new());
        let watch = {
            let (wished, cancel) = (Arc::clone(&wished), cancel.clone());
            tokio::spawn(async move {
                cancel.cancelled().await;
                let _ = wished.set(Instant::now());
            })
        };
        let worked = self.work(&turn, pipeline, conversation, setting).await;
        let ended = Instant::now();
        // What a record tells was taken in when it was made.
        if !matches!(turn.voice, Voice::Tape(_)) {
            self.observe(&turn);
        }
        watch.abort();
        let after = wished
            .get()
            .map(|wish| ended.saturating_duration_since(*wish));
        concluded(&turn, worked, ended, after)
    }

    async fn work(
        &self,
        turn: &Turn,
        pipeline: NovaPipeline,
        conversation: Conversation,
        setting: Setting,
    ) -> Worked {
        let mut state = NovaState::default();
        let rate = setting.rate;
        let desk = recall::Desk {
            turn,
            prompts: &self.prompts,
            rate,
        };
        let resumed = conversation.resumed.clone();
        let recalled = desk.recall(conversation, &mut state).await;
        let recalled = match recalled {
            Ok(recalled) => recalled,
            Err(stop) => {
                return Worked {
                    written: Err(stop),
                    state,
                    summary: None,
                };
            }
        };
        let summary = recalled.summary;
        let context = recalled.context;
        let orchestrator = AgentOrchestrator {
            turn,
            prompts: &self.prompts,
            plan_steps: setting.plan_steps,
            iterations: turn.request.max_iterations.unwrap_or(setting.iterations),
            rate,
            resumed: resumed.as_ref(),
        };
        let written = orchestrator.process_turn(pipeline, &context).await;
        if let Ok(written) = &written {
            if let Some((stage, work)) = &written.paused {
                state.paused_after = Some(*stage);
                state.paused = Some(work.clone());
            }
            if turn.request.memory.write
                && let Err(stop) = recall::remember(turn, &context.prompt, &written.text).await
            {
                return Worked {
                    written: Err(stop),
                    state,
                    summary,
                };
            }
        }
        Worked {
            written,
            state,
            summary,
        }
    }
}

/// Puts together what came of a turn.
fn concluded(turn: &Turn, worked: Worked, ended: Instant, after: Option<Duration>) -> Outcome {
    let Worked {
        written,
        state,
        summary,
    } = worked;
    let steps = turn.steps();
    let mut response = empty();
    response.state = state;
    response.metrics = metrics(turn, &steps, ended);
    used_context(turn, &steps, &mut response.state);
    match written {
        Ok(Written {
            text,
            questions,
            paused,
        }) => {
            response.text = text;
            response.questions = questions;
            if let Some((stage, _)) = paused {
                response.status = NovaStatus::AwaitingUser;
                turn.log.announce(NovaEvent::AwaitingUser(TurnAwaitsUser {
                    stage,
                    questions: response.questions.clone(),
                }));
            }
        }
        Err(stop) => {
            let answer = steps.iter().rfind(|it| it.partial && !it.output.is_empty());
            response.text = answer.map(|it| it.output.clone()).unwrap_or_default();
            match stop {
                Stop::Cancelled => {
                    let after_ms = after.unwrap_or_default().as_secs_f64() * 1e3;
                    response.status = NovaStatus::Cancelled;
                    response.metrics.cancelled_after_ms = Some(after_ms);
                    turn.log
                        .announce(NovaEvent::Cancelled(TurnCancelled { after_ms }));
                }
                Stop::Failed(error) => {
                    response.status = NovaStatus::Failed;
                    response.error = Some(error.clone());
                    turn.log.announce(NovaEvent::Error(TurnFailed { error }));
                }
            }
        }
    }
    response.steps = steps;
    Outcome { response, summary }
}

fn used_context(turn: &Turn, steps: &[NovaStep], state: &mut NovaState) {
    let used = |step: &NovaStep| {
        let tokens = &step.throughput;
        Some(
            tokens
                .prompt_tokens?
                .saturating_add(tokens.output_tokens.unwrap_or(0)),
        )
    };
    state.context_used = steps.iter().filter_map(used).max();
    let placed = turn.models.get(&NovaRole::Executor);
    state.context_size = placed.map(|it| it.context_size);
}

/// What all calls together cost.
fn metrics(turn: &Turn, steps: &[NovaStep], ended: Instant) -> NovaMetrics {
    let wall = ended.saturating_duration_since(turn.begun);
    let calls: Vec<&NovaStep> = steps.iter().filter(|it| it.model.is_some()).collect();
    let total = |of: &dyn Fn(&NovaStep) -> Option<u64>| {
        let counts: Vec<u64> = calls.iter().filter_map(|it| of(it)).collect();
        (!counts.is_empty()).then(|| counts.into_iter().fold(0, u64::saturating_add))
    };
    let by_time = |of: &dyn Fn(&NovaStep) -> Option<f64>| {
        let known = calls
            .iter()
            .filter_map(|it| Some((of(it)?, it.elapsed_time_ms)));
        let (sum, time) = known.fold((0.0, 0.0), |(sum, time), (value, weight)| {
            (sum + value * weight, time + weight)
        });
        (time > 0.0).then(|| sum / time)
    };
    let highest =
        |of: &dyn Fn(&NovaStep) -> Option<u64>| calls.iter().filter_map(|it| of(it)).max();
    let energy: Option<Vec<f64>> = calls
        .iter()
        .map(|it| it.energy.as_ref().map(|it| it.joules))
        .collect();
    NovaMetrics {
        wall_time: Some(wall.as_secs_f64()),
        time_to_first_chunk: turn.first_chunk().map(|it| it.as_secs_f64()),
        model_calls: u32::try_from(calls.len()).unwrap_or(u32::MAX),
        prompt_tokens: total(&|it| it.throughput.prompt_tokens),
        output_tokens: total(&|it| it.throughput.output_tokens),
        cpu_mean_percent: by_time(&|it| it.system_impact.cpu_mean_percent),
        memory_peak_bytes: highest(&|it| it.system_impact.memory_peak_bytes),
        gpu_mean_percent: by_time(&|it| it.system_impact.gpu_mean_percent),
        gpu_memory_peak_bytes: highest(&|it| it.system_impact.gpu_memory_peak_bytes),
        energy_joules: energy.filter(|it| !it.is_empty()).map(|it| it.iter().sum()),
        cancelled_after_ms: None,
        accounting: Some(accounted(turn, wall)),
    }
}

fn accounted(turn: &Turn, wall: Duration) -> TurnAccounting {
    let parts = accounting::account(wall, &turn.spans());
    TurnAccounting {
        model: parts.model.as_secs_f64(),
        queue: parts.queue.as_secs_f64(),
        memory: parts.memory.as_secs_f64(),
        overhead: parts.overhead.as_secs_f64(),
    }
}
