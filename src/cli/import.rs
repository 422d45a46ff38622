//! `import`: documents into the database.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use futures_util::Stream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::output::{json_text, write_out};
use super::{Exit, Usage, signals, values};
use crate::app::App;
use crate::config::Config;
use crate::record::ImportReport;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Flags of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// File to read, `-` is standard input: documents in any form that is exported, or of the older
    /// program with a MongoDB; what it is is found out by its content
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Store nothing, only tell what would become of the documents
    #[arg(long)]
    dry_run: bool,
    /// How the report is written
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = values::choice::<Format>(&["text", "json"]))]
    format: Format,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Text,
    Json,
}

impl Import {
    /// Reads them.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let (bytes, size) = open(&self.file).await?;
        let signal = signals::listen().context("cannot listen for signals")?;
        let cancel = CancellationToken::new();
        let told = cancel.clone();
        tokio::spawn(async move {
            signal.await;
            told.cancel();
        });
        let bar = bar(size);
        let app = App::open(config).await?;
        let read = bar.clone();
        let bytes = futures_util::StreamExt::inspect(bytes, move |piece| {
            if let Ok(piece) = piece {
                read.inc(piece.len() as u64);
            }
        });
        let report = app
            .import(bytes, self.dry_run, &cancel, |report| {
                bar.set_message(report.to_string());
            })
            .await;
        app.shutdown().await;
        bar.finish_and_clear();
        let report = report?;
        match self.format {
            Format::Text => write_out(text(&report).as_bytes())?,
            Format::Json => write_out(&json_text(&report)?)?,
        }
        Ok(if cancel.is_cancelled() {
            Exit::Interrupted
        } else if report.failed > 0 {
            Exit::Failed
        } else {
            Exit::Done
        })
    }
}

type Bytestream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What comes, and how much that is where it is known.
async fn open(path: &Path) -> anyhow::Result<(Bytestream, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::pin(standard_input()), None));
    }
    let cannot = |error: io::Error| Usage(format!("cannot read {}: {error}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(cannot)?;
    let about = file.metadata().await.map_err(cannot)?;
    if about.is_dir() {
        return Err(Usage(format!("cannot read {}: it is a folder", path.display())).into());
    }
    let size = about.is_file().then_some(about.len());
    Ok((Box::pin(ReaderStream::with_capacity(file, PIECE)), size))
}

/// Read on a thread that ends with the program: nothing can interrupt it, and nobody waits for it.
fn standard_input() -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (pieces, mut read) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; PIECE];
            let read = input.read(&mut piece).map(|length| {
                piece.truncate(length);
                Bytes::from(piece)
            });
            let is_last = read.as_ref().is_ok_and(Bytes::is_empty) || read.is_err();
            if pieces.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    futures_util::stream::poll_fn(move |context| read.poll_recv(context))
}

fn bar(size: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(5);
    let bar = ProgressBar::with_draw_target(size, target);
    let template = match size {
        Some(_) => "{bar:30} {percent} %  {elapsed}  {wide_msg}",
        None => "{binary_bytes}  {elapsed}  {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn text(report: &ImportReport) -> String {
    let mut lines = vec![report.to_string()];
    let errors = report.errors.iter();
    lines.extend(errors.map(|error| {
        let reason = values::brief(&error.message, 300);
        format!("line {}: {reason}", error.line)
    }));
    let more = report.failed.saturating_sub(report.errors.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n") + "\n"
}
