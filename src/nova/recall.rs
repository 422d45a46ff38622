//! Memory: what is remembered of a matter is looked for, what was said is fitted into the context, and
//! what is new is kept.

use std::time::Instant;

use tokio::sync::oneshot;

use super::accounting::Activity;
use super::agent::{Task, announce, blank, sha256};
use super::budget::TokenRate;
use super::core::Conversation;
use super::orchestrator::Context;
use super::prompts::{Prompts, Template, Values};
use super::turn::{Embedded, Errand, Stop, Turn};
use crate::record::{
    ErrorCode, ErrorInfo, MemoryDocument, MemoryRecalled, NovaEvent, NovaRole, NovaStage,
    NovaState, NovaStep, SessionSummary,
};

/// What is told to the agents, and what the oldest turns came to, where that was summed up anew.
pub struct Recalled {
    /// What is told.
    pub context: Context,
    /// The new summary.
    pub summary: Option<SessionSummary>,
}

/// Where what the agents are told is put together.
pub struct Desk<'a> {
    /// The turn.
    pub turn: &'a Turn,
    /// What the memory's model is told.
    pub prompts: &'a Prompts,
    /// How many tokens a text has, as far as is known.
    pub rate: TokenRate,
}

impl Desk<'_> {
    /// Looks for what is remembered of the prompt, and fits it into the context together with what was
    /// said.
    pub async fn recall(
        &self,
        conversation: Conversation,
        state: &mut NovaState,
    ) -> Result<Recalled, Stop> {
        let turn = self.turn;
        turn.check()?;
        turn.enter(NovaStage::Recall);
        let Some(resumed) = &conversation.resumed else {
            let documents = if turn.request.memory.read && turn.request.memory.limit > 0 {
                search(turn).await?
            } else {
                Vec::new()
            };
            let prompt = turn.request.prompt.clone();
            return self.fit(conversation, prompt, documents, state).await;
        };
        // Paused work goes on with what it had recalled.
        state.resumed_turn = Some(resumed.turn);
        state.resumed_after = Some(resumed.stage);
        let work = &resumed.work;
        let values = Values {
            prompt: &work.prompt,
            questions: &work.questions,
            word: &turn.request.prompt,
            ..Values::default()
        };
        let prompt = self.prompts.render(Template::Resumption, &values);
        let prompt = prompt.map_err(|error| Stop::failed(ErrorCode::Server, error.to_string()))?;
        let documents = work.documents.clone();
        self.fit(conversation, prompt, documents, state).await
    }
}

/// A step of the memory that asks no model for text.
fn begin(turn: &Turn, stage: NovaStage, input: &str) -> NovaStep {
    let task = Task {
        agent_name: NovaRole::Memory.as_str().into(),
        role: NovaRole::Memory,
        stage,
        iteration: None,
        prompt: input.to_owned(),
        format: None,
        answers: false,
        notes: Vec::new(),
    };
    let step = blank(turn, &task);
    announce(turn, &task, &step, None);
    step
}

/// Ends such a step.
async fn end(
    turn: &Turn,
    mut step: NovaStep,
    begun: Instant,
    error: Option<ErrorInfo>,
) -> Result<(), Stop> {
    let now = Instant::now();
    turn.spend(Activity::Memory, begun, now);
    step.elapsed_time_ms = (now - begun).as_secs_f64() * 1e3;
    step.output_sha256 = sha256(&step.output);
    step.partial = false;
    step.success = error.is_none();
    step.error = error;
    turn.keep(step).await
}

async fn search(turn: &Turn) -> Result<Vec<MemoryDocument>, Stop> {
    let begun = Instant::now();
    let text = turn.request.prompt.clone();
    let mut step = begin(turn, NovaStage::Recall, &text);
    let embedded = embed(turn, &text, &mut step).await?;
    let (answer, found) = oneshot::channel();
    let errand = Errand::Recall {
        text,
        embedded,
        limit: turn.request.memory.limit as usize,
        answer,
    };
    let found = match turn.errands.send(errand).await {
        Ok(()) => found.await.unwrap_or_else(|error| Err(error.to_string())),
        Err(_) => Err("nobody looks through the memory".into()),
    };
    // The answer may be worse without, and says so.
    let (documents, error) = match found {
        Ok(documents) => (documents, None),
        Err(reason) => (
            Vec::new(),
            Some(failure("the memory could not be looked through", &reason)),
        ),
    };
    turn.log.announce(NovaEvent::Memory(MemoryRecalled {
        step: step.number,
        documents: documents.clone(),
    }));
    let texts: Vec<&str> = documents.iter().map(|it| it.text.as_str()).collect();
    step.output = texts.join("\n\n");
    step.documents.clone_from(&documents);
    end(turn, step, begun, error).await?;
    Ok(documents)
}

/// A text as an embedding, where there is a model for that. One that does not work is noted, and words
/// have to do.
async fn embed(turn: &Turn, text: &str, step: &mut NovaStep) -> Result<Option<Embedded>, Stop> {
    let Some(model) = &turn.embedding else {
        return Ok(None);
    };
    let Some(backend) = turn.engine.backends.get(&model.backend).cloned() else {
        return Ok(None);
    };
    let texts = [text.to_owned()];
    let vectors = tokio::select! {
        vectors = backend.embed(&model.name, &texts) => vectors,
        () = turn.cancel.cancelled() => return Err(Stop::Cancelled),
    };
    match vectors {
        Ok(mut vectors) => Ok(vectors.pop().map(|vector| Embedded {
            model: model.to_string(),
            vector,
        })),
        Err(error) => {
            step.notes.push(format!("no embedding by {model}: {error}"));
            Ok(None)
        }
    }
}

/// Keeps an exchange, for later turns of the session.
pub async fn remember(turn: &Turn, prompt: &str, answer: &str) -> Result<(), Stop> {
    turn.check()?;
    turn.enter(NovaStage::Memorising);
    let begun = Instant::now();
    let text = format!("{}\n\n{}", prompt.trim(), answer.trim());
    let mut step = begin(turn, NovaStage::Memorising, &text);
    let embedded = embed(turn, &text, &mut step).await?;
    let (answer, kept) = oneshot::channel();
    let errand = Errand::Remember {
        text,
        embedded,
        answer,
    };
    let kept = match turn.errands.send(errand).await {
        Ok(()) => kept.await.unwrap_or_else(|error| Err(error.to_string())),
        Err(_) => Err("nobody keeps it".into()),
    };
    // The answer is there all the same.
    let error = kept.err();
    let error = error.map(|reason| failure("the exchange could not be kept", &reason));
    end(turn, step, begun, error).await
}

fn failure(what: &str, reason: &str) -> ErrorInfo {
    ErrorInfo {
        code: ErrorCode::Server,
        message: format!("{what}: {reason}"),
    }
}
