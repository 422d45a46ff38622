//! What earlier versions wrote is read.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::record::RemoteSamples;
use crate::store::{samples, series};

/// The schema as it was before documents were packed, as [`sqlx`] left it.
async fn third_version(url: &str) -> SqliteConnection {
    let options: SqliteConnectOptions = url.parse().unwrap();
    let mut connection = SqliteConnection::connect_with(&options.create_if_missing(true))
        .await
        .unwrap();
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.migrations.to_mut().retain(|it| it.version <= 3);
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    connection
}

/// A run of one result, as the third version kept it.
async fn insert_run(connection: &mut SqliteConnection, one: &BenchmarkResponse) {
    let model = &one.environment.models[0];
    let json = serde_json::to_string(one).unwrap();
    sqlx::query(
        "insert into runs (id, created_at, status, first_model, time_to_first_chunk, search, document)
         values ($1, $2, 'completed', $3, 0.5, $4, $5)",
    )
    .bind(one.id.as_str())
    .bind(one.timestamp.timestamp_micros())
    .bind(&model.model)
    .bind(format!("{}\nwhy?", model.model))
    .bind(json)
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query("insert into run_models values ($1, 0, $2, $3)")
        .bind(one.id.as_str())
        .bind(&model.model)
        .bind(&model.backend)
        .execute(&mut *connection)
        .await
        .unwrap();
    let whole = result();
    let document = BenchmarkResult {
        chunks: None,
        ..whole.clone()
    };
    sqlx::query("insert into results values ($1, 0, $2, $3)")
        .bind(one.id.as_str())
        .bind(serde_json::to_string(&document).unwrap())
        .bind(series::pack(whole.chunks.as_ref().unwrap()))
        .execute(&mut *connection)
        .await
        .unwrap();
}

/// Samples of one run as the first version kept them, and of one as the third did.
async fn insert_samples(
    connection: &mut SqliteConnection,
    runs: [&BenchmarkResponse; 2],
    here: &Samples,
    elsewhere: &[RemoteSamples],
) {
    sqlx::query("insert into samples values ($1, $2)")
        .bind(runs[0].id.as_str())
        .bind(serde_json::to_string(here).unwrap())
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query("insert into machine_samples values ($1, $2)")
        .bind(runs[1].id.as_str())
        .bind(samples::pack(here, elsewhere).unwrap())
        .execute(&mut *connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_history_of_the_third_version_is_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("x.db").display());
    let mut connection = third_version(&url).await;
    let (mut first, mut second) = (run("a"), run("b@c"));
    first.status = Status::Completed;
    first.request.tags = vec!["nightly".into()];
    second.status = Status::Completed;
    let now = Samples {
        interval: 0.5,
        ..Samples::default()
    };
    insert_run(&mut connection, &first).await;
    insert_run(&mut connection, &second).await;
    sqlx::query("insert into run_tags values ($1, 'nightly')")
        .bind(first.id.as_str())
        .execute(&mut connection)
        .await
        .unwrap();
    let elsewhere = vec![RemoteSamples {
        backend: "box".into(),
        ..RemoteSamples::default()
    }];
    insert_samples(&mut connection, [&first, &second], &now, &elsewhere).await;
    connection.close().await.unwrap();

    let store = Store::open(&url, OPTIONS).await.unwrap();
    let (one, two) = (
        store.run(&first.id).await.unwrap().unwrap(),
        store.run(&second.id).await.unwrap().unwrap(),
    );
    assert_eq!(one.samples, Some(now.clone()));
    assert_eq!(
        (one.results.len(), &one.results[0].chunks),
        (1, &result().chunks)
    );
    assert_eq!((two.samples, two.remote_samples), (Some(now), elsewhere));
    for (query, expected) in [
        (
            HistoryQuery {
                tag: Some("nightly".into()),
                ..HistoryQuery::default()
            },
            vec![&first.id],
        ),
        (
            HistoryQuery {
                model: Some("b@c@ollama".into()),
                ..HistoryQuery::default()
            },
            vec![&second.id],
        ),
        (
            HistoryQuery {
                q: Some("WHY".into()),
                ..HistoryQuery::default()
            },
            vec![&second.id, &first.id],
        ),
    ] {
        let page = store.history(&query).await.unwrap();
        let ids: Vec<&RunId> = page.runs.iter().map(|run| &run.id).collect();
        assert_eq!(ids, expected, "{query:?}");
    }
    let report = store.check(|_| ()).await.unwrap();
    assert_eq!((report.runs, report.findings), (2, Vec::new()));
    assert!(store.delete_run(&first.id).await.unwrap());
}

#[tokio::test]
async fn several_processes_may_bring_the_schema_up_at_once() {
    let place = Home::new().await;
    let opened =
        futures_util::future::join_all((0..6).map(|_| Store::open(&place.url, OPTIONS))).await;
    for store in opened {
        store.unwrap().ready().await.unwrap();
    }
}
