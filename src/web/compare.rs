//! Runs against each other, or the models of one run.

use poem::web::Data;
use poem::{Request, Response, handler};
use serde_json::json;

use super::form::Fields;
use super::page;
use crate::api::Problem;
use crate::app::App;
use crate::record::{Comparison, RunId};

/// More runs make a table that nobody reads.
const MOST_RUNS: usize = 20;

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let named: Vec<&str> = fields
        .all("ids")
        .flat_map(|ids| ids.split(','))
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect();
    if named.is_empty() {
        return page::render(200, "compare.html", json!({ "is_empty": true }));
    }
    match compared(&app, &named).await {
        Ok((ids, comparison)) => page::render(
            200,
            "compare.html",
            json!({ "ids": ids, "comparison": comparison, "is_empty": false }),
        ),
        Err(problem) => page::render(
            problem.status,
            "compare.html",
            json!({ "problem": problem, "is_empty": false }),
        ),
    }
}

async fn compared(app: &App, named: &[&str]) -> Result<(Vec<RunId>, Comparison), Problem> {
    if named.len() > MOST_RUNS {
        return Err(Problem::new(
            422,
            format!("Choose at most {MOST_RUNS} runs."),
        ));
    }
    let mut ids: Vec<RunId> = Vec::new();
    for text in named {
        let id = text
            .parse()
            .map_err(|error: crate::record::InvalidId| Problem::new(422, error.to_string()))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let comparison = app.compare(&ids).await?;
    Ok((ids, comparison))
}
