use chrono::{SubsecRound, Utc};

mod care;
mod history;
mod migration;
mod nova;
mod statistics;

use sqlx::Connection;

use super::*;
use crate::record::{
    BenchmarkRequest, BenchmarkResponse, BenchmarkResult, Chunks, Environment, HistoryDetail,
    HistoryQuery, ModelEnvironment, RunId, Samples, Status, SystemImpact, SystemInfo, Throughput,
    Timing, Validity,
};

/// In whole milliseconds, as records hold times.
fn now() -> chrono::DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

fn run(model: &str) -> BenchmarkResponse {
    let now = Utc::now();
    BenchmarkResponse {
        id: RunId::new(now),
        timestamp: now,
        status: Status::Running,
        status_reason: None,
        queue_position: None,
        total_requests: 1,
        request: BenchmarkRequest::new("Why?", vec![model.into()]),
        system_info: SystemInfo::default(),
        results: Vec::new(),
        summary: Vec::new(),
        environment: Environment {
            models: vec![ModelEnvironment {
                model: model.into(),
                backend: "ollama".into(),
                ..ModelEnvironment::default()
            }],
            ..Environment::default()
        },
        validity: Validity::default(),
        finished_at: None,
        worker: None,
        samples: None,
        remote_samples: Vec::new(),
    }
}

fn result() -> BenchmarkResult {
    BenchmarkResult {
        model: "m".into(),
        backend: "ollama".into(),
        digest: None,
        repetition: 1,
        warmup: false,
        stage: None,
        step: None,
        contended: false,
        cold_start: false,
        success: true,
        error: None,
        timestamp: Utc::now(),
        prompt: "Why?".into(),
        prompt_prefix: None,
        response: "\u{0}🙂\r\n".into(),
        thinking: None,
        done_reason: None,
        response_sha256: String::new(),
        timing: Timing {
            time_to_first_chunk: Some(0.1 + 0.2),
            ..Timing::default()
        },
        throughput: Throughput::default(),
        system_impact: SystemImpact::default(),
        energy: None,
        cooled_down: None,
        placement: None,
        notes: Vec::new(),
        chunks: Some(Chunks {
            offsets: vec![0.123_456_789, 0.2],
            sizes: vec![3, 4],
        }),
    }
}

const OPTIONS: ServerOptions = ServerOptions {
    max_connections: 4,
    connect_timeout: Duration::from_secs(20),
    statement_timeout: Duration::from_secs(20),
    restart_grace: Duration::ZERO,
};

/// A database of its own: on the server that the environment names, else in a file.
struct Home {
    url: String,
    _folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match std::env::var("TEST_POSTGRES_URL") {
            Ok(server) => database_on(&server).await,
            Err(_) => format!("sqlite:{}", folder.path().join("deep/down/x.db").display()),
        };
        Self {
            url,
            _folder: folder,
        }
    }

    async fn open(&self) -> Store {
        Store::open(&self.url, OPTIONS).await.unwrap()
    }
}

async fn database_on(server: &str) -> String {
    let name = format!("test_{:016x}", rand::random::<u64>());
    let connection = sqlx::PgConnection::connect(&format!("{server}/postgres"));
    let mut connection = connection.await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("create database {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    format!("{server}/{name}")
}

async fn fresh() -> (Home, Store) {
    let place = Home::new().await;
    let store = place.open().await;
    (place, store)
}

/// What it marks, as soon as the end of another process is known.
async fn interrupted(store: &Store) -> Vec<RunId> {
    for _ in 0..200 {
        let found = store.interrupt_unfinished().await.unwrap();
        if !found.is_empty() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Vec::new()
}

#[tokio::test]
async fn a_run_comes_back_as_it_was() {
    let (_place, store) = fresh().await;
    let mut run = run("m");
    store.create_run(&run).await.unwrap();
    store.add_result(&run.id, 0, &result()).await.unwrap();
    // A second attempt at the same thing is the same thing.
    store.add_result(&run.id, 0, &result()).await.unwrap();
    let samples = Samples {
        interval: 0.25,
        ..Samples::default()
    };
    store.save_samples(&run.id, &samples, &[]).await.unwrap();
    run.status = Status::Completed;
    store.update_run(&run, &[]).await.unwrap();
    let stored = store.run(&run.id).await.unwrap().unwrap();
    assert_eq!(stored.results.len(), 1);
    run.results = vec![BenchmarkResult {
        timestamp: stored.results[0].timestamp,
        ..result()
    }];
    run.samples = Some(samples);
    assert_eq!(stored, run);
    assert_eq!(store.run(&RunId::new(Utc::now())).await.unwrap(), None);
}

#[tokio::test]
async fn lists_may_leave_results_out() {
    let (_place, store) = fresh().await;
    let run = run("m");
    store.create_run(&run).await.unwrap();
    store.add_result(&run.id, 0, &result()).await.unwrap();
    let whole = store.history(&HistoryQuery::default()).await.unwrap();
    assert_eq!(whole.runs[0].results.len(), 1);
    assert_eq!(whole.runs[0].results[0].chunks, None);
    let brief = HistoryQuery {
        detail: HistoryDetail::Summary,
        ..HistoryQuery::default()
    };
    assert!(
        store.history(&brief).await.unwrap().runs[0]
            .results
            .is_empty()
    );
}

#[tokio::test]
async fn deleting_a_run_leaves_nothing_of_it() {
    let (_place, store) = fresh().await;
    let mut run = run("m");
    run.request.tags = vec!["a".into(), "a".into()];
    store.create_run(&run).await.unwrap();
    store.add_result(&run.id, 0, &result()).await.unwrap();
    store
        .save_samples(&run.id, &Samples::default(), &[])
        .await
        .unwrap();
    assert!(store.delete_run(&run.id).await.unwrap());
    assert!(!store.delete_run(&run.id).await.unwrap());
    let tables = [
        "select count(*) as n from runs",
        "select count(*) as n from run_facets",
        "select count(*) as n from facets",
        "select count(*) as n from texts",
        "select count(*) as n from results",
        "select count(*) as n from chunks",
        "select count(*) as n from models",
        "select count(*) as n from samples",
    ];
    for table in tables {
        let rows = store.database.fetch_all(Statement::new(table)).await;
        assert_eq!(rows.unwrap()[0].get::<i64>("n").unwrap(), 0, "{table}");
    }
}

#[tokio::test]
async fn only_runs_whose_process_is_gone_are_interrupted() {
    let (place, store) = fresh().await;
    let run = run("m");
    store.create_run(&run).await.unwrap();
    let other = place.open().await;
    assert_eq!(other.interrupt_unfinished().await.unwrap(), []);
    assert_eq!(store.interrupt_unfinished().await.unwrap(), []);
    store.close().await;
    drop(store);
    assert_eq!(interrupted(&other).await, std::slice::from_ref(&run.id));
    let stored = other.run(&run.id).await.unwrap().unwrap();
    assert_eq!(stored.status, Status::Interrupted);
    assert_eq!(other.interrupt_unfinished().await.unwrap(), []);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let (place, store) = fresh().await;
    let later = Statement::new(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'later', true, $1, 0)",
    );
    let later = later.bind(vec![0_u8]);
    store.database.execute(later).await.unwrap();
    store.close().await;
    let error = Store::open(&place.url, OPTIONS).await.err().unwrap();
    assert!(
        matches!(error, StoreError::Newer { found: 9999 }),
        "{error}"
    );
}

#[tokio::test]
async fn addresses_of_no_use_are_told_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "this is no database, but long enough to look like one ".repeat(100),
    )
    .unwrap();
    for (url, words) in [
        (
            "postgres://me:secret@127.0.0.1:9/x".to_owned(),
            "cannot use the database",
        ),
        (
            "postgres://me:secret@host:port/x".to_owned(),
            "is not an address",
        ),
        ("mysql://x".to_owned(), "neither with `sqlite:` nor"),
        ("sqlite:".to_owned(), "names no file"),
        ("sqlite:file:runs.db".to_owned(), "`file:` does not belong"),
        (
            format!("sqlite:{}", text.display()),
            "put a backup in its place",
        ),
        (format!("sqlite:{}", folder.path().display()), "cannot open"),
        ("sqlite:/dev/null/x.db".to_owned(), "cannot open"),
    ] {
        let error = Store::open(&url, OPTIONS).await.err().unwrap().to_string();
        assert!(error.contains(words), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_database_may_live_in_memory() {
    let store = Store::open("sqlite::memory:", OPTIONS).await.unwrap();
    let run = run("m");
    store.create_run(&run).await.unwrap();
    assert_eq!(store.run(&run.id).await.unwrap(), Some(run));
}

#[tokio::test]
async fn one_record_that_cannot_be_read_hides_no_other() {
    let (place, store) = fresh().await;
    let (good, bad) = (run("a"), run("b"));
    store.create_run(&good).await.unwrap();
    store.create_run(&bad).await.unwrap();
    let damage = Statement::new("update runs set document = $2, owner = null where id = $1");
    let damage = damage.bind(bad.id.as_str()).bind(b"{}".to_vec());
    store.database.execute(damage).await.unwrap();
    let page = store.history(&HistoryQuery::default()).await.unwrap();
    let ids: Vec<&str> = page.runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, [good.id.as_str()]);
    assert!(matches!(
        store.run(&bad.id).await,
        Err(StoreError::Damaged { .. })
    ));
    // Another process starts beside it.
    let other = place.open().await;
    assert_eq!(other.interrupt_unfinished().await.unwrap(), []);
}
