//! What people ask of a history, each many times, with the middle and the slowest answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use ollama_benchmarker::record::{
    BenchmarkResponse, HistoryDetail, HistoryQuery, HistorySort, Order, RunId, Status,
};
use ollama_benchmarker::store::Store;

use crate::made_up::{DAYS, model};

const TIMES: usize = 200;
/// A page that nobody reaches by hand.
const DEEP: usize = 1000;

const SORTS: [HistorySort; 6] = [
    HistorySort::Timestamp,
    HistorySort::Status,
    HistorySort::Model,
    HistorySort::TimeToFirstChunk,
    HistorySort::OutputTokensPerSecond,
    HistorySort::TotalTime,
];

/// Asks everything.
pub async fn ask(store: &Store, runs: usize) {
    println!("| what | median, ms | p99, ms |");
    println!("|---|---|---|");
    for sort in SORTS {
        for order in [Order::Desc, Order::Asc] {
            let query = HistoryQuery {
                sort,
                order,
                ..brief()
            };
            pages(store, &format!("all by {sort:?} {order:?}"), query).await;
        }
    }
    for (name, filter) in filters() {
        for sort in [HistorySort::Timestamp, HistorySort::TimeToFirstChunk] {
            let query = HistoryQuery {
                sort,
                ..filter.clone()
            };
            pages(store, &format!("{name} by {sort:?}"), query).await;
        }
    }
    let whole = HistoryQuery {
        limit: 50,
        ..HistoryQuery::default()
    };
    pages(store, "all with results", whole).await;
    records(store).await;
    inserts(store, runs).await;
}

fn brief() -> HistoryQuery {
    HistoryQuery {
        limit: 50,
        detail: HistoryDetail::Summary,
        ..HistoryQuery::default()
    }
}

fn filters() -> Vec<(&'static str, HistoryQuery)> {
    let some = |text: &str| Some(text.to_owned());
    let middle = Utc::now() - TimeDelta::days(DAYS / 2);
    let tagged = |tag| with(|query| query.tag = some(tag));
    let texts = |text| with(|query| query.q = some(text));
    vec![
        ("one model", with(|it| it.model = Some(model(3)))),
        ("one backend", with(|it| it.backend = some("ollama"))),
        ("failed", with(|it| it.status = Some(Status::Failed))),
        ("common tag", tagged("nightly")),
        ("rare tag", tagged("issue-4321")),
        (
            "failed of one model and tag",
            with(|it| {
                it.model = Some(model(3));
                it.status = Some(Status::Failed);
                it.tag = some("nightly");
            }),
        ),
        ("common text", texts("sky blue")),
        ("rare text", texts("Question 1234:")),
        ("no text", texts("nobody asks this")),
        (
            "one day",
            with(|it| {
                (it.from, it.to) = (Some(middle), Some(middle + TimeDelta::days(1)));
            }),
        ),
        ("half of the time", with(|it| it.to = Some(middle))),
    ]
}

fn with(change: impl FnOnce(&mut HistoryQuery)) -> HistoryQuery {
    let mut query = brief();
    change(&mut query);
    query
}

/// The first page, and one far behind it where there is one.
async fn pages(store: &Store, name: &str, query: HistoryQuery) {
    let mut deep = query.clone();
    print_times(&format!("{name}, page 1"), page_times(store, &query).await);
    let many = HistoryQuery {
        limit: 500,
        ..query
    };
    let mut cursor = None;
    for _ in 0..(DEEP / 10) {
        let page = HistoryQuery {
            cursor,
            ..many.clone()
        };
        cursor = store.history(&page).await.unwrap().next;
        if cursor.is_none() {
            return;
        }
    }
    deep.cursor = cursor;
    print_times(
        &format!("{name}, page {DEEP}"),
        page_times(store, &deep).await,
    );
}

async fn page_times(store: &Store, query: &HistoryQuery) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let at = Instant::now();
        store.history(query).await.unwrap();
        times.push(at.elapsed());
    }
    times
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!("| {name} | {:.2} | {:.2} |", at(50), at(99));
}

async fn records(store: &Store) {
    let mut query = HistoryQuery {
        limit: 500,
        sort: HistorySort::TotalTime,
        ..brief()
    };
    let mut times = Vec::new();
    for _ in 0..2 {
        let page = store.history(&query).await.unwrap();
        for run in &page.runs {
            let at = Instant::now();
            store.run(&run.id).await.unwrap();
            times.push(at.elapsed());
        }
        query.cursor = page.next;
    }
    print_times("one record, whole", times);
}

/// Results of a run that goes on, while others look at the first page.
async fn inserts(store: &Store, runs: usize) {
    let newest = store.history(&brief()).await.unwrap().runs[0].id.clone();
    let pattern = store.run(&newest).await.unwrap().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (reader, told) = (store.clone(), Arc::clone(&over));
    let reading = tokio::spawn(async move {
        let mut pages = 0;
        while !told.load(Ordering::Relaxed) {
            reader.history(&brief()).await.unwrap();
            pages += 1;
        }
        pages
    });
    let mut times = Vec::new();
    let now = Utc::now();
    let run = BenchmarkResponse {
        id: RunId::new(now),
        timestamp: now,
        results: Vec::new(),
        ..pattern.clone()
    };
    store.create_run(&run).await.unwrap();
    for position in 0..500 {
        let at = Instant::now();
        store
            .add_result(&run.id, position, &pattern.results[0])
            .await
            .unwrap();
        times.push(at.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    over.store(true, Ordering::Relaxed);
    let pages = reading.await.unwrap();
    store.delete_run(&run.id).await.unwrap();
    print_times(
        &format!("insert of a result, among {runs} runs, while {pages} pages are read"),
        times,
    );
}
