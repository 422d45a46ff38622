//! Runs as they are stored, out by the hundred: nothing of them is read that need not be.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::database::{Row, Statement, Work};
use super::{Store, StoreError, damaged, facets, history, packing, samples, search, series};
use crate::record::{Chunks, HistoryQuery, RunId};

/// Runs that are read at once.
const MOST_RUNS: u32 = 64;
/// Their results, unless one run alone has more.
const MOST_RESULTS: i64 = 400;

/// Which runs are taken out, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Filters as those of a list; its order and its pages do not matter.
    pub filter: HistoryQuery,
    /// Only these; all where it is empty.
    pub ids: Vec<RunId>,
}

/// A run as it is stored.
pub struct StoredRun {
    /// Its id.
    pub id: RunId,
    document: Vec<u8>,
    extra: Option<Vec<u8>>,
    samples: Option<Vec<u8>>,
    results: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The JSON of a stored run.
pub struct RunText<'a> {
    /// The run without what follows.
    pub document: &'a [u8],
    /// What is not known of it.
    pub extra: Option<&'a [u8]>,
    /// What this machine did, and what others did.
    pub samples: Option<(&'a [u8], &'a [u8])>,
    /// Its results with their chunks.
    pub results: Vec<(&'a [u8], Option<Chunks>)>,
}

impl StoredRun {
    /// Its JSON, in a buffer whose room the next run uses again.
    pub fn unpack<'a>(&self, room: &'a mut Vec<u8>) -> Result<RunText<'a>, StoreError> {
        room.clear();
        let id = self.id.as_str();
        let mut unpack = |what, packed: &[u8]| {
            let start = room.len();
            let unpacked = packing::unpack_onto(room, packed);
            unpacked.map_err(|error| damaged(what, id, &error))?;
            Ok::<_, StoreError>(start..room.len())
        };
        let document = unpack("benchmark", &self.document)?;
        let extra = self.extra.as_deref();
        let extra = extra.map(|it| unpack("benchmark", it)).transpose()?;
        let mut results = Vec::with_capacity(self.results.len());
        for (document, chunks) in &self.results {
            let cut_off = || damaged("chunks", id, &"they are cut off");
            let chunks = chunks
                .as_deref()
                .map(|packed| series::unpack(packed).ok_or_else(cut_off));
            results.push((unpack("result", document)?, chunks.transpose()?));
        }
        let samples_at = room.len();
        let of_samples = |error| damaged("samples", id, &error);
        if let Some(packed) = &self.samples {
            samples::unpack_onto(room, packed).map_err(of_samples)?;
        }
        let room = &*room;
        let text = |range: Range<usize>| room.get(range).unwrap_or_default();
        let samples = self.samples.as_ref();
        let samples = samples.map(|_| samples::texts(text(samples_at..room.len())));
        Ok(RunText {
            document: text(document),
            extra: extra.map(text),
            samples: samples.transpose().map_err(of_samples)?,
            results: results
                .into_iter()
                .map(|(document, chunks)| (text(document), chunks))
                .collect(),
        })
    }
}

impl Store {
    /// The next runs of a selection that have ended, behind `after`; none where there are no more.
    pub async fn stored_runs(
        &self,
        selection: &Selection,
        after: Option<&RunId>,
    ) -> Result<Vec<StoredRun>, StoreError> {
        let mut snapshot = self.database.read().await?;
        let Some(find) = self.find(&mut snapshot, selection, after).await? else {
            return Ok(Vec::new());
        };
        let found = snapshot.fetch_all(find).await?;
        let numbers: Result<Vec<i64>, _> = found.iter().map(|row| row.get("run")).collect();
        let numbers = few(&mut snapshot, numbers?).await?;
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let mut results = results_of(&mut snapshot, &numbers).await?;
        let mut read = Statement::new(
            "select r.run, r.id, r.document, r.extra, samples.packed from runs as r
             left join samples on samples.run = r.run where r.run in (",
        );
        read.push_list(numbers.iter().copied());
        read.push(") order by r.id");
        let rows = snapshot.fetch_all(read).await?;
        let run = |row: &Row| -> Result<StoredRun, StoreError> {
            let id: String = row.get("id")?;
            let results = results.remove(&row.get("run")?).unwrap_or_default();
            Ok(StoredRun {
                id: id
                    .parse()
                    .map_err(|error| damaged("benchmark", &id, &error))?,
                document: row.get("document")?,
                extra: row.get("extra")?,
                samples: row.get("packed")?,
                results,
            })
        };
        rows.iter().map(run).collect()
    }

    /// The statement that finds them; `None` where a filter fits no run at all.
    async fn find(
        &self,
        work: &mut Work,
        selection: &Selection,
        after: Option<&RunId>,
    ) -> Result<Option<Statement>, StoreError> {
        let filter = &selection.filter;
        let mut find = Statement::new(
            "select r.run from runs as r where r.status not in ('queued', 'running')",
        );
        if let Some(after) = after {
            find.push(" and r.id > ").push_bind(after.as_str());
        }
        if !selection.ids.is_empty() {
            find.push(" and r.id in (");
            find.push_list(selection.ids.iter().map(RunId::as_str));
            find.push(")");
        }
        for facet in history::facets_of(filter) {
            if facet == facets::all() {
                continue;
            }
            let found = facets::find(work, &facet).await?;
            if found.is_empty() {
                return Ok(None);
            }
            find.push(" and exists (select 1 from run_facets as f where f.facet in (");
            find.push_list(found).push(") and f.run = r.run)");
        }
        if let Some(from) = filter.from {
            find.push(" and r.created_at >= ")
                .push_bind(from.timestamp_micros());
        }
        if let Some(to) = filter.to {
            find.push(" and r.created_at < ")
                .push_bind(to.timestamp_micros());
        }
        if let Some(text) = filter
            .q
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let dialect = self.database.dialect();
            search::push_fits(&mut find, dialect, &search::pattern(dialect, text));
        }
        find.push(" order by r.id limit ").push_bind(MOST_RUNS);
        Ok(Some(find))
    }

    /// Which of some runs are there.
    pub async fn known(&self, ids: &[&RunId]) -> Result<BTreeSet<String>, StoreError> {
        let mut find = Statement::new("select id from runs where id in (");
        find.push_list(ids.iter().map(|id| id.as_str()));
        find.push(")");
        let rows = self.database.fetch_all(find).await?;
        let ids: Result<_, _> = rows.iter().map(|row| row.get("id")).collect();
        Ok(ids?)
    }
}

/// As many of the runs as have few enough results together, and one at least.
pub(super) async fn few(work: &mut Work, mut runs: Vec<i64>) -> Result<Vec<i64>, StoreError> {
    if runs.is_empty() {
        return Ok(runs);
    }
    let mut count = Statement::new("select run, count(*) as n from results where run in (");
    count.push_list(runs.iter().copied());
    count.push(") group by run");
    let mut counts: HashMap<i64, i64> = HashMap::new();
    for row in work.fetch_all(count).await? {
        counts.insert(row.get("run")?, row.get("n")?);
    }
    let mut sum = 0;
    let fitting = runs.iter().take_while(|run| {
        sum += counts.get(run).copied().unwrap_or_default();
        sum <= MOST_RESULTS
    });
    let fitting = fitting.count().max(1);
    runs.truncate(fitting);
    Ok(runs)
}

/// Each result's document and chunks, of each run.
type Packed = HashMap<i64, Vec<(Vec<u8>, Option<Vec<u8>>)>>;

async fn results_of(work: &mut Work, runs: &[i64]) -> Result<Packed, StoreError> {
    let mut read = Statement::new(
        "select results.run, results.document, chunks.packed from results
         left join chunks on chunks.run = results.run and chunks.position = results.position
         where results.run in (",
    );
    read.push_list(runs.iter().copied());
    read.push(") order by results.run, results.position");
    let mut results = Packed::new();
    for row in work.fetch_all(read).await? {
        let packed = (row.get("document")?, row.get("packed")?);
        results.entry(row.get("run")?).or_default().push(packed);
    }
    Ok(results)
}
