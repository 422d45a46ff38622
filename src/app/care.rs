//! Keeping the history: deleting, bounds, archive, backup, check.
//!
//! What lies beyond the bounds is deleted in small batches, oldest first, and only where it has ended.
//! With an archive a run is deleted after its document is on the disk, never before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use super::archive::Archive;
use super::exchange::{Form, write_one};
use super::{App, AppError};
use crate::record::{CheckReport, DeleteReport, ExportFormat, Keep, PruneReport, RunId};
use crate::store::{OldRun, Selection, StoredRun};

/// How archives are written.
const ARCHIVED: Form = Form {
    format: ExportFormat::Mongodb,
    canonical: false,
};

/// Most runs that are deleted at once on somebody's word.
const MOST_IDS: usize = 500;
/// How often a server keeps its history in bounds, besides after each run.
const INTERVAL: Duration = Duration::from_mins(10);
/// Deleting would disturb what is measured, so it waits for a pause; after so many intervals without one
/// it does not any more.
const LONGEST_WAIT: u32 = 6;
/// Between two batches, for whoever else wants to write.
const PAUSE: Duration = Duration::from_millis(5);

impl App {
    /// Deletes a run that has ended; one that goes on is a conflict.
    pub async fn delete(&self, id: &RunId) -> Result<(), AppError> {
        let report = self.delete_many(std::slice::from_ref(id)).await?;
        if !report.running.is_empty() {
            let message = "the benchmark has not ended; cancel it first".to_owned();
            return Err(AppError::Conflict(message));
        }
        if report.deleted == 0 {
            return Err(AppError::UnknownId {
                what: "benchmark",
                id: id.to_string(),
            });
        }
        Ok(())
    }

    /// Deletes those of some runs that have ended: all or, where it fails, none.
    pub async fn delete_many(&self, ids: &[RunId]) -> Result<DeleteReport, AppError> {
        if ids.is_empty() || ids.len() > MOST_IDS {
            let message = format!("must be from 1 to {MOST_IDS} runs");
            return Err(AppError::invalid("/ids", message));
        }
        let store = &self.inner.store;
        let mut report = store.delete_runs(ids).await?;
        // Of some the database does not know yet that they have ended.
        for id in std::mem::take(&mut report.running) {
            if self.is_unsaved(&id) {
                self.forget_unsaved(&id);
                report.deleted += u64::from(store.delete_run(&id).await?);
            } else {
                report.running.push(id);
            }
        }
        if report.deleted > 0 {
            self.inner.care.notify_one();
        }
        Ok(report)
    }

    /// The bounds that the settings give.
    pub fn keep(&self) -> Keep {
        let settings = &self.config.retention;
        let of = |value: u64| (value > 0).then_some(value);
        Keep {
            runs: of(settings.runs),
            from: of(settings.days.into()).map(|_| days_ago(settings.days.into())),
            bytes: of(settings.bytes),
        }
    }

    /// The file that the settings have runs archived in: one a month.
    pub fn archive(&self) -> Option<PathBuf> {
        let folder = self.config.retention.archive.trim();
        let name = Utc::now().format("runs-%Y-%m.jsonl").to_string();
        (!folder.is_empty()).then(|| Path::new(folder).join(name))
    }

    /// Deletes runs beyond the bounds, oldest first, and writes each into the archive before, where there
    /// is one. Told after each batch how far it is, `go_on` may end it.
    pub async fn prune(
        &self,
        keep: &Keep,
        archive: Option<&Path>,
        mut go_on: impl FnMut(&PruneReport) -> bool,
    ) -> Result<PruneReport, AppError> {
        self.check_bounds(keep).await?;
        let archive = match archive {
            Some(path) => Some(opened(path.to_path_buf()).await?),
            None => None,
        };
        let mut pruning = Pruning {
            app: self,
            archive,
            behind: None,
            report: PruneReport::default(),
        };
        let runs = match keep.runs {
            Some(most) => self.inner.store.count_runs().await?.saturating_sub(most),
            None => 0,
        };
        let mut bounds = [
            Bound::Count(runs),
            Bound::Time(keep.from),
            Bound::Bytes(keep.bytes),
        ]
        .into_iter();
        let mut bound = bounds.next();
        while let Some(current) = bound {
            if !pruning.batch(current).await? {
                bound = bounds.next();
            } else if go_on(&pruning.report) {
                tokio::time::sleep(PAUSE).await;
            } else {
                break;
            }
        }
        self.give_room_back(|| go_on(&pruning.report)).await?;
        Ok(pruning.report)
    }

    /// What [`Self::prune`] would delete now. How many runs a size takes is an estimate.
    pub async fn try_prune(&self, keep: &Keep) -> Result<PruneReport, AppError> {
        self.check_bounds(keep).await?;
        let store = &self.inner.store;
        let all = store.count_runs().await?;
        let mut beyond = keep.runs.map_or(0, |most| all.saturating_sub(most));
        if let Some(from) = keep.from {
            beyond = beyond.max(store.count_before(from).await?);
        }
        if let (Some(most), Some(used)) = (keep.bytes, store.used_bytes().await?) {
            let each = (used / all.max(1)).max(1);
            beyond = beyond.max(used.saturating_sub(most).div_ceil(each).min(all));
        }
        let mut report = PruneReport::default();
        let mut behind: Option<OldRun> = None;
        while report.deleted < beyond {
            let left = beyond - report.deleted;
            let runs = store.oldest(None, behind.as_ref(), left).await?;
            let Some(last) = runs.last() else { break };
            behind = Some(last.clone());
            report.take(&runs);
        }
        Ok(report)
    }

    async fn check_bounds(&self, keep: &Keep) -> Result<(), AppError> {
        if keep.bytes.is_some() && self.inner.store.used_bytes().await?.is_none() {
            let message = "Postgres does not give the room of deleted rows back, so a size bounds nothing; keep by a number of runs or by days";
            return Err(AppError::invalid("/keep_bytes", message.into()));
        }
        Ok(())
    }

    /// Writes the database anew, as small as it can be. Nobody else writes meanwhile.
    pub async fn compact(&self) -> Result<(), AppError> {
        self.inner.store.compact().await?;
        self.inner.store.empty_log().await?;
        Ok(())
    }

    /// Writes a copy of the database as it is now to a file, whatever else goes on; replaces what is there.
    pub async fn back_up(&self, file: &Path) -> Result<(), AppError> {
        Ok(self.inner.store.back_up(file).await?)
    }

    /// Whether everything that is stored can be read and fits together.
    pub async fn check(&self, tell: impl FnMut(&CheckReport)) -> Result<CheckReport, AppError> {
        Ok(self.inner.store.check(tell).await?)
    }

    /// Keeps the history in the bounds of the settings from now on, as long as the program runs: for
    /// servers.
    pub fn start_keeping(&self) {
        self.inner.runs.spawn(self.clone().keep_in_bounds());
    }

    async fn keep_in_bounds(self) {
        let stopping = self.stopping();
        let mut waited = 0;
        loop {
            if self.is_idle() || waited >= LONGEST_WAIT {
                let force = waited >= LONGEST_WAIT;
                waited = 0;
                self.apply_bounds(force).await;
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.inner.care.notified() => {}
                () = tokio::time::sleep(INTERVAL) => waited += 1,
            }
        }
    }

    async fn apply_bounds(&self, force: bool) {
        let keep = self.keep();
        let go_on = || !self.inner.stopping.is_cancelled() && (force || self.is_idle());
        let archive = self.archive();
        let done = if keep.is_unbounded() {
            let given = self.give_room_back(go_on).await;
            given.map(|()| PruneReport::default())
        } else {
            self.prune(&keep, archive.as_deref(), |_| go_on()).await
        };
        match done {
            Ok(report) => {
                if report.deleted > 0 {
                    let PruneReport {
                        deleted, archived, ..
                    } = report;
                    tracing::info!(
                        deleted,
                        archived,
                        "deleted the oldest runs: the history is to stay in bounds"
                    );
                }
                for id in report.unreadable {
                    tracing::error!(%id, "the run cannot be archived, so it stays; see `check`");
                }
            }
            Err(error) => tracing::warn!(%error, "the history could not be kept in bounds"),
        }
    }

    fn is_idle(&self) -> bool {
        let load = self.inner.queue.load();
        load.running + load.waiting == 0
    }

    /// Gives the room of deleted runs back to the disk, and leaves nothing of them in the log.
    async fn give_room_back(&self, mut go_on: impl FnMut() -> bool) -> Result<(), AppError> {
        while self.inner.store.release_some().await? && go_on() {
            tokio::time::sleep(PAUSE).await;
        }
        if !self.inner.store.empty_log().await? {
            tracing::debug!("the log of the database is read by somebody; it is emptied later");
        }
        Ok(())
    }
}

/// What there may be too much of.
#[derive(Clone, Copy)]
enum Bound {
    /// So many runs altogether are to go.
    Count(u64),
    /// Those before this time are.
    Time(Option<DateTime<Utc>>),
    /// As many as it takes.
    Bytes(Option<u64>),
}

struct Pruning<'a> {
    app: &'a App,
    archive: Option<Archive>,
    /// The last run that was looked at; it is behind those that cannot be archived.
    behind: Option<OldRun>,
    report: PruneReport,
}

impl Pruning<'_> {
    /// Deletes the next few runs that are beyond a bound; `false` where there are none.
    async fn batch(&mut self, bound: Bound) -> Result<bool, AppError> {
        let store = &self.app.inner.store;
        let (before, most) = match bound {
            Bound::Count(runs) => {
                let stay = self.report.unreadable.len() as u64;
                (None, runs.saturating_sub(self.report.deleted + stay))
            }
            Bound::Time(None) | Bound::Bytes(None) => return Ok(false),
            Bound::Time(before) => (before, u64::MAX),
            Bound::Bytes(Some(most)) => {
                let used = store.used_bytes().await?.unwrap_or_default();
                (None, if used > most { u64::MAX } else { 0 })
            }
        };
        if most == 0 {
            return Ok(false);
        }
        let mut runs = store.oldest(before, self.behind.as_ref(), most).await?;
        let Some(last) = runs.last() else {
            return Ok(false);
        };
        self.behind = Some(last.clone());
        if let Some(archive) = self.archive.take() {
            let written = self.write_down(archive, &runs).await?;
            runs.retain(|run| written.contains(&run.id));
            self.report.archived += runs.len() as u64;
        }
        let ids: Vec<RunId> = runs.iter().map(|run| run.id.clone()).collect();
        // One that somebody else deleted meanwhile is gone as well.
        store.delete_runs(&ids).await?;
        self.report.take(&runs);
        Ok(true)
    }

    /// Writes runs into the archive; gives those that are on the disk now.
    async fn write_down(
        &mut self,
        archive: Archive,
        runs: &[OldRun],
    ) -> Result<Vec<RunId>, AppError> {
        let selection = Selection {
            ids: runs.iter().map(|run| run.id.clone()).collect(),
            ..Selection::default()
        };
        let mut stored: Vec<StoredRun> = Vec::new();
        loop {
            let behind = stored.last().map(|run| run.id.clone());
            let more = self
                .app
                .inner
                .store
                .stored_runs(&selection, behind.as_ref())
                .await?;
            if more.is_empty() {
                break;
            }
            stored.extend(more);
        }
        let task = tokio::task::spawn_blocking(move || append(archive, stored));
        let (archive, outcome) = task
            .await
            .map_err(|error| AppError::Storage(error.to_string()))?;
        let (written, unreadable) =
            outcome.map_err(|source| not_written(archive.path(), source))?;
        self.archive = Some(archive);
        self.report.unreadable.extend(unreadable);
        Ok(written)
    }
}

impl PruneReport {
    /// Counts runs that are gone; they come in the order of age.
    fn take(&mut self, runs: &[OldRun]) {
        self.deleted += runs.len() as u64;
        let time = |run: &OldRun| DateTime::from_timestamp_micros(run.created_at);
        self.oldest = self.oldest.or_else(|| runs.first().and_then(time));
        self.newest = runs.last().and_then(time).or(self.newest);
    }
}

/// The ids of runs that were written, and of those that cannot be.
type Written = (Vec<RunId>, Vec<RunId>);

fn append(mut archive: Archive, runs: Vec<StoredRun>) -> (Archive, std::io::Result<Written>) {
    let (mut written, mut unreadable, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut room = Vec::new();
    for run in runs {
        let length = lines.len();
        let done = write_one(&mut lines, &mut room, &run, ARCHIVED)
            .and_then(|()| check(lines.get(length..).unwrap_or_default()));
        let id = run.id;
        match done {
            Ok(()) => written.push(id),
            Err(reason) => {
                tracing::error!(%id, reason, "a run cannot be archived");
                lines.truncate(length);
                unreadable.push(id);
            }
        }
    }
    let done = archive.append(&lines);
    (archive, done.map(|()| (written, unreadable)))
}

/// What is deleted afterwards has to be whole. An export goes by names through what is stored, and does not
/// see every damage.
fn check(line: &[u8]) -> Result<(), String> {
    let whole = serde_json::from_slice::<&RawValue>(line);
    whole.map(drop).map_err(|error| error.to_string())
}

async fn opened(path: PathBuf) -> Result<Archive, AppError> {
    let place = path.clone();
    let open = tokio::task::spawn_blocking(move || Archive::open(&place));
    let open = open
        .await
        .map_err(|error| AppError::Storage(error.to_string()))?;
    open.map_err(|source| not_written(&path, source))
}

fn not_written(path: &Path, source: std::io::Error) -> AppError {
    AppError::NotWritten {
        path: path.to_path_buf(),
        source,
    }
}

/// A day has 86,400 seconds here, whatever the clocks do.
pub fn days_ago(days: u64) -> DateTime<Utc> {
    let days = i64::try_from(days).ok().and_then(TimeDelta::try_days);
    days.and_then(|days| Utc::now().checked_sub_signed(days))
        .unwrap_or(DateTime::UNIX_EPOCH)
}
