//! Saved views of the history.

use super::database::{Row, Statement};
use super::{Store, StoreError, damaged};
use crate::record::{RunId, SavedView};

impl Store {
    /// All saved views, newest first.
    pub async fn views(&self) -> Result<Vec<SavedView>, StoreError> {
        let all = "select id, document from saved_views order by created_at desc, id desc";
        let rows = self.database.fetch_all(Statement::new(all)).await?;
        let decode = |row: &Row| {
            let (id, document): (String, String) = (row.get("id")?, row.get("document")?);
            serde_json::from_str(&document).map_err(|error| damaged("view", &id, &error))
        };
        rows.iter().map(decode).collect()
    }

    /// Keeps a view.
    pub async fn save_view(&self, view: &SavedView) -> Result<(), StoreError> {
        let document = serde_json::to_string(view).map_err(StoreError::Unwritable)?;
        let insert = "insert into saved_views (id, created_at, document) values ($1, $2, $3)";
        let insert = Statement::new(insert)
            .bind(view.id.as_str())
            .bind(view.created_at.timestamp_micros())
            .bind(document);
        self.database.execute(insert).await?;
        Ok(())
    }

    /// Deletes a view; whether there was one.
    pub async fn delete_view(&self, id: &RunId) -> Result<bool, StoreError> {
        let delete = Statement::new("delete from saved_views where id = $1").bind(id.as_str());
        Ok(self.database.execute(delete).await? > 0)
    }
}
