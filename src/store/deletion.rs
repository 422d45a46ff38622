//! Runs out of the database for good, many in one transaction.

use std::collections::{BTreeSet, HashMap};

use super::database::{Statement, Work};
use super::{Store, StoreError, facets};
use crate::record::{DeleteReport, RunId};

impl Store {
    /// Deletes a run with all that belongs to it, however it stands; whether there was one.
    pub async fn delete_run(&self, id: &RunId) -> Result<bool, StoreError> {
        let mut work = self.database.write().await?;
        work.alone().await?;
        let find = Statement::new("select run, text_id from runs where id = $1").bind(id.as_str());
        let Some(row) = work.fetch_optional(find).await? else {
            return Ok(false);
        };
        let found = HashMap::from([(row.get("run")?, row.get("text_id")?)]);
        remove(&mut work, &found).await?;
        work.commit().await?;
        Ok(true)
    }

    /// Deletes those runs that have ended with all that belongs to them, all or none.
    pub async fn delete_runs(&self, ids: &[RunId]) -> Result<DeleteReport, StoreError> {
        let mut report = DeleteReport::default();
        if ids.is_empty() {
            return Ok(report);
        }
        let mut work = self.database.write().await?;
        work.alone().await?;
        let mut find = Statement::new("select run, id, text_id, status from runs where id in (");
        find.push_list(ids.iter().map(RunId::as_str));
        find.push(")");
        let (mut ended, mut known, mut running) =
            (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        for row in work.fetch_all(find).await? {
            let id: String = row.get("id")?;
            let status: String = row.get("status")?;
            if matches!(status.as_str(), "queued" | "running") {
                running.insert(id.clone());
            } else {
                ended.insert(row.get("run")?, row.get("text_id")?);
            }
            known.insert(id);
        }
        let of = |chosen: &dyn Fn(&str) -> bool| -> Vec<RunId> {
            let unique: BTreeSet<&RunId> = ids.iter().filter(|id| chosen(id.as_str())).collect();
            unique.into_iter().cloned().collect()
        };
        report.running = of(&|id| running.contains(id));
        report.unknown = of(&|id| !known.contains(id));
        report.deleted = ended.len() as u64;
        remove(&mut work, &ended).await?;
        work.commit().await?;
        Ok(report)
    }
}

/// Removes runs, known by their number, with their text; what no other run needs goes with them.
async fn remove(work: &mut Work, runs: &HashMap<i64, i64>) -> Result<(), StoreError> {
    if runs.is_empty() {
        return Ok(());
    }
    let of = |text: &'static str| {
        let mut sql = Statement::new(text);
        sql.push_list(runs.keys().copied()).push(")");
        sql
    };
    let facets = of("select distinct facet as number from run_facets where run in (");
    let facets = numbers(work, facets).await?;
    let models = of("select distinct model as number from results where run in (");
    let models = numbers(work, models).await?;
    work.execute(of("delete from runs where run in (")).await?;
    let texts: BTreeSet<i64> = runs.values().copied().collect();
    facets::prune(work, texts, facets, models).await?;
    Ok(())
}

async fn numbers(work: &mut Work, find: Statement) -> Result<Vec<i64>, sqlx::Error> {
    let rows = work.fetch_all(find).await?;
    rows.iter().map(|row| row.get("number")).collect()
}
