//! Runs, results, samples and prompts in a database: the only place with SQL.
//!
//! Nothing is computed here. The record that a run produces is the one that is stored and read
//! back; beside it stand the few columns that history filters and sorts by.

mod calibrations;
mod history;
mod owner;
mod prompts;
mod runs;
mod samples;
mod series;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use self::owner::Owner;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// History pages and records that can be read at once; each costs a file handle and its cache.
const READERS: u32 = 4;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the database is of no use.
    #[error(
        "`{url}` is not an address of a database: {reason}; write `sqlite:FILE`, such as `sqlite:benchmarker.db`"
    )]
    Address {
        /// As it was set, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be opened or made.
    #[error(
        "cannot open {path}: {source}; check that the folder can be written to, or name another file with `DATABASE_URL`"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A later version of this program wrote the database.
    #[error(
        "the database was made by a newer version of this program (schema {found}); use that version, or another database"
    )]
    Newer {
        /// The schema's number.
        found: i64,
    },
    /// The schema could not be brought up to date.
    #[error("cannot update the schema of the database: {0}")]
    Migrate(#[source] MigrateError),
    /// The cursor belongs to no view, or to another one.
    #[error("the cursor belongs to another view")]
    BadCursor,
    /// What is stored is not what this program writes.
    #[error("the stored {what} of {id} cannot be read: {reason}")]
    Damaged {
        /// What was to be read.
        what: &'static str,
        /// Of which run or prompt.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be written as JSON.
    #[error("the record cannot be written: {0}")]
    Unwritable(#[source] serde_json::Error),
    /// The database refused or failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// `SQLite` takes one writer at a time: a single connection queues here instead of failing there.
    writer: SqlitePool,
    readers: SqlitePool,
    file: Option<Arc<Path>>,
    owner: Arc<OnceLock<Owner>>,
}

impl Store {
    /// Opens a database, makes it where there is none, and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let file = (!is_in_memory(url)).then(|| options.get_filename().to_path_buf());
        if let Some(path) = &file {
            prepare(path).map_err(|source| StoreError::Open {
                path: path.clone(),
                source,
            })?;
        }
        let one = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None);
        let writer = match (one.connect_with(options.clone()).await, &file) {
            (Err(sqlx::Error::Database(error)), Some(path)) => {
                let source = io::Error::other(error.message().to_owned());
                return Err(StoreError::Open {
                    path: path.clone(),
                    source,
                });
            }
            (other, _) => other?,
        };
        migrate(&writer).await?;
        let readers = if file.is_some() {
            let pool = SqlitePoolOptions::new()
                .max_connections(READERS)
                .idle_timeout(None);
            pool.connect_lazy_with(options.read_only(true).create_if_missing(false))
        } else {
            writer.clone()
        };
        if let Some(path) = &file
            && let Err(error) = owner::sweep(path)
        {
            tracing::debug!(%error, "what dead processes left could not be removed");
        }
        let file = file.map(Arc::from);
        Ok(Self {
            writer,
            readers,
            file,
            owner: Arc::default(),
        })
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), StoreError> {
        sqlx::query("select 1 from runs limit 1")
            .fetch_optional(&self.readers)
            .await?;
        Ok(())
    }

    /// Writes out what is pending and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Which database it is.
    pub fn kind(&self) -> &'static str {
        "sqlite"
    }

    /// What this process is called in the rows of its runs; `None` where nobody else can see them.
    fn owner(&self) -> Result<Option<&str>, StoreError> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        if self.owner.get().is_none() {
            let taken = Owner::take(file).map_err(|source| StoreError::Open {
                path: file.to_path_buf(),
                source,
            })?;
            // Whoever came first stays; the other lock goes with its value.
            let _ = self.owner.set(taken);
        }
        Ok(self.owner.get().map(Owner::name))
    }

    fn is_alive(&self, owner: &str) -> bool {
        let Some(file) = &self.file else { return false };
        if self.owner.get().is_some_and(|own| own.name() == owner) {
            return true;
        }
        owner::is_alive(file, owner).unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be told whether another process still runs");
            true
        })
    }
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let address = |reason: String| StoreError::Address {
        url: without_credentials(url),
        reason,
    };
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return Err(address("this version stores in SQLite only".into()));
    }
    if !url.starts_with("sqlite:") {
        return Err(address("it does not begin with `sqlite:`".into()));
    }
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| address(error.to_string()))?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(address("it names no file".into()));
    }
    Ok(options
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Survives the end of the process at any moment. A power cut may take the last results
        // (never the file): writing through to the disk after each request would disturb the next.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .optimize_on_close(true, None))
}

fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => url.to_owned(),
    }
}

/// The folder must be there, and the file must be one that can be written.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map(drop)
}

async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    MIGRATIONS.run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => StoreError::Newer { found },
        other => StoreError::Migrate(other),
    })
}

fn damaged(what: &'static str, id: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what,
        id: id.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
