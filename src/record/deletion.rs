//! What became of runs that were to be deleted.

use super::RunId;

/// What became of runs that were to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// How many are gone.
    pub deleted: u64,
    /// Those that have not ended; they stay.
    pub running: Vec<RunId>,
    /// Those that were not there.
    pub unknown: Vec<RunId>,
}
