//! Runs with their results and samples, written as they happen.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::{Store, StoreError, damaged, samples, series};
use crate::record::{
    BenchmarkResponse, BenchmarkResult, Distribution, RemoteSamples, RunId, Samples, Status,
};

impl Store {
    /// Keeps a new run.
    pub async fn create_run(&self, run: &BenchmarkResponse) -> Result<(), StoreError> {
        let document = document(run)?;
        let owner = self.owner()?;
        let mut transaction = self.writer.begin().await?;
        sqlx::query(
            "insert into runs (id, created_at, status, owner, first_model, search, document)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(run.id.as_str())
        .bind(run.timestamp.timestamp_micros())
        .bind(run.status.as_str())
        .bind(owner)
        .bind(
            run.environment
                .models
                .first()
                .map_or("", |model| model.model.as_str()),
        )
        .bind(search_text(run))
        .bind(document)
        .execute(&mut *transaction)
        .await?;
        insert_models(&mut transaction, run).await?;
        for tag in &run.request.tags {
            // The same tag twice is one tag.
            sqlx::query(
                "insert into run_tags (run_id, tag) values ($1, $2) on conflict do nothing",
            )
            .bind(run.id.as_str())
            .bind(tag)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
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
        let chunks = series::pack(&result.chunks.clone().unwrap_or_default());
        let document = json(&BenchmarkResult {
            chunks: None,
            ..result.clone()
        })?;
        sqlx::query(
            "insert into results (run_id, position, document, chunks) values ($1, $2, $3, $4)
             on conflict do nothing",
        )
        .bind(id.as_str())
        .bind(position)
        .bind(document)
        .bind(chunks)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Keeps how a run stands. Its results and samples have their own ways in.
    pub async fn update_run(&self, run: &BenchmarkResponse) -> Result<(), StoreError> {
        sqlx::query(
            "update runs set status = $2, document = $3, time_to_first_chunk = $4,
                output_tokens_per_second = $5, total_time = $6,
                owner = case when $7 then null else owner end
             where id = $1",
        )
        .bind(run.id.as_str())
        .bind(run.status.as_str())
        .bind(document(run)?)
        .bind(best(run, f64::min, |summary| &summary.time_to_first_chunk))
        .bind(best(run, f64::max, |summary| {
            &summary.output_tokens_per_second
        }))
        .bind(best(run, f64::min, |summary| &summary.total_time))
        .bind(run.status.is_final())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Keeps what the machines were doing.
    pub async fn save_samples(
        &self,
        id: &RunId,
        samples: &Samples,
        remote: &[RemoteSamples],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into machine_samples (run_id, packed) values ($1, $2)
             on conflict (run_id) do update set packed = excluded.packed",
        )
        .bind(id.as_str())
        .bind(samples::pack(samples, remote)?)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// A run with every result, chunk and sample.
    pub async fn run(&self, id: &RunId) -> Result<Option<BenchmarkResponse>, StoreError> {
        // One snapshot, so that a run that ends meanwhile is seen before or after, not between.
        let mut snapshot = self.readers.begin().await?;
        let row = sqlx::query("select document from runs where id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *snapshot)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut run: BenchmarkResponse = decode(&row, "benchmark", id.as_str())?;
        let rows =
            sqlx::query("select document, chunks from results where run_id = $1 order by position")
                .bind(id.as_str())
                .fetch_all(&mut *snapshot)
                .await?;
        for row in &rows {
            let mut result: BenchmarkResult = decode(row, "result", id.as_str())?;
            let chunks: &[u8] = row.try_get("chunks")?;
            let unpacked = series::unpack(chunks);
            result.chunks =
                Some(unpacked.ok_or_else(|| damaged("chunks", id.as_str(), &"they are cut off"))?);
            run.results.push(result);
        }
        let row = sqlx::query("select packed from machine_samples where run_id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *snapshot)
            .await?;
        if let Some(row) = row {
            let packed: &[u8] = row.try_get("packed")?;
            let unpacked =
                samples::unpack(packed).map_err(|error| damaged("samples", id.as_str(), &error))?;
            (run.samples, run.remote_samples) = (Some(unpacked.here), unpacked.elsewhere);
            return Ok(Some(run));
        }
        // As earlier versions wrote them.
        let row = sqlx::query("select document from samples where run_id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *snapshot)
            .await?;
        run.samples = row
            .map(|row| decode(&row, "samples", id.as_str()))
            .transpose()?;
        Ok(Some(run))
    }

    /// Deletes a run with all that belongs to it; whether there was one.
    pub async fn delete_run(&self, id: &RunId) -> Result<bool, StoreError> {
        let done = sqlx::query("delete from runs where id = $1")
            .bind(id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Marks as interrupted what a process left behind that is no more; gives the runs' ids.
    pub async fn interrupt_unfinished(&self) -> Result<Vec<RunId>, StoreError> {
        let sql = "select id, owner, document from runs where status in ('queued', 'running')";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        let mut interrupted = Vec::new();
        for row in &rows {
            let owner: Option<String> = row.try_get("owner")?;
            if owner.as_ref().is_some_and(|owner| self.is_alive(owner)) {
                continue;
            }
            let id: String = row.try_get("id")?;
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
            // Its process may have stored the end since it was read.
            let marked = sqlx::query(
                "update runs set status = $2, document = $3, owner = null
                 where id = $1 and status in ('queued', 'running') and owner is $4",
            )
            .bind(&id)
            .bind(run.status.as_str())
            .bind(document(&run)?)
            .bind(owner)
            .execute(&self.writer)
            .await?;
            if marked.rows_affected() > 0 {
                interrupted.push(run.id);
            }
        }
        Ok(interrupted)
    }
}

async fn insert_models(
    transaction: &mut Transaction<'_, Sqlite>,
    run: &BenchmarkResponse,
) -> Result<(), StoreError> {
    for (position, model) in (0u32..).zip(&run.environment.models) {
        sqlx::query(
            "insert into run_models (run_id, position, model, backend) values ($1, $2, $3, $4)",
        )
        .bind(run.id.as_str())
        .bind(position)
        .bind(&model.model)
        .bind(&model.backend)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// The response without what is stored beside it.
fn document(run: &BenchmarkResponse) -> Result<String, StoreError> {
    json(&BenchmarkResponse {
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

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::Unwritable)
}

/// The `document` of a row.
pub(super) fn decode<T: DeserializeOwned>(
    row: &SqliteRow,
    what: &'static str,
    id: &str,
) -> Result<T, StoreError> {
    let text: &str = row.try_get("document")?;
    serde_json::from_str(text).map_err(|error| damaged(what, id, &error))
}

fn search_text(run: &BenchmarkResponse) -> String {
    let mut parts: Vec<String> = run.request.name.iter().cloned().collect();
    parts.extend(
        run.environment
            .models
            .iter()
            .map(|model| format!("{}@{}", model.model, model.backend)),
    );
    parts.extend(run.request.all_prompts().into_iter().map(str::to_owned));
    parts.join("\n").to_lowercase()
}

fn best(
    run: &BenchmarkResponse,
    better: fn(f64, f64) -> f64,
    figure: impl Fn(&crate::record::ModelSummaryStatistics) -> &Distribution,
) -> Option<f64> {
    run.summary
        .iter()
        .filter_map(|summary| figure(summary).median)
        .reduce(better)
}
