//! Flags that choose stored runs.

use chrono::{DateTime, Utc};
use clap::Args;

use super::values;
use crate::record::{HistoryQuery, Status};

/// Which stored runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which runs")]
pub struct FilterFlags {
    /// Only this model, NAME or NAME@BACKEND
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only models on this backend
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Only runs that stand so
    #[arg(long, value_name = "STATUS", value_parser = values::choice::<Status>(&["queued", "running", "completed", "partial", "failed", "cancelled", "interrupted"]))]
    status: Option<Status>,
    /// Only runs at or after this day or time (UTC)
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    from: Option<DateTime<Utc>>,
    /// Only runs before this day or time (UTC)
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    to: Option<DateTime<Utc>>,
    /// Only runs whose name, prompt or models hold this text
    #[arg(long, short, value_name = "TEXT")]
    query: Option<String>,
    /// Only runs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl FilterFlags {
    /// A query of those runs, everything else at its default.
    pub fn query(self) -> HistoryQuery {
        HistoryQuery {
            model: self.model,
            backend: self.backend,
            status: self.status,
            from: self.from,
            to: self.to,
            q: self.query,
            tag: self.tag,
            ..HistoryQuery::default()
        }
    }
}
