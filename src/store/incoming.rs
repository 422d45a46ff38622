//! Runs on their way in. What costs time, packing, is done before the database is asked for anything,
//! on as many threads as there are; what is packed is stored with a few statements for many runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::database::{Statement, Value, Work};
use super::facets::{Entries, SearchText};
use super::runs::{document, packed};
use super::{Store, StoreError, facets, packing, samples, series};
use crate::record::{BenchmarkResponse, BenchmarkResult, RemoteSamples, RunId, Samples};

/// Of every time of a run its day is known by this.
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// Values of one statement: SQLite takes 32,766 at most, Postgres 65,535.
const MOST_VALUES: usize = 30_000;

/// A run with all that belongs to it, ready to be stored.
pub struct PackedRun {
    id: RunId,
    created_at: i64,
    status: &'static str,
    document: Vec<u8>,
    extra: Option<Vec<u8>>,
    text: SearchText,
    entries: Entries,
    results: Vec<PackedResult>,
    samples: Option<Vec<u8>>,
}

/// A result, ready to be stored.
pub(super) struct PackedResult {
    model: (String, String),
    outcome: i64,
    figures: [Option<f64>; 6],
    document: Vec<u8>,
    chunks: Option<Vec<u8>>,
}

impl PackedRun {
    /// Packs a run with its results and samples; `cold` are the positions of results of which statistics leave out
    /// what loading is part of, `extra` is JSON of what is not known of it.
    pub fn new(
        run: &BenchmarkResponse,
        cold: &[u32],
        extra: Option<&[u8]>,
    ) -> Result<Self, StoreError> {
        let cold: HashSet<u32> = cold.iter().copied().collect();
        let packed = (0..).zip(&run.results).map(|(position, result)| {
            let mut packed = PackedResult::new(result)?;
            if cold.contains(&position) {
                packed.leave_out_load();
            }
            Ok(packed)
        });
        let results: Result<_, StoreError> = packed.collect();
        let samples = run.samples.as_ref();
        let samples = samples.map(|samples| samples::pack(samples, &run.remote_samples));
        let extra = extra.map(packing::pack).transpose();
        Ok(Self {
            extra: extra.map_err(sqlx::Error::Io)?,
            results: results?,
            samples: samples.transpose()?,
            ..Self::bare(run)?
        })
    }

    /// Packs a run without its results and samples.
    pub(super) fn bare(run: &BenchmarkResponse) -> Result<Self, StoreError> {
        Ok(Self {
            id: run.id.clone(),
            created_at: run.timestamp.timestamp_micros(),
            status: run.status.as_str(),
            document: document(run)?,
            extra: None,
            text: SearchText::of(run),
            entries: Entries::of(run),
            results: Vec::new(),
            samples: None,
        })
    }

    /// Which run it is.
    pub fn id(&self) -> &RunId {
        &self.id
    }
}

impl PackedResult {
    /// Packs a result.
    pub(super) fn new(result: &BenchmarkResult) -> Result<Self, StoreError> {
        let (timing, throughput) = (&result.timing, &result.throughput);
        Ok(Self {
            model: (
                facets::storable(&result.model),
                facets::storable(&result.backend),
            ),
            outcome: outcome(result),
            figures: [
                timing.time_to_first_chunk,
                timing.time_per_output_token,
                timing.request_latency,
                timing.total_time,
                throughput.output_tokens_per_second,
                throughput.bytes_per_second,
            ],
            document: packed(&BenchmarkResult {
                chunks: None,
                ..result.clone()
            })?,
            chunks: result.chunks.as_ref().map(series::pack),
        })
    }

    /// Of the figures, takes away those that loading is part of.
    fn leave_out_load(&mut self) {
        let [first_chunk, _, latency, total, _, bytes] = &mut self.figures;
        for figure in [first_chunk, latency, total, bytes] {
            *figure = None;
        }
    }
}

/// The same for results of a run that are stored already.
pub(super) async fn leave_out_load(
    work: &mut Work,
    run: i64,
    positions: &[u32],
) -> Result<(), StoreError> {
    for some in positions.chunks(MOST_VALUES) {
        let mut change = Statement::new(
            "update results set time_to_first_chunk = null, request_latency = null, total_time = null,
                bytes_per_second = null
             where run = $1 and time_to_first_chunk is not null and position in (",
        )
        .bind(run);
        change.push_list(some.iter().copied()).push(")");
        work.execute(change).await?;
    }
    Ok(())
}

/// How a request counts for statistics: see the schema.
fn outcome(result: &BenchmarkResult) -> i64 {
    match (result.is_measured() && result.success, result.has_failed()) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

/// A run by the number that other tables know it by, and when it was asked for.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub number: i64,
    pub created_at: i64,
}

impl Store {
    /// Keeps runs that are not there yet, all or none; of each whether it was new.
    pub async fn import(&self, new: &[&PackedRun]) -> Result<Vec<bool>, StoreError> {
        let mut work = self.database.write().await?;
        work.alone().await?;
        let are_new = insert_runs(&mut work, new, None).await?;
        work.commit().await?;
        Ok(are_new)
    }
}

/// Keeps those of some runs that are not there yet, with all that belongs to them; of each whether it was
/// new. Others that look up and make names must wait meanwhile.
pub(super) async fn insert_runs(
    work: &mut Work,
    runs: &[&PackedRun],
    owner: Option<&str>,
) -> Result<Vec<bool>, StoreError> {
    let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    let mut seen: HashSet<String> = numbers_of(work, &ids).await?.into_keys().collect();
    let is_new = |run: &&PackedRun| seen.insert(run.id.to_string());
    let are_new: Vec<bool> = runs.iter().map(is_new).collect();
    let new: Vec<&PackedRun> = std::iter::zip(runs, &are_new)
        .filter_map(|(run, is_new)| is_new.then_some(*run))
        .collect();
    if new.is_empty() {
        return Ok(are_new);
    }
    let texts: BTreeSet<&SearchText> = new.iter().map(|run| &run.text).collect();
    let texts = facets::texts(work, &texts).await?;
    let row = |run: &&PackedRun| -> Result<Vec<Value>, StoreError> {
        Ok(vec![
            run.id.as_str().into(),
            run.created_at.into(),
            run.status.into(),
            owner.into(),
            found(texts.get(&run.text.hash))?.into(),
            run.document.clone().into(),
            run.extra.clone().into(),
        ])
    };
    let rows: Result<Vec<_>, _> = new.iter().map(row).collect();
    let into = "insert into runs (id, created_at, status, owner, text_id, document, extra) values ";
    insert_rows(work, into, rows?, "").await?;

    let ids: Vec<&str> = new.iter().map(|run| run.id.as_str()).collect();
    let numbers = numbers_of(work, &ids).await?;
    let mut numbered = Vec::with_capacity(new.len());
    for run in new {
        numbered.push((found(numbers.get(run.id.as_str()))?, run));
    }
    let entries = numbered.iter().map(|(run, it)| (run.number, &it.entries));
    facets::insert(work, &entries.collect::<Vec<_>>()).await?;
    let results = numbered.iter().flat_map(|(run, it)| {
        (0..)
            .zip(&it.results)
            .map(|(position, result)| (*run, position, result))
    });
    insert_results(work, &results.collect::<Vec<_>>()).await?;
    let samples = numbered.iter().filter_map(|(run, it)| {
        let packed = it.samples.clone()?;
        Some(vec![run.number.into(), packed.into()])
    });
    let into = "insert into samples (run, packed) values ";
    insert_rows(work, into, samples.collect(), "").await?;
    Ok(are_new)
}

/// Keeps results that are not there yet, each of a run and at a place within it.
pub(super) async fn insert_results(
    work: &mut Work,
    results: &[(Known, u32, &PackedResult)],
) -> Result<(), StoreError> {
    let models: BTreeSet<(&str, &str)> = results
        .iter()
        .map(|(_, _, it)| (it.model.0.as_str(), it.model.1.as_str()))
        .collect();
    let models = facets::models(work, &models).await?;
    let (mut rows, mut chunks) = (Vec::new(), Vec::new());
    for (run, position, result) in results {
        let mut row: Vec<Value> = vec![
            run.number.into(),
            (*position).into(),
            (run.created_at / MICROSECONDS_A_DAY).into(),
            found(models.get(&result.model))?.into(),
            result.outcome.into(),
        ];
        row.extend(result.figures.map(Value::from));
        row.push(result.document.clone().into());
        rows.push(row);
        if let Some(packed) = &result.chunks {
            chunks.push(vec![
                run.number.into(),
                (*position).into(),
                packed.clone().into(),
            ]);
        }
    }
    let into = "insert into results (run, position, day, model, outcome, time_to_first_chunk,
            time_per_output_token, request_latency, total_time, output_tokens_per_second,
            bytes_per_second, document) values ";
    let unless_there = " on conflict do nothing";
    insert_rows(work, into, rows, unless_there).await?;
    let into = "insert into chunks (run, position, packed) values ";
    insert_rows(work, into, chunks, unless_there).await?;
    Ok(())
}

pub(super) fn insert_samples(
    id: &RunId,
    samples: &Samples,
    remote: &[RemoteSamples],
) -> Result<Statement, StoreError> {
    let save = Statement::new(
        "insert into samples (run, packed) select run, $2 from runs where id = $1
         on conflict (run) do update set packed = excluded.packed",
    );
    Ok(save.bind(id.as_str()).bind(samples::pack(samples, remote)?))
}

/// A run, where it is there.
pub(super) async fn known(work: &mut Work, id: &RunId) -> sqlx::Result<Option<Known>> {
    let mut found = numbers_of(work, &[id.as_str()]).await?;
    Ok(found.remove(id.as_str()))
}

/// The runs that there are of some, by their ids.
async fn numbers_of(work: &mut Work, ids: &[&str]) -> sqlx::Result<BTreeMap<String, Known>> {
    let mut find = Statement::new("select id, run, created_at from runs where id in (");
    find.push_list(ids.iter().copied()).push(")");
    let mut found = BTreeMap::new();
    for row in work.fetch_all(find).await? {
        let known = Known {
            number: row.get("run")?,
            created_at: row.get("created_at")?,
        };
        found.insert(row.get("id")?, known);
    }
    Ok(found)
}

/// Inserts rows of one width, as many with each statement as it takes.
pub(super) async fn insert_rows(
    work: &mut Work,
    into: &'static str,
    rows: Vec<Vec<Value>>,
    ending: &'static str,
) -> sqlx::Result<()> {
    let Some(width) = rows.first().map(Vec::len) else {
        return Ok(());
    };
    let most = MOST_VALUES / width.max(1);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut insert = Statement::new(into);
        for (place, row) in rows.by_ref().take(most).enumerate() {
            insert.push(if place == 0 { "(" } else { ", (" });
            insert.push_list(row).push(")");
        }
        insert.push(ending);
        work.execute(insert).await?;
    }
    Ok(())
}

/// What was just stored must be found.
fn found<T: Copy>(value: Option<&T>) -> sqlx::Result<T> {
    value.copied().ok_or(sqlx::Error::RowNotFound)
}
