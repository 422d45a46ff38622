//! The first page: write a prompt, choose models, press the button.

use std::cmp::Reverse;

use poem::web::Data;
use poem::{Body, Request, Response, handler};
use serde::Serialize;
use serde_json::json;

use super::form::Fields;
use super::run_form::{self, Messages};
use super::{page, runs};
use crate::api::Problem;
use crate::app::{App, AppError, BackendModels};
use crate::record::{FieldError, ModelSummary};

/// Models of one backend, to choose from.
#[derive(Debug, Serialize)]
pub struct Group {
    backend: String,
    is_reference: bool,
    is_default: bool,
    /// Those that write text.
    pub models: Vec<Choice>,
    error: Option<String>,
}

/// A model to choose.
#[derive(Debug, Serialize)]
pub struct Choice {
    /// `NAME@BACKEND`.
    pub value: String,
    /// It is chosen.
    pub selected: bool,
    #[serde(flatten)]
    model: ModelSummary,
}

/// What the form shows beside its fields.
#[derive(Debug, Default)]
pub struct Told {
    /// What is wrong, by field.
    pub errors: Messages,
    /// What is wrong beyond any field.
    pub general: Option<String>,
    /// What was done.
    pub done: Option<String>,
}

/// The name of the backend that is always there.
const REFERENCE: &str = "reference";
/// Chosen where there is nothing else to choose.
const FALLBACK: &str = "steady@reference";

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let query = Fields::of_query(request)?;
    if let Some(id) = query.filled("from") {
        let earlier = app.record(&runs::id(id)?).await?;
        return show(
            &app,
            200,
            run_form::filled(&earlier.request),
            &Told::default(),
        )
        .await;
    }
    let mut groups = groups(&app, app.models().await);
    let mut fields = run_form::untouched();
    if let Some(model) = preselected(&groups) {
        fields.set("models", model);
    }
    select(&mut groups, &mut fields);
    shown(&app, 200, groups, &fields, &Told::default()).await
}

#[handler]
pub async fn start(app: Data<&App>, body: Body) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    let (request, mut errors) = run_form::read(&fields);
    if !errors.is_empty() {
        // Whatever else is wrong is told at once. What could not be read was told already.
        let limits = app.config.request_limits();
        let more = request.problems(&limits, &app.config.default_backend);
        errors.extend(
            more.into_iter()
                .filter(|it| !is_told(&errors, &it.pointer))
                .collect::<Vec<_>>(),
        );
        return again(&app, fields, AppError::Invalid(errors)).await;
    }
    match app.start(request).await {
        Ok(run) => Ok(page::see_other(&format!("/runs/{}", run.id))),
        Err(error) => again(&app, fields, error).await,
    }
}

pub fn is_told(errors: &[FieldError], pointer: &str) -> bool {
    errors.iter().any(|it| it.pointer == pointer)
}

/// The form once more, with what was typed and what is wrong.
async fn again(app: &App, fields: Fields, error: AppError) -> Result<Response, Problem> {
    let (status, told) = refusal(error, "/models");
    show(app, status, fields, &told).await
}

/// What a form says of why it was refused, and the status of that. What is wrong with a model that is not
/// there stands at the field that names models.
pub fn refusal(error: AppError, names_models: &str) -> (u16, Told) {
    let is_about_models = matches!(
        error,
        AppError::UnknownModel { .. } | AppError::UnknownBackend { .. }
    );
    let mut problem = Problem::from(error);
    if is_about_models {
        problem.errors.push(FieldError {
            pointer: names_models.to_owned(),
            message: problem.detail.clone(),
        });
    }
    let told = Told {
        errors: run_form::by_field(&problem.errors),
        general: problem.errors.is_empty().then_some(problem.detail),
        done: None,
    };
    (problem.status, told)
}

/// The whole page with these fields.
pub async fn show(
    app: &App,
    status: u16,
    mut fields: Fields,
    told: &Told,
) -> Result<Response, Problem> {
    let mut groups = groups(app, app.models().await);
    select(&mut groups, &mut fields);
    shown(app, status, groups, &fields, told).await
}

async fn shown(
    app: &App,
    status: u16,
    groups: Vec<Group>,
    fields: &Fields,
    told: &Told,
) -> Result<Response, Problem> {
    let default_backend = &app.config.default_backend;
    page::render(
        status,
        "start.html",
        json!({
            "prompt": prompt_part(app, fields, told).await,
            "backends": groups,
            "more_models": fields.text("more_models"),
            "model_errors": told.errors.get("models"),
            "groups": run_form::groups(fields, &told.errors),
            "mistakes": mistakes(&told.errors),
            "general": told.general,
            "default_backend": default_backend,
        }),
    )
}

/// What the prompt's part of the form shows.
pub async fn prompt_part(app: &App, fields: &Fields, told: &Told) -> serde_json::Value {
    let (saved, unavailable) = match app.prompts().await {
        Ok(saved) => (saved, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    json!({
        "text": fields.text("prompt"),
        "errors": told.errors.get("prompt"),
        "name": fields.text("prompt_name"),
        "name_errors": told.errors.get("prompt_name"),
        "done": told.done,
        "saved": saved,
        "unavailable": unavailable,
    })
}

/// A list of what is wrong, each with the field's id.
pub fn mistakes(errors: &Messages) -> Vec<(String, String, &String)> {
    let each = errors
        .iter()
        .flat_map(|(name, messages)| messages.iter().map(move |it| (name, it)));
    each.map(|(name, message)| {
        let words = name.trim_start_matches("parameters/").replace('_', " ");
        (name.replace('/', "-"), words, message)
    })
    .collect()
}

/// The default backend first, the reference last.
pub fn groups(app: &App, backends: Vec<BackendModels>) -> Vec<Group> {
    let mut groups: Vec<Group> = backends
        .into_iter()
        .map(|BackendModels { backend, models }| {
            let (models, error) = match models {
                Ok(models) => (models, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            let choice = |model: ModelSummary| Choice {
                value: format!("{}@{}", model.name, model.backend),
                selected: false,
                model,
            };
            Group {
                is_reference: backend == REFERENCE,
                is_default: backend == app.config.default_backend,
                models: models
                    .into_iter()
                    .filter(ModelSummary::may_write)
                    .map(choice)
                    .collect(),
                backend,
                error,
            }
        })
        .collect();
    groups.sort_by_key(|group| (Reverse(group.is_default), group.is_reference));
    groups
}

/// What a newcomer most likely means: the only model, the only loaded one, or, where the model
/// server gives none, one that needs no server.
pub fn preselected(groups: &[Group]) -> Option<String> {
    let of_servers = || {
        groups
            .iter()
            .filter(|group| !group.is_reference)
            .flat_map(|it| &it.models)
    };
    if of_servers().next().is_none() {
        return Some(FALLBACK.to_owned());
    }
    only(of_servers())
        .or_else(|| only(of_servers().filter(|it| it.model.loaded == Some(true))))
        .map(|choice| choice.value.clone())
}

/// The item, where there is just one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}

/// Marks what was chosen. What is not in the list, now or ever, goes to those named by hand.
pub fn select(groups: &mut [Group], fields: &mut Fields) {
    let mut others: Vec<String> = Vec::new();
    for name in run_form::models(fields) {
        let mut choices = groups.iter_mut().flat_map(|group| {
            let is_default = group.is_default;
            group
                .models
                .iter_mut()
                .map(move |choice| (is_default, choice))
        });
        let found = choices.find(|(is_default, choice)| {
            let model = &choice.model.name;
            let is_same = *model == name || *model == format!("{name}:latest");
            choice.value == name || (*is_default && is_same)
        });
        match found {
            Some((_, choice)) if !choice.selected => choice.selected = true,
            _ => others.push(name),
        }
    }
    fields.set("more_models", others.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(name: &str, backend: &str, loaded: bool) -> ModelSummary {
        ModelSummary {
            name: name.into(),
            backend: backend.into(),
            synthetic: false,
            size_bytes: None,
            parameter_size: None,
            quantization: None,
            context_length: None,
            family: None,
            loaded: Some(loaded),
            digest: None,
            capabilities: Vec::new(),
        }
    }

    fn group(backend: &str, models: &[(&str, bool)]) -> Group {
        let choice = |(name, loaded): &(&str, bool)| Choice {
            value: format!("{name}@{backend}"),
            selected: false,
            model: summary(name, backend, *loaded),
        };
        Group {
            backend: backend.into(),
            is_reference: backend == REFERENCE,
            is_default: backend == "ollama",
            models: models.iter().map(choice).collect(),
            error: None,
        }
    }

    #[test]
    fn a_model_that_writes_nothing_is_not_offered() {
        let with = |capabilities: &[&str]| ModelSummary {
            capabilities: capabilities.iter().map(|it| (*it).to_owned()).collect(),
            ..summary("a", "ollama", false)
        };
        assert!(with(&[]).may_write());
        assert!(with(&["completion", "embedding"]).may_write());
        assert!(!with(&["embedding"]).may_write());
    }

    #[test]
    fn one_model_is_chosen_where_it_is_plain_which() {
        let reference = || group("reference", &[("steady", false)]);
        let chosen = |models: &[(&str, bool)]| preselected(&[group("ollama", models), reference()]);
        assert_eq!(chosen(&[]).as_deref(), Some("steady@reference"));
        assert_eq!(chosen(&[("a", false)]).as_deref(), Some("a@ollama"));
        assert_eq!(
            chosen(&[("a", false), ("b", true)]).as_deref(),
            Some("b@ollama")
        );
        assert_eq!(chosen(&[("a", true), ("b", true)]), None);
    }

    #[test]
    fn what_is_not_listed_stays_typed() {
        let mut groups = [group("ollama", &[("a:latest", false)])];
        let mut fields = Fields::default();
        fields.add("models", "a");
        fields.add("models", "gone@ollama");
        fields.set("more_models", "a@ollama");
        select(&mut groups, &mut fields);
        assert!(groups[0].models[0].selected);
        assert_eq!(fields.text("more_models"), "gone@ollama a@ollama");
    }
}
