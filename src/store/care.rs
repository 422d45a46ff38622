//! How large the database is, which runs are its oldest, room given back, and copies of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::database::{Database, Statement, Work};
use super::{Place, Store, StoreError, damaged, facets, sqlite, transfer};
use crate::record::{DatabaseState, RunId};

/// Runs that are removed in one transaction: it holds up others that write for some milliseconds.
const MOST_RUNS: u32 = 32;

/// A run that has ended, as it stands in the order of age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRun {
    /// Its id.
    pub id: RunId,
    /// When it was asked for, microseconds since 1970.
    pub created_at: i64,
    number: i64,
}

impl Store {
    /// How large the database is. Quick at any size; what takes longest is to count its runs.
    pub async fn state(&self) -> Result<DatabaseState, StoreError> {
        let free_bytes = match &*self.place {
            Place::File { .. } | Place::Memory => Some(self.pages().await?.1),
            Place::Server { .. } => None,
        };
        let bytes = self.bytes().await?;
        Ok(DatabaseState {
            bytes: Some(bytes),
            free_bytes,
            runs: Some(self.count_runs().await?),
            ..self.whereabouts()
        })
    }

    /// How large it is, bytes. It counts nothing: a file is looked at, a server knows.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        match &*self.place {
            Place::File { path, .. } => Ok(file_size(path)? + file_size(&beside(path, "-wal"))?),
            Place::Memory => {
                let (used, free) = self.pages().await?;
                Ok(used + free)
            }
            Place::Server { .. } => {
                let size = "select pg_database_size(current_database()) as n";
                self.number(Statement::new(size)).await
            }
        }
    }

    /// Which database it is and where, without asking it.
    pub fn whereabouts(&self) -> DatabaseState {
        let place = match &*self.place {
            Place::Memory => "in memory".to_owned(),
            Place::File { path, .. } => {
                let whole = std::path::absolute(path);
                whole.as_deref().unwrap_or(path).display().to_string()
            }
            Place::Server { address, .. } => address.clone(),
        };
        DatabaseState {
            kind: self.kind().to_owned(),
            place,
            ..DatabaseState::default()
        }
    }

    /// How many runs there are.
    pub async fn count_runs(&self) -> Result<u64, StoreError> {
        let count = Statement::new("select count(*) as n from runs");
        self.number(count).await
    }

    /// How many runs that have ended were asked for before a time.
    pub async fn count_before(&self, time: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut work = self.database.read().await?;
        let all = facets::find(&mut work, &facets::all()).await?;
        let Some(&all) = all.first() else {
            return Ok(0);
        };
        let mut count = Statement::new(
            "select count(*) as n from run_facets
             where facet = $1 and created_at < $2 and status not in ",
        );
        count = count.bind(all).bind(time.timestamp_micros());
        count.push(facets::UNFINISHED);
        let n: i64 = work.fetch_one(count).await?.get("n")?;
        Ok(n.unsigned_abs())
    }

    /// What the pages in use take, bytes; `None` where that is not known, as with Postgres: rows that are
    /// deleted there go on taking their room.
    pub async fn used_bytes(&self) -> Result<Option<u64>, StoreError> {
        match &self.database {
            Database::Sqlite { .. } => Ok(Some(self.pages().await?.0)),
            Database::Postgres(_) => Ok(None),
        }
    }

    /// The oldest runs that have ended, behind another and asked for before a time: as many as go well
    /// together, at most `most`.
    pub async fn oldest(
        &self,
        before: Option<DateTime<Utc>>,
        behind: Option<&OldRun>,
        most: u64,
    ) -> Result<Vec<OldRun>, StoreError> {
        let mut work = self.database.read().await?;
        let all = facets::find(&mut work, &facets::all()).await?;
        let Some(&all) = all.first() else {
            return Ok(Vec::new());
        };
        let most = u32::try_from(most).unwrap_or(u32::MAX).min(MOST_RUNS);
        let found = work
            .fetch_all(self.by_age(all, before, behind, most))
            .await?;
        let numbers: Result<Vec<i64>, _> = found.iter().map(|row| row.get("run")).collect();
        let fitting = transfer::few(&mut work, numbers?).await?.len();
        let old = found.iter().take(fitting).map(|row| {
            let id: String = row.get("id")?;
            Ok(OldRun {
                id: id
                    .parse()
                    .map_err(|error| damaged("benchmark", &id, &error))?,
                created_at: row.get("created_at")?,
                number: row.get("run")?,
            })
        });
        old.collect()
    }

    fn by_age(
        &self,
        all: i64,
        before: Option<DateTime<Utc>>,
        behind: Option<&OldRun>,
        most: u32,
    ) -> Statement {
        let mut find = Statement::new("select f.run, f.created_at, r.id from run_facets as f ");
        // SQLite is told which index to read: without statistics of the tables it guesses.
        find.push(self.database.dialect().pick(
            "indexed by run_facets_created_at cross join runs as r on r.run = f.run",
            "join runs as r on r.run = f.run",
        ));
        find.push(" where f.status not in ");
        find.push(facets::UNFINISHED).push(" and f.facet = ");
        find.push_bind(all);
        if let Some(before) = before {
            find.push(" and f.created_at < ");
            find.push_bind(before.timestamp_micros());
        }
        if let Some(behind) = behind {
            find.push(" and (f.created_at, f.run) > (");
            find.push_bind(behind.created_at).push(", ");
            find.push_bind(behind.number).push(")");
        }
        find.push(" order by f.created_at, f.run limit ")
            .push_bind(most);
        find
    }

    /// Gives some of the room of deleted runs back to the disk; whether there is more.
    pub async fn release_some(&self) -> Result<bool, StoreError> {
        match &self.database {
            Database::Sqlite { writer, .. } => Ok(sqlite::release_some(&writer.pool).await?),
            // Its server does so by itself.
            Database::Postgres(_) => Ok(false),
        }
    }

    /// Empties the log of SQLite into its file, so that what was deleted is in neither; `false` where that
    /// must wait, since somebody reads what was there before.
    pub async fn empty_log(&self) -> Result<bool, StoreError> {
        match (&self.database, &*self.place) {
            (Database::Sqlite { writer, .. }, Place::File { .. }) => {
                Ok(sqlite::empty_log(&writer.pool).await?)
            }
            _ => Ok(true),
        }
    }

    /// Writes the whole database anew, as small as it can be. Nobody else writes meanwhile.
    pub async fn compact(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Sqlite { writer, .. } => Ok(sqlite::compact(&writer.pool).await?),
            Database::Postgres(_) => Err(StoreError::OfItsServer {
                what: "compacted",
                with: "`VACUUM`, which its server does by itself",
            }),
        }
    }

    /// Writes a copy of the database as it is now to a file, whatever else goes on; replaces what is there.
    /// When this returns a power cut takes nothing of it.
    pub async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        let Database::Sqlite { readers, .. } = &self.database else {
            return Err(StoreError::OfItsServer {
                what: "backed up",
                with: "`pg_dump`",
            });
        };
        let failed = |source| StoreError::NotWritten {
            path: file.to_path_buf(),
            source,
        };
        if let Place::File { path, .. } = &*self.place
            && [path.clone(), beside(path, "-wal"), beside(path, "-shm")]
                .iter()
                .any(|own| is_same(own, file))
        {
            let words = "it is the database itself; name another file";
            return Err(failed(io::Error::other(words)));
        }
        if std::fs::metadata(file).is_ok_and(|about| !about.is_file()) {
            let words = "it is a folder, a device or a pipe, not a file; name another";
            return Err(failed(io::Error::other(words)));
        }
        // Behind a link, so that the link stays one.
        let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
        let partial = Partial::beside(&target);
        let place = partial.0.to_str().ok_or_else(|| {
            failed(io::Error::other(
                "the name is no UTF-8, which SQLite asks for",
            ))
        })?;
        sqlite::copy_into(&readers.pool, place).await?;
        let written = tokio::task::spawn_blocking(move || partial.become_file(&target)).await;
        written
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(failed)
    }

    /// Bytes of pages in use, and of free ones.
    async fn pages(&self) -> Result<(u64, u64), StoreError> {
        let mut work = self.database.read().await?;
        let size = pragma(&mut work, "pragma page_size", "page_size").await?;
        let free = pragma(&mut work, "pragma freelist_count", "freelist_count").await?;
        let all = pragma(&mut work, "pragma page_count", "page_count").await?;
        Ok((all.saturating_sub(free) * size, free * size))
    }

    async fn number(&self, statement: Statement) -> Result<u64, StoreError> {
        let row = self.database.fetch_optional(statement).await?;
        let n: i64 = row.ok_or(sqlx::Error::RowNotFound)?.get("n")?;
        Ok(n.unsigned_abs())
    }
}

async fn pragma(work: &mut Work, ask: &'static str, column: &str) -> Result<u64, sqlx::Error> {
    let n: i64 = work.fetch_one(Statement::new(ask)).await?.get(column)?;
    Ok(n.unsigned_abs())
}

/// A file that is removed unless it becomes what it is for.
struct Partial(PathBuf);

impl Partial {
    fn beside(file: &Path) -> Self {
        let end = format!(".{:08x}.partial", rand::random::<u32>());
        Self(beside(file, &end))
    }

    fn become_file(self, file: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        std::fs::rename(&self.0, file)?;
        let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Of a file that is not there it is 0.
fn file_size(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(about) => Ok(about.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
