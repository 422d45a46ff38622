//! Runs against each other, the models of one run, or models over their runs.

use poem::web::Data;
use poem::{Request, Response, handler};
use serde_json::{Value, json};

use super::form::Fields;
use super::{charts, page, selection};
use crate::api::Problem;
use crate::app::App;
use crate::record::{Comparison, ComparisonRow, RunId};

/// More runs make a table that nobody reads.
const MOST_RUNS: usize = 100;

/// The figure that a comparison begins with.
const RANKING: &str = "output_tokens_per_second";
/// More than this is a table, and that stands below.
const MOST_FOUND: usize = 4;

/// So many runs are linked one by one.
const MOST_LINKS: usize = 20;

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let named = ids(&fields);
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
        Ok(comparison) => {
            let linked: Vec<RunId> = comparison.runs.iter().take(MOST_LINKS).cloned().collect();
            let mut values = values(&fields, &comparison);
            values["runs"] = selection::entries(&app, &linked).await?.into();
            values["by_model"] = by_model.into();
            page::render(200, "compare.html", values)
        }
        Err(problem) => page::render(
            problem.status,
            "compare.html",
            json!({ "problem": problem, "is_empty": false }),
        ),
    }
}

/// What the page shows of a comparison.
fn values(fields: &Fields, comparison: &Comparison) -> Value {
    let mut figures: Vec<&str> = comparison
        .rows
        .iter()
        .map(|it| it.metric.as_str())
        .collect();
    figures.dedup();
    let wanted = fields.filled("figure");
    let chosen = figures
        .iter()
        .find(|name| wanted == Some(**name))
        .or(figures.first());
    json!({
        "found": found(comparison),
        "more": comparison.runs.len().saturating_sub(MOST_LINKS),
        "figures": figures.iter().map(|name| choice(fields, name)).collect::<Vec<_>>(),
        "chosen": chosen,
        "spread": chosen
            .and_then(|name| charts::spread(name, &comparison.labels, &comparison.spreads)),
        "comparison": {
            "labels": comparison.labels,
            "rows": comparison.rows,
            "differences": comparison.differences,
            "outputs": comparison.outputs,
        },
        "is_empty": false,
    })
}

/// What was found, in short: of each candidate by the figure that ranks models, or by the first there is.
fn found(comparison: &Comparison) -> Vec<&ComparisonRow> {
    let rows = comparison.rows.iter();
    let ranks = |row: &&ComparisonRow| row.metric == RANKING;
    let main = rows.clone().find(ranks).or(comparison.rows.first());
    let of_main = rows.filter(|row| main.is_some_and(|main| main.metric == row.metric));
    of_main.take(MOST_FOUND).collect()
}

/// A figure that can be drawn, and where. However runs were given, the address is the same.
fn choice(fields: &Fields, name: &str) -> Value {
    let mut chosen = Fields::default();
    chosen.set("ids", ids(fields).join(","));
    for model in models(fields) {
        chosen.add("models", model);
    }
    chosen.set("figure", name);
    json!({ "name": name, "address": format!("/compare?{}#spread", chosen.to_query()) })
}

/// Each in a field of its own, or several in one, parted by commas.
fn ids(fields: &Fields) -> Vec<&str> {
    let given = fields.all("ids").flat_map(|ids| ids.split(','));
    given.map(str::trim).filter(|id| !id.is_empty()).collect()
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
