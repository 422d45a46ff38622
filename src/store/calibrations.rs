//! How well machines can measure.

use super::database::Statement;
use super::{Store, StoreError, damaged};
use crate::record::Calibration;

impl Store {
    /// Keeps a calibration.
    pub async fn save_calibration(&self, calibration: &Calibration) -> Result<(), StoreError> {
        let document = serde_json::to_string(calibration).map_err(StoreError::Unwritable)?;
        let insert = Statement::new(
            "insert into calibrations (id, created_at, machine, benchmarker_version, document)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(calibration.id.as_str())
        .bind(calibration.timestamp.timestamp_micros())
        .bind(calibration.machine.as_str())
        .bind(calibration.benchmarker_version.as_str())
        .bind(document);
        self.database.execute(insert).await?;
        Ok(())
    }

    /// The newest calibration of a machine by a version of the program.
    pub async fn calibration(
        &self,
        machine: &str,
        benchmarker_version: &str,
    ) -> Result<Option<Calibration>, StoreError> {
        let find = Statement::new(
            "select id, document from calibrations
             where machine = $1 and benchmarker_version = $2
             order by created_at desc, id desc limit 1",
        )
        .bind(machine)
        .bind(benchmarker_version);
        let Some(row) = self.database.fetch_optional(find).await? else {
            return Ok(None);
        };
        let (id, document): (String, String) = (row.get("id")?, row.get("document")?);
        serde_json::from_str(&document)
            .map(Some)
            .map_err(|error| damaged("calibration", &id, &error))
    }
}
