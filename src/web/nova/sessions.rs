//! What is done with whole sessions: rename, close, branch off, delete, bring in from a file.

use poem::web::{Data, Multipart, Path};
use poem::{Body, FromRequest, Request, RequestBody, Response, handler};
use serde_json::json;

use super::{Shown, show, values_of};
use crate::api::{Problem, whole};
use crate::app::{App, AppError};
use crate::record::{FieldError, NovaCheckpoint, NovaSession, RunId, SessionPatch};
use crate::web::form::Fields;
use crate::web::run_form::{self, Messages};
use crate::web::{page, runs};

/// The field of the form that holds the file.
const FILE: &str = "checkpoint";

fn to_session(id: &RunId) -> Response {
    page::see_other(&format!("/nova/{id}"))
}

#[handler]
pub async fn rename(
    app: Data<&App>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let id = runs::id(&id)?;
    let fields = Fields::of_body(&app, body).await?;
    let patch = SessionPatch {
        title: Some(fields.text("title").trim().to_owned()),
        ..SessionPatch::default()
    };
    match app.change_session(&id, patch).await {
        Ok(session) => Ok(to_session(&session.id)),
        Err(AppError::Invalid(errors)) => {
            let shown = Shown {
                session: Some(app.nova_session(&id).await?),
                errors: run_form::by_field(&errors),
                ..Shown::default()
            };
            show(&app, 422, shown).await
        }
        Err(other) => Err(other.into()),
    }
}

#[handler]
pub async fn close(app: Data<&App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let session = app.close_session(&runs::id(&id)?).await?;
    Ok(to_session(&session.id))
}

#[handler]
pub async fn fork(
    app: Data<&App>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    let turn = fields.text("turn").parse().map_err(|_| {
        let message = "is not the number of a turn".to_owned();
        Problem::invalid(vec![FieldError {
            pointer: "/turn".into(),
            message,
        }])
    })?;
    let session = app.fork_session(&runs::id(&id)?, turn).await?;
    Ok(to_session(&session.id))
}

#[handler]
pub async fn ask_to_delete(app: Data<&App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let session = app.nova_session(&runs::id(&id)?).await?;
    page::render(
        200,
        "nova-delete.html",
        json!({ "session": values_of(&session) }),
    )
}

#[handler]
pub async fn delete(app: Data<&App>, Path(id): Path<String>) -> Result<Response, Problem> {
    app.delete_session(&runs::id(&id)?).await?;
    Ok(page::see_other("/nova?deleted=1"))
}

/// Begins a session from a file with a checkpoint.
#[handler]
pub async fn import(app: Data<&App>, request: &Request, body: Body) -> Result<Response, Problem> {
    let bytes = whole(body, &app.config).await?;
    let imported = match file_of(request, bytes).await {
        Ok(file) => imported(&app, &file).await,
        Err(problem) => Err(problem),
    };
    match imported {
        Ok(session) => Ok(to_session(&session.id)),
        Err(problem) if problem.status < 500 => {
            let shown = Shown {
                errors: Messages::from([(FILE.to_owned(), vec![problem.detail])]),
                ..Shown::default()
            };
            show(&app, problem.status, shown).await
        }
        Err(other) => Err(other),
    }
}

async fn imported(app: &App, file: &[u8]) -> Result<NovaSession, Problem> {
    let checkpoint: NovaCheckpoint = serde_json::from_slice(file).map_err(|error| {
        let detail = format!("this file is not a session that was exported as JSON: {error}");
        Problem::new(422, detail)
    })?;
    Ok(app.import_session(checkpoint).await?)
}

/// The file in a form that was sent with one.
async fn file_of(request: &Request, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: String| Problem::new(400, format!("the form is not whole: {error}"));
    let mut body = RequestBody::new(Body::from(bytes));
    let form = Multipart::from_request(request, &mut body).await;
    let mut form = form.map_err(|error| unreadable(error.to_string()))?;
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| unreadable(error.to_string()))?
    {
        if field.name() == Some(FILE) {
            let file = field.bytes().await;
            let file = file.map_err(|error| unreadable(error.to_string()))?;
            if !file.is_empty() {
                return Ok(file);
            }
        }
    }
    Err(Problem::new(422, "choose a file first"))
}
