//! `export`: stored runs as documents, to a file or standard output.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::filter::FilterFlags;
use super::output::cannot_write;
use super::show::parse_id;
use super::{Exit, Usage, signals, values};
use crate::app::App;
use crate::config::Config;
use crate::record::{ExportFormat, ExportQuery, RunId};

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Only these runs, by their ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// mongodb: Extended JSON, one document a line; json: an array of records; csv: one row a request
    #[arg(long, value_name = "FORMAT", default_value = "mongodb", value_parser = values::choice::<ExportFormat>(&["mongodb", "json", "csv"]))]
    format: ExportFormat,
    /// Canonical Extended JSON, in which every number tells its type
    #[arg(long)]
    canonical: bool,
    /// File to write, instead of standard output; until it is whole it is called FILE.part
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with the FILE.part that an export left that was cut off
    #[arg(long, requires = "output", conflicts_with = "after")]
    resume: bool,
    /// Only runs behind this one, in the order of ids
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    filter: FilterFlags,
}

impl Export {
    /// Writes them.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let mut query = ExportQuery {
            format: self.format,
            canonical: self.canonical,
            filter: self.filter.query(),
            ids: self
                .ids
                .iter()
                .map(|id| parse_id(id))
                .collect::<Result<_, _>>()?,
            after: self.after.as_deref().map(parse_id).transpose()?,
        };
        if self.resume && self.format != ExportFormat::Mongodb {
            return Err(Usage("--resume: only of --format mongodb".into()).into());
        }
        let mut target = match self.output {
            None => Target::Out(io::stdout()),
            Some(path) => Target::open(path, self.resume, &mut query.after)?,
        };
        let signal = signals::listen().context("cannot listen for signals")?;
        let app = App::open(config).await?;
        let written = write(&app, query, &mut target, signal).await;
        app.shutdown().await;
        match written {
            Ok(true) => {
                target.finish()?;
                Ok(Exit::Done)
            }
            Ok(false) => {
                eprintln!("interrupted{}", target.advice());
                Ok(Exit::Interrupted)
            }
            Err(error) => Err(error.context(format!("the export broke off{}", target.advice()))),
        }
    }
}

/// Whether it came to its end.
async fn write(
    app: &App,
    query: ExportQuery,
    target: &mut Target,
    signal: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let mut pieces = app.export(query).await?;
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) =
        ProgressStyle::with_template("{binary_bytes} {binary_bytes_per_sec} {elapsed}")
    {
        bar.set_style(style);
    }
    tokio::pin!(signal);
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = &mut signal => return Ok(false),
        };
        let Some(piece) = piece else {
            bar.finish_and_clear();
            return Ok(true);
        };
        let piece = piece.context("the stored runs cannot be read")?;
        target.write(&piece)?;
        bar.inc(piece.len() as u64);
    }
}

/// Where documents go.
enum Target {
    Out(io::Stdout),
    /// A device or a pipe takes what comes: a file that took its name would end it.
    Special(PathBuf, File),
    File(Part),
}

impl Target {
    fn open(path: PathBuf, resume: bool, after: &mut Option<RunId>) -> anyhow::Result<Self> {
        let Ok(about) = std::fs::metadata(&path) else {
            return Ok(Self::File(Part::open(path, resume, after)?));
        };
        if about.is_file() {
            // Behind a link, so that the link stays one.
            let real = std::fs::canonicalize(&path).unwrap_or(path);
            return Ok(Self::File(Part::open(real, resume, after)?));
        }
        if resume {
            let words = format!("--resume: {} is no file", path.display());
            return Err(Usage(words).into());
        }
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| cannot_write(&path, &error))?;
        Ok(Self::Special(path, file))
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Out(out) => out.write_all(bytes).map_err(Into::into),
            Self::Special(path, file) | Self::File(Part { path, file, .. }) => {
                let written = file.write_all(bytes);
                written.with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Out(mut out) => out.flush().map_err(Into::into),
            Self::Special(..) => Ok(()),
            Self::File(part) => part.finish(),
        }
    }

    /// What becomes of what was written until it broke off.
    fn advice(&self) -> String {
        match self {
            Self::Out(_) | Self::Special(..) => {
                "; go on with --after and the id of the last whole run".into()
            }
            Self::File(part) => format!(
                "; what was written is in {}: go on with --resume (of --format mongodb), or begin again",
                part.path.display()
            ),
        }
    }
}

/// A file that is not whole yet.
struct Part {
    /// What it is called until then.
    path: PathBuf,
    target: PathBuf,
    file: File,
}

impl Part {
    fn open(target: PathBuf, resume: bool, after: &mut Option<RunId>) -> anyhow::Result<Self> {
        let mut path = OsString::from(&target);
        path.push(".part");
        let path = PathBuf::from(path);
        let cannot = |error| cannot_write(&path, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        let mut file = options.truncate(!resume).open(&path).map_err(cannot)?;
        if resume {
            *after = whole_documents(&mut file, &path)?;
        }
        Ok(Self { path, target, file })
    }

    /// It is on the disk before it takes its name.
    fn finish(self) -> anyhow::Result<()> {
        let done = self.file.sync_all();
        let done = done.and_then(|()| std::fs::rename(&self.path, &self.target));
        done.with_context(|| format!("cannot write {}", self.target.display()))
    }
}

/// Cuts off what is not a whole line; gives the id of the last document.
fn whole_documents(file: &mut File, path: &Path) -> anyhow::Result<Option<RunId>> {
    let read = || format!("cannot read {}", path.display());
    let mut reader = BufReader::new(&mut *file);
    let (mut whole, mut line, mut last) = (0_u64, Vec::new(), Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).with_context(read)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        whole += length as u64;
        std::mem::swap(&mut line, &mut last);
    }
    file.set_len(whole).with_context(read)?;
    file.seek(SeekFrom::End(0)).with_context(read)?;
    if last.is_empty() {
        return Ok(None);
    }
    let document: serde_json::Value = serde_json::from_slice(&last).unwrap_or_default();
    let id = document.pointer("/_id/$oid").and_then(|id| id.as_str());
    let id = id.and_then(|id| id.parse().ok());
    let strange = || Usage(format!("{} is no export of this program", path.display()));
    Ok(Some(id.ok_or_else(strange)?))
}
