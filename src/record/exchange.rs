//! Documents in and out.

use std::fmt;

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::{HistoryQuery, RunId};

/// In which form runs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ExportFormat {
    /// MongoDB Extended JSON (version 2), one run a line: whole.
    #[default]
    Mongodb,
    /// A JSON array of runs as this API serves them: whole.
    Json,
    /// One row a request (RFC 4180), units in the header: the figures, prompts and answers.
    Csv,
}

/// Which runs are exported, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportQuery {
    /// In which form.
    pub format: ExportFormat,
    /// Canonical Extended JSON, in which every number tells its type.
    pub canonical: bool,
    /// The filters of history; its order and its pages do not matter.
    pub filter: HistoryQuery,
    /// Only these runs; all where it is empty.
    pub ids: Vec<RunId>,
    /// Only runs behind this one, in the order of ids: where an export was cut off.
    pub after: Option<RunId>,
}

/// What became of documents that were imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ImportReport {
    /// Documents that were found.
    pub documents: u64,
    /// Runs that are stored now and were not before; in a dry run those that would be.
    pub stored: u64,
    /// Runs that were stored already; they stay as they are.
    pub known: u64,
    /// Documents that cannot be read.
    pub failed: u64,
    /// Nothing was stored: it was only tried out.
    pub dry_run: bool,
    /// Why documents cannot be read, the first 100 of them.
    pub errors: Vec<ImportError>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            documents,
            stored,
            known,
            failed,
            ..
        } = self;
        let verb = if self.dry_run {
            "would be stored"
        } else {
            "stored"
        };
        write!(
            formatter,
            "{documents} documents: {stored} {verb}, {known} known already, {failed} cannot be read"
        )
    }
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct ImportError {
    /// Line on which it begins, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}
