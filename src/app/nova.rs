//! Agents: sessions and memory as straight functions. Asking, carrying a turn out and telling of it are in
//! the files beside this one.

mod asking;
mod benchmark;
mod execution;
mod replay;
mod sessions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{App, AppError};
use crate::backend::Backend;
use crate::clock::time_of_day;
use crate::config::Config;
use crate::nova::budget::TokenRate;
use crate::nova::core::{NovaCore, Setting};
use crate::nova::prompts::Prompts;
use crate::record::{
    MemoryDocument, MemoryPage, MemoryScope, ModelName, ModelSummary, NewMemory, NovaEvent,
    NovaStatus, RunId,
};
use crate::run::engine::Engine;
use crate::run::events::EventLogs;
use crate::store::{Embedding, Remembered, Store, StoreError};

/// Most documents that a search gives.
const MOST_FOUND: u32 = 50;
/// Less alike than this, two texts have nothing to do with each other for any model of embeddings.
pub(super) const LEAST_LIKENESS: f64 = 0.3;

/// What the agents need of the program.
pub(super) struct Agents {
    core: Arc<NovaCore>,
    pub(super) logs: EventLogs<NovaEvent>,
    active: Mutex<HashMap<RunId, ActiveTurn>>,
    /// One for each turn that may go on.
    places: Arc<Semaphore>,
}

/// A turn that goes on.
#[derive(Clone)]
struct ActiveTurn {
    cancel: CancellationToken,
    ended: watch::Receiver<bool>,
}

impl Agents {
    /// The agents with their prompts, which are all checked.
    pub(super) fn new(config: &Config, engine: &Engine) -> Result<Self, AppError> {
        let folder = Some(config.nova.prompts.trim()).filter(|it| !it.is_empty());
        let prompts = Prompts::load(folder.map(std::path::Path::new)).map_err(AppError::Prompts)?;
        // Turns do not wait for a baseline.
        let mut sampling = engine.sampling.clone();
        sampling.baseline = 0.0;
        let engine = Engine {
            transport: engine.transport.clone(),
            backends: engine.backends.clone(),
            bounds: engine.bounds,
            sampling,
            machine: Arc::clone(&engine.machine),
            settings: engine.settings.clone(),
        };
        Ok(Self {
            core: Arc::new(NovaCore::new(Arc::new(engine), prompts)),
            logs: EventLogs::default(),
            active: Mutex::default(),
            places: Arc::new(Semaphore::new(config.nova.max_turns)),
        })
    }

    /// Turns that go on.
    pub(super) fn count(&self) -> usize {
        self.active().len()
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, ActiveTurn>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks turns whose process is gone, with what is stored of them.
pub(super) async fn mark_abandoned(store: &Store) -> Result<(), StoreError> {
    for mut turn in store.abandoned_turns().await? {
        let response = &mut turn.response;
        response.status = NovaStatus::Interrupted;
        response.status_reason = Some("the program ended in the middle of the turn".into());
        if let Some(last) = response.steps.last() {
            response.text.clone_from(&last.output);
        }
        let now = time_of_day();
        turn.finished_at = Some(now);
        if store.finish_turn(&turn, now, |_| ()).await? {
            let id = &turn.response.turn_id;
            tracing::warn!(%id, "the turn was interrupted by the end of an earlier process");
        }
    }
    Ok(())
}

impl App {
    /// A page of what the agents remember, newest first.
    pub async fn memory(
        &self,
        session: Option<RunId>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<MemoryPage, AppError> {
        let scope = session.map_or(MemoryScope::All, MemoryScope::Session);
        Ok(self.inner.store.memory(&scope, limit, cursor).await?)
    }

    /// Keeps a document, with an embedding where there is a model for that.
    pub async fn remember(&self, wanted: NewMemory) -> Result<MemoryDocument, AppError> {
        let problems = wanted.problems(&self.config.request_limits());
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        if let Some(id) = &wanted.session_id {
            self.nova_session(id).await?;
        }
        let embedding = self.embedded(&wanted.text).await;
        let now = time_of_day();
        let document = MemoryDocument {
            id: RunId::new(now),
            text: wanted.text,
            tags: wanted.tags,
            created_at: now,
            session_id: wanted.session_id,
            embedding_model: embedding.as_ref().map(|it| it.model.clone()),
            score: None,
            found_by: None,
            reason: None,
        };
        let remembered = Remembered {
            document,
            embedding,
        };
        self.inner.store.remember(&remembered).await?;
        Ok(remembered.document)
    }

    /// Documents that fit a text, the best first.
    pub async fn search_memory(
        &self,
        text: &str,
        session: Option<RunId>,
        limit: Option<u32>,
    ) -> Result<Vec<MemoryDocument>, AppError> {
        if text.trim().is_empty() {
            return Err(AppError::invalid("/q", "must not be empty".into()));
        }
        let limit = limit.unwrap_or(10);
        if !(1..=MOST_FOUND).contains(&limit) {
            let message = format!("must be from 1 to {MOST_FOUND}");
            return Err(AppError::invalid("/limit", message));
        }
        let scope = session.map_or(MemoryScope::All, MemoryScope::Session);
        let embedding = self.embedded(text).await;
        let store = &self.inner.store;
        let found = recall(store, &scope, text, embedding.as_ref(), limit as usize).await;
        Ok(found?)
    }

    /// Deletes a document.
    pub async fn forget(&self, id: &RunId) -> Result<(), AppError> {
        if self.inner.store.forget(id).await? {
            return Ok(());
        }
        Err(AppError::UnknownId {
            what: "document",
            id: id.to_string(),
        })
    }

    /// Deletes what every session recalls, or with a session what only that one does; how many documents
    /// that were.
    pub async fn forget_all(&self) -> Result<u64, AppError> {
        Ok(self.inner.store.forget_all(&MemoryScope::Shared).await?)
    }

    /// How much the agents do, as configured.
    fn nova_setting(&self) -> Setting {
        let nova = &self.config.nova;
        Setting {
            plan_steps: nova.plan_steps,
            iterations: nova.iterations,
            rate: TokenRate::default(),
        }
    }

    /// A place for a turn, to be held until it has ended. Taken before anything else is done for it: many who ask
    /// at once would else all see that there is room.
    fn turns_place(&self) -> Result<OwnedSemaphorePermit, AppError> {
        let places = Arc::clone(&self.inner.agents.places);
        let waiting = self.config.nova.max_turns;
        places
            .try_acquire_owned()
            .map_err(|_| AppError::QueueFull { waiting })
    }

    /// A text as an embedding, where there is a model for that and it works.
    async fn embedded(&self, text: &str) -> Option<Embedding> {
        let named = self.config.nova.model.trim();
        let name = ModelName::parse(named, &self.config.default_backend).ok();
        let backend = name.map_or_else(|| self.config.default_backend.clone(), |it| it.backend);
        let model = self.embedding_model(&backend, &[]).await?;
        let backend = self.inner.engine.backends.get(&model.backend)?;
        match backend.embed(&model.name, &[text.to_owned()]).await {
            Ok(mut vectors) => vectors.pop().map(|vector| Embedding {
                model: model.to_string(),
                vector,
            }),
            Err(error) => {
                tracing::warn!(%error, "a text has no embedding");
                None
            }
        }
    }

    /// The configured model for embeddings, else the first of a backend, whose models are `known` already
    /// or asked for.
    async fn embedding_model(&self, backend: &str, known: &[ModelSummary]) -> Option<ModelName> {
        let named = self.config.nova.embedding_model.trim();
        if !named.is_empty() {
            return ModelName::parse(named, &self.config.default_backend).ok();
        }
        let can_embed = |it: &&ModelSummary| it.can("embedding") == Some(true);
        let asked;
        let models = if known.is_empty() {
            let backend: &Arc<dyn Backend> = self.inner.engine.backends.get(backend)?;
            asked = backend.models().await.unwrap_or_default();
            &asked
        } else {
            known
        };
        let found = models.iter().find(can_embed)?;
        Some(ModelName {
            name: found.name.clone(),
            backend: backend.to_owned(),
        })
    }
}

/// Documents that fit a text: by their embeddings first, then, where those are too few, by their words.
async fn recall(
    store: &Store,
    scope: &MemoryScope,
    text: &str,
    embedding: Option<&Embedding>,
    limit: usize,
) -> Result<Vec<MemoryDocument>, StoreError> {
    let mut found = match embedding {
        Some(embedding) => store.recall_by_embedding(scope, embedding, limit).await?,
        None => Vec::new(),
    };
    found.retain(|it| it.score.is_some_and(|score| score >= LEAST_LIKENESS));
    if found.len() < limit {
        for document in store.recall_by_words(scope, text, limit).await? {
            if found.len() < limit && !found.iter().any(|it| it.id == document.id) {
                found.push(document);
            }
        }
    }
    Ok(found)
}
