//! `prune`: the oldest runs go.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::output::write_out;
use super::{Exit, Usage, signals, values};
use crate::app::{self, App};
use crate::config::{Config, SMALLEST_DATABASE};
use crate::record::{Keep, PruneReport};

/// Flags of `prune`. Without any bound those of the settings (`retention`) hold.
#[derive(Debug, Args)]
pub struct Prune {
    /// Keep at most so many runs, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    keep_runs: Option<u64>,
    /// Keep runs of the last so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..))]
    keep_days: Option<u64>,
    /// Keep as many runs as fit into a database of this size, such as 500MB (`SQLite` only)
    #[arg(long, value_name = "SIZE", value_parser = database_size)]
    keep_bytes: Option<u64>,
    /// Write each run to the end of this file before it is deleted, in `MongoDB`'s format, which `import`
    /// reads; without it the folder of `retention.archive` is taken where that is set
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Delete nothing; tell what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Write the whole database anew afterwards, as small as it can be; nobody else can write meanwhile
    /// (`SQLite` only)
    #[arg(long)]
    vacuum: bool,
}

fn database_size(text: &str) -> Result<u64, String> {
    match values::bytes(text)? {
        size if size < SMALLEST_DATABASE => {
            Err(format!("is {size}; must be at least {SMALLEST_DATABASE}"))
        }
        size => Ok(size),
    }
}

impl Prune {
    /// Deletes them.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let signal = signals::listen().context("cannot listen for signals")?;
        let app = App::open(config).await?;
        let done = self.carry_out(&app, signal).await;
        app.shutdown().await;
        done
    }

    async fn carry_out(
        self,
        app: &App,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<Exit> {
        let keep = self.keep(app);
        if keep.is_unbounded() && !self.vacuum {
            let words = "nothing says what to keep: give --keep-runs, --keep-days or --keep-bytes, or set `retention.runs` and the like";
            return Err(Usage(words.to_owned()).into());
        }
        if self.dry_run {
            let report = app.try_prune(&keep).await?;
            write_out(words(&report, "would be deleted").as_bytes())?;
            return Ok(Exit::Done);
        }
        let archive = self.archive.clone().or_else(|| app.archive());
        let stopped = app.stopping();
        let asked = stopped.clone();
        tokio::spawn(async move {
            signal.await;
            asked.cancel();
        });
        if !keep.is_unbounded() {
            let go_on = |_: &PruneReport| !stopped.is_cancelled();
            let report = app.prune(&keep, archive.as_deref(), go_on).await?;
            write_out(words(&report, "deleted").as_bytes())?;
            if let Some(archive) = archive.filter(|_| report.archived > 0) {
                let text = format!("{} archived in {}\n", report.archived, archive.display());
                write_out(text.as_bytes())?;
            }
            for id in &report.unreadable {
                eprintln!("{id} cannot be read, so it is not archived and stays; see `check`");
            }
            if stopped.is_cancelled() {
                return Ok(Exit::Interrupted);
            }
            if !report.unreadable.is_empty() {
                return Ok(Exit::Failed);
            }
        }
        if self.vacuum {
            app.compact().await?;
        }
        Ok(Exit::Done)
    }

    fn keep(&self, app: &App) -> Keep {
        let keep = Keep {
            runs: self.keep_runs,
            from: self.keep_days.map(app::days_ago),
            bytes: self.keep_bytes,
        };
        if keep.is_unbounded() && !self.vacuum {
            app.keep()
        } else {
            keep
        }
    }
}

fn words(report: &PruneReport, done: &str) -> String {
    let PruneReport {
        deleted,
        oldest,
        newest,
        ..
    } = report;
    let runs = if *deleted == 1 { "run" } else { "runs" };
    let span = match (oldest, newest) {
        (Some(oldest), Some(newest)) => {
            format!(", of {} to {}", oldest.format("%F"), newest.format("%F"))
        }
        _ => String::new(),
    };
    format!("{deleted} {runs} {done}{span}\n")
}
