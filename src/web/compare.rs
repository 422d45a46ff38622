//! Runs against each other, the models of one run, or models over their runs.

use poem::web::Data;
use poem::{Request, Response, handler};
use serde_json::json;

use super::form::Fields;
use super::page;
use crate::api::Problem;
use crate::app::App;
use crate::record::{Comparison, RunId};

/// More runs make a table that nobody reads.
const MOST_RUNS: usize = 100;

/// So many runs are linked one by one.
const MOST_LINKS: usize = 20;

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let named: Vec<&str> = fields
        .all("ids")
        .flat_map(|ids| ids.split(','))
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect();
    let models = models(&fields);
    if named.is_empty() && models.is_empty() {
        return page::render(200, "compare.html", json!({ "is_empty": true }));
    }
    let by_model = !models.is_empty();
    let compared = if by_model {
        app.compare_models(&models).await.map_err(Problem::from)
    } else {
        compared(&app, &named).await
    };
    match compared {
        Ok(comparison) => page::render(
            200,
            "compare.html",
            json!({
                "ids": comparison.runs.iter().take(MOST_LINKS).collect::<Vec<_>>(),
                "more": comparison.runs.len().saturating_sub(MOST_LINKS),
                "by_model": by_model,
                "comparison": comparison,
                "is_empty": false,
            }),
        ),
        Err(problem) => page::render(
            problem.status,
            "compare.html",
            json!({ "problem": problem, "is_empty": false }),
        ),
    }
}

/// Each in a field of its own; one alone may hold several, parted by commas.
fn models(fields: &Fields) -> Vec<String> {
    let given: Vec<&str> = fields.all("models").collect();
    let parts: Vec<&str> = match given.as_slice() {
        [all] => all.split(',').collect(),
        _ => given,
    };
    let named = parts.into_iter().map(str::trim);
    named
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

async fn compared(app: &App, named: &[&str]) -> Result<Comparison, Problem> {
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
    Ok(app.compare(&ids).await?)
}
