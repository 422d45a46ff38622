//! Stored runs that asked the same: the newest one like a new one, and a model over all of them.

use std::collections::BTreeSet;

use super::{App, AppError};
use crate::measure;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, FieldError, HistoryDetail, HistoryQuery, ModelName, RunId,
    Status, Trend,
};

/// Among so many of the newest runs one like a new one is looked for.
const MOST_SEARCHED: u32 = 500;

/// Most runs of a model that are looked at for its trend.
const MOST_IN_TREND: u32 = 200;

/// And most requests of them that are read: some hundred megabytes where each answer is long.
const MOST_REQUESTS_IN_TREND: u64 = 20_000;

impl App {
    /// The newest stored run that asked all of these models for the same work on this machine, and was
    /// completed.
    pub async fn newest_like(
        &self,
        request: &BenchmarkRequest,
    ) -> Result<Option<BenchmarkResponse>, AppError> {
        let query = HistoryQuery {
            limit: MOST_SEARCHED,
            status: Some(Status::Completed),
            detail: HistoryDetail::Summary,
            ..HistoryQuery::default()
        };
        let named = |request: &BenchmarkRequest| -> BTreeSet<Option<ModelName>> {
            let models = request.models.iter();
            models
                .map(|text| ModelName::parse(text, &self.config.default_backend).ok())
                .collect()
        };
        let wanted = named(request);
        let here = self.system_info().await;
        let runs = self.inner.store.history(&query).await?.runs;
        let newest = runs.into_iter().find(|run| {
            wanted.is_subset(&named(&run.request))
                && measure::is_same_work(&run.request, request)
                && measure::is_same_machine(&run.system_info, &here)
        });
        match newest {
            None => Ok(None),
            Some(run) => Ok(Some(self.record(&run.id).await?)),
        }
    }

    /// How a model did over the stored runs that asked the same of it as one of them did, or, where
    /// none is named, as the newest.
    pub async fn trend(&self, model: &str, like: Option<&RunId>) -> Result<Trend, AppError> {
        let model = ModelName::parse(model, &self.config.default_backend).map_err(|error| {
            AppError::Invalid(vec![FieldError {
                pointer: "/model".into(),
                message: error.to_string(),
            }])
        })?;
        let query = HistoryQuery {
            limit: MOST_IN_TREND,
            model: Some(model.to_string()),
            detail: HistoryDetail::Summary,
            ..HistoryQuery::default()
        };
        let mut runs = self.inner.store.history(&query).await?.runs;
        runs.retain(|run| run.status.is_final());
        let wanted = match like {
            Some(id) => Some(self.record(id).await?.request),
            None => runs.first().map(|run| run.request.clone()),
        };
        let mut requests = 0;
        runs.retain(|run| {
            let is_same = wanted
                .as_ref()
                .is_some_and(|wanted| measure::is_same_work(wanted, &run.request));
            if is_same {
                requests += u64::from(run.total_requests);
            }
            is_same && requests <= MOST_REQUESTS_IN_TREND
        });
        self.inner.store.read_results(&mut runs).await?;
        tokio::task::spawn_blocking(move || measure::trend(&model, &runs))
            .await
            .map_err(|error| AppError::Conflict(format!("the trend failed: {error}")))
    }
}
