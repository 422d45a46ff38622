//! Saved prompts, within the form of the first page: save what is written, take one, delete one.
//!
//! Each is a button of that form, so that whatever else was typed comes along and back.

use poem::web::{Data, Path};
use poem::{Body, Request, Response, handler};

use super::form::Fields;
use super::start::{self, Told};
use super::{figures, page, runs};
use serde_json::json;

use crate::api::Problem;
use crate::app::{App, AppError};
use crate::record::NewPrompt;

/// Of the prompt so much is its name where it is given none, characters.
const NAME_LENGTH: usize = 60;

#[handler]
pub async fn save(app: Data<&App>, request: &Request, body: Body) -> Result<Response, Problem> {
    let mut fields = Fields::of_body(&app, body).await?;
    let text = fields.text("prompt").to_owned();
    let name = fields.filled("prompt_name").map(str::to_owned);
    let name = name.unwrap_or_else(|| figures::excerpt(&text, NAME_LENGTH));
    match app.save_prompt(NewPrompt { name, text }).await {
        Ok(saved) => {
            fields.set("prompt_name", "");
            let done = Some(format!("Saved as “{}”.", saved.name));
            answer(
                &app,
                request,
                200,
                fields,
                Told {
                    done,
                    ..Told::default()
                },
            )
            .await
        }
        Err(AppError::Invalid(errors)) => {
            let mut told = Told::default();
            for error in errors {
                let field = if error.pointer == "/name" {
                    "prompt_name"
                } else {
                    "prompt"
                };
                told.errors
                    .entry(field.to_owned())
                    .or_default()
                    .push(error.message);
            }
            // Without a prompt there is no name either; one message says enough.
            if told.errors.contains_key("prompt") && fields.filled("prompt_name").is_none() {
                told.errors.remove("prompt_name");
            }
            answer(&app, request, 422, fields, told).await
        }
        Err(other) => Err(other.into()),
    }
}

#[handler]
pub async fn take(
    app: Data<&App>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Result<Response, Problem> {
    let id = runs::id(&id)?;
    let mut fields = Fields::of_body(&app, body).await?;
    let saved = app
        .prompts()
        .await?
        .into_iter()
        .find(|prompt| prompt.id == id);
    let saved = saved.ok_or_else(|| Problem::new(404, "This prompt is not saved any more."))?;
    fields.set("prompt", saved.text);
    answer(&app, request, 200, fields, Told::default()).await
}

#[handler]
pub async fn delete(
    app: Data<&App>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    app.delete_prompt(&runs::id(&id)?).await?;
    let done = Some("Deleted.".to_owned());
    answer(
        &app,
        request,
        200,
        fields,
        Told {
            done,
            ..Told::default()
        },
    )
    .await
}

/// The prompt's part to who asks for a part, else the whole page.
async fn answer(
    app: &App,
    request: &Request,
    status: u16,
    fields: Fields,
    told: Told,
) -> Result<Response, Problem> {
    if page::is_partial(request) {
        let prompt = start::prompt_part(app, &fields, &told).await;
        return page::render(status, "parts/prompt.html", json!({ "prompt": prompt }));
    }
    start::show(app, status, fields, &told).await
}
