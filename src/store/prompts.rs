//! Saved prompts.

use sqlx::Row;

use super::{Store, StoreError, damaged};
use crate::record::{RunId, SavedPrompt};

impl Store {
    /// All saved prompts, newest first.
    pub async fn prompts(&self) -> Result<Vec<SavedPrompt>, StoreError> {
        let sql = "select id, document from prompts order by created_at desc, id desc";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        let decode = |row: &sqlx::sqlite::SqliteRow| {
            let id: String = row.try_get("id")?;
            let document: String = row.try_get("document")?;
            serde_json::from_str(&document).map_err(|error| damaged("prompt", &id, &error))
        };
        rows.iter().map(decode).collect()
    }

    /// Keeps a prompt.
    pub async fn save_prompt(&self, prompt: &SavedPrompt) -> Result<(), StoreError> {
        let document = serde_json::to_string(prompt).map_err(StoreError::Unwritable)?;
        sqlx::query("insert into prompts (id, created_at, document) values ($1, $2, $3)")
            .bind(prompt.id.as_str())
            .bind(prompt.created_at.timestamp_micros())
            .bind(document)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Deletes a prompt; whether there was one.
    pub async fn delete_prompt(&self, id: &RunId) -> Result<bool, StoreError> {
        let done = sqlx::query("delete from prompts where id = $1")
            .bind(id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}
