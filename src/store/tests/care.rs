//! Deleting for good, room given back, copies, and damage that is found.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;

use super::*;

/// A word that stands nowhere else.
const SECRET: &str = "zyxwvutsrq-quetzal";

/// A run that has ended, with a result.
async fn ended(store: &Store, prompt: &str, days: i64) -> RunId {
    let mut one = run("m");
    one.request = BenchmarkRequest::new(prompt, vec!["m".into()]);
    one.timestamp -= TimeDelta::days(days);
    store.create_run(&one).await.unwrap();
    let mut answer = result();
    answer.prompt = prompt.into();
    answer.response = prompt.repeat(50);
    store.add_result(&one.id, 0, &answer).await.unwrap();
    store
        .save_samples(&one.id, &Samples::default(), &[])
        .await
        .unwrap();
    one.status = Status::Completed;
    store.update_run(&one, &[]).await.unwrap();
    one.id
}

/// The file, where the database is in one.
fn file(store: &Store) -> Option<PathBuf> {
    match &*store.place {
        Place::File { path, .. } => Some(path.clone()),
        _ => None,
    }
}

/// Whether bytes of the database's files hold a word.
fn holds(database: &Path, word: &str) -> bool {
    let folder = database.parent().unwrap();
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        memchr::memmem::find(&bytes, word.as_bytes()).is_some()
    })
}

async fn execute(store: &Store, sql: &'static str) {
    store.database.execute(Statement::new(sql)).await.unwrap();
}

#[tokio::test]
async fn of_many_only_those_that_have_ended_are_deleted() {
    let (_place, store) = fresh().await;
    let (first, second, stays) = (
        ended(&store, "abracadabra", 0).await,
        ended(&store, "abracadabra", 0).await,
        ended(&store, "abracadabra", 0).await,
    );
    let open = run("n");
    store.create_run(&open).await.unwrap();
    let nobody = run("m").id;
    let ids = [
        first.clone(),
        second,
        open.id.clone(),
        nobody.clone(),
        first,
    ];
    let report = store.delete_runs(&ids).await.unwrap();
    assert_eq!(report.deleted, 2);
    assert_eq!(report.running, std::slice::from_ref(&open.id));
    assert_eq!(report.unknown, [nobody]);
    assert_eq!(store.count_runs().await.unwrap(), 2);
    // What others need is still there.
    let query = HistoryQuery {
        q: Some("abracadabra".into()),
        ..HistoryQuery::default()
    };
    let found = store.history(&query).await.unwrap().runs;
    assert_eq!(found[0].id, stays);
    assert_eq!(store.check(|_| ()).await.unwrap().findings, []);
}

#[tokio::test]
async fn the_oldest_come_first_and_those_that_go_on_do_not() {
    let (_place, store) = fresh().await;
    let mut old = run("m");
    old.timestamp -= TimeDelta::days(100);
    store.create_run(&old).await.unwrap();
    let (third, first, second) = (
        ended(&store, "a", 1).await,
        ended(&store, "b", 9).await,
        ended(&store, "c", 5).await,
    );
    let all = store.oldest(None, None, 10).await.unwrap();
    let ids = |runs: &[OldRun]| -> Vec<RunId> { runs.iter().map(|run| run.id.clone()).collect() };
    assert_eq!(ids(&all), [first.clone(), second.clone(), third.clone()]);
    assert_eq!(ids(&store.oldest(None, None, 1).await.unwrap()), [first]);
    let behind = store.oldest(None, Some(&all[0]), 10).await.unwrap();
    assert_eq!(ids(&behind), [second.clone(), third]);
    let before = run("m").timestamp - TimeDelta::days(3);
    let aged = store.oldest(Some(before), Some(&all[0]), 10).await.unwrap();
    assert_eq!(ids(&aged), [second]);
    assert_eq!(store.count_before(before).await.unwrap(), 2);
}

#[tokio::test]
async fn nothing_of_what_is_deleted_is_left_in_the_files() {
    let (_place, store) = fresh().await;
    let stays = ended(&store, "something else", 0).await;
    let mut ids = Vec::new();
    for round in 0..40 {
        ids.push(ended(&store, &format!("{SECRET} {round}"), 0).await);
    }
    let Some(file) = file(&store) else { return };
    assert!(holds(&file, SECRET), "the test cannot fail");
    // The first three letters stand in no other text either.
    assert!(holds(&file, "zyx"), "the index holds no trigrams");
    store.delete_runs(&ids).await.unwrap();
    while store.release_some().await.unwrap() {}
    assert!(store.empty_log().await.unwrap());
    for word in [SECRET, "zyx", "quetzal", "etz"] {
        assert!(!holds(&file, word), "{word}");
    }
    assert!(store.run(&stays).await.unwrap().is_some());
    assert_eq!(store.check(|_| ()).await.unwrap().findings, []);
}

#[tokio::test]
async fn the_file_shrinks_when_runs_are_deleted() {
    let (_place, store) = fresh().await;
    let mut ids = Vec::new();
    for round in 0..200 {
        let numbers = (0..400).map(|it| (it * (round + 7)).to_string());
        let long = numbers.collect::<Vec<_>>().join(" ");
        ids.push(ended(&store, &long, 0).await);
    }
    let Some(file) = file(&store) else { return };
    store.empty_log().await.unwrap();
    let before = std::fs::metadata(&file).unwrap().len();
    store.delete_runs(&ids).await.unwrap();
    let state = store.state().await.unwrap();
    assert_eq!(state.runs, Some(0));
    assert!(state.free_bytes > Some(before / 2), "{state:?}");
    while store.release_some().await.unwrap() {}
    store.empty_log().await.unwrap();
    let after = std::fs::metadata(&file).unwrap().len();
    assert!(after < before / 2, "{before} {after}");
    let state = store.state().await.unwrap();
    assert_eq!((state.free_bytes, state.bytes), (Some(0), Some(after)));
}

#[tokio::test]
async fn a_log_that_is_read_is_emptied_later() {
    let (_place, store) = fresh().await;
    let reading = ended(&store, "a", 0).await;
    if file(&store).is_none() {
        return;
    }
    let mut reader = store.database.read().await.unwrap();
    let look = || Statement::new("select id from runs");
    reader.fetch_all(look()).await.unwrap();
    store.delete_runs(&[reading]).await.unwrap();
    assert!(!store.empty_log().await.unwrap());
    assert_eq!(reader.fetch_all(look()).await.unwrap().len(), 1);
    drop(reader);
    assert!(store.empty_log().await.unwrap());
}

#[tokio::test]
async fn a_copy_holds_what_the_database_holds() {
    let (_place, store) = fresh().await;
    let id = ended(&store, "a", 0).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let Some(own) = file(&store) else {
        let error = store.back_up(&copy).await.unwrap_err().to_string();
        assert!(error.contains("pg_dump"), "{error}");
        return;
    };
    let mut writing = store.database.write().await.unwrap();
    writing.alone().await.unwrap();
    store.back_up(&copy).await.unwrap();
    drop(writing);
    let url = format!("sqlite:{}", copy.display());
    let other = Store::open(&url, OPTIONS).await.unwrap();
    assert_eq!(other.run(&id).await.unwrap(), store.run(&id).await.unwrap());
    assert_eq!(other.check(|_| ()).await.unwrap().findings, []);
    other.close().await;
    // What cannot be written leaves nothing, and the database itself is no place for its copy.
    for target in [folder.path().join("no/such/folder/x.db"), own.clone()] {
        assert!(
            store.back_up(&target).await.is_err(),
            "{}",
            target.display()
        );
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(store.run(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_older_database_shrinks_once_it_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let url = format!("sqlite:{}", path.display());
    // Made without room that can be given back.
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let made = options.create_if_missing(true).foreign_keys(false);
    let mut old = sqlx::SqliteConnection::connect_with(&made).await.unwrap();
    sqlx::query("create table before (x)")
        .execute(&mut old)
        .await
        .unwrap();
    old.close().await.unwrap();
    let store = Store::open(&url, OPTIONS).await.unwrap();
    let mut ids = Vec::new();
    for round in 0..40 {
        ids.push(ended(&store, &format!("{round} ").repeat(3000), 0).await);
    }
    store.delete_runs(&ids).await.unwrap();
    assert!(!store.release_some().await.unwrap());
    assert!(store.state().await.unwrap().free_bytes > Some(0));
    store.compact().await.unwrap();
    assert_eq!(store.state().await.unwrap().free_bytes, Some(0));
    let again = ended(&store, &"again ".repeat(3000), 0).await;
    store.delete_runs(&[again]).await.unwrap();
    assert!(store.state().await.unwrap().free_bytes > Some(0));
    store.release_some().await.unwrap();
    assert_eq!(store.state().await.unwrap().free_bytes, Some(0));
}

#[tokio::test]
async fn what_is_damaged_is_found_and_named() {
    let (_place, store) = fresh().await;
    let mut ids = Vec::new();
    for prompt in ["a", "b", "c", "d", "e", "f"] {
        ids.push(ended(&store, prompt, 0).await);
    }
    let mut told = 0;
    let report = store.check(|report| told = report.runs).await.unwrap();
    assert_eq!((report.findings, report.faults), (vec![], 0));
    assert_eq!((report.runs, report.results, told), (6, 6, 6));
    let damages = [
        ("update runs set document = $2 where id = $1", "benchmark"),
        (
            "update results set document = $2 where run = (select run from runs where id = $1)",
            "result 0",
        ),
        (
            "update chunks set packed = $2 where run = (select run from runs where id = $1)",
            "its chunks are cut off",
        ),
        (
            "update samples set packed = $2 where run = (select run from runs where id = $1)",
            "samples",
        ),
        ("update runs set extra = $2 where id = $1", "import added"),
    ];
    for ((damage, _), id) in damages.iter().zip(&ids) {
        let damage = Statement::new(damage).bind(id.as_str()).bind(vec![1_u8, 2]);
        assert_eq!(store.database.execute(damage).await.unwrap(), 1);
    }
    let less = Statement::new(
        "delete from run_facets where run = (select run from runs where id = $1)
         and facet = (select min(facet) from run_facets)",
    );
    store
        .database
        .execute(less.bind(ids[5].as_str()))
        .await
        .unwrap();
    let report = store.check(|_| ()).await.unwrap();
    let words = damages
        .iter()
        .map(|(_, words)| *words)
        .chain(["lists do not find it"]);
    for (id, words) in ids.iter().zip(words) {
        let named = report.findings.iter().any(|finding| {
            finding.id.as_deref() == Some(id.as_str()) && finding.message.contains(words)
        });
        assert!(named, "{words}: {:#?}", report.findings);
    }
    assert_eq!(report.faults, 6, "{:#?}", report.findings);
}

#[tokio::test]
async fn damage_of_the_database_itself_is_found() {
    let (_place, store) = fresh().await;
    for prompt in ["first words", "second words"] {
        ended(&store, prompt, 0).await;
    }
    let Some(file) = file(&store) else { return };
    execute(&store, "drop trigger texts_removed").await;
    execute(
        &store,
        "update runs set text_id = (select min(id) from texts)",
    )
    .await;
    execute(
        &store,
        "delete from texts where id > (select min(id) from texts)",
    )
    .await;
    let report = store.check(|_| ()).await.unwrap();
    assert_eq!(report.faults, 1, "{:#?}", report.findings);
    let message = &report.findings[0].message;
    assert!(message.contains("index of texts"), "{message}");
    store.empty_log().await.unwrap();
    store.close().await;
    // Half of a page of an index is overwritten.
    let mut bytes = std::fs::read(&file).unwrap();
    let page = 4096 * 20;
    bytes[page + 8..page + 2048].fill(0xab);
    std::fs::write(&file, bytes).unwrap();
    let url = format!("sqlite:{}", file.display());
    let store = Store::open(&url, OPTIONS).await.unwrap();
    let report = store.check(|_| ()).await.unwrap();
    let is_told = |finding: &crate::record::CheckFinding| finding.message.contains("damaged");
    assert!(
        report.findings.iter().any(is_told),
        "{:#?}",
        report.findings
    );
}
