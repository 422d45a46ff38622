//! Saved prompts.

use super::database::{Row, Statement};
use super::{Store, StoreError, damaged};
use crate::record::{RunId, SavedPrompt};

impl Store {
    /// All saved prompts, newest first.
    pub async fn prompts(&self) -> Result<Vec<SavedPrompt>, StoreError> {
        let all = "select id, document from prompts order by created_at desc, id desc";
        let rows = self.database.fetch_all(Statement::new(all)).await?;
        let decode = |row: &Row| {
            let (id, document): (String, String) = (row.get("id")?, row.get("document")?);
            serde_json::from_str(&document).map_err(|error| damaged("prompt", &id, &error))
        };
        rows.iter().map(decode).collect()
    }

    /// Keeps a prompt.
    pub async fn save_prompt(&self, prompt: &SavedPrompt) -> Result<(), StoreError> {
        let document = serde_json::to_string(prompt).map_err(StoreError::Unwritable)?;
        let insert = "insert into prompts (id, created_at, document) values ($1, $2, $3)";
        let insert = Statement::new(insert)
            .bind(prompt.id.as_str())
            .bind(prompt.created_at.timestamp_micros())
            .bind(document);
        self.database.execute(insert).await?;
        Ok(())
    }

    /// Deletes a prompt; whether there was one.
    pub async fn delete_prompt(&self, id: &RunId) -> Result<bool, StoreError> {
        let delete = Statement::new("delete from prompts where id = $1").bind(id.as_str());
        Ok(self.database.execute(delete).await? > 0)
    }
}
