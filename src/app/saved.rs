//! What people keep by a name: prompts, and views of the history.

use chrono::Utc;

use super::{App, AppError};
use crate::record::{NewPrompt, NewView, RunId, SavedPrompt, SavedView};

impl App {
    /// Saved prompts, newest first.
    pub async fn prompts(&self) -> Result<Vec<SavedPrompt>, AppError> {
        Ok(self.inner.store.prompts().await?)
    }

    /// Saves a prompt.
    pub async fn save_prompt(&self, prompt: NewPrompt) -> Result<SavedPrompt, AppError> {
        let problems = prompt.problems(&self.config.request_limits());
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        let now = Utc::now();
        let NewPrompt { name, text } = prompt;
        let saved = SavedPrompt {
            id: RunId::new(now),
            name,
            text,
            created_at: now,
        };
        self.inner.store.save_prompt(&saved).await?;
        Ok(saved)
    }

    /// Deletes a saved prompt.
    pub async fn delete_prompt(&self, id: &RunId) -> Result<(), AppError> {
        if self.inner.store.delete_prompt(id).await? {
            Ok(())
        } else {
            Err(AppError::UnknownId {
                what: "prompt",
                id: id.to_string(),
            })
        }
    }

    /// Saved views of the history, newest first.
    pub async fn views(&self) -> Result<Vec<SavedView>, AppError> {
        Ok(self.inner.store.views().await?)
    }

    /// Saves a view.
    pub async fn save_view(&self, view: NewView) -> Result<SavedView, AppError> {
        let problems = view.problems();
        if !problems.is_empty() {
            return Err(AppError::Invalid(problems));
        }
        let now = Utc::now();
        let NewView { name, query } = view;
        let saved = SavedView {
            id: RunId::new(now),
            name,
            query,
            created_at: now,
        };
        self.inner.store.save_view(&saved).await?;
        Ok(saved)
    }

    /// Deletes a saved view.
    pub async fn delete_view(&self, id: &RunId) -> Result<(), AppError> {
        if self.inner.store.delete_view(id).await? {
            Ok(())
        } else {
            Err(AppError::UnknownId {
                what: "view",
                id: id.to_string(),
            })
        }
    }
}
