//! Runs beside each other: some of them at once, and of each the one that came before it.

use std::collections::HashMap;

use super::database::{Row, Statement};
use super::{Store, StoreError, damaged, runs};
use crate::record::{BenchmarkResponse, RunId};

impl Store {
    /// Some runs with their results, without chunks and samples, in the order of their ids.
    pub async fn brief_runs(&self, ids: &[RunId]) -> Result<Vec<BenchmarkResponse>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut find = Statement::new("select id, document from runs where id in (");
        find.push_list(ids.iter().map(RunId::as_str));
        find.push(") order by id");
        let rows = self.database.fetch_all(find).await?;
        let run = |row: &Row| -> Result<BenchmarkResponse, StoreError> {
            let id: String = row.get("id")?;
            runs::decode(row, "benchmark", &id)
        };
        let mut found: Vec<BenchmarkResponse> = rows.iter().map(run).collect::<Result<_, _>>()?;
        self.read_results(&mut found).await?;
        Ok(found)
    }

    /// Of each run the newest one before it that has the same name, models and prompts, without its
    /// results; one look at an index for each.
    pub async fn runs_before(
        &self,
        ids: &[&RunId],
    ) -> Result<HashMap<RunId, BenchmarkResponse>, StoreError> {
        let mut before = HashMap::new();
        if ids.is_empty() {
            return Ok(before);
        }
        let rows = self.database.fetch_all(before_of(ids)).await?;
        for row in &rows {
            let (after, id): (String, String) = (row.get("after")?, row.get("id")?);
            // One that cannot be read must not hide the others.
            match runs::decode(row, "benchmark", &id) {
                Ok(run) => {
                    let after = after.parse();
                    before.insert(
                        after.map_err(|error| damaged("benchmark", &id, &error))?,
                        run,
                    );
                }
                Err(error) => tracing::error!(%error, "the run before one is left out"),
            }
        }
        Ok(before)
    }

    /// The newest day, in days since 1970, that has results of some models before a day.
    pub async fn newest_day(
        &self,
        before: i64,
        models: Option<&[i64]>,
    ) -> Result<Option<i64>, StoreError> {
        let mut find = Statement::new("select span from figure_sums where level = 0 and span < ");
        find.push_bind(before);
        if let Some(models) = models {
            find.push(" and model in (");
            find.push_list(models.iter().copied()).push(")");
        }
        find.push(" order by span desc limit 1");
        let row = self.database.fetch_optional(find).await?;
        Ok(row.map(|row| row.get("span")).transpose()?)
    }
}

fn before_of(ids: &[&RunId]) -> Statement {
    let mut find = Statement::new(
        "select r.id as after, p.id, p.document from runs as r
         join runs as p on p.run = (
            select b.run from runs as b
            where b.text_id = r.text_id and (b.created_at, b.run) < (r.created_at, r.run)
            order by b.created_at desc, b.run desc limit 1
         )
         where r.id in (",
    );
    find.push_list(ids.iter().map(|id| id.as_str())).push(")");
    find
}

#[cfg(test)]
impl Store {
    /// How the runs before some would be found.
    pub(super) async fn plan_of_runs_before(&self, ids: &[&RunId]) -> String {
        let mut work = self.database.read().await.unwrap();
        let explained = before_of(ids).explained("explain query plan");
        let rows = work.fetch_all(explained).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.get("detail").unwrap()).collect();
        lines.join("\n")
    }
}
