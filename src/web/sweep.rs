//! What a sweep found, for the page of a run.

use serde_json::{Value, json};

use crate::record::{BenchmarkResponse, LoadSummary};

/// What each model's load came to, by its label.
pub fn of_models<'a>(
    run: &'a BenchmarkResponse,
    labels: &[String],
) -> Vec<(String, Option<&'a LoadSummary>)> {
    let models = labels.iter().zip(&run.environment.models);
    models
        .map(|(label, model)| {
            let mut summaries = run.summary.iter();
            let own = summaries.find(|it| it.model == model.model && it.backend == model.backend);
            (label.clone(), own.and_then(|it| it.load.as_ref()))
        })
        .collect()
}

/// The stages of each model that was swept.
pub fn tables(sweeps: &[(String, Option<&LoadSummary>)]) -> Vec<Value> {
    sweeps
        .iter()
        .filter_map(|(label, load)| Some((label, &load.as_ref()?.stages)))
        .filter(|(_, stages)| !stages.is_empty())
        .map(|(label, stages)| {
            let has_objectives = stages.iter().any(|it| it.objectives_met.is_some());
            json!({"label": label, "stages": stages, "has_objectives": has_objectives})
        })
        .collect()
}
