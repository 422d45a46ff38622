//! Runs that were chosen in the history: delete them, take them out.

use poem::web::Data;
use poem::{Body, Request, Response, handler};
use serde_json::{Value, json};

use super::form::{Fields, encoded};
use super::{page, result};
use crate::api::Problem;
use crate::app::App;
use crate::record::{DeleteReport, RunId};

/// Most runs that can be chosen on one page.
const MOST: usize = 500;

/// The runs that a form chose, each once.
fn chosen(fields: &Fields) -> Result<Vec<RunId>, Problem> {
    let mut ids: Vec<RunId> = Vec::new();
    let named = fields.all("ids").flat_map(|ids| ids.split(','));
    for text in named.map(str::trim).filter(|id| !id.is_empty()) {
        let id = text
            .parse()
            .map_err(|error: crate::record::InvalidId| Problem::new(422, error.to_string()))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        let detail = "No benchmark was chosen: mark some in the history first.";
        return Err(Problem::new(422, detail));
    }
    if ids.len() > MOST {
        return Err(Problem::new(
            422,
            format!("Choose at most {MOST} benchmarks."),
        ));
    }
    Ok(ids)
}

#[handler]
pub fn export(request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let ids: Vec<String> = chosen(&fields)?.iter().map(ToString::to_string).collect();
    let format = encoded(fields.text("format"));
    let address = format!(
        "/api/benchmarks/export?format={format}&ids={}",
        ids.join(",")
    );
    Ok(page::see_other(&address))
}

#[handler]
pub async fn ask_to_delete(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let ids = chosen(&Fields::of_query(request)?)?;
    let runs = entries(&app, &ids).await?;
    page::render(200, "delete-many.html", json!({ "runs": runs }))
}

/// What a person knows each run by; of one that is not stored there is only the id.
pub async fn entries(app: &App, ids: &[RunId]) -> Result<Vec<Value>, Problem> {
    let stored = app.brief_runs(ids).await?;
    let entry = |id: &RunId| match stored.iter().find(|run| run.id == *id) {
        Some(run) => json!({ "id": id, "title": result::title(run), "timestamp": run.timestamp }),
        None => json!({ "id": id, "title": format!("Benchmark {id}"), "timestamp": null }),
    };
    Ok(ids.iter().map(entry).collect())
}

#[handler]
pub async fn delete(app: Data<&App>, body: Body) -> Result<Response, Problem> {
    let fields = Fields::of_body(&app, body).await?;
    let DeleteReport {
        deleted,
        running,
        unknown,
    } = app.delete_many(&chosen(&fields)?).await?;
    let address = format!(
        "/history?deleted={deleted}&running={}&unknown={}",
        running.len(),
        unknown.len()
    );
    Ok(page::see_other(&address))
}
