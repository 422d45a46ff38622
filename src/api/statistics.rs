//! What the stored runs say about each model.

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Part;
use super::payload::Answer;
use super::problem::Failure;
use crate::app::App;
use crate::record::{Bucket, HistoryQuery, ModelStatistics, Status};

/// The routes.
pub struct Statistics;

#[OpenApi]
impl Statistics {
    /// Statistics of each model
    ///
    /// Over all stored runs, or those that fit the filters: smallest, largest, mean, median, percentiles
    /// and spread of every measured request that succeeded. `model` and `backend` choose models, the
    /// other filters runs. With `bucket=day` the same of every day in UTC, oldest first, at most 5000
    /// days of models in one answer. Up to 10000 requests are exact; of more, medians and percentiles are
    /// as near as `resolution` says. Filters by status, text and tag read every request that fits, which
    /// takes some three seconds for 100000 runs; all others do not.
    #[oai(
        path = "/api/benchmarks/statistics",
        method = "get",
        tag = "Part::Benchmarks",
        operation_id = "getStatistics"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a query parameter of the route"
    )]
    async fn statistics(
        &self,
        app: Data<&App>,
        /// Only this model, `NAME` or `NAME@BACKEND`.
        model: Query<Option<String>>,
        /// Only models on this backend.
        backend: Query<Option<String>>,
        /// Only runs that stand so.
        status: Query<Option<Status>>,
        /// Only runs at or after this time, RFC 3339.
        from: Query<Option<DateTime<Utc>>>,
        /// Only runs before this time, RFC 3339.
        to: Query<Option<DateTime<Utc>>>,
        /// Only runs whose name, prompt or models hold this text.
        q: Query<Option<String>>,
        /// Only runs with this tag.
        tag: Query<Option<String>>,
        /// What to part them by, besides the model; all runs together where absent.
        bucket: Query<Option<Bucket>>,
    ) -> Result<Answer<Vec<ModelStatistics>>, Failure> {
        let query = HistoryQuery {
            model: model.0,
            backend: backend.0,
            status: status.0,
            from: from.0,
            to: to.0,
            q: q.0,
            tag: tag.0,
            ..HistoryQuery::default()
        };
        Ok(Answer(app.statistics(&query, bucket.0).await?))
    }
}
