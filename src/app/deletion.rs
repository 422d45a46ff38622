//! Deleting many runs at once.

use super::{App, AppError};
use crate::record::{DeleteReport, RunId};

impl App {
    /// Deletes those of some runs that have ended.
    pub async fn delete_many(&self, ids: &[RunId]) -> Result<DeleteReport, AppError> {
        let mut report = DeleteReport::default();
        for id in ids {
            match self.delete(id).await {
                Ok(()) => report.deleted += 1,
                Err(AppError::Conflict(_)) => report.running.push(id.clone()),
                Err(AppError::UnknownId { .. }) => report.unknown.push(id.clone()),
                Err(other) => return Err(other),
            }
        }
        Ok(report)
    }
}
