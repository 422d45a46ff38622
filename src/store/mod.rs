//! Runs, results, samples and prompts in a database: the only place with SQL.
//!
//! Nothing is computed here. The record that a run produces is the one that is stored and read
//! back; beside it stand the few columns that history filters and sorts by.

mod calibrations;
mod care;
mod check;
mod database;
mod deletion;
mod facets;
mod history;
mod incoming;
mod neighbours;
mod nova;
mod opened_file;
mod owner;
mod packing;
mod postgres;
mod prompts;
mod runs;
mod samples;
mod search;
mod series;
mod sizes;
mod sqlite;
mod statistics;
mod transfer;
mod views;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;
use tokio::sync::OnceCell;

use self::database::{Connections, Database, Server, Statement};
use self::opened_file::OpenedFile;
use self::owner::Owner;
use self::postgres::Session;
use crate::record::RunId;

pub use self::care::OldRun;
pub use self::database::PoolState;
pub use self::incoming::PackedRun;
pub use self::nova::{Embedding, Remembered, TurnDetail};
pub use self::statistics::{Figures, Level, OfDay, Pages, StoredModel, Sum, place_behind};
pub use self::transfer::{RunText, Selection, StoredRun};

/// What a database on a server is asked with.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Most connections at once.
    pub max_connections: u32,
    /// How long a connection is waited for.
    pub connect_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// So long after its server was started a process that lost its lock may be on its way back.
    pub restart_grace: Duration,
}

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the database is of no use.
    #[error(
        "`{url}` is not an address of a database: {reason}; write `sqlite:FILE`, such as `sqlite:benchmarker.db`, or `postgres://USER:PASSWORD@HOST/DATABASE`"
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
    /// There is a file, and it is something else.
    #[error(
        "{path} cannot be used as a database: {reason}; name another file with `DATABASE_URL`, or put a backup in its place"
    )]
    NoDatabase {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says of it.
        reason: String,
    },
    /// The server of the database cannot be reached, or does not let us in.
    #[error(
        "cannot use the database {url}: {source}; check that its server runs and that the address is right"
    )]
    Unreachable {
        /// As it was set, without credentials.
        url: String,
        /// What went wrong.
        source: sqlx::Error,
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
    /// The run was deleted meanwhile.
    #[error("the run {id} is not stored any more")]
    Gone {
        /// The run.
        id: RunId,
    },
    /// A turn of the session goes on.
    #[error("a turn of the session {session} goes on; wait for its end, or cancel it")]
    TurnActive {
        /// The session.
        session: RunId,
    },
    /// Nothing more can be asked in the session.
    #[error("the session {session} is closed; branch it off to go on")]
    SessionClosed {
        /// The session.
        session: RunId,
    },
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
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It is done on the server of the database, with its own tools.
    #[error("a Postgres database is {what} on its server: use {with}")]
    OfItsServer {
        /// What was to be done.
        what: &'static str,
        /// With which tool it is done.
        with: &'static str,
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
    database: Database,
    place: Arc<Place>,
}

/// Where the database is, and what tells other processes there that this one lives.
enum Place {
    /// Nobody else can see it.
    Memory,
    File {
        path: PathBuf,
        owner: OnceCell<Owner>,
    },
    Server {
        /// Without credentials.
        address: String,
        owner: OnceCell<Session>,
        restart_grace: Duration,
    },
}

impl Store {
    /// Opens a database, makes it where there is none, and brings its schema up to date.
    pub async fn open(url: &str, options: ServerOptions) -> Result<Self, StoreError> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let pool = postgres::open(url, options).await?;
            let address = postgres::address(&pool);
            let patience = options.statement_timeout + options.connect_timeout;
            return Ok(Self {
                database: Database::Postgres(Server {
                    connections: Connections::of(pool),
                    patience,
                }),
                place: Arc::new(Place::Server {
                    address,
                    owner: OnceCell::new(),
                    restart_grace: options.restart_grace,
                }),
            });
        }
        let (writer, readers, file) = sqlite::open(url).await?;
        if let Some(path) = &file
            && let Err(error) = owner::sweep(path)
        {
            tracing::debug!(%error, "what dead processes left could not be removed");
        }
        let opened = file.as_deref().map(OpenedFile::of).transpose()?;
        let place = file.map_or(Place::Memory, |path| Place::File {
            path,
            owner: OnceCell::new(),
        });
        Ok(Self {
            database: Database::Sqlite {
                writer: Connections::of(writer),
                readers: Connections::of(readers),
                file: opened.map(Arc::new),
            },
            place: Arc::new(place),
        })
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.database.check_place()?;
        let look = Statement::new("select 1 as one from runs limit 1");
        self.database.fetch_optional(look).await?;
        Ok(())
    }

    /// Writes out what is pending and closes the database.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Its pools of connections as they stand, without asking it.
    pub fn pools(&self) -> Vec<PoolState> {
        self.database.pools()
    }

    /// Which database it is.
    pub fn kind(&self) -> &'static str {
        self.database.dialect().pick("sqlite", "postgres")
    }

    /// What this process is called in the rows of its runs; `None` where nobody else can see them.
    async fn owner(&self) -> Result<Option<&str>, StoreError> {
        match &*self.place {
            Place::Memory => Ok(None),
            Place::File { path, owner } => {
                let take = || async { Owner::take(path) };
                let taken = owner.get_or_try_init(take).await;
                let open = |source| StoreError::Open {
                    path: path.clone(),
                    source,
                };
                Ok(Some(taken.map_err(open)?.name()))
            }
            Place::Server { owner, .. } => {
                let Database::Postgres(server) = &self.database else {
                    return Ok(None);
                };
                let take = || Session::take(&server.connections.pool);
                let taken = owner.get_or_try_init(take).await?;
                Ok(Some(taken.name()))
            }
        }
    }

    async fn is_alive(&self, name: &str) -> bool {
        let known = match &*self.place {
            Place::Memory => return false,
            Place::File { path, owner } => {
                if owner.get().is_some_and(|own| own.name() == name) {
                    return true;
                }
                owner::is_alive(path, name).map_err(StoreError::from)
            }
            Place::Server {
                owner,
                restart_grace,
                ..
            } => {
                if owner.get().is_some_and(|own| own.name() == name) {
                    return true;
                }
                postgres::is_alive(&self.database, name, *restart_grace).await
            }
        };
        known.unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be told whether another process still runs");
            true
        })
    }
}

impl StoreError {
    /// Whether it may pass by itself within minutes, as when the server of the database is restarted or
    /// another process holds a lock. A full disk or a file that cannot be written needs somebody.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } | Self::Database(source) => match source {
                sqlx::Error::Io(error) => !matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::StaleNetworkFileHandle
                ),
                sqlx::Error::PoolTimedOut => true,
                sqlx::Error::Database(error) => refusal_may_pass(error.as_ref()),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Whether what a database refused it may take later.
fn refusal_may_pass(error: &dyn DatabaseError) -> bool {
    match error.code() {
        Some(code) if error.try_downcast_ref::<SqliteError>().is_some() => sqlite::may_pass(&code),
        Some(code) => postgres::may_pass(&code),
        None => false,
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Database(sqlx::Error::Io(error))
    }
}

fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => url.to_owned(),
    }
}

/// Why a schema could not be brought up to date.
fn migration_failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) => StoreError::Newer { found },
        other => StoreError::Migrate(other),
    }
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
