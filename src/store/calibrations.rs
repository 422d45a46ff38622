//! How well machines can measure.

use sqlx::Row;

use super::{Store, StoreError, damaged};
use crate::record::Calibration;

impl Store {
    /// Keeps a calibration.
    pub async fn save_calibration(&self, calibration: &Calibration) -> Result<(), StoreError> {
        let document = serde_json::to_string(calibration).map_err(StoreError::Unwritable)?;
        let sql = "insert into calibrations (id, created_at, machine, benchmarker_version, document) \
                   values ($1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(calibration.id.as_str())
            .bind(calibration.timestamp.timestamp_micros())
            .bind(&calibration.machine)
            .bind(&calibration.benchmarker_version)
            .bind(document)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The newest calibration of a machine by a version of the program.
    pub async fn calibration(
        &self,
        machine: &str,
        benchmarker_version: &str,
    ) -> Result<Option<Calibration>, StoreError> {
        let sql = "select id, document from calibrations \
                   where machine = $1 and benchmarker_version = $2 \
                   order by created_at desc, id desc limit 1";
        let row = sqlx::query(sql)
            .bind(machine)
            .bind(benchmarker_version)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id: String = row.try_get("id")?;
        let document: String = row.try_get("document")?;
        serde_json::from_str(&document)
            .map(Some)
            .map_err(|error| damaged("calibration", &id, &error))
    }
}
