//! What can be measured.

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::Part;
use super::payload::Answer;
use super::problem::Failure;
use crate::app::App;
use crate::record::{ModelDetails, ModelSummary};

/// The routes.
pub struct Models;

/// Models of all backends.
#[derive(Serialize, Object)]
pub struct ModelList {
    /// Every model of every backend that answered.
    models: Vec<ModelSummary>,
    /// Backends that did not.
    unavailable: Vec<Unavailable>,
}

impl ModelList {
    /// What the backends answered.
    pub fn new(models: Vec<ModelSummary>, unavailable: Vec<Unavailable>) -> Self {
        Self {
            models,
            unavailable,
        }
    }
}

/// A backend that could not list its models.
#[derive(Serialize, Object)]
pub struct Unavailable {
    /// Its name in the configuration.
    backend: String,
    /// What is wrong, and what to do.
    error: String,
}

#[OpenApi]
impl Models {
    /// List the models of all backends
    ///
    /// A backend that does not answer is named under `unavailable`; the others are listed all the
    /// same.
    #[oai(
        path = "/api/models",
        method = "get",
        tag = "Part::Models",
        operation_id = "listModels"
    )]
    async fn list(&self, app: Data<&App>) -> Result<Answer<ModelList>, Failure> {
        let mut list = ModelList::new(Vec::new(), Vec::new());
        for answer in app.models().await {
            match answer.models {
                Ok(models) => list.models.extend(models),
                Err(error) => list.unavailable.push(Unavailable {
                    backend: answer.backend,
                    error: error.to_string(),
                }),
            }
        }
        Ok(Answer(list))
    }

    /// Show one model
    #[oai(
        path = "/api/models/:name",
        method = "get",
        tag = "Part::Models",
        operation_id = "getModel"
    )]
    async fn one(
        &self,
        app: Data<&App>,
        /// `NAME` or `NAME@BACKEND`, a slash in it written as `%2F`.
        name: Path<String>,
    ) -> Result<Answer<ModelDetails>, Failure> {
        Ok(Answer(app.model(&name).await?))
    }
}
