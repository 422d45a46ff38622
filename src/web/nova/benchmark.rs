//! A session put to other models: which ones, how, how often. What comes of it is a benchmark like any
//! other, with its own pages.

use poem::web::{Data, Path};
use poem::{Body, Response, handler};
use serde_json::json;

use super::values_of;
use crate::api::Problem;
use crate::app::{App, AppError};
use crate::record::{Execution, FieldError, NovaSession, ReplayMode, SessionBenchmark};
use crate::web::form::Fields;
use crate::web::run_form::fields::{Field, Group, Kind, WARMUP, field};
use crate::web::run_form::{self, Reader};
use crate::web::start::Told;
use crate::web::{page, runs, start};

/// How often; what else a benchmark can be told is of no use here.
const GROUPS: [Group; 1] = [Group {
    title: "How often",
    fields: &COUNTS,
}];

const COUNTS: [Field; 2] = [
    Field {
        default: "3",
        ..field(
            "repetitions",
            Kind::Whole,
            "Repetitions",
            "Of each call, or of the whole session where the agents work anew. Five or more give an interval, and so a sure verdict.",
        )
    },
    WARMUP,
];

/// Whether every model is told the same: name, title, what it means in a line.
const MODES: [(&str, &str, &str); 2] = [
    (
        "pinned",
        "The recorded calls",
        "Every model is told exactly what was told in the record, whatever it makes of it: times can be compared fairly.",
    ),
    (
        "live",
        "The agents work anew",
        "Each model goes its own way with the same prompts: shows how it behaves, and how many calls it takes.",
    ),
];

#[handler]
pub async fn view(app: Data<&App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let session = app.nova_session(&runs::id(&id)?).await?;
    let mut fields = Fields::default();
    for field in &COUNTS {
        fields.set(field.name, field.default);
    }
    show(&app, 200, &session, fields, &Told::default()).await
}

#[handler]
pub async fn begin(
    app: Data<&App>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let session = app.nova_session(&runs::id(&id)?).await?;
    let fields = Fields::of_body(&app, body).await?;
    let (wanted, errors) = read(&fields);
    let started = if errors.is_empty() {
        app.benchmark_session(&session.id, wanted).await
    } else {
        Err(AppError::Invalid(errors))
    };
    match started {
        Ok(run) => Ok(page::see_other(&format!("/runs/{}", run.id))),
        Err(error) => {
            let (status, told) = start::refusal(error, "/models");
            show(&app, status, &session, fields, &told).await
        }
    }
}

fn read(fields: &Fields) -> (SessionBenchmark, Vec<FieldError>) {
    let mut reader = Reader::new(fields);
    let wanted = SessionBenchmark {
        models: run_form::models(fields),
        mode: match fields.text("mode") {
            "live" => ReplayMode::Live,
            _ => ReplayMode::Pinned,
        },
        repetitions: reader.count("repetitions"),
        warmup: reader.count("warmup"),
        execution: Execution::default(),
        timeout: None,
        name: None,
        tags: Vec::new(),
    };
    (wanted, reader.errors)
}

async fn show(
    app: &App,
    status: u16,
    session: &NovaSession,
    mut fields: Fields,
    told: &Told,
) -> Result<Response, Problem> {
    let mut groups = start::groups(app, app.models().await);
    start::select(&mut groups, &mut fields);
    let chosen = fields.text("mode");
    let modes = MODES.map(|(value, title, hint)| {
        let selected = value == chosen || (chosen.is_empty() && value == MODES[0].0);
        json!({ "value": value, "title": title, "hint": hint, "selected": selected })
    });
    let values = json!({
        "session": values_of(session),
        "modes": modes,
        "groups": run_form::shown(&GROUPS, &fields, &told.errors),
        "backends": groups,
        "more_models": fields.text("more_models"),
        "model_errors": told.errors.get("models"),
        "mistakes": start::mistakes(&told.errors),
        "general": told.general,
        "default_backend": app.config.default_backend,
        "here": format!("/nova/{}/benchmark", session.id),
    });
    page::render(status, "nova-benchmark.html", values)
}
