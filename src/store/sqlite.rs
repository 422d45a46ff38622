//! The embedded database: its file, its connections, its schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Row, SqlitePool};

use super::{StoreError, migration_failed, without_credentials};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Pages that the writer keeps at most, KiB: a new run touches some twenty places of the indexes, which in
/// a large history would be read from the file each time.
const WRITER_CACHE: &str = "-32768";
/// The same of each reader.
const READER_CACHE: &str = "-8192";
/// Rows that the thread which reads may be ahead of whoever takes them: at each wait two threads change
/// places, which takes longer than the row.
const ROWS_WAITING: usize = 512;
/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the lock is tried that another process holds while it updates the schema.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);
/// History pages and records that can be read at once; each costs a file handle and its cache.
const READERS: u32 = 4;

/// Pages that are given back in one transaction, half a mebibyte: others who write wait for it.
const RELEASE: &str = "pragma incremental_vacuum(128)";
/// How long emptying the log waits for those who read in it.
const SHORT_WAIT: &str = "pragma busy_timeout = 100";

/// Opens a database, makes it where there is none, and brings its schema up to date: the connection that
/// writes, those that read, and the file where it is in one.
pub async fn open(url: &str) -> Result<(SqlitePool, SqlitePool, Option<PathBuf>), StoreError> {
    let options = options(url)?;
    let file = (!is_in_memory(url)).then(|| options.get_filename().to_path_buf());
    let failed = |path: &Path, source| StoreError::Open {
        path: path.to_path_buf(),
        source,
    };
    if let Some(path) = &file {
        prepare(path).map_err(|source| failed(path, source))?;
    }
    // Let go of when the schema is as it should be.
    let mut lock = None;
    if let Some(path) = &file {
        lock = Some(
            lock_schema(path)
                .await
                .map_err(|source| failed(path, source))?,
        );
    }
    let mut one = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None);
    if file.is_some() {
        // After some failures, such as a full disk, SQLite has ended the transaction by itself, and the
        // connection waits for an end that never comes: another one takes its place.
        one = one.before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_free) })
        });
    }
    let mut writing = options.clone().pragma("cache_size", WRITER_CACHE);
    if file.as_deref().is_none_or(is_empty) {
        // The room of what is deleted can be given back. It can be said before the first page is written,
        // or when all of them are written anew.
        writing = writing.auto_vacuum(SqliteAutoVacuum::Incremental);
    }
    let writer = match (one.connect_with(writing).await, &file) {
        (Err(sqlx::Error::Database(error)), Some(path)) if is_foreign(error.as_ref()) => {
            return Err(StoreError::NoDatabase {
                path: path.clone(),
                reason: error.message().to_owned(),
            });
        }
        (Err(sqlx::Error::Database(error)), Some(path)) => {
            return Err(failed(path, io::Error::other(error.message().to_owned())));
        }
        (other, _) => other?,
    };
    migrate(&writer).await?;
    drop(lock);
    let readers = if file.is_some() {
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None);
        pool.connect_lazy_with(options.read_only(true).create_if_missing(false))
    } else {
        writer.clone()
    };
    Ok((writer, readers, file))
}

/// Brings the schema up to date. Its steps need not reach the disk one by one, which is most of the time that
/// a new database takes: after a power cut some are done again, and whatever is committed later takes
/// them along.
async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = writer.acquire().await?;
    sqlx::query("pragma synchronous = normal")
        .execute(&mut *connection)
        .await?;
    let migrated = MIGRATIONS.run(&mut *connection).await;
    sqlx::query("pragma synchronous = full")
        .execute(&mut *connection)
        .await?;
    migrated.map_err(migration_failed)
}

/// Gives some free pages back to the disk; whether there are more that can be given back.
pub async fn release_some(writer: &SqlitePool) -> sqlx::Result<bool> {
    let mut connection = writer.acquire().await?;
    let free = "pragma freelist_count";
    let before: i64 = sqlx::query_scalar(free).fetch_one(&mut *connection).await?;
    if before == 0 {
        return Ok(false);
    }
    sqlx::query(RELEASE).execute(&mut *connection).await?;
    let after: i64 = sqlx::query_scalar(free).fetch_one(&mut *connection).await?;
    Ok(after > 0 && after < before)
}

/// Writes the log into the file and empties it; `false` where somebody still reads what is in it.
pub async fn empty_log(writer: &SqlitePool) -> sqlx::Result<bool> {
    let mut connection = writer.acquire().await?;
    // Whoever wants to write waits meanwhile.
    sqlx::query(SHORT_WAIT).execute(&mut *connection).await?;
    let done = sqlx::query("pragma wal_checkpoint(truncate)")
        .fetch_one(&mut *connection)
        .await;
    let usual = format!("pragma busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    sqlx::query(sqlx::AssertSqlSafe(usual))
        .execute(&mut *connection)
        .await?;
    match done {
        Ok(row) => Ok(row.try_get::<i64, _>("busy")? == 0),
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|it| may_pass(&it)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Writes the database anew, and the index of its texts: what is free or marked as deleted is gone.
pub async fn compact(writer: &SqlitePool) -> sqlx::Result<()> {
    let mut connection = writer.acquire().await?;
    for step in [
        "insert into text_trigrams (text_trigrams) values ('optimize')",
        "pragma auto_vacuum = incremental",
        "vacuum",
    ] {
        sqlx::query(step).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes the database as it is at this moment into a new file.
pub async fn copy_into(readers: &SqlitePool, file: &str) -> sqlx::Result<()> {
    let mut connection = readers.acquire().await?;
    sqlx::query("vacuum into $1")
        .bind(file)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Whether an extended result code tells of a lock: `SQLITE_BUSY` or `SQLITE_LOCKED`.
pub fn may_pass(code: &str) -> bool {
    matches!(base(code), Some(5 | 6))
}

/// The base code of an extended result code.
fn base(code: &str) -> Option<u32> {
    code.parse().map(|code: u32| code & 0xff).ok()
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let address = |reason: String| StoreError::Address {
        url: without_credentials(url),
        reason,
    };
    if !url.starts_with("sqlite:") {
        return Err(address(
            "it begins neither with `sqlite:` nor with `postgres:`".into(),
        ));
    }
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| address(error.to_string()))?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(address("it names no file".into()));
    }
    // SQLite would take the rest for a URI, and open another file than the one that is looked after here.
    let name = options.get_filename().to_string_lossy();
    if !is_in_memory(url) && name.starts_with("file:") {
        return Err(address("`file:` does not belong there".into()));
    }
    Ok(options
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // What was told to be stored survives a power cut too.
        .synchronous(SqliteSynchronous::Full)
        // What is deleted is overwritten, not only forgotten.
        .pragma("secure_delete", "on")
        .pragma("cache_size", READER_CACHE)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_WAITING)
        .optimize_on_close(true, None))
}

/// The folder must be there, and the file must be one that can be written.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map(drop)
}

/// Whether the file holds something else, or is damaged (`SQLITE_NOTADB`, `SQLITE_CORRUPT`).
fn is_foreign(error: &dyn DatabaseError) -> bool {
    matches!(error.code().as_deref().and_then(base), Some(26 | 11))
}

fn is_empty(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| about.len() == 0)
}

/// Of several processes that start at once one brings the schema up to date, and the others wait for it.
async fn lock_schema(database: &Path) -> io::Result<SchemaLock> {
    let mut path = database.as_os_str().to_owned();
    path.push("-schema");
    let path = PathBuf::from(path);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(SchemaLock { path, _file: file }),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_INTERVAL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

struct SchemaLock {
    path: PathBuf,
    _file: File,
}

impl Drop for SchemaLock {
    fn drop(&mut self) {
        // Whoever waits for it holds the removed file then, and finds the schema as it should be.
        let _ = std::fs::remove_file(&self.path);
    }
}
