//! A recorded session in a benchmark: its agents work once more with each model, and each of their calls is
//! a request of the run. What one model wrote is what it is told next.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::budget::TokenRate;
use super::core::{Conversation, Exchange, Message, NovaCore, Setting};
use super::pausing::Resumed;
use super::turn::{Errand, Placed, Voice};
use crate::backend::Words;
use crate::backend::stream::News;
use crate::machine::MachineError;
use crate::record::{
    BenchmarkRequest, LiveTurn, MemoryDocument, ModelName, NovaPipeline, NovaRequest, NovaRole,
    SessionSummary,
};
use crate::run::engine::{Asked, Engine, Finished, Job, Seen, Unit, Walker};
use crate::run::events::EventLog;
use crate::run::plan::Phase;
use crate::run::queue::Queue;

/// A session that is carried out with each model of a run.
pub struct Live {
    /// The agents.
    pub core: Arc<NovaCore>,
    /// Its turns, in their order.
    pub turns: Vec<LiveTurn>,
    /// For each model of the run, the models of the roles in each turn: all of them that one.
    pub models: Vec<Vec<BTreeMap<NovaRole, Placed>>>,
    /// How much the agents do.
    pub setting: Setting,
}

/// Carries a job out whose steps are whole sessions. Every result goes to `results` as soon as it is there.
pub async fn run(
    live: Live,
    engine: Arc<Engine>,
    job: Arc<Job>,
    results: mpsc::Sender<Finished>,
) -> Result<Seen, MachineError> {
    let (walker, machines) = Walker::begin(engine, &job, results).await?;
    for phase in &job.plan.phases {
        let Phase::Lanes(lanes) = phase else {
            continue;
        };
        let lanes = lanes.iter().map(async |lane| {
            for step in lane {
                let unit = Arc::new(walker.unit(step));
                if job.cancel.is_cancelled() {
                    return;
                }
                if step.warmup {
                    live.warm_up(&unit).await;
                } else {
                    Box::pin(live.carry_out(&unit)).await;
                }
            }
        });
        join_all(lanes).await;
    }
    drop(walker);
    Ok(machines.stop().await)
}

impl Live {
    /// The first prompt, with the size of the context that comes after it: with another one a server
    /// would load the model anew.
    async fn warm_up(&self, unit: &Unit) {
        let job = unit.job();
        let models = self.models.get(unit.step().model);
        let placed = models.and_then(|it| it.first()?.get(&NovaRole::Executor));
        let (Some(placed), Some(prompt)) = (placed, job.plan.prompts.first()) else {
            return;
        };
        let Some(backend) = self.core.backend(&placed.name.backend) else {
            return;
        };
        let request = BenchmarkRequest {
            parameters: placed.parameters.clone(),
            timeout: job.request.timeout,
            ..BenchmarkRequest::new("", vec![placed.name.to_string()])
        };
        let asked = Asked {
            request: &request,
            model: &placed.name,
            environment: job.models.get(unit.step().model),
            words: Words::alone(prompt),
            due: None,
            locate: true,
            labels: unit.labels(prompt, None),
        };
        let hear = &mut |_: &News<'_>| ();
        unit.send(&asked, backend.as_ref(), &job.cancel, hear).await;
    }

    fn rate(&self, models: &BTreeMap<NovaRole, Placed>) -> TokenRate {
        let executor = models.get(&NovaRole::Executor);
        executor.map_or_else(TokenRate::default, |it| self.core.rate(&it.name))
    }

    async fn carry_out(&self, unit: &Arc<Unit>) {
        let job = unit.job();
        let mut summary: Option<SessionSummary> = None;
        let mut said: Vec<Exchange> = Vec::new();
        let mut paused: Option<(NovaPipeline, Resumed)> = None;
        let models = self.models.get(unit.step().model).into_iter().flatten();
        let turns = self.turns.iter().zip(&job.plan.prompts).zip(models);
        for ((turn, prompt), models) in turns {
            if job.cancel.is_cancelled() {
                return;
            }
            // Another pipeline has no use for what paused.
            let same = paused.take().filter(|(before, _)| *before == turn.pipeline);
            let resumed = same.map(|(_, resumed)| resumed);
            let of_paused = resumed.as_ref().map(|it| it.turn);
            let told = said.iter().filter(|it| Some(it.number) != of_paused);
            let conversation = Conversation {
                summary: summary.clone(),
                exchanges: told.cloned().collect(),
                resumed,
            };
            let request = request(turn, prompt, job.request.timeout);
            let (errands, inbox) = mpsc::channel(1);
            let message = Message {
                pipeline: turn.pipeline,
                request,
                conversation,
                models: models.clone(),
                embedding: None::<ModelName>,
                // The run holds its backends already; calls still wait for each other.
                queue: Queue::new(0),
                log: EventLog::default(),
                cancel: job.cancel.clone(),
                voice: Voice::Run {
                    unit: Arc::clone(unit),
                    turn: turn.turn,
                },
                errands,
                setting: Setting {
                    rate: self.rate(models),
                    ..self.setting
                },
            };
            let (outcome, ()) = tokio::join!(
                self.core.process_message(message),
                keep_nothing(inbox, &turn.documents)
            );
            let response = outcome.response;
            let work = response.state.paused_after.zip(response.state.paused);
            paused = work.map(|(stage, work)| {
                let turn_number = turn.turn;
                let resumed = Resumed {
                    turn: turn_number,
                    stage,
                    work,
                };
                (turn.pipeline, resumed)
            });
            if !response.text.trim().is_empty() {
                said.push(Exchange {
                    number: turn.turn,
                    prompt: prompt.clone(),
                    answer: response.text,
                });
            }
            if let Some(renewed) = outcome.summary {
                said.retain(|it| it.number > renewed.through);
                summary = Some(renewed);
            }
        }
    }
}

/// What was asked for, with another prompt and bound of time.
fn request(turn: &LiveTurn, prompt: &str, timeout: Option<f64>) -> NovaRequest {
    NovaRequest {
        parameters: turn.parameters.clone(),
        domains: turn.domains.clone(),
        max_iterations: turn.max_iterations,
        memory: turn.memory,
        pause_after: turn.pause_after,
        timeout,
        ..NovaRequest::new(prompt.to_owned())
    }
}

/// Answers errands of a turn that is not stored: it recalls what it recalled when it was recorded, and keeps
/// nothing.
pub async fn keep_nothing(mut inbox: mpsc::Receiver<Errand>, documents: &[MemoryDocument]) {
    while let Some(errand) = inbox.recv().await {
        // Whoever asked may have been stopped.
        match errand {
            Errand::Keep(_) | Errand::Draft(_) => {}
            Errand::Recall { answer, .. } => drop(answer.send(Ok(documents.to_vec()))),
            Errand::Remember { answer, .. } => drop(answer.send(Ok(()))),
        }
    }
}
