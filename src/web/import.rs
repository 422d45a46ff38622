//! Documents from a file that a person chooses, into the history.

use std::time::Duration;

use poem::web::{Data, Multipart};
use poem::{Response, handler};
use serde_json::json;
use tokio_util::io::ReaderStream;

use super::page;
use crate::api::{Problem, take_in};
use crate::app::App;
use crate::record::ImportReport;

const TEMPLATE: &str = "import.html";
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
const NO_FILE: &str = "Choose a file first.";

#[handler]
pub fn view() -> Result<Response, Problem> {
    page::render(200, TEMPLATE, json!({}))
}

/// Reads the file as it comes.
#[handler]
pub async fn import(app: Data<&App>, form: poem::Result<Multipart>) -> Result<Response, Problem> {
    let mut form = form.map_err(|error| broken(&error))?;
    let mut dry_run = false;
    let patience = Duration::from_secs_f64(app.config.timeouts.client);
    loop {
        let next = tokio::time::timeout(patience, form.next_field()).await;
        let next = next.map_err(|_| Problem::new(408, "the form did not come"))?;
        let Some(field) = next.map_err(|error| broken(&error))? else {
            let errors = json!({ "file": NO_FILE });
            return page::render(
                422,
                TEMPLATE,
                json!({ "errors": errors, "dry_run": dry_run }),
            );
        };
        match field.name() {
            // It stands before the file, since that is read as it comes.
            Some("dry_run") => dry_run = true,
            Some("file") => {
                let name = field.file_name().unwrap_or_default().to_owned();
                let reader = ReaderStream::with_capacity(field.into_async_read(), PIECE);
                let report = take_in(&app, reader, dry_run).await?;
                return told(&name, &report);
            }
            _ => {}
        }
    }
}

fn told(name: &str, report: &ImportReport) -> Result<Response, Problem> {
    let is_useless = report.stored + report.known == 0;
    let status = if is_useless { 422 } else { 200 };
    let mut values = json!({ "dry_run": report.dry_run });
    if let Some(error) = nothing_in(name, report) {
        values["errors"] = json!({ "file": error });
    } else {
        values["words"] = json!(report.to_string());
        values["report"] = json!(report);
        values["name"] = json!(name);
    }
    page::render(status, TEMPLATE, values)
}

/// What is wrong where nothing was found at all: a browser sends a nameless empty file for none.
fn nothing_in(name: &str, report: &ImportReport) -> Option<String> {
    if report.documents > 0 {
        return None;
    }
    Some(if name.is_empty() {
        NO_FILE.to_owned()
    } else {
        format!("{name} holds no document.")
    })
}

fn broken(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(400, format!("the form cannot be read: {error}"))
}
