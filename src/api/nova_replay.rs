//! Do again what agents did: a session as a benchmark, or a turn.

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::Part;
use super::benchmarks::{Accepted, accepted, parse_id};
use super::nova::client_gone;
use super::payload::{Answer, Body};
use super::problem::Failure;
use crate::app::App;
use crate::record::{ReplayReport, SessionBenchmark, TurnReplay};

/// The routes.
pub struct Replays;

#[OpenApi]
impl Replays {
    /// Benchmark models with a recorded session
    ///
    /// Makes the calls of the session with other models, as an ordinary benchmark: follow it by its events,
    /// find it in the history, compare it. `pinned` tells every model what was told in the record, so that
    /// their times can be compared; `live` lets the agents work with each model, each going its own way.
    /// Each result says which step of which turn it stands for.
    #[oai(
        path = "/api/nova/sessions/:id/benchmark",
        method = "post",
        tag = "Part::Nova",
        operation_id = "benchmarkSession"
    )]
    async fn benchmark(
        &self,
        app: Data<&App>,
        /// Id of the session, 24 hexadecimal digits.
        id: Path<String>,
        wanted: Body<SessionBenchmark>,
    ) -> Result<Accepted, Failure> {
        let run = app.benchmark_session(&parse_id(&id)?, wanted.0).await?;
        Ok(accepted(run))
    }

    /// Do a turn again
    ///
    /// With `tape` the record answers in the place of the models: what comes is the recorded turn to the byte,
    /// unless something else than the models changed. With `rerun` models are asked, those of the record
    /// or another one. The answer names the first step that differs, and where. Nothing is stored, and nobody
    /// promises that a model writes the same twice. Who goes away stops it.
    #[oai(
        path = "/api/nova/turns/:id/replay",
        method = "post",
        tag = "Part::Nova",
        operation_id = "replayTurn"
    )]
    async fn replay(
        &self,
        app: Data<&App>,
        http: &poem::Request,
        /// Id of the turn, 24 hexadecimal digits.
        id: Path<String>,
        wanted: Body<TurnReplay>,
    ) -> Result<Answer<ReplayReport>, Failure> {
        let gone = client_gone(http);
        Ok(Answer(
            app.replay_turn(&parse_id(&id)?, wanted.0, gone).await?,
        ))
    }
}
