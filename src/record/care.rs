//! Keeping a history in bounds and in order.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::RunId;

/// What became of runs that were to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct DeleteReport {
    /// How many are gone now.
    pub deleted: u64,
    /// Those that have not ended, and stay.
    pub running: Vec<RunId>,
    /// Those that are not stored.
    pub unknown: Vec<RunId>,
}

/// Which runs stay: those within every bound. What lies beyond is deleted, oldest first, where it has
/// ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// At most so many.
    pub runs: Option<u64>,
    /// None that was asked for before this time.
    pub from: Option<DateTime<Utc>>,
    /// So many that the database's pages in use take at most so many bytes.
    pub bytes: Option<u64>,
}

impl Keep {
    /// Whether everything stays.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}

/// What was deleted to keep the history in bounds; in a dry run what would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    /// Runs that are gone.
    pub deleted: u64,
    /// Of those, the ones that were written to the archive first.
    pub archived: u64,
    /// Runs beyond the bounds that stay, since they cannot be read and so not be archived.
    pub unreadable: Vec<RunId>,
    /// When the oldest of the deleted was asked for.
    pub oldest: Option<DateTime<Utc>>,
    /// When the newest of the deleted was asked for.
    pub newest: Option<DateTime<Utc>>,
}

/// Whether everything that is stored can be read and fits together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Runs that were read.
    pub runs: u64,
    /// Their results, each with its chunks.
    pub results: u64,
    /// Other documents that were read: saved prompts, calibrations, and what agents did and remember.
    pub others: u64,
    /// How many things are wrong.
    pub faults: u64,
    /// What is wrong: the first thousand.
    pub findings: Vec<CheckFinding>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFinding {
    /// The run, or what else it is about; null where it is about the database as a whole.
    pub id: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// Findings that a report names.
const MOST_FINDINGS: usize = 1000;

impl CheckReport {
    /// Takes down something that is wrong.
    pub fn find(&mut self, id: Option<&str>, message: impl Into<String>) {
        self.faults += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(CheckFinding {
                id: id.map(str::to_owned),
                message: message.into(),
            });
        }
    }
}
