//! Which models there are, and which of them were meant.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{App, AppError, BackendModels};
use crate::backend::{Backend, BackendError, leave_fixed_context};
use crate::record::{
    BenchmarkRequest, Environment, FieldError, ModelDetails, ModelEnvironment, ModelName,
    ModelSummary,
};
use crate::version::{COMMIT, VERSION};

/// A list of models is short, and people wait for it.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);

impl App {
    /// Models of all backends. One that does not answer soon holds up none of the others.
    pub async fn models(&self) -> Vec<BackendModels> {
        join_all(self.inner.engine.backends.values().map(|backend| async {
            let models = tokio::time::timeout(LIST_TIMEOUT, backend.models()).await;
            BackendModels {
                backend: backend.name().to_owned(),
                models: models.unwrap_or_else(|_| {
                    Err(BackendError::Unreachable {
                        backend: backend.name().to_owned(),
                        url: backend.url(),
                        reason: format!("no answer within {LIST_TIMEOUT:?}"),
                        advice: "it may be busy; try again later".into(),
                    })
                }),
            }
        }))
        .await
    }

    /// Details of one model, `NAME` or `NAME@BACKEND`.
    pub async fn model(&self, name: &str) -> Result<ModelDetails, AppError> {
        let name = self.model_name(name)?;
        let backend = self.backend(&name.backend)?;
        match backend.details(&name.name).await {
            Err(BackendError::Refused { status: 404, .. }) => {
                let models = backend.models().await.unwrap_or_default();
                Err(unknown_model(&name, &models))
            }
            other => Ok(other?),
        }
    }

    /// Asks each backend of the request for its models and finds those that were named.
    pub(super) async fn check_models(
        &self,
        request: &BenchmarkRequest,
    ) -> Result<Environment, AppError> {
        let mut environment = Environment {
            benchmarker_version: VERSION.to_owned(),
            benchmarker_commit: COMMIT.map(str::to_owned),
            models: Vec::new(),
        };
        let mut known: HashMap<String, (Vec<ModelSummary>, Option<String>)> = HashMap::new();
        for text in &request.models {
            let name = self.model_name(text)?;
            let backend = self.backend(&name.backend)?;
            let mut refusals = backend.refusals(request);
            if refusals.is_empty() {
                refusals = refused_calls(backend.as_ref(), request);
            }
            if !refusals.is_empty() {
                return Err(AppError::Invalid(refusals));
            }
            if !known.contains_key(&name.backend) {
                let (models, version) = tokio::join!(backend.models(), backend.version());
                known.insert(name.backend.clone(), (models?, version.ok().flatten()));
            }
            let Some((models, version)) = known.get(&name.backend) else {
                continue;
            };
            let summary = find_model(backend.as_ref(), &name, models).await?;
            if environment
                .models
                .iter()
                .any(|it| it.model == summary.name && it.backend == name.backend)
            {
                return Err(AppError::Invalid(vec![FieldError {
                    pointer: "/models".into(),
                    message: format!("`{name}` is named twice"),
                }]));
            }
            let location = self.location(&name.backend).await;
            environment.models.push(ModelEnvironment {
                model: summary.name,
                backend: name.backend,
                backend_kind: backend.kind().into(),
                backend_version: version.clone(),
                digest: summary.digest,
                quantization: summary.quantization,
                parameter_size: summary.parameter_size,
                synthetic: summary.synthetic,
                location,
                ..ModelEnvironment::default()
            });
        }
        Ok(environment)
    }

    pub(super) fn model_name(&self, text: &str) -> Result<ModelName, AppError> {
        ModelName::parse(text, &self.config.default_backend).map_err(|error| {
            AppError::Invalid(vec![FieldError {
                pointer: "/models".into(),
                message: error.to_string(),
            }])
        })
    }

    pub(super) fn backend(&self, name: &str) -> Result<Arc<dyn Backend>, AppError> {
        let backends = &self.inner.engine.backends;
        backends
            .get(name)
            .cloned()
            .ok_or_else(|| AppError::UnknownBackend {
                backend: name.to_owned(),
                known: backends.keys().cloned().collect(),
            })
    }
}

/// What a backend cannot honour of the recorded calls of a session.
fn refused_calls(backend: &dyn Backend, request: &BenchmarkRequest) -> Vec<FieldError> {
    let mut refusals = Vec::new();
    let calls = request.replay.iter().flat_map(|it| &it.calls);
    for (index, call) in calls.enumerate() {
        let mut own = request.of_call(call);
        leave_fixed_context(backend, &mut own);
        refusals.extend(backend.refusals(&own).into_iter().map(|it| FieldError {
            pointer: format!("/replay/calls/{index}{}", it.pointer),
            ..it
        }));
    }
    refusals
}

/// The listed model that was meant. The reference server also knows models that it does not list.
pub(super) async fn find_model(
    backend: &dyn Backend,
    name: &ModelName,
    models: &[ModelSummary],
) -> Result<ModelSummary, AppError> {
    let exact = models.iter().find(|it| it.name == name.name);
    let found = exact.or_else(|| {
        let wanted = plain(&name.name);
        models.iter().find(|it| plain(&it.name) == wanted)
    });
    if let Some(summary) = found {
        return Ok(summary.clone());
    }
    if backend.kind() == "reference"
        && let Ok(details) = backend.details(&name.name).await
    {
        return Ok(details.summary);
    }
    Err(unknown_model(name, models))
}

/// A name without its tag means the tag `latest`.
fn plain(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

fn unknown_model(name: &ModelName, models: &[ModelSummary]) -> AppError {
    let mut near: Vec<(f64, &str)> = models
        .iter()
        .map(|model| {
            (
                strsim::jaro_winkler(&model.name, &name.name),
                model.name.as_str(),
            )
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    AppError::UnknownModel {
        model: name.name.clone(),
        backend: name.backend.clone(),
        near: near
            .into_iter()
            .take(3)
            .map(|(_, name)| name.to_owned())
            .collect(),
    }
}
