//! Stored runs that asked the same: the newest one like a new one, and a model over all of them.

use std::collections::{BTreeSet, HashMap};

use super::{App, AppError};
use crate::measure::{self, Step};
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, Comparison, HistoryDetail, HistoryQuery, ModelName,
    ModelSummaryStatistics, RunId, Status, Trend,
};

/// More runs in one comparison are more than anybody compares.
const MOST_COMPARED: usize = 100;

/// More models in one comparison are more than anybody compares.
const MOST_MODELS_COMPARED: usize = 20;

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
        let model = self.named_model(model, "/model")?;
        let mut runs = self.newest_of(&model).await?;
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
            .map_err(|error| AppError::Broken(format!("the trend failed: {error}")))
    }

    /// The newest runs of a model that have ended, without their results.
    async fn newest_of(&self, model: &ModelName) -> Result<Vec<BenchmarkResponse>, AppError> {
        let query = HistoryQuery {
            limit: MOST_IN_TREND,
            model: Some(model.to_string()),
            detail: HistoryDetail::Summary,
            ..HistoryQuery::default()
        };
        let mut runs = self.inner.store.history(&query).await?.runs;
        runs.retain(|run| run.status.is_final());
        Ok(runs)
    }

    fn named_model(&self, text: &str, pointer: &str) -> Result<ModelName, AppError> {
        ModelName::parse(text, &self.config.default_backend)
            .map_err(|error| AppError::invalid(pointer, error.to_string()))
    }

    /// Those of some runs that are stored, without their results.
    pub async fn brief_runs(&self, ids: &[RunId]) -> Result<Vec<BenchmarkResponse>, AppError> {
        Ok(self.inner.store.brief_runs(ids).await?)
    }

    /// Two or more runs compared; within one run, its models.
    pub async fn compare(&self, ids: &[RunId]) -> Result<Comparison, AppError> {
        if ids.len() > MOST_COMPARED {
            let message = format!("at most {MOST_COMPARED} runs");
            return Err(AppError::invalid("/ids", message));
        }
        let stored = self.inner.store.brief_runs(ids).await?;
        let mut stored: HashMap<RunId, BenchmarkResponse> = stored
            .into_iter()
            .map(|run| (run.id.clone(), run))
            .collect();
        let mut runs = Vec::new();
        for id in ids {
            // What is not stored yet, or not any more, is told by its record.
            match stored.remove(id).filter(|_| !self.is_unsaved(id)) {
                Some(run) => runs.push(run),
                None => runs.push(self.record(id).await?),
            }
        }
        let sets: usize = runs
            .iter()
            .map(|run| run.environment.models.len().max(1))
            .sum();
        if sets < 2 {
            let message = "a comparison needs two runs, or one run of two models".into();
            return Err(AppError::invalid("/ids", message));
        }
        // The bootstrap takes a while on many results; other requests go on meanwhile.
        tokio::task::spawn_blocking(move || measure::compare_runs(&runs))
            .await
            .map_err(|error| AppError::Broken(format!("the comparison failed: {error}")))
    }

    /// Two or more models compared over their newest stored runs that asked all of them for the same
    /// work, the newest that there is.
    pub async fn compare_models(&self, names: &[String]) -> Result<Comparison, AppError> {
        let mut models: Vec<ModelName> = Vec::new();
        for name in names {
            let model = self.named_model(name, "/models")?;
            if !models.contains(&model) {
                models.push(model);
            }
        }
        if !(2..=MOST_MODELS_COMPARED).contains(&models.len()) {
            let message = format!("a comparison needs 2 to {MOST_MODELS_COMPARED} models");
            return Err(AppError::invalid("/models", message));
        }
        let mut runs = Vec::new();
        for model in &models {
            let mut of_model = self.newest_of(model).await?;
            of_model.retain(|run| has_answer(run, model));
            if of_model.is_empty() {
                let message = format!("no stored benchmark has an answer of {model}");
                return Err(AppError::invalid("/models", message));
            }
            runs.push(of_model);
        }
        let Some(mut runs) = of_same_work(runs) else {
            let message = "no stored benchmarks asked all of these models for the same; run them with one \
                           prompt and the same options";
            return Err(AppError::invalid("/models", message.into()));
        };
        for runs in &mut runs {
            bound(runs, MOST_REQUESTS_IN_TREND / models.len() as u64);
            self.inner.store.read_results(runs).await?;
        }
        let sets: Vec<_> = models.into_iter().zip(runs).collect();
        tokio::task::spawn_blocking(move || measure::compare_models(&sets))
            .await
            .map_err(|error| AppError::Broken(format!("the comparison failed: {error}")))
    }

    /// How each of some runs stands against the one before it of the same name, models and prompts,
    /// where that asked for the same work.
    pub async fn steps(
        &self,
        runs: &[BenchmarkResponse],
    ) -> Result<HashMap<RunId, Step>, AppError> {
        let ended = runs.iter().filter(|run| !run.summary.is_empty());
        let ids: Vec<&RunId> = ended.map(|run| &run.id).collect();
        let before = self.inner.store.runs_before(&ids).await?;
        let steps = runs.iter().filter_map(|run| {
            let step = measure::step(before.get(&run.id)?, run)?;
            Some((run.id.clone(), step))
        });
        Ok(steps.collect())
    }
}

fn has_answer(run: &BenchmarkResponse, model: &ModelName) -> bool {
    let of_model = |it: &&ModelSummaryStatistics| {
        it.model == model.name && it.backend == model.backend && it.succeeded > 0
    };
    run.summary.iter().find(of_model).is_some()
}

/// Of each model the runs of one work: the newest of the first model's that all others did too.
fn of_same_work(runs: Vec<Vec<BenchmarkResponse>>) -> Option<Vec<Vec<BenchmarkResponse>>> {
    let works: Vec<Vec<String>> = runs
        .iter()
        .map(|runs| {
            runs.iter()
                .map(|run| measure::work_of(&run.request))
                .collect()
        })
        .collect();
    let (first, others) = works.split_first()?;
    let wanted = first
        .iter()
        .find(|work| others.iter().all(|other| other.contains(work)))?;
    let of_model = |(runs, works): (Vec<BenchmarkResponse>, &Vec<String>)| {
        let placed = runs.into_iter().zip(works);
        let same = placed.filter(|(_, work)| *work == wanted);
        same.map(|(run, _)| run).collect()
    };
    Some(runs.into_iter().zip(&works).map(of_model).collect())
}

/// Keeps the newest runs that have so many requests together, and one at least.
fn bound(runs: &mut Vec<BenchmarkResponse>, most: u64) {
    let mut requests = 0;
    let mut place = 0;
    runs.retain(|run| {
        requests += u64::from(run.total_requests);
        place += 1;
        place == 1 || requests <= most
    });
}
