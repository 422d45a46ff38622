//! Ways in which a run is looked for, each a row with everything that lists are sorted by.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::database::{Statement, Work};
use crate::record::{BenchmarkResponse, Distribution, ModelSummaryStatistics};

/// A way to look for runs: what kind it is, and which of that kind.
pub type Facet = (&'static str, String);

/// The one that every run has.
pub fn all() -> Facet {
    ("all", String::new())
}

/// Those of a run.
pub fn of(run: &BenchmarkResponse) -> BTreeSet<Facet> {
    let mut facets = BTreeSet::from([all(), ("status", run.status.as_str().to_owned())]);
    for model in &run.environment.models {
        // Asked for with its backend or without.
        facets.insert(("model", storable(&model.model)));
        facets.insert((
            "model",
            storable(&format!("{}@{}", model.model, model.backend)),
        ));
        facets.insert(("backend", storable(&model.backend)));
    }
    facets.extend(run.request.tags.iter().map(|tag| ("tag", storable(tag))));
    facets
}

/// What lists are sorted by.
pub struct Keys {
    created_at: i64,
    status: &'static str,
    first_model: String,
    time_to_first_chunk: Option<f64>,
    output_tokens_per_second: Option<f64>,
    total_time: Option<f64>,
}

impl Keys {
    /// Those of a run.
    pub fn of(run: &BenchmarkResponse) -> Self {
        let first = run.environment.models.first();
        Self {
            created_at: run.timestamp.timestamp_micros(),
            status: run.status.as_str(),
            first_model: first.map_or_else(String::new, |model| storable(&model.model)),
            time_to_first_chunk: best(run, f64::min, |it| &it.time_to_first_chunk),
            output_tokens_per_second: best(run, f64::max, |it| &it.output_tokens_per_second),
            total_time: best(run, f64::min, |it| &it.total_time),
        }
    }
}

fn best(
    run: &BenchmarkResponse,
    better: fn(f64, f64) -> f64,
    figure: impl Fn(&ModelSummaryStatistics) -> &Distribution,
) -> Option<f64> {
    let summaries = run.summary.iter();
    summaries
        .filter_map(|summary| figure(summary).median)
        .reduce(better)
}

/// Postgres takes no NUL in a text, and nobody looks for one.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Gives a run its facets.
pub async fn insert(work: &mut Work, run: i64, response: &BenchmarkResponse) -> sqlx::Result<()> {
    insert_rows(work, run, &of(response), &Keys::of(response)).await
}

async fn insert_rows(
    work: &mut Work,
    run: i64,
    facets: &BTreeSet<Facet>,
    keys: &Keys,
) -> sqlx::Result<()> {
    let inserted = work.execute(rows(run, facets, keys)).await?;
    if inserted == facets.len() as u64 {
        return Ok(());
    }
    // Some get their number now. Rows that are there already stay.
    let mut add = Statement::new("insert into facets (kind, value) ");
    push_values(&mut add, facets);
    add.push(" on conflict do nothing");
    work.execute(add).await?;
    work.execute(rows(run, facets, keys)).await?;
    Ok(())
}

/// The statement that inserts a row for each facet that has a number.
fn rows(run: i64, facets: &BTreeSet<Facet>, keys: &Keys) -> Statement {
    let mut insert = Statement::new(
        "insert into run_facets (facet, run, created_at, status, first_model, time_to_first_chunk,
            output_tokens_per_second, total_time)
         select id, $1, $2, $3, $4, $5, $6, $7 from facets where (kind, value) in (",
    )
    .bind(run)
    .bind(keys.created_at)
    .bind(keys.status)
    .bind(keys.first_model.as_str())
    .bind(keys.time_to_first_chunk)
    .bind(keys.output_tokens_per_second)
    .bind(keys.total_time);
    push_values(&mut insert, facets);
    insert.push(") on conflict do nothing");
    insert
}

fn push_values(sql: &mut Statement, facets: &BTreeSet<Facet>) {
    for (place, (kind, value)) in facets.iter().enumerate() {
        sql.push(if place == 0 { "values (" } else { ", (" });
        sql.push_bind(*kind).push(", ").push_bind(value.as_str());
        sql.push(")");
    }
}

/// Brings a run's facets up to how it stands.
pub async fn update(work: &mut Work, run: i64, response: &BenchmarkResponse) -> sqlx::Result<()> {
    let keys = Keys::of(response);
    let status = ("status", keys.status.to_owned());
    work.execute(
        Statement::new(
            "delete from run_facets where run = $1
             and facet in (select id from facets where kind = 'status' and value <> $2)",
        )
        .bind(run)
        .bind(keys.status),
    )
    .await?;
    let statement = Statement::new(
        "update run_facets set status = $2, time_to_first_chunk = $3,
            output_tokens_per_second = $4, total_time = $5
         where run = $1",
    )
    .bind(run)
    .bind(keys.status)
    .bind(keys.time_to_first_chunk)
    .bind(keys.output_tokens_per_second)
    .bind(keys.total_time);
    work.execute(statement).await?;
    insert_rows(work, run, &BTreeSet::from([status]), &keys).await
}

/// The number of a facet; `None` where no run has it.
pub async fn find(work: &mut Work, (kind, value): &Facet) -> sqlx::Result<Option<i64>> {
    let find = Statement::new("select id from facets where kind = $1 and value = $2")
        .bind(*kind)
        .bind(value.as_str());
    let row = work.fetch_optional(find).await?;
    row.map(|row| row.get("id")).transpose()
}

/// The number of a model on a backend; it gets one where it has none.
pub async fn model(work: &mut Work, model: &str, backend: &str) -> sqlx::Result<i64> {
    let (model, backend) = (storable(model), storable(backend));
    let find = || {
        Statement::new("select id from models where model = $1 and backend = $2")
            .bind(model.as_str())
            .bind(backend.as_str())
    };
    if let Some(row) = work.fetch_optional(find()).await? {
        return row.get("id");
    }
    let add = Statement::new(
        "insert into models (model, backend) values ($1, $2) on conflict do nothing",
    )
    .bind(model.as_str())
    .bind(backend.as_str());
    work.execute(add).await?;
    work.fetch_one(find()).await?.get("id")
}

/// The number of the text that a run is searched by; it gets one where it has none.
pub async fn text(work: &mut Work, run: &BenchmarkResponse) -> sqlx::Result<i64> {
    let text = search_text(run);
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    let find = || Statement::new("select id from texts where hash = $1").bind(hash.as_str());
    if let Some(row) = work.fetch_optional(find()).await? {
        return row.get("id");
    }
    let add =
        Statement::new("insert into texts (hash, text) values ($1, $2) on conflict do nothing")
            .bind(hash.as_str())
            .bind(text);
    work.execute(add).await?;
    work.fetch_one(find()).await?.get("id")
}

/// Removes those of the texts, facets and models that no run has any more.
pub async fn prune(
    work: &mut Work,
    texts: impl IntoIterator<Item = i64>,
    facets: impl IntoIterator<Item = i64>,
    models: Vec<i64>,
) -> sqlx::Result<()> {
    let mut unused = Statement::new("delete from texts where id in (");
    unused.push_list(texts);
    unused.push(") and not exists (select 1 from runs where runs.text_id = texts.id)");
    work.execute(unused).await?;
    let mut unused = Statement::new("delete from facets where id in (");
    unused.push_list(facets);
    unused.push(") and not exists (select 1 from run_facets where run_facets.facet = facets.id)");
    work.execute(unused).await?;
    if models.is_empty() {
        return Ok(());
    }
    // Results are indexed by day first: they are looked through only for a model that no run names.
    let mut unnamed = Statement::new("select id from models where id in (");
    unnamed.push_list(models);
    unnamed.push(
        ") and not exists (select 1 from facets where facets.kind = 'model'
            and facets.value = models.model || '@' || models.backend)",
    );
    for row in work.fetch_all(unnamed).await? {
        let unused = "delete from models where id = $1
             and not exists (select 1 from results where results.model = models.id)";
        let model: i64 = row.get("id")?;
        work.execute(Statement::new(unused).bind(model)).await?;
    }
    Ok(())
}

fn search_text(run: &BenchmarkResponse) -> String {
    let mut parts: Vec<String> = run.request.name.iter().cloned().collect();
    let models = run.environment.models.iter();
    parts.extend(models.map(|model| format!("{}@{}", model.model, model.backend)));
    parts.extend(run.request.all_prompts().into_iter().map(str::to_owned));
    storable(&parts.join("\n").to_lowercase())
}
