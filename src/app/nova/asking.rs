//! Asking the agents: what was asked is checked, a model is found for each role, the turn is stored and
//! set going.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::super::models::find_model;
use super::super::{App, AppError};
use super::execution::TurnExecution;
use super::{ActiveTurn, mark_abandoned};
use crate::backend::Backend;
use crate::clock::time_of_day;
use crate::nova::turn::Placed;
use crate::record::{
    BenchmarkRequest, FieldError, ModelEnvironment, ModelName, ModelSummary, NewSession,
    NovaRequest, NovaResponse, NovaRole, NovaSession, NovaStatus, NovaTurn, Parameters, RunId,
};
use crate::store::TurnDetail;

/// What a backend answered about its models.
pub(super) struct Known {
    backend: Arc<dyn Backend>,
    models: Vec<ModelSummary>,
    version: Option<String>,
}

impl App {
    /// Checks what is asked, stores the turn as begun and sets it going. Answers at once.
    pub async fn ask(&self, mut request: NovaRequest) -> Result<NovaTurn, AppError> {
        if self.inner.stopping.is_cancelled() {
            return Err(AppError::Stopping);
        }
        let session = match &request.session_id {
            Some(id) => Some(self.nova_session(id).await?),
            None => None,
        };
        let paused = match &session {
            Some(session) => self.paused_turn(session).await?,
            None => None,
        };
        let set = session.as_ref();
        let pipeline = request
            .pipeline
            .or_else(|| Some(paused.as_ref()?.pipeline))
            .or_else(|| set?.pipeline)
            .unwrap_or_default();
        let paused = paused.filter(|it| it.pipeline == pipeline);
        if let Some(paused) = &paused {
            go_on(&mut request, &paused.request);
        }
        let limits = self.config.request_limits();
        let problems = request.problems(&limits, &self.config.default_backend, pipeline);
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        let place = self.turns_place()?;
        if let Some(session) = set {
            request.parameters = overlaid(&session.parameters, &request.parameters)?;
        }
        let model = request.model.clone().or_else(|| set?.model.clone());
        let mut known = HashMap::new();
        let models = self.place_roles(&request, model, &mut known).await?;
        let backend = models
            .get(&NovaRole::Executor)
            .map(|it| it.name.backend.clone());
        let listed = backend.as_ref().and_then(|it| known.get(it));
        let listed = listed.map_or(&[] as &[ModelSummary], |it| &it.models);
        let embedding = match &backend {
            Some(backend) => self.embedding_model(backend, listed).await,
            None => None,
        };
        // In a task of its own: who asked may go away between the two steps.
        let app = self.clone();
        let begun = tokio::spawn(async move {
            let (turn, session) = app.begin(request, pipeline, session).await?;
            app.set_turn_going(turn.clone(), session, models, embedding, place);
            Ok::<NovaTurn, AppError>(turn)
        });
        begun
            .await
            .map_err(|error| AppError::Storage(error.to_string()))?
    }

    /// The last turn of a session, where that waits for the user's word.
    async fn paused_turn(&self, session: &NovaSession) -> Result<Option<NovaTurn>, AppError> {
        let before = session.turns.saturating_sub(1);
        let store = &self.inner.store;
        let mut last = store
            .turns(&session.id, before, 1, TurnDetail::Bare)
            .await?;
        let last = last.pop();
        Ok(last.filter(|it| it.response.status == NovaStatus::AwaitingUser))
    }

    /// Stores the turn, and its session where that is new.
    async fn begin(
        &self,
        mut request: NovaRequest,
        pipeline: crate::record::NovaPipeline,
        session: Option<NovaSession>,
    ) -> Result<(NovaTurn, NovaSession), AppError> {
        let now = time_of_day();
        let store = &self.inner.store;
        let id = if let Some(session) = session {
            session.id
        } else {
            let wanted = NewSession {
                model: request.model.clone(),
                pipeline: request.pipeline,
                ..NewSession::default()
            };
            let session = NovaSession::new(RunId::new(now), now, wanted);
            store.create_session(&session).await?;
            session.id
        };
        request.session_id = Some(id.clone());
        let mut turn = NovaTurn {
            number: 0,
            timestamp: now,
            finished_at: None,
            pipeline,
            request,
            response: NovaResponse::begun(id.clone(), RunId::new(now)),
            setting: None,
        };
        let begun = store.begin_turn(&mut turn).await?;
        let session = begun.ok_or_else(|| AppError::UnknownId {
            what: "session",
            id: id.to_string(),
        })?;
        Ok((turn, session))
    }

    /// From here on the turn goes by itself, whoever asked for it.
    fn set_turn_going(
        &self,
        turn: NovaTurn,
        session: NovaSession,
        models: BTreeMap<NovaRole, Placed>,
        embedding: Option<ModelName>,
        place: OwnedSemaphorePermit,
    ) {
        let id = turn.response.turn_id.clone();
        let cancel = self.inner.stopping.child_token();
        let (ended, watcher) = watch::channel(false);
        let active = ActiveTurn {
            cancel: cancel.clone(),
            ended: watcher,
        };
        self.inner.agents.active().insert(id.clone(), active);
        for placed in models.values() {
            let name = &placed.name;
            self.metrics().model_chosen(&name.name, &name.backend);
        }
        let execution = TurnExecution {
            app: self.clone(),
            log: self.inner.agents.logs.open(&id),
            turn,
            session,
            models,
            embedding,
            cancel,
        };
        let span = tracing::info_span!("turn", %id);
        let work = tracing::Instrument::instrument(execution.carry_out(), span);
        let app = self.clone();
        self.inner.runs.spawn(async move {
            // A task of its own, so that what breaks off in it is seen.
            if let Err(error) = tokio::spawn(work).await {
                tracing::error!(%error, "a turn broke off");
                app.bury_turn(&id, &error.to_string()).await;
            }
            app.inner.agents.logs.close(&id);
            app.inner.agents.active().remove(&id);
            drop(place);
            // Nobody may be waiting.
            let _ = ended.send(true);
        });
    }

    /// Waits for the end of a turn and gives what came of it.
    pub async fn turn_ended(&self, id: &RunId) -> Result<NovaTurn, AppError> {
        let active = self.inner.agents.active().get(id).cloned();
        if let Some(mut active) = active {
            // The sender is dropped only after it told the end.
            let _ = active.ended.wait_for(|ended| *ended).await;
        }
        self.turn(id).await
    }

    /// Waits for the end of a turn, and stops it when whoever waits is `gone`.
    pub async fn wait_for_turn(
        &self,
        id: &RunId,
        gone: impl Future<Output = ()>,
    ) -> Result<NovaTurn, AppError> {
        tokio::select! {
            turn = self.turn_ended(id) => turn,
            () = gone => self.cancel_turn(id).await,
        }
    }

    /// Stops a turn; what was written until then stays. Answers once it has stopped. A turn that has ended
    /// already stays as it is.
    pub async fn cancel_turn(&self, id: &RunId) -> Result<NovaTurn, AppError> {
        if let Some(active) = self.inner.agents.active().get(id) {
            active.cancel.cancel();
        }
        let turn = self.turn_ended(id).await?;
        if !turn.response.status.is_final() {
            let message = "another process carries this turn out; stop it there".to_owned();
            return Err(AppError::Conflict(message));
        }
        Ok(turn)
    }

    /// Marks turns as interrupted whose process is gone.
    pub(in crate::app) async fn look_after_turns(&self) {
        if let Err(error) = mark_abandoned(&self.inner.store).await {
            tracing::warn!(%error, "turns of processes that are gone could not be looked for");
        }
    }

    /// A model for each role.
    pub(super) async fn place_roles(
        &self,
        request: &NovaRequest,
        model: Option<String>,
        known: &mut HashMap<String, Known>,
    ) -> Result<BTreeMap<NovaRole, Placed>, AppError> {
        let text = match model {
            Some(model) => model,
            None => self.usual_model(known).await?,
        };
        let usual = self.place(&text, "/model", request, known).await?;
        let mut placed = BTreeMap::new();
        for role in NovaRole::ALL {
            let own = match request.models.get(role.as_str()) {
                None => usual.clone(),
                Some(text) => {
                    let pointer = format!("/models/{}", role.as_str());
                    self.place(text, &pointer, request, known).await?
                }
            };
            placed.insert(role, own);
        }
        Ok(placed)
    }

    /// The configured model, else the first of the default backend that writes text, one in memory before
    /// all others.
    async fn usual_model(&self, known: &mut HashMap<String, Known>) -> Result<String, AppError> {
        let configured = self.config.nova.model.trim();
        if !configured.is_empty() {
            return Ok(configured.to_owned());
        }
        let backend = &self.config.default_backend;
        let listed = self.listed(backend, known).await?;
        let able: Vec<&ModelSummary> = listed.models.iter().filter(|it| it.may_write()).collect();
        let loaded = able.iter().find(|it| it.loaded == Some(true));
        let found = loaded.or(able.first());
        found
            .map(|it| format!("{}@{backend}", it.name))
            .ok_or_else(|| {
                let message = format!("{backend} has no model that writes text; name another");
                AppError::invalid("/model", message)
            })
    }

    /// What a backend has; asked once.
    async fn listed<'a>(
        &self,
        name: &str,
        known: &'a mut HashMap<String, Known>,
    ) -> Result<&'a Known, AppError> {
        if !known.contains_key(name) {
            let backend = self.backend(name)?;
            let (models, version) = tokio::join!(backend.models(), backend.version());
            let answered = Known {
                models: models?,
                version: version.ok().flatten(),
                backend,
            };
            known.insert(name.to_owned(), answered);
        }
        known.get(name).ok_or_else(|| AppError::UnknownBackend {
            backend: name.to_owned(),
            known: Vec::new(),
        })
    }

    async fn place(
        &self,
        text: &str,
        pointer: &str,
        request: &NovaRequest,
        known: &mut HashMap<String, Known>,
    ) -> Result<Placed, AppError> {
        let name = self.model_name(text)?;
        let location = self.location(&name.backend).await;
        let settings = self.config.backends.get(&name.backend);
        let at_once = match settings {
            Some(settings) => settings.parallel.max(1),
            // The reference server works on any number.
            None => usize::MAX,
        };
        let listed = self.listed(&name.backend, known).await?;
        let summary = find_model(listed.backend.as_ref(), &name, &listed.models).await?;
        if !summary.may_write() {
            let can = summary.capabilities.join(", ");
            let message = format!("`{name}` cannot write text; it can do: {can}");
            return Err(AppError::invalid(pointer, message));
        }
        let refused = |parameters: &Parameters| {
            let mut call = BenchmarkRequest::new("x", vec![name.to_string()]);
            call.parameters = parameters.clone();
            listed.backend.refusals(&call)
        };
        let refusals: Vec<FieldError> = refused(&request.parameters);
        if !refusals.is_empty() {
            return Err(AppError::Invalid(refusals));
        }
        let nova = &self.config.nova;
        let mut parameters = request.parameters.clone();
        let longest = summary.context_length.unwrap_or(u64::MAX);
        let asked = parameters.num_ctx.and_then(|it| u64::try_from(it).ok());
        let context_size = asked.unwrap_or_else(|| longest.min(u64::from(nova.num_ctx)));
        let with_size = Parameters {
            num_ctx: i64::try_from(context_size).ok(),
            ..parameters.clone()
        };
        // Some servers fix it when they start.
        if refused(&with_size).is_empty() {
            parameters = with_size;
        }
        let bound = parameters.num_predict.and_then(|it| u64::try_from(it).ok());
        let half = (context_size / 2).max(1);
        let most_output = bound.unwrap_or_else(|| half.min(u64::from(nova.num_predict)));
        // Without a bound a model may write for ever.
        parameters.num_predict = i64::try_from(most_output).ok();
        Ok(Placed {
            environment: ModelEnvironment {
                model: summary.name.clone(),
                backend: name.backend.clone(),
                backend_kind: listed.backend.kind().into(),
                backend_version: listed.version.clone(),
                digest: summary.digest,
                quantization: summary.quantization,
                parameter_size: summary.parameter_size,
                synthetic: summary.synthetic,
                location,
                ..ModelEnvironment::default()
            },
            name: ModelName {
                name: summary.name,
                backend: name.backend,
            },
            parameters,
            context_size,
            most_output,
            at_once,
            is_loaded: summary.loaded != Some(false),
        })
    }
}

/// Gives a request that goes on with paused work what that was asked with, where it says nothing of it.
fn go_on(request: &mut NovaRequest, before: &NovaRequest) {
    if request.domains.is_empty() {
        request.domains.clone_from(&before.domains);
    }
    if request.model.is_none() && request.models.is_empty() {
        request.model.clone_from(&before.model);
        request.models.clone_from(&before.models);
    }
    request.max_iterations = request.max_iterations.or(before.max_iterations);
}

/// Parameters with others over them.
fn overlaid(below: &Parameters, above: &Parameters) -> Result<Parameters, AppError> {
    let unreadable = |error: serde_json::Error| AppError::Storage(error.to_string());
    let mut all = serde_json::to_value(below).map_err(unreadable)?;
    let over = serde_json::to_value(above).map_err(unreadable)?;
    if let (Value::Object(all), Value::Object(over)) = (&mut all, over) {
        all.extend(over);
    }
    serde_json::from_value(all).map_err(unreadable)
}
