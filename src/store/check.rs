//! Whether everything that is stored can be read and fits together. Nothing is repaired here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::database::{Database, Row, Statement, Work};
use super::{
    Store, StoreError, facets, packing, refusal_may_pass, runs, samples, series, transfer,
};
use crate::record::{BenchmarkResponse, BenchmarkResult, Calibration, CheckReport, SavedPrompt};

/// Runs that are read at once.
const MOST_RUNS: u32 = 64;

impl Store {
    /// Checks the database's own structure, then reads everything. Tells how far it is after each batch of
    /// runs.
    pub async fn check(
        &self,
        mut tell: impl FnMut(&CheckReport),
    ) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        if let Database::Sqlite { .. } = self.database {
            self.check_structure(&mut report).await?;
            tell(&report);
        }
        let mut last = i64::MIN;
        while let Some(number) = self.check_runs(last, &mut report).await? {
            last = number;
            tell(&report);
        }
        let prompts = "select id, document from prompts";
        self.check_texts::<SavedPrompt>("saved prompt", prompts, &mut report)
            .await?;
        let calibrations = "select id, document from calibrations";
        self.check_texts::<Calibration>("calibration", calibrations, &mut report)
            .await?;
        self.check_nova(&mut report, &mut tell).await?;
        Ok(report)
    }

    /// What SQLite itself can tell: its pages and indexes, references to rows that are not there, and
    /// the index of texts.
    async fn check_structure(&self, report: &mut CheckReport) -> Result<(), StoreError> {
        for (ask, words) in [
            ("pragma integrity_check", "the file is damaged"),
            ("pragma foreign_key_check", "a reference leads nowhere"),
        ] {
            let look = Statement::new(ask);
            let mut work = self.database.read().await?;
            match (work.fetch_all(look).await, ask) {
                (Ok(rows), "pragma integrity_check") => {
                    for row in rows {
                        let told: String = row.get("integrity_check")?;
                        if told != "ok" {
                            report.find(None, format!("{words}: {told}"));
                        }
                    }
                }
                (Ok(rows), _) => {
                    for row in rows {
                        let (from, to): (String, String) = (row.get("table")?, row.get("parent")?);
                        report.find(None, format!("{words}: from {from} to {to}"));
                    }
                }
                (Err(error), _) => found_or_failed(report, None, words, error)?,
            }
        }
        // A statement that writes, by its form: it is given up.
        let look = "insert into text_trigrams (text_trigrams, rank) values ('integrity-check', 1)";
        let mut work = self.database.write().await?;
        if let Err(error) = work.execute(Statement::new(look)).await {
            let words = "the index of texts does not fit the texts";
            found_or_failed(report, None, words, error)?;
        }
        Ok(())
    }

    /// Reads the next runs behind a number; the last one's number, or `None` behind the last.
    async fn check_runs(
        &self,
        behind: i64,
        report: &mut CheckReport,
    ) -> Result<Option<i64>, StoreError> {
        let numbers = match self.next_runs(behind).await {
            Ok(numbers) => numbers,
            Err(error) => {
                found_or_failed(report, None, "not every run can be found", error)?;
                return Ok(None);
            }
        };
        let Some(last) = numbers.last().copied() else {
            return Ok(None);
        };
        match self.read_batch(&numbers).await {
            Ok(batch) => check_batch(batch, report).await?,
            // Where one of them cannot be read the others are read alone.
            Err(_) => {
                for number in numbers {
                    match self.read_batch(&[number]).await {
                        Ok(batch) => check_batch(batch, report).await?,
                        Err(error) => {
                            let id = self.id_of(number).await;
                            let id = id.unwrap_or_else(|_| format!("run number {number}"));
                            report.runs += 1;
                            found_or_failed(report, Some(&id), "it cannot be read", error)?;
                        }
                    }
                }
            }
        }
        Ok(Some(last))
    }

    async fn next_runs(&self, behind: i64) -> Result<Vec<i64>, StoreError> {
        let mut work = self.database.read().await?;
        let next = Statement::new("select run from runs where run > $1 order by run limit $2");
        let next = work.fetch_all(next.bind(behind).bind(MOST_RUNS)).await?;
        let next: Result<Vec<i64>, _> = next.iter().map(|row| row.get("run")).collect();
        transfer::few(&mut work, next?).await
    }

    /// One snapshot: a run that ends meanwhile is seen before or after, not between.
    async fn read_batch(&self, numbers: &[i64]) -> Result<Batch, StoreError> {
        let mut work = self.database.read().await?;
        Batch::read(&mut work, numbers).await
    }

    async fn id_of(&self, number: i64) -> Result<String, StoreError> {
        let find = Statement::new("select id from runs where run = $1").bind(number);
        let row = self.database.fetch_optional(find).await?;
        Ok(row.ok_or(sqlx::Error::RowNotFound)?.get("id")?)
    }

    async fn check_texts<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        read: &'static str,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        let rows = match self.database.fetch_all(Statement::new(read)).await {
            Ok(rows) => rows,
            Err(error) => {
                let words = format!("not every {what} can be found");
                return found_or_failed(report, None, &words, error);
            }
        };
        for row in rows {
            let (id, document): (String, String) = (row.get("id")?, row.get("document")?);
            report.others += 1;
            if let Err(error) = serde_json::from_str::<T>(&document) {
                report.find(Some(&id), format!("the {what} cannot be read: {error}"));
            }
        }
        Ok(())
    }
}

/// A database that is damaged says so instead of answering; other errors are of no damage.
pub(super) fn found_or_failed(
    report: &mut CheckReport,
    id: Option<&str>,
    words: &str,
    error: impl Into<StoreError>,
) -> Result<(), StoreError> {
    match error.into() {
        StoreError::Database(sqlx::Error::Database(error)) if !refusal_may_pass(error.as_ref()) => {
            report.find(id, format!("{words}: {}", error.message()));
            Ok(())
        }
        other => Err(other),
    }
}

/// Unpacking takes longer than reading; others go on meanwhile.
async fn check_batch(batch: Batch, report: &mut CheckReport) -> Result<(), StoreError> {
    let checked = tokio::task::spawn_blocking(move || batch.check());
    let found = checked.await.map_err(std::io::Error::other)??;
    report.runs += found.runs;
    report.results += found.results;
    for finding in found.findings {
        report.find(finding.id.as_deref(), finding.message);
    }
    Ok(())
}

/// Runs with all that belongs to them, as it is stored.
struct Batch {
    runs: Vec<Row>,
    results: HashMap<i64, Vec<Row>>,
    facets: HashMap<i64, Vec<Row>>,
}

impl Batch {
    async fn read(work: &mut Work, numbers: &[i64]) -> Result<Self, StoreError> {
        let of = |text: &'static str, end: &'static str| {
            let mut sql = Statement::new(text);
            sql.push_list(numbers.iter().copied()).push(end);
            sql
        };
        let runs = of(
            "select r.run, r.id, r.status, r.document, r.extra, samples.packed, texts.id as text
             from runs as r left join samples on samples.run = r.run
             left join texts on texts.id = r.text_id where r.run in (",
            ") order by r.run",
        );
        let results = of(
            "select results.run, results.position, results.document, chunks.packed,
                models.id as model
             from results
             left join chunks on chunks.run = results.run and chunks.position = results.position
             left join models on models.id = results.model
             where results.run in (",
            ") order by results.run, results.position",
        );
        let facets = of(
            "select f.run, f.status, facets.kind, facets.value from run_facets as f
             left join facets on facets.id = f.facet where f.run in (",
            ")",
        );
        Ok(Self {
            runs: work.fetch_all(runs).await?,
            results: by_run(work.fetch_all(results).await?)?,
            facets: by_run(work.fetch_all(facets).await?)?,
        })
    }

    fn check(mut self) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        for row in &self.runs {
            let number: i64 = row.get("run")?;
            let id: String = row.get("id")?;
            report.runs += 1;
            let results = self.results.remove(&number).unwrap_or_default();
            let facets = self.facets.remove(&number).unwrap_or_default();
            for fault in faults_of_run(row, &id, &facets)? {
                report.find(Some(&id), fault);
            }
            for (place, result) in results.iter().enumerate() {
                report.results += 1;
                for fault in faults_of_result(result, &id, place)? {
                    report.find(Some(&id), fault);
                }
            }
        }
        Ok(report)
    }
}

fn by_run(rows: Vec<Row>) -> Result<HashMap<i64, Vec<Row>>, sqlx::Error> {
    let mut found: HashMap<i64, Vec<Row>> = HashMap::new();
    for row in rows {
        found.entry(row.get("run")?).or_default().push(row);
    }
    Ok(found)
}

fn faults_of_run(row: &Row, id: &str, stored: &[Row]) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    if let Some(packed) = row.get::<Option<Vec<u8>>>("packed")?
        && let Err(error) = samples::unpack(&packed)
    {
        faults.push(format!("the samples cannot be read: {error}"));
    }
    if let Some(extra) = row.get::<Option<Vec<u8>>>("extra")?
        && let Err(error) = packing::unpack(&extra)
    {
        faults.push(format!("what an import added cannot be read: {error}"));
    }
    if row.get::<Option<i64>>("text")?.is_none() {
        faults.push("the text that it is searched by is missing".into());
    }
    let run: BenchmarkResponse = match runs::decode(row, "benchmark", id) {
        Ok(run) => run,
        Err(error) => {
            faults.push(error.to_string());
            return Ok(faults);
        }
    };
    let status: String = row.get("status")?;
    if run.id.as_str() != id || run.status.as_str() != status {
        faults.push(format!(
            "the document is of {} ({}), the row of {id} ({status})",
            run.id,
            run.status.as_str()
        ));
    }
    faults.extend(faults_of_facets(&run, stored)?);
    Ok(faults)
}

/// What a run is found by must be what it says.
fn faults_of_facets(run: &BenchmarkResponse, stored: &[Row]) -> Result<Option<String>, StoreError> {
    let mut found: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut nameless = 0;
    for row in stored {
        match (row.get("kind")?, row.get("value")?) {
            (Some(kind), Some(value)) => drop(found.insert((kind, value), row.get("status")?)),
            _ => nameless += 1,
        }
    }
    let expected: BTreeSet<(String, String)> = facets::of(run)
        .into_iter()
        .map(|(kind, value)| (kind.to_owned(), value))
        .collect();
    let expected_status = facets::status_number(run.status);
    let is_right = nameless == 0
        && found.len() == expected.len()
        && found
            .iter()
            .all(|(facet, status)| expected.contains(facet) && *status == expected_status);
    Ok((!is_right).then(|| {
        format!(
            "lists do not find it as they should: {} of its {} entries are right and {} are there",
            found.keys().filter(|it| expected.contains(*it)).count(),
            expected.len(),
            stored.len()
        )
    }))
}

fn faults_of_result(row: &Row, id: &str, place: usize) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let position: i64 = row.get("position")?;
    if usize::try_from(position) != Ok(place) {
        faults.push(format!("result {place} is missing"));
    }
    if let Err(error) = runs::decode::<BenchmarkResult>(row, "result", id) {
        faults.push(format!("result {position}: {error}"));
    }
    if let Some(packed) = row.get::<Option<Vec<u8>>>("packed")?
        && series::unpack(&packed).is_none()
    {
        faults.push(format!("result {position}: its chunks are cut off"));
    }
    if row.get::<Option<i64>>("model")?.is_none() {
        faults.push(format!("result {position}: its model is missing"));
    }
    Ok(faults)
}
