//! Every list against one that is sorted and filtered by hand, and how each is found.

use chrono::DateTime;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::record::{Distribution, HistorySort, ModelEnvironment, ModelSummaryStatistics, Order};

const SORTS: [HistorySort; 6] = [
    HistorySort::Timestamp,
    HistorySort::Status,
    HistorySort::Model,
    HistorySort::TimeToFirstChunk,
    HistorySort::OutputTokensPerSecond,
    HistorySort::TotalTime,
];

/// A run that differs from its neighbours in all that lists are sorted and filtered by.
fn varied(place: u32) -> BenchmarkResponse {
    let mut one = run(["alpha", "beta", "gamma"][place as usize % 3]);
    one.timestamp = DateTime::from_timestamp(BEGIN + i64::from(place * 7919 % 50), 0).unwrap();
    one.id = RunId::new(one.timestamp);
    one.status = [Status::Completed, Status::Partial, Status::Failed][place as usize / 3 % 3];
    one.request.tags = vec![format!("t{}", place % 4)];
    one.request.prompt = Some(format!("why {place}?"));
    one.request.name = place
        .is_multiple_of(5)
        .then(|| format!("100% [night_{place}] Größe"));
    let figure = |value: u32| Distribution {
        // Some lack it, and some have the same.
        median: (!place.is_multiple_of(6)).then(|| f64::from(value % 10)),
        ..Distribution::default()
    };
    one.summary = vec![ModelSummaryStatistics {
        time_to_first_chunk: figure(place * 31),
        output_tokens_per_second: figure(place * 17),
        total_time: figure(place * 13),
        ..ModelSummaryStatistics::default()
    }];
    one
}

async fn filled() -> (Home, Store, Vec<BenchmarkResponse>) {
    let (place, store) = fresh().await;
    let runs: Vec<BenchmarkResponse> = (0..60).map(varied).collect();
    for run in &runs {
        store.create_run(run).await.unwrap();
        // The figures come with the end of a run.
        store.update_run(run, &[]).await.unwrap();
    }
    (place, store, runs)
}

async fn listed(store: &Store, query: &HistoryQuery) -> Vec<RunId> {
    let mut query = HistoryQuery {
        limit: 7,
        detail: HistoryDetail::Summary,
        ..query.clone()
    };
    let mut ids = Vec::new();
    loop {
        let page = store.history(&query).await.unwrap();
        ids.extend(page.runs.into_iter().map(|run| run.id));
        query.cursor = page.next;
        if query.cursor.is_none() {
            return ids;
        }
    }
}

/// What a run is sorted by, so that greater is later; `None` is last in either direction.
fn key(run: &BenchmarkResponse, sort: HistorySort) -> Option<(String, f64)> {
    let summary = &run.summary[0];
    match sort {
        HistorySort::Timestamp => Some((String::new(), run.timestamp.timestamp() as f64)),
        HistorySort::Status => Some((run.status.as_str().to_owned(), 0.0)),
        HistorySort::Model => Some((run.environment.models[0].model.clone(), 0.0)),
        HistorySort::TimeToFirstChunk => summary
            .time_to_first_chunk
            .median
            .map(|it| (String::new(), it)),
        HistorySort::OutputTokensPerSecond => summary
            .output_tokens_per_second
            .median
            .map(|it| (String::new(), it)),
        HistorySort::TotalTime => summary.total_time.median.map(|it| (String::new(), it)),
    }
}

fn by_hand(
    runs: &[BenchmarkResponse],
    query: &HistoryQuery,
    fits: impl Fn(&BenchmarkResponse) -> bool,
) -> Vec<RunId> {
    let mut found: Vec<(usize, &BenchmarkResponse)> = runs.iter().enumerate().collect();
    found.retain(|(_, run)| fits(run));
    found.sort_by(|(place, one), (other_place, other)| {
        let (a, b) = (key(one, query.sort), key(other, query.sort));
        if a.is_some() != b.is_some() {
            return b.is_some().cmp(&a.is_some());
        }
        let ascending = a.partial_cmp(&b).unwrap().then(place.cmp(other_place));
        match query.order {
            Order::Asc => ascending,
            Order::Desc => ascending.reverse(),
        }
    });
    found.into_iter().map(|(_, run)| run.id.clone()).collect()
}

type Fits = fn(&BenchmarkResponse) -> bool;

const BEGIN: i64 = 1_700_000_000;

/// Filters by whole values, and who fits them.
fn filters_by_value() -> Vec<(HistoryQuery, Fits)> {
    let some = |text: &str| Some(text.to_owned());
    let empty = HistoryQuery::default;
    let model = |name: &str| HistoryQuery {
        model: some(name),
        ..empty()
    };
    let partial = HistoryQuery {
        status: Some(Status::Partial),
        ..empty()
    };
    let ollama = HistoryQuery {
        backend: some("ollama"),
        ..empty()
    };
    let tagged = HistoryQuery {
        tag: some("t1"),
        ..empty()
    };
    let three = HistoryQuery {
        status: Some(Status::Failed),
        tag: some("t1"),
        ..model("beta")
    };
    vec![
        (empty(), |_| true),
        (model("beta"), |it| it.request.models[0] == "beta"),
        (model("beta@ollama"), |it| it.request.models[0] == "beta"),
        (model("beta@x"), |_| false),
        (ollama, |_| true),
        (tagged, |it| it.request.tags[0] == "t1"),
        (partial, |it| it.status == Status::Partial),
        (three, |it| {
            it.request.tags[0] == "t1"
                && it.request.models[0] == "beta"
                && it.status == Status::Failed
        }),
    ]
}

/// Filters by time and by text, and who fits them.
fn filters_by_part() -> Vec<(HistoryQuery, Fits)> {
    let at = |seconds: i64| DateTime::from_timestamp(BEGIN + seconds, 0);
    let text = |part: &str| HistoryQuery {
        q: Some(part.to_owned()),
        ..HistoryQuery::default()
    };
    let span = HistoryQuery {
        from: at(10),
        to: at(30),
        ..HistoryQuery::default()
    };
    let tagged = HistoryQuery {
        tag: Some("t0".to_owned()),
        ..text("größe")
    };
    let later = HistoryQuery {
        from: at(10),
        ..text("?")
    };
    vec![
        (span, |it| {
            (10..30).contains(&(it.timestamp.timestamp() - BEGIN))
        }),
        (text("% [NIGHT_"), |it| it.request.name.is_some()),
        (text("night_"), |it| it.request.name.is_some()),
        // More texts than are collected, and all there are.
        (text("beta@"), |it| it.request.models[0] == "beta"),
        (text("why"), |_| true),
        (text("y 1"), |it| {
            it.request.all_prompts()[0].starts_with("why 1")
        }),
        // Its trigrams are in texts, but nowhere together.
        (text("why why"), |_| false),
        (tagged, |it| {
            it.request.name.is_some() && it.request.tags[0] == "t0"
        }),
        (later, |it| it.timestamp.timestamp() >= BEGIN + 10),
    ]
}

#[tokio::test]
async fn every_filter_in_every_order_pages_through_what_fits() {
    let (_place, store, runs) = filled().await;
    for (filter, fits) in filters_by_value().into_iter().chain(filters_by_part()) {
        for sort in SORTS {
            for order in [Order::Asc, Order::Desc] {
                let query = HistoryQuery {
                    sort,
                    order,
                    ..filter.clone()
                };
                let found = listed(&store, &query).await;
                assert_eq!(found, by_hand(&runs, &query, fits), "{query:?}");
            }
        }
    }
}

/// A model that was measured on several backends, in some runs on two of them at once.
#[tokio::test]
async fn a_model_is_found_on_each_backend_and_each_run_once() {
    let (_place, store) = fresh().await;
    let backends: [&[&str]; 4] = [&["ollama"], &["box"], &["box", "ollama"], &["other"]];
    let runs: Vec<BenchmarkResponse> = (0..40)
        .map(|place| {
            let mut one = varied(place);
            let model = one.environment.models[0].clone();
            let on = |backend: &&str| ModelEnvironment {
                model: if *backend == "other" { "else" } else { "m" }.into(),
                backend: (*backend).into(),
                ..model.clone()
            };
            one.environment.models = backends[place as usize % 4].iter().map(on).collect();
            one
        })
        .collect();
    for run in &runs {
        store.create_run(run).await.unwrap();
        store.update_run(run, &[]).await.unwrap();
    }
    for (name, fits) in [
        ("m", [0, 1, 2].as_slice()),
        ("m@box", &[1, 2]),
        ("else", &[3]),
    ] {
        let fitting: Vec<BenchmarkResponse> = (0..40)
            .filter(|place| fits.contains(&(place % 4)))
            .map(|place| runs[place].clone())
            .collect();
        for sort in SORTS {
            for order in [Order::Asc, Order::Desc] {
                for status in [None, Some(Status::Partial)] {
                    let query = HistoryQuery {
                        model: Some(name.to_owned()),
                        status,
                        sort,
                        order,
                        ..HistoryQuery::default()
                    };
                    let found = listed(&store, &query).await;
                    let expected = by_hand(&fitting, &query, |it| {
                        status.is_none_or(|status| it.status == status)
                    });
                    assert_eq!(found, expected, "{query:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_run_is_in_no_list_and_its_words_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.db");
    let url = format!("sqlite:{}", file.display());
    let store = Store::open(&url, OPTIONS).await.unwrap();
    let mut secret = varied(1);
    secret.request.prompt = Some("nobody shall read of the Grünspecht".into());
    store.create_run(&secret).await.unwrap();
    store.create_run(&varied(2)).await.unwrap();
    assert!(store.delete_run(&secret.id).await.unwrap());
    let query = HistoryQuery {
        q: Some("grünspecht".into()),
        ..HistoryQuery::default()
    };
    assert_eq!(listed(&store, &query).await, []);
    assert_eq!(listed(&store, &HistoryQuery::default()).await.len(), 1);
    store.close().await;
    let options = SqliteConnectOptions::new().filename(&file);
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("pragma wal_checkpoint(truncate)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let words = "grünspecht".as_bytes();
    assert!(!bytes.windows(words.len()).any(|it| it == words));
}

/// The plan of every list in `SQLite`: a stretch of an index in the list's order, nothing read whole,
/// nothing sorted.
#[tokio::test]
async fn lists_are_stretches_of_indexes() {
    let store = Store::open("sqlite::memory:", OPTIONS).await.unwrap();
    store.create_run(&varied(1)).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let empty = HistoryQuery::default;
    let filters = [
        empty(),
        HistoryQuery {
            model: some("beta"),
            ..empty()
        },
        HistoryQuery {
            status: Some(Status::Partial),
            tag: some("t1"),
            ..empty()
        },
    ];
    for filter in filters {
        for sort in SORTS {
            for order in [Order::Asc, Order::Desc] {
                let query = HistoryQuery {
                    sort,
                    order,
                    ..filter.clone()
                };
                for plan in store.plans(&query).await {
                    let told = format!("{query:?}\n{plan}");
                    let index = format!(
                        "INDEX run_facets_{} (facet=?",
                        super::super::history::column(sort)
                    );
                    assert!(plan.contains(&index), "{told}");
                    assert!(
                        !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
                        "{told}"
                    );
                    // What is read of a run is read only where the other filters fit it.
                    let other = plan.find("SEARCH o ");
                    let document = plan.find("SEARCH r ");
                    assert!(other.is_none() || other < document, "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_run_before_one_asked_for_the_same_texts() {
    let (_place, store) = fresh().await;
    let at = |seconds: i64, model: &str, prompt: &str| {
        let mut one = run(model);
        one.timestamp = DateTime::from_timestamp(BEGIN + seconds, 0).unwrap();
        one.id = RunId::new(one.timestamp);
        one.request.prompt = Some(prompt.into());
        one
    };
    // Stored in another order than they were run, as by an import.
    let runs = [
        at(30, "m", "Why?"),
        at(10, "m", "Why?"),
        at(20, "m", "why?"),
        at(15, "m", "How?"),
        at(25, "n", "Why?"),
    ];
    for run in &runs {
        store.create_run(run).await.unwrap();
    }
    let ids: Vec<&RunId> = runs.iter().map(|run| &run.id).collect();
    let before = store.runs_before(&ids).await.unwrap();
    let places: Vec<Option<&RunId>> = ids
        .iter()
        .map(|id| before.get(id).map(|it| &it.id))
        .collect();
    assert_eq!(places, [Some(ids[2]), None, Some(ids[1]), None, None]);
    assert_eq!(store.runs_before(&[]).await.unwrap().len(), 0);
}

/// One look at an index for each run of a page.
#[tokio::test]
async fn runs_before_are_looked_up() {
    let store = Store::open("sqlite::memory:", OPTIONS).await.unwrap();
    let one = varied(1);
    let plan = store.plan_of_runs_before(&[&one.id, &one.id]).await;
    let index = "b USING COVERING INDEX runs_text (text_id=? AND created_at<?)";
    assert!(plan.contains(index), "{plan}");
    assert!(
        !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

#[tokio::test]
async fn some_runs_come_with_their_results_and_without_chunks() {
    let (_place, store) = fresh().await;
    let (one, other) = (varied(1), varied(2));
    for run in [&one, &other] {
        store.create_run(run).await.unwrap();
        store.add_result(&run.id, 0, &result()).await.unwrap();
    }
    let unknown = RunId::new(varied(3).timestamp);
    let found = store
        .brief_runs(&[other.id.clone(), unknown])
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].id, found[0].results.len()), (&other.id, 1));
    assert_eq!(found[0].results[0].chunks, None);
    assert_eq!(store.brief_runs(&[]).await.unwrap(), []);
}
