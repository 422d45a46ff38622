//! The shared database: its connections, its schema, and which processes there are alive.
//!
//! A process that runs something holds an advisory lock on a connection of its own. The server lets go of
//! the lock however the process ends, so a run whose lock is free has lost its process, or the server
//! has just been restarted and the process is on its way back.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection, PgPool};
use tokio::task::JoinHandle;

use super::database::{Database, Statement};
use super::{ServerOptions, StoreError, migration_failed, without_credentials};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How often a process makes sure that it still holds its lock.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How statements are planned. Each is for one page, and how many rows a filter has decides how that is
/// found: a plan made once for any filter takes a hundred times as long for some. Helpers and compiled
/// expressions take longer to start than a page takes.
const PLANS: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_custom_plan"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
];

/// Opens a database and brings its schema up to date. Several processes that do so at once wait for each
/// other, by a lock of the server.
pub async fn open(url: &str, options: ServerOptions) -> Result<PgPool, StoreError> {
    let connect = PgConnectOptions::from_str(url).map_err(|error| StoreError::Address {
        url: without_credentials(url),
        reason: error.to_string(),
    })?;
    let connect = connect.application_name("ollama-benchmarker");
    let unreachable = |source| StoreError::Unreachable {
        url: without_credentials(url),
        source,
    };
    // Without a limit of time: an index of a large history takes a while.
    let connection = PgConnection::connect_with(&connect);
    let connection = tokio::time::timeout(options.connect_timeout, connection).await;
    let mut connection = connection
        .map_err(|_| unreachable(sqlx::Error::PoolTimedOut))?
        .map_err(unreachable)?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(migration_failed)?;
    // It has told the server already that it is not needed any more.
    let _ = connection.close().await;
    let limit = options.statement_timeout.as_millis().to_string();
    let connect = connect
        .options([("statement_timeout", limit.as_str())])
        .options(PLANS);
    PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.connect_timeout)
        .connect_with(connect)
        .await
        .map_err(unreachable)
}

/// Where a database is, without credentials.
pub fn address(pool: &PgPool) -> String {
    let options = pool.connect_options();
    let database = options.get_database().unwrap_or_default();
    format!("{}:{}/{database}", options.get_host(), options.get_port())
}

/// Whether an SQLSTATE tells of something that passes: connections lost, the server starting, stopping or
/// short of something other than disk, statements in each other's way, a standby not yet in charge.
pub fn may_pass(code: &str) -> bool {
    match code {
        "53100" => false,
        "25006" => true,
        _ => ["08", "40", "53", "57"]
            .iter()
            .any(|class| code.starts_with(class)),
    }
}

/// The lock of this process, held until it is dropped.
pub struct Session {
    name: String,
    keeper: JoinHandle<()>,
}

impl Session {
    /// Takes a lock that no other process has.
    pub async fn take(pool: &PgPool) -> Result<Self, StoreError> {
        let name = format!("{:016x}", rand::random::<u64>());
        let key = key(&name);
        let options = pool.connect_options();
        let mut held = Some(locked(&options, key).await?);
        let keeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let is_held = match &mut held {
                    Some(connection) => in_time(connection.ping()).await.is_some(),
                    None => false,
                };
                if !is_held {
                    held = in_time(locked(&options, key)).await;
                }
            }
        });
        Ok(Self { name, keeper })
    }

    /// What a run's row says of its owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What a call gave, unless it failed or took longer than until the next one.
async fn in_time<T, E>(call: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::time::timeout(HEARTBEAT, call).await.ok()?.ok()
}

async fn locked(options: &PgConnectOptions, key: i64) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query("select pg_try_advisory_lock($1)")
        .bind(key)
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// The number of the lock that a name stands for.
fn key(name: &str) -> i64 {
    u64::from_str_radix(name, 16)
        .unwrap_or_default()
        .cast_signed()
}

/// Whether the process with this lock is still there, as far as that can be told.
pub async fn is_alive(
    database: &Database,
    name: &str,
    restart_grace: Duration,
) -> Result<bool, StoreError> {
    let key = key(name).cast_unsigned();
    let statement = Statement::new(
        "select
            (select count(*) from pg_locks
             where locktype = 'advisory' and granted and objsubid = 1
                and classid::bigint = $1 and objid::bigint = $2
                and database = (select oid from pg_database where datname = current_database()))
            as held,
            extract(epoch from now() - pg_postmaster_start_time())::double precision as uptime",
    )
    .bind(i64::try_from(key >> 32).unwrap_or_default())
    .bind(i64::try_from(key & 0xffff_ffff).unwrap_or_default());
    let Some(row) = database.fetch_optional(statement).await? else {
        return Ok(true);
    };
    let (held, uptime): (i64, f64) = (row.get("held")?, row.get("uptime")?);
    Ok(held > 0 || uptime < restart_grace.as_secs_f64())
}
