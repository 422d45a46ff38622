//! Views of the history that somebody gave a name: each is a link.

use poem::web::{Data, Path};
use poem::{Body, Response, handler};

use super::form::Fields;
use super::{page, runs};
use crate::api::Problem;
use crate::app::{App, AppError};
use crate::record::NewView;

/// Where the history shows a query.
fn address(query: &str) -> String {
    format!("/history?{query}")
}

#[handler]
pub async fn save(app: Data<&App>, body: Body) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    let view = NewView {
        name: fields.text("name").trim().to_owned(),
        query: fields.text("query").to_owned(),
    };
    match app.save_view(view).await {
        Ok(saved) => Ok(page::see_other(&address(&saved.query))),
        Err(AppError::Invalid(errors)) => {
            let words: Vec<String> = errors
                .iter()
                .map(|it| format!("its {} {}", it.pointer.trim_start_matches('/'), it.message))
                .collect();
            let detail = format!("The view was not saved: {}.", words.join("; "));
            Err(Problem::new(422, detail))
        }
        Err(other) => Err(other.into()),
    }
}

#[handler]
pub async fn delete(app: Data<&App>, Path(id): Path<String>) -> Result<Response, Problem> {
    app.delete_view(&runs::id(&id)?).await?;
    Ok(page::see_other("/history"))
}
