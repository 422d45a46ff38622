//! Ways in which a run is looked for, each a row with everything that lists are sorted by.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::database::{Statement, Value, Work};
use super::incoming::insert_rows;
use crate::record::{BenchmarkResponse, Distribution, ModelSummaryStatistics, Status};

/// The numbers of the statuses of runs that have not ended, for a statement.
pub const UNFINISHED: &str = "(5, 6)";

/// Figures that lists are sorted by are whole millionths, which take half the room of a double: what a
/// clock of microseconds does not tell apart need not be in order.
const MILLIONTHS: f64 = 1e6;

/// Bytes of a text's hash that are kept: enough that no two texts share them.
const TEXT_HASH: usize = 16;

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
        // Asked for without its backend it is looked for on each: see `find`.
        facets.insert((
            "model",
            storable(&format!("{}@{}", model.model, model.backend)),
        ));
        facets.insert(("backend", storable(&model.backend)));
    }
    facets.extend(run.request.tags.iter().map(|tag| ("tag", storable(tag))));
    facets
}

/// The text that a run is searched by: its name, models and prompts in lower case.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchText {
    /// What it is known by.
    pub hash: String,
    text: String,
}

impl SearchText {
    /// That of a run.
    pub fn of(run: &BenchmarkResponse) -> Self {
        let mut parts: Vec<String> = run.request.name.iter().cloned().collect();
        let models = run.environment.models.iter();
        parts.extend(models.map(|model| format!("{}@{}", model.model, model.backend)));
        parts.extend(run.request.all_prompts().into_iter().map(str::to_owned));
        let text = storable(&parts.join("\n").to_lowercase());
        Self {
            hash: hex::encode(&Sha256::digest(text.as_bytes())[..TEXT_HASH]),
            text,
        }
    }
}

/// What a run is found by.
pub struct Entries {
    facets: BTreeSet<Facet>,
    keys: Keys,
}

/// What lists are sorted by.
struct Keys {
    created_at: i64,
    status: i64,
    first_model: String,
    time_to_first_chunk: Option<i64>,
    output_tokens_per_second: Option<i64>,
    total_time: Option<i64>,
}

impl Keys {
    fn of(run: &BenchmarkResponse) -> Self {
        let first = run.environment.models.first();
        Self {
            created_at: run.timestamp.timestamp_micros(),
            status: status_number(run.status),
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
) -> Option<i64> {
    let summaries = run.summary.iter();
    let best = summaries
        .filter_map(|summary| figure(summary).median)
        .reduce(better)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what leaves the range becomes the largest there is"
    )]
    let millionths = (best * MILLIONTHS).round() as i64;
    Some(millionths)
}

/// Statuses in the order of their names, as a number that takes less room.
pub fn status_number(status: Status) -> i64 {
    match status {
        Status::Cancelled => 0,
        Status::Completed => 1,
        Status::Failed => 2,
        Status::Interrupted => 3,
        Status::Partial => 4,
        Status::Queued => 5,
        Status::Running => 6,
    }
}

/// Postgres takes no NUL in a text, and nobody looks for one.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl Entries {
    /// Those of a run.
    pub fn of(run: &BenchmarkResponse) -> Self {
        Self {
            facets: of(run),
            keys: Keys::of(run),
        }
    }
}

/// Where the number of a pair of names is found, and where it gets one.
struct Names {
    find: &'static str,
    add: &'static str,
}

const FACETS: Names = Names {
    find: "select id, kind as a, value as b from facets where (kind, value) in (values ",
    add: "insert into facets (kind, value) values ",
};

const MODELS: Names = Names {
    find: "select id, model as a, backend as b from models where (model, backend) in (values ",
    add: "insert into models (model, backend) values ",
};

/// Numbers by the names that they stand for.
type Numbers = HashMap<(String, String), i64>;

/// The numbers of pairs of names; those that have none get one.
async fn numbers(
    work: &mut Work,
    names: &Names,
    pairs: &BTreeSet<(&str, &str)>,
) -> sqlx::Result<Numbers> {
    let mut known = known_numbers(work, names, pairs).await?;
    let mut missing = pairs.clone();
    missing.retain(|(a, b)| !known.contains_key(&((*a).to_owned(), (*b).to_owned())));
    if missing.is_empty() {
        return Ok(known);
    }
    let rows = missing
        .iter()
        .map(|(a, b)| vec![Value::from(*a), Value::from(*b)]);
    insert_rows(work, names.add, rows.collect(), " on conflict do nothing").await?;
    known.extend(known_numbers(work, names, &missing).await?);
    Ok(known)
}

async fn known_numbers(
    work: &mut Work,
    names: &Names,
    pairs: &BTreeSet<(&str, &str)>,
) -> sqlx::Result<Numbers> {
    let mut known = Numbers::new();
    if pairs.is_empty() {
        return Ok(known);
    }
    let mut find = Statement::new(names.find);
    for (place, (a, b)) in pairs.iter().enumerate() {
        find.push(if place == 0 { "(" } else { ", (" });
        find.push_bind(*a).push(", ").push_bind(*b).push(")");
    }
    find.push(")");
    for row in work.fetch_all(find).await? {
        known.insert((row.get("a")?, row.get("b")?), row.get("id")?);
    }
    Ok(known)
}

/// The numbers of models, each with its backend; those that have none get one.
pub async fn models(
    work: &mut Work,
    models: &BTreeSet<(&str, &str)>,
) -> sqlx::Result<HashMap<(String, String), i64>> {
    numbers(work, &MODELS, models).await
}

/// Gives runs, known by their numbers, the facets that they do not have yet.
pub async fn insert(work: &mut Work, runs: &[(i64, &Entries)]) -> sqlx::Result<()> {
    let all = runs.iter().flat_map(|(_, entries)| &entries.facets);
    let all = all.map(|(kind, value)| (*kind, value.as_str())).collect();
    let known = numbers(work, &FACETS, &all).await?;
    let mut rows = Vec::new();
    for (run, Entries { facets, keys }) in runs {
        for (kind, value) in facets {
            let number = known.get(&((*kind).to_owned(), value.clone()));
            let number = *number.ok_or(sqlx::Error::RowNotFound)?;
            rows.push(vec![
                number.into(),
                (*run).into(),
                keys.created_at.into(),
                keys.status.into(),
                keys.first_model.as_str().into(),
                keys.time_to_first_chunk.into(),
                keys.output_tokens_per_second.into(),
                keys.total_time.into(),
            ]);
        }
    }
    // In the order of the table, so that neighbours are written together.
    rows.sort_by_key(|row| match row.first() {
        Some(Value::Integer(number)) => *number,
        _ => None,
    });
    let into = "insert into run_facets (facet, run, created_at, status, first_model,
            time_to_first_chunk, output_tokens_per_second, total_time) values ";
    insert_rows(work, into, rows, " on conflict do nothing").await
}

/// Brings a run's facets up to how it stands.
pub async fn update(work: &mut Work, run: i64, response: &BenchmarkResponse) -> sqlx::Result<()> {
    let keys = Keys::of(response);
    let status = response.status.as_str();
    work.execute(
        Statement::new(
            "delete from run_facets where run = $1
             and facet in (select id from facets where kind = 'status' and value <> $2)",
        )
        .bind(run)
        .bind(status),
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
    let entries = Entries {
        facets: BTreeSet::from([("status", status.to_owned())]),
        keys,
    };
    insert(work, &[(run, &entries)]).await
}

/// The numbers of a facet, none where no run has it: a model that is named without its backend has one
/// for each backend that it was measured on.
pub async fn find(work: &mut Work, (kind, value): &Facet) -> sqlx::Result<Vec<i64>> {
    let mut find = Statement::new("select id from facets where kind = $1 and value ");
    find = find.bind(*kind);
    if *kind == "model" {
        find.push("in (select ").push_bind(value.as_str());
        find.push(" union all select ")
            .push_bind(format!("{value}@"));
        find.push(" || value from facets where kind = 'backend')");
    } else {
        find.push("= ").push_bind(value.as_str());
    }
    let rows = work.fetch_all(find).await?;
    rows.iter().map(|row| row.get("id")).collect()
}

/// The numbers of texts by their hashes; those that have none get one.
pub async fn texts(
    work: &mut Work,
    texts: &BTreeSet<&SearchText>,
) -> sqlx::Result<HashMap<String, i64>> {
    let mut known = known_texts(work, texts).await?;
    let mut missing = texts.clone();
    missing.retain(|text| !known.contains_key(&text.hash));
    if missing.is_empty() {
        return Ok(known);
    }
    let rows = missing.iter().map(|text| {
        vec![
            Value::from(text.hash.as_str()),
            Value::from(text.text.as_str()),
        ]
    });
    let into = "insert into texts (hash, text) values ";
    insert_rows(work, into, rows.collect(), " on conflict do nothing").await?;
    known.extend(known_texts(work, &missing).await?);
    Ok(known)
}

async fn known_texts(
    work: &mut Work,
    texts: &BTreeSet<&SearchText>,
) -> sqlx::Result<HashMap<String, i64>> {
    let mut find = Statement::new("select id, hash from texts where hash in (");
    find.push_list(texts.iter().map(|text| text.hash.as_str()));
    find.push(")");
    let rows = work.fetch_all(find).await?;
    rows.iter()
        .map(|row| Ok((row.get("hash")?, row.get("id")?)))
        .collect()
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
