//! Runs out of the database as a stream of bytes, and documents from one into it. Both at any size: what
//! is on its way is bounded.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::execution::conclude;
use super::{App, AppError, check_search, price};
use crate::config::Config;
use crate::exchange::{self, Extra, Gatherer, Incoming, Parts, Piece, ResultPart, Splitter, Style};
use crate::measure::{self, Price};
use crate::record::{ExportFormat, ExportQuery, ImportError, ImportReport, RunId};
use crate::store::{PackedRun, RunText, Selection, Store, StoreError, StoredRun};

/// Room for what a batch of small runs becomes, bytes.
const PIECE: usize = 64 << 10;
/// Batches that wait for whoever reads them.
const PIECES_WAITING: usize = 2;
/// Batches that are written at once, where there are so many processors: more than the one thread that reads
/// can feed.
const MOST_WRITERS: usize = 4;
/// Documents that are read and stored together.
const BATCH: usize = 64;
/// The same, bytes: a large one goes alone.
const BATCH_BYTES: usize = 4 << 20;
/// Larger documents are refused: a run of ten thousand long answers is not larger.
const LARGEST_DOCUMENT: usize = 512 << 20;
/// Errors that a report names.
const MOST_ERRORS: usize = 100;
/// Runs that may be named one by one.
const MOST_IDS: usize = 500;

/// A document that waits to be read: its line, and the text or what rows of CSV made.
type Waiting = (u64, Result<Vec<u8>, serde_json::Value>);
/// A document that was read: its line, and the run or what is wrong with it.
type Read = (u64, Result<PackedRun, String>);

impl App {
    /// Writes runs that have ended, in the order of their ids. A failure in the middle ends the stream
    /// with an error; what came before is whole.
    pub async fn export(
        &self,
        query: ExportQuery,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, AppError> {
        check_search(&query.filter)?;
        if query.ids.len() > MOST_IDS {
            return Err(AppError::invalid(
                "/ids",
                format!("at most {MOST_IDS} runs"),
            ));
        }
        if query.canonical && query.format != ExportFormat::Mongodb {
            let message = "is a form of `mongodb` only".to_owned();
            return Err(AppError::invalid("/canonical", message));
        }
        let selection = Selection {
            filter: query.filter,
            ids: query.ids,
        };
        // What is wrong with the database is told before the first byte.
        let first = self
            .inner
            .store
            .stored_runs(&selection, query.after.as_ref())
            .await?;
        let (runs, waiting) = mpsc::channel(1);
        let (sender, mut pieces) = mpsc::channel(PIECES_WAITING);
        let store = self.inner.store.clone();
        let form = Form {
            format: query.format,
            canonical: query.canonical,
        };
        // Reading goes on while what was read is written, and while that waits to be taken.
        tokio::spawn(async move { read_all(&store, &selection, first, &runs).await });
        tokio::spawn(async move { write_all(waiting, &sender, form).await });
        Ok(futures_util::stream::poll_fn(move |context| {
            pieces.poll_recv(context)
        }))
    }

    /// Reads documents and stores those that are not there yet, telling how far it is after each batch.
    /// Whatever cannot be read is named, and the rest goes on. Stopped by `cancel`, it tells what it did
    /// until then.
    pub async fn import(
        &self,
        mut bytes: impl Stream<Item = io::Result<Bytes>> + Unpin,
        dry_run: bool,
        cancel: &CancellationToken,
        mut tell: impl FnMut(&ImportReport),
    ) -> Result<ImportReport, AppError> {
        let mut import = Import {
            app: self,
            report: ImportReport {
                dry_run,
                ..ImportReport::default()
            },
            gatherer: Gatherer::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            seen: HashSet::new(),
        };
        let mut splitter = Splitter::new(LARGEST_DOCUMENT);
        let mut is_over = false;
        while !is_over {
            let next = tokio::select! {
                next = bytes.next() => next,
                () = cancel.cancelled() => break,
            };
            match next {
                Some(Ok(bytes)) => splitter.feed(&bytes),
                Some(Err(error)) => {
                    let message = format!("what comes next cannot be read: {error}");
                    import.trouble(splitter.line(), message);
                    break;
                }
                None => {
                    splitter.finish();
                    is_over = true;
                }
            }
            while let Some(piece) = splitter.next_piece() {
                import.take(piece).await?;
                tell(&import.report);
            }
        }
        if let Some((line, run)) = import.gatherer.last() {
            import.waiting.push((line, Err(run)));
        }
        import.settle().await?;
        import.report.errors.sort_by_key(|error| error.line);
        tell(&import.report);
        Ok(import.report)
    }
}

/// Documents on their way in.
struct Import<'a> {
    app: &'a App,
    report: ImportReport,
    gatherer: Gatherer,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// In a dry run: what would have been stored so far.
    seen: HashSet<RunId>,
}

impl Import<'_> {
    async fn take(&mut self, piece: Piece) -> Result<(), AppError> {
        match piece {
            Piece::Document { line, text } => {
                self.waiting_bytes += text.len();
                self.waiting.push((line, Ok(text)));
            }
            Piece::Row { line, text } => match self.gatherer.row(line, &text) {
                Ok(Some((line, run))) => {
                    self.waiting_bytes += text.len();
                    self.waiting.push((line, Err(run)));
                }
                Ok(None) => {}
                Err(message) => self.trouble(line, message),
            },
            Piece::Trouble { line, reason } => self.trouble(line, reason),
        }
        if self.waiting.len() >= BATCH || self.waiting_bytes >= BATCH_BYTES {
            self.settle().await?;
        }
        Ok(())
    }

    fn trouble(&mut self, line: u64, message: String) {
        self.report.documents += 1;
        self.report.failed += 1;
        if self.report.errors.len() < MOST_ERRORS {
            self.report.errors.push(ImportError { line, message });
        }
    }

    /// Reads and stores what waits.
    async fn settle(&mut self) -> Result<(), AppError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        let read = self.read(waiting).await?;
        let mut good = Vec::new();
        for (line, read) in read {
            match read {
                Ok(incoming) => good.push((line, incoming)),
                Err(message) => self.trouble(line, message),
            }
        }
        if good.is_empty() {
            return Ok(());
        }
        if self.report.dry_run {
            return self.try_out(&good).await;
        }
        self.store(&good).await
    }

    /// Reads and packs documents, on as many threads as there are.
    async fn read(&self, waiting: Vec<Waiting>) -> Result<Vec<Read>, AppError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = waiting.len().div_ceil(threads).max(1);
        let mut waiting = waiting.into_iter().peekable();
        let mut shares = Vec::new();
        while waiting.peek().is_some() {
            let share: Vec<Waiting> = waiting.by_ref().take(share).collect();
            let config = Arc::clone(&self.app.config);
            shares.push(tokio::task::spawn_blocking(move || {
                let price = price(&config);
                let read = |(line, document)| (line, read_one(document, &config, price.as_ref()));
                share.into_iter().map(read).collect::<Vec<_>>()
            }));
        }
        let mut all = Vec::new();
        for share in shares {
            let read = share.await;
            all.extend(read.map_err(|error| AppError::Storage(error.to_string()))?);
        }
        Ok(all)
    }

    async fn try_out(&mut self, good: &[(u64, PackedRun)]) -> Result<(), AppError> {
        let ids: Vec<&RunId> = good.iter().map(|(_, run)| run.id()).collect();
        let known = self.app.inner.store.known(&ids).await?;
        let seen = &mut self.seen;
        let is_new = |id: &&RunId| !known.contains(id.as_str()) && seen.insert((*id).clone());
        let are_new = ids.iter().map(is_new).collect();
        self.count(are_new);
        Ok(())
    }

    fn count(&mut self, are_new: Vec<bool>) {
        for is_new in are_new {
            self.report.documents += 1;
            if is_new {
                self.report.stored += 1;
            } else {
                self.report.known += 1;
            }
        }
    }

    async fn store(&mut self, good: &[(u64, PackedRun)]) -> Result<(), AppError> {
        let store = self.app.inner.store.clone();
        let error = match store.import(&runs_of(good)).await {
            Ok(are_new) => {
                self.count(are_new);
                return Ok(());
            }
            Err(error) => error,
        };
        tracing::debug!(%error, "documents are stored one by one");
        for one in good.chunks(1) {
            match store.import(&runs_of(one)).await {
                Ok(are_new) => self.count(are_new),
                // Of the database as a whole, not of this document.
                Err(error) if self.app.ready().await.is_err() || error.may_pass() => {
                    return Err(error.into());
                }
                Err(error) => {
                    for (line, _) in one {
                        self.trouble(*line, format!("it could not be stored: {error}"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn runs_of(good: &[(u64, PackedRun)]) -> Vec<&PackedRun> {
    good.iter().map(|(_, run)| run).collect()
}

/// Reads a document and makes it ready to be stored.
fn read_one(
    document: Result<Vec<u8>, serde_json::Value>,
    config: &Config,
    price: Option<&Price>,
) -> Result<PackedRun, String> {
    let incoming = match document {
        Ok(text) => exchange::read(&text, &config.default_backend),
        Err(run) => exchange::read_value(&run, &config.default_backend),
    };
    let Incoming {
        mut run,
        extra,
        lacks_summary,
    } = incoming?;
    if lacks_summary {
        conclude(&mut run, &[], &[], price);
    }
    let extra = (!extra.is_empty()).then(|| serde_json::to_vec(&extra));
    let extra = extra.transpose().map_err(|error| error.to_string())?;
    let packed = PackedRun::new(&run, &measure::cold_places(&run.results), extra.as_deref());
    packed.map_err(|error| format!("it cannot be stored: {error}"))
}

/// A batch of stored runs.
type Batch = Result<Vec<StoredRun>, StoreError>;

/// Reads one batch after the other, until whoever writes them has gone.
async fn read_all(
    store: &Store,
    selection: &Selection,
    first: Vec<StoredRun>,
    runs: &mpsc::Sender<Batch>,
) {
    let mut batch = first;
    while let Some(last) = batch.last() {
        let after = last.id.clone();
        if runs.send(Ok(batch)).await.is_err() {
            return;
        }
        batch = match store.stored_runs(selection, Some(&after)).await {
            Ok(batch) => batch,
            Err(error) => {
                let _ = runs.send(Err(error)).await;
                return;
            }
        };
    }
}

/// How runs are written.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// The format.
    pub format: ExportFormat,
    /// The form of MongoDB's that tells every type.
    pub canonical: bool,
}

/// What became of a batch.
struct WrittenBatch {
    text: Vec<u8>,
    left_out: Vec<String>,
}

/// Writes what is read, on as many threads as there are, in its order.
async fn write_all(
    mut batches: mpsc::Receiver<Batch>,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    form: Form,
) {
    // One more than there are processors: a batch that is done waits for the one before it.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (threads + 1).min(MOST_WRITERS);
    let written = futures_util::stream::poll_fn(move |context| batches.poll_recv(context))
        .map(|batch| async move {
            let batch = batch.map_err(io::Error::other)?;
            let written = tokio::task::spawn_blocking(move || write_batch(&batch, form));
            written.await.map_err(io::Error::other)
        })
        .buffered(threads);
    let mut written = std::pin::pin!(written);
    let opening = match form.format {
        ExportFormat::Mongodb => Vec::new(),
        ExportFormat::Json => b"[".to_vec(),
        ExportFormat::Csv => exchange::header(),
    };
    if !opening.is_empty() && pieces.send(Ok(opening.into())).await.is_err() {
        return;
    }
    let (mut left_out, mut is_first) = (Vec::new(), true);
    while let Some(batch) = written.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                let _ = pieces.send(Err(error)).await;
                return;
            }
        };
        left_out.extend(batch.left_out);
        let mut text = Bytes::from(batch.text);
        if text.is_empty() {
            continue;
        }
        if form.format == ExportFormat::Json && is_first {
            // Nothing stands before the first, so no comma does.
            let _ = text.split_to(1);
        }
        is_first = false;
        if pieces.send(Ok(text)).await.is_err() {
            return;
        }
    }
    if form.format == ExportFormat::Json {
        let _ = pieces.send(Ok(Bytes::from_static(b"\n]\n"))).await;
    }
    if !left_out.is_empty() {
        // All others are whole, and whoever reads must know that these are missing.
        let reason = format!(
            "stored runs cannot be read and are left out: {}",
            left_out.join(", ")
        );
        let _ = pieces.send(Err(io::Error::other(reason))).await;
    }
}

fn write_batch(batch: &[StoredRun], form: Form) -> WrittenBatch {
    let mut written = WrittenBatch {
        text: Vec::with_capacity(PIECE),
        left_out: Vec::new(),
    };
    let mut room = Vec::new();
    for run in batch {
        let length = written.text.len();
        if let Err(reason) = write_one(&mut written.text, &mut room, run, form) {
            tracing::error!(id = %run.id, reason, "a run cannot be exported");
            written.text.truncate(length);
            written.left_out.push(run.id.to_string());
        }
    }
    written
}

/// Writes one run, in JSON with a comma before it. What it is made of is unpacked into `room`.
pub(super) fn write_one(
    out: &mut Vec<u8>,
    room: &mut Vec<u8>,
    run: &StoredRun,
    form: Form,
) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let RunText {
        document,
        extra,
        samples,
        results,
    } = run.unpack(room).map_err(|it| words(&it))?;
    let extra: Option<Extra> = match extra {
        Some(extra) => Some(serde_json::from_slice(extra).map_err(|it| words(&it))?),
        None => None,
    };
    let results = results.into_iter().map(|(document, chunks)| ResultPart {
        document: document.into(),
        chunks,
    });
    let parts = Parts {
        document: document.into(),
        results: results.collect(),
        samples: samples.map(|(here, elsewhere)| (here.into(), elsewhere.into())),
        extra: extra.unwrap_or_default(),
    };
    let style = if form.canonical {
        Style::Canonical
    } else {
        Style::Relaxed
    };
    let written = match form.format {
        ExportFormat::Mongodb => {
            let written = exchange::write(out, &parts, style);
            out.push(b'\n');
            written
        }
        ExportFormat::Json => {
            out.extend_from_slice(b",\n");
            exchange::write(out, &parts, Style::Plain)
        }
        ExportFormat::Csv => {
            return exchange::write_rows(out, &parts).map_err(|it| words(&it));
        }
    };
    written.map_err(|it| words(&it))
}
