//! One way of speaking to either database: statements with bound values in, rows out. The statements
//! are the same text for both where they can be; [`Dialect`] is for the few that cannot.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Pool, Postgres, Row as _, Sqlite, Transaction, Type};

use super::opened_file::OpenedFile;

/// Which language a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded database.
    Sqlite,
    /// The shared one.
    Postgres,
}

impl Dialect {
    /// The one of two texts that this dialect takes.
    pub fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }
}

/// The lock of Postgres under which names are looked up and made: any number that nobody else takes.
const NAMES_LOCK: i64 = 0x6f6c_6c61_6d61_0001;

/// A pool, with how many wait for one of its connections. Cheap to clone.
pub struct Connections<D: sqlx::Database> {
    /// The pool.
    pub pool: Pool<D>,
    waiting: Arc<AtomicUsize>,
}

impl<D: sqlx::Database> Clone for Connections<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            waiting: Arc::clone(&self.waiting),
        }
    }
}

impl<D: sqlx::Database> Connections<D> {
    /// Those of a pool; nobody waits yet.
    pub fn of(pool: Pool<D>) -> Self {
        Self {
            pool,
            waiting: Arc::default(),
        }
    }

    async fn acquire(&self) -> Result<PoolConnection<D>, sqlx::Error> {
        self.waited(self.pool.acquire()).await
    }

    async fn begin(&self, begin: &'static str) -> Result<Transaction<'static, D>, sqlx::Error> {
        self.waited(self.pool.begin_with(begin)).await
    }

    /// Counts one that waits, until it has what it waits for or gives up.
    async fn waited<T>(&self, acquire: impl Future<Output = T>) -> T {
        struct Counted<'a>(&'a AtomicUsize);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.waiting);
        acquire.await
    }

    fn state(&self, name: &'static str) -> PoolState {
        let open = self.pool.size();
        PoolState {
            name,
            open,
            idle: u32::try_from(self.pool.num_idle())
                .unwrap_or(u32::MAX)
                .min(open),
            most: self.pool.options().get_max_connections(),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// The pools.
#[derive(Clone)]
pub enum Database {
    /// `SQLite` takes one writer at a time: a single connection queues here instead of failing there.
    Sqlite {
        /// The one connection that writes.
        writer: Connections<Sqlite>,
        /// Connections that only read.
        readers: Connections<Sqlite>,
        /// The file, where it is in one.
        file: Option<Arc<OpenedFile>>,
    },
    /// Any connection does anything.
    Postgres(Server),
}

/// A database on a server.
#[derive(Clone)]
pub struct Server {
    /// Its connections.
    pub connections: Connections<Postgres>,
    /// How long an answer is waited for. The server gives up a statement before that; a server that
    /// does not even do so, such as one that is stopped or out of reach, would be waited for without end.
    pub patience: Duration,
}

impl Server {
    async fn begin(&self, begin: &'static str) -> Result<Work, sqlx::Error> {
        let work = within(self.patience, self.connections.begin(begin)).await?;
        Ok(Work::Postgres(work, self.patience))
    }
}

/// A call that ends in time, one way or the other.
fn within<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> impl Future<Output = Result<T, sqlx::Error>> {
    // Boxed: what awaits it would grow by both databases' calls.
    let call = tokio::time::timeout(patience, Box::pin(call));
    async move {
        let reason = || format!("the database did not answer within {patience:?}");
        let silent = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, reason()));
        call.await.map_err(silent)?
    }
}

/// How a pool of connections stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Which one: `writer`, `readers` or `postgres`.
    pub name: &'static str,
    /// Connections that are open.
    pub open: u32,
    /// Of those, the ones that nobody uses.
    pub idle: u32,
    /// Most that there can be.
    pub most: u32,
    /// Who waits for one.
    pub waiting: usize,
}

/// A value that is bound to a statement. An absent one has a type too: Postgres asks for it.
#[derive(Clone, Debug)]
pub enum Value {
    /// `text`.
    Text(Option<String>),
    /// `bigint`.
    Integer(Option<i64>),
    /// `double precision`.
    Real(Option<f64>),
    /// `blob` or `bytea`.
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($from:ty => $kind:ident, $convert:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$kind(Some($convert(value)))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$kind(value.map($convert))
            }
        }
    )*};
}

values! {
    &str => Text, str::to_owned;
    String => Text, |it| it;
    i64 => Integer, |it| it;
    u32 => Integer, i64::from;
    bool => Integer, i64::from;
    f64 => Real, |it| it;
    Vec<u8> => Bytes, |it| it;
}

/// A statement with its values. Its text is put together from fixed pieces only; whatever comes from
/// outside is bound.
#[derive(Clone, Debug)]
pub struct Statement {
    text: String,
    values: Vec<Value>,
    /// Each value stands in one place, in their order.
    is_in_order: bool,
}

impl Statement {
    /// Begins a statement.
    pub fn new(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
            is_in_order: true,
        }
    }

    /// Gives the next `$n` of the text its value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.is_in_order = false;
        self
    }

    /// Adds a piece of text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a place for a value, and the value.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Adds places for several values, parted by commas.
    pub fn push_list<T: Into<Value>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        for (place, value) in values.into_iter().enumerate() {
            if place > 0 {
                self.text.push_str(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// Puts text around what there is.
    pub fn enclose(&mut self, before: &'static str, after: &'static str) -> &mut Self {
        self.text.insert_str(0, before);
        self.push(after)
    }

    /// The text, for looking at its plan.
    #[cfg(test)]
    pub fn explained(&self, prefix: &str) -> Self {
        Self {
            text: format!("{prefix} {}", self.text),
            values: self.values.clone(),
            is_in_order: self.is_in_order,
        }
    }

    fn for_sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        let text = if self.is_in_order {
            without_numbers(&self.text)
        } else {
            self.text
        };
        let mut query = sqlx::query(AssertSqlSafe(text));
        for value in self.values {
            query = match value {
                Value::Text(value) => query.bind(value),
                Value::Integer(value) => query.bind(value),
                Value::Real(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }

    fn for_postgres(self) -> Query<'static, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text));
        for value in self.values {
            query = match value {
                Value::Text(value) => query.bind(value),
                Value::Integer(value) => query.bind(value),
                Value::Real(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}

/// A text with `?` for each `$n`: SQLite looks for each numbered place among all that came before, which
/// takes seconds where there are ten thousands.
fn without_numbers(text: &str) -> String {
    let mut pieces = text.split('$');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push('?');
        plain.push_str(piece.trim_start_matches(|it: char| it.is_ascii_digit()));
    }
    plain
}

/// A row of an answer.
pub enum Row {
    /// Of the embedded database.
    Sqlite(SqliteRow),
    /// Of the shared one.
    Postgres(PgRow),
}

/// What a column can be read as, from either database.
pub trait Readable:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Readable for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl Row {
    /// A column by its name.
    pub fn get<T: Readable>(&self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// The bytes of a column, not copied.
    pub fn bytes(&self, column: &str) -> Result<&[u8], sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// Several statements that hold or fail together; given up unless committed.
pub enum Work {
    /// In the embedded database.
    Sqlite(Transaction<'static, Sqlite>),
    /// In the shared one.
    Postgres(Transaction<'static, Postgres>, Duration),
}

impl Work {
    /// Changes something; how many rows that was.
    pub async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(work) => {
                let done = statement.for_sqlite().execute(&mut **work).await?;
                Ok(done.rows_affected())
            }
            Self::Postgres(work, patience) => {
                let call = statement.for_postgres().execute(&mut **work);
                let done = within(*patience, call).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Every row of the answer.
    pub async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(work) => {
                let rows = statement.for_sqlite().fetch_all(&mut **work).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(work, patience) => {
                let call = statement.for_postgres().fetch_all(&mut **work);
                let rows = within(*patience, call).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row of the answer.
    pub async fn fetch_optional(
        &mut self,
        statement: Statement,
    ) -> Result<Option<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(work) => {
                let row = statement.for_sqlite().fetch_optional(&mut **work).await?;
                Ok(row.map(Row::Sqlite))
            }
            Self::Postgres(work, patience) => {
                let call = statement.for_postgres().fetch_optional(&mut **work);
                let row = within(*patience, call).await?;
                Ok(row.map(Row::Postgres))
            }
        }
    }

    /// The one row that the answer must have.
    pub async fn fetch_one(&mut self, statement: Statement) -> Result<Row, sqlx::Error> {
        let row = self.fetch_optional(statement).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }

    /// Waits until no other work that asked for this goes on, as where names are looked up and made.
    pub async fn alone(&mut self) -> Result<(), sqlx::Error> {
        // The writer of SQLite is alone anyway.
        if let Self::Postgres(..) = self {
            let lock = Statement::new("select pg_advisory_xact_lock($1)").bind(NAMES_LOCK);
            self.fetch_optional(lock).await?;
        }
        Ok(())
    }

    /// Makes it hold. When this returns, a power cut takes nothing of it.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(work) => work.commit().await,
            Self::Postgres(work, patience) => within(patience, work.commit()).await,
        }
    }
}

impl Database {
    /// Which language it takes.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Fails where what is written would not be found again.
    pub fn check_place(&self) -> Result<(), sqlx::Error> {
        if let Self::Sqlite {
            file: Some(file), ..
        } = self
        {
            file.check()?;
        }
        Ok(())
    }

    /// Begins work that changes something.
    pub async fn write(&self) -> Result<Work, sqlx::Error> {
        match self {
            // A reader that becomes a writer half-way could find that it reads from the past.
            Self::Sqlite { writer, .. } => {
                let work = writer.begin("begin immediate").await?;
                // After what was waited for, and before anything is written.
                self.check_place()?;
                Ok(Work::Sqlite(work))
            }
            Self::Postgres(server) => server.begin("begin").await,
        }
    }

    /// Begins work that reads: all its statements see one state.
    pub async fn read(&self) -> Result<Work, sqlx::Error> {
        match self {
            Self::Sqlite { readers, .. } => Ok(Work::Sqlite(readers.begin("begin").await?)),
            Self::Postgres(server) => {
                let begin = "begin transaction isolation level repeatable read read only";
                server.begin(begin).await
            }
        }
    }

    /// Changes something with one statement; how many rows that was.
    pub async fn execute(&self, statement: Statement) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite { writer, .. } => {
                let mut connection = writer.acquire().await?;
                self.check_place()?;
                let done = statement.for_sqlite().execute(&mut *connection).await?;
                Ok(done.rows_affected())
            }
            Self::Postgres(server) => {
                let call = async {
                    let mut connection = server.connections.acquire().await?;
                    statement.for_postgres().execute(&mut *connection).await
                };
                let done = within(server.patience, call).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Every row of one statement's answer.
    pub async fn fetch_all(&self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite { readers, .. } => {
                let mut connection = readers.acquire().await?;
                let rows = statement.for_sqlite().fetch_all(&mut *connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(server) => {
                let call = async {
                    let mut connection = server.connections.acquire().await?;
                    statement.for_postgres().fetch_all(&mut *connection).await
                };
                let rows = within(server.patience, call).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row of one statement's answer.
    pub async fn fetch_optional(&self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        match self {
            Self::Sqlite { readers, .. } => {
                let mut connection = readers.acquire().await?;
                let row = statement
                    .for_sqlite()
                    .fetch_optional(&mut *connection)
                    .await?;
                Ok(row.map(Row::Sqlite))
            }
            Self::Postgres(server) => {
                let call = async {
                    let mut connection = server.connections.acquire().await?;
                    statement
                        .for_postgres()
                        .fetch_optional(&mut *connection)
                        .await
                };
                let row = within(server.patience, call).await?;
                Ok(row.map(Row::Postgres))
            }
        }
    }

    /// The pools as they stand. It asks no database.
    pub fn pools(&self) -> Vec<PoolState> {
        match self {
            Self::Sqlite {
                writer, readers, ..
            } => {
                vec![writer.state("writer"), readers.state("readers")]
            }
            Self::Postgres(server) => vec![server.connections.state("postgres")],
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite {
                writer, readers, ..
            } => {
                readers.pool.close().await;
                writer.pool.close().await;
            }
            Self::Postgres(server) => server.connections.pool.close().await,
        }
    }
}
