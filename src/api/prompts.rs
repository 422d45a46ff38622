//! Prompts saved for later.

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};

use super::Part;
use super::benchmarks::parse_id;
use super::payload::{Answer, Body};
use super::problem::Failure;
use crate::app::App;
use crate::record::{NewPrompt, SavedPrompt};

/// The routes.
pub struct Prompts;

/// A prompt was saved.
#[derive(ApiResponse)]
pub enum Saved {
    /// The prompt as it is stored.
    #[oai(status = 201)]
    Created(Answer<SavedPrompt>),
}

/// Something was deleted.
#[derive(ApiResponse)]
pub enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Gone,
}

#[OpenApi]
impl Prompts {
    /// List saved prompts, newest first
    #[oai(
        path = "/api/prompts",
        method = "get",
        tag = "Part::Prompts",
        operation_id = "listPrompts"
    )]
    async fn list(&self, app: Data<&App>) -> Result<Answer<Vec<SavedPrompt>>, Failure> {
        Ok(Answer(app.prompts().await?))
    }

    /// Save a prompt
    #[oai(
        path = "/api/prompts",
        method = "post",
        tag = "Part::Prompts",
        operation_id = "savePrompt"
    )]
    async fn save(&self, app: Data<&App>, prompt: Body<NewPrompt>) -> Result<Saved, Failure> {
        Ok(Saved::Created(Answer(app.save_prompt(prompt.0).await?)))
    }

    /// Delete a saved prompt
    #[oai(
        path = "/api/prompts/:id",
        method = "delete",
        tag = "Part::Prompts",
        operation_id = "deletePrompt"
    )]
    async fn delete(
        &self,
        app: Data<&App>,
        /// Id of the prompt, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Deleted, Failure> {
        app.delete_prompt(&parse_id(&id)?).await?;
        Ok(Deleted::Gone)
    }
}
