//! Whether the program works.

use poem::web::Data;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::Part;
use super::payload::Answer;
use super::problem::Failure;
use crate::app::App;
use crate::version::{COMMIT, VERSION};

/// The routes.
pub struct Health;

/// How the program is.
#[derive(Serialize, Object)]
pub struct State {
    /// `ok`.
    status: String,
    /// Version of the program.
    version: String,
    /// The commit that it was built from, with `-modified` where its sources were changed since; null
    /// where that is not known.
    commit: Option<String>,
}

impl State {
    /// All is well with the program that was built from this commit.
    pub fn fine(commit: Option<&str>) -> Self {
        Self {
            status: "ok".into(),
            version: VERSION.to_owned(),
            commit: commit.map(str::to_owned),
        }
    }
}

#[OpenApi]
#[expect(
    clippy::unused_async,
    reason = "the framework takes only async functions"
)]
impl Health {
    /// Is the program alive?
    #[oai(
        path = "/healthz",
        method = "get",
        tag = "Part::Health",
        operation_id = "getHealth"
    )]
    async fn alive(&self) -> Result<Answer<State>, Failure> {
        Ok(Answer(State::fine(COMMIT)))
    }

    /// Can it do its work: is the storage reachable?
    #[oai(
        path = "/readyz",
        method = "get",
        tag = "Part::Health",
        operation_id = "getReadiness"
    )]
    async fn ready(&self, app: Data<&App>) -> Result<Answer<State>, Failure> {
        app.ready().await?;
        Ok(Answer(State::fine(COMMIT)))
    }
}
