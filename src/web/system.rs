//! The strip that every page carries: this machine and what the program is connected to, now.

use poem::web::Data;
use poem::{Request, Response, handler};
use serde_json::json;

use super::page;
use crate::api::Problem;
use crate::app::App;

/// The strip to a page that asks for it, else a page of its own.
#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let system = app.system().await;
    let template = if page::is_partial(request) {
        "parts/system.html"
    } else {
        "system.html"
    };
    page::render(200, template, json!({ "system": system }))
}
