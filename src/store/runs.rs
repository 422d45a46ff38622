//! Runs with their results and samples, written as they happen.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::database::{Row, Statement};
use super::incoming::{
    Known, PackedResult, PackedRun, insert_results, insert_runs, insert_samples, known,
    leave_out_load,
};
use super::{Store, StoreError, damaged, facets, packing, samples, series};
use crate::record::{BenchmarkResponse, BenchmarkResult, RemoteSamples, RunId, Samples, Status};

impl Store {
    /// Keeps a new run. The same one again, after an attempt whose answer was lost, changes nothing.
    pub async fn create_run(&self, run: &BenchmarkResponse) -> Result<(), StoreError> {
        let owner = self.owner().await?;
        let mut work = self.database.write().await?;
        work.alone().await?;
        insert_runs(&mut work, &[&PackedRun::bare(run)?], owner).await?;
        work.commit().await?;
        Ok(())
    }

    /// Keeps one result; `position` counts the run's results from 0. The same one again, after an
    /// attempt whose answer was lost, changes nothing.
    pub async fn add_result(
        &self,
        id: &RunId,
        position: u32,
        result: &BenchmarkResult,
    ) -> Result<(), StoreError> {
        let packed = PackedResult::new(result)?;
        let mut work = self.database.write().await?;
        let Some(run) = known(&mut work, id).await? else {
            return Err(StoreError::Gone { id: id.clone() });
        };
        insert_results(&mut work, &[(run, position, &packed)]).await?;
        work.commit().await?;
        Ok(())
    }

    /// Keeps how a run stands. Its results and samples have their own ways in; of those that were `cold`, by their
    /// positions, statistics leave out what loading is part of.
    pub async fn update_run(
        &self,
        run: &BenchmarkResponse,
        cold: &[u32],
    ) -> Result<(), StoreError> {
        let mut work = self.database.write().await?;
        work.alone().await?;
        let Some(Known { number, .. }) = known(&mut work, &run.id).await? else {
            return Err(StoreError::Gone { id: run.id.clone() });
        };
        let update = Statement::new(
            "update runs set status = $2, document = $3,
                owner = case when $4 = 1 then null else owner end
             where run = $1",
        )
        .bind(number)
        .bind(run.status.as_str())
        .bind(document(run)?)
        .bind(run.status.is_final());
        work.execute(update).await?;
        leave_out_load(&mut work, number, cold).await?;
        facets::update(&mut work, number, run).await?;
        work.commit().await?;
        Ok(())
    }

    /// Keeps what the machines were doing.
    pub async fn save_samples(
        &self,
        id: &RunId,
        samples: &Samples,
        remote: &[RemoteSamples],
    ) -> Result<(), StoreError> {
        let save = insert_samples(id, samples, remote)?;
        if self.database.execute(save).await? == 0 {
            return Err(StoreError::Gone { id: id.clone() });
        }
        Ok(())
    }

    /// A run with every result, chunk and sample.
    pub async fn run(&self, id: &RunId) -> Result<Option<BenchmarkResponse>, StoreError> {
        // One snapshot, so that a run that ends meanwhile is seen before or after, not between.
        let mut snapshot = self.database.read().await?;
        let find = Statement::new("select run, document from runs where id = $1").bind(id.as_str());
        let Some(row) = snapshot.fetch_optional(find).await? else {
            return Ok(None);
        };
        let number: i64 = row.get("run")?;
        let mut run: BenchmarkResponse = decode(&row, "benchmark", id.as_str())?;
        let results = Statement::new(
            "select results.document, chunks.packed from results
             left join chunks on chunks.run = results.run and chunks.position = results.position
             where results.run = $1 order by results.position",
        )
        .bind(number);
        for row in &snapshot.fetch_all(results).await? {
            let mut result: BenchmarkResult = decode(row, "result", id.as_str())?;
            if let Some(packed) = row.get::<Option<Vec<u8>>>("packed")? {
                let chunks = series::unpack(&packed);
                let cut_off = || damaged("chunks", id.as_str(), &"they are cut off");
                result.chunks = Some(chunks.ok_or_else(cut_off)?);
            }
            run.results.push(result);
        }
        let samples = Statement::new("select packed from samples where run = $1").bind(number);
        if let Some(row) = snapshot.fetch_optional(samples).await? {
            let unpacked = samples::unpack(row.bytes("packed")?)
                .map_err(|error| damaged("samples", id.as_str(), &error))?;
            (run.samples, run.remote_samples) = (Some(unpacked.here), unpacked.elsewhere);
        }
        Ok(Some(run))
    }

    /// Marks as interrupted what a process left behind that is no more; gives the runs' ids.
    pub async fn interrupt_unfinished(&self) -> Result<Vec<RunId>, StoreError> {
        let unfinished =
            "select id, owner, document from runs where status in ('queued', 'running')";
        let rows = self.database.fetch_all(Statement::new(unfinished)).await?;
        let mut interrupted = Vec::new();
        for row in &rows {
            let owner: Option<String> = row.get("owner")?;
            if let Some(owner) = &owner
                && self.is_alive(owner).await
            {
                continue;
            }
            let id: String = row.get("id")?;
            // One that cannot be read must not keep all others from being read.
            let mut run: BenchmarkResponse = match decode(row, "benchmark", &id) {
                Ok(run) => run,
                Err(error) => {
                    tracing::error!(%error, "an unfinished run is left as it is");
                    continue;
                }
            };
            run.status = Status::Interrupted;
            run.status_reason = Some("the program ended in the middle of the run".into());
            run.queue_position = None;
            if self.interrupt(&run, owner).await? {
                interrupted.push(run.id);
            }
        }
        Ok(interrupted)
    }

    /// Marks a run as interrupted, unless its process has stored its end since it was read.
    async fn interrupt(
        &self,
        run: &BenchmarkResponse,
        owner: Option<String>,
    ) -> Result<bool, StoreError> {
        let mut work = self.database.write().await?;
        work.alone().await?;
        let mark = Statement::new(
            "update runs set status = $2, document = $3, owner = null
             where id = $1 and status in ('queued', 'running')
                and coalesce(owner, '') = coalesce($4, '')",
        )
        .bind(run.id.as_str())
        .bind(run.status.as_str())
        .bind(document(run)?)
        .bind(owner);
        if work.execute(mark).await? == 0 {
            return Ok(false);
        }
        if let Some(Known { number, .. }) = known(&mut work, &run.id).await? {
            facets::update(&mut work, number, run).await?;
        }
        work.commit().await?;
        Ok(true)
    }
}

/// The response without what is stored beside it.
pub(super) fn document(run: &BenchmarkResponse) -> Result<Vec<u8>, StoreError> {
    packed(&BenchmarkResponse {
        id: run.id.clone(),
        timestamp: run.timestamp,
        status: run.status,
        status_reason: run.status_reason.clone(),
        queue_position: run.queue_position,
        total_requests: run.total_requests,
        request: run.request.clone(),
        system_info: run.system_info.clone(),
        results: Vec::new(),
        summary: run.summary.clone(),
        environment: run.environment.clone(),
        validity: run.validity.clone(),
        finished_at: run.finished_at,
        worker: run.worker.clone(),
        samples: None,
        remote_samples: Vec::new(),
    })
}

pub(super) fn packed(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(value).map_err(StoreError::Unwritable)?;
    packing::pack(&json).map_err(|error| StoreError::Unwritable(serde_json::Error::io(error)))
}

/// The `document` of a row.
pub(super) fn decode<T: DeserializeOwned>(
    row: &Row,
    what: &'static str,
    id: &str,
) -> Result<T, StoreError> {
    let json =
        packing::unpack(row.bytes("document")?).map_err(|error| damaged(what, id, &error))?;
    serde_json::from_slice(&json).map_err(|error| damaged(what, id, &error))
}
