//! Sums are kept until a result comes or goes, and figures are read from indexes.

use super::*;

async fn missing(store: &Store) -> Vec<Sum> {
    let mut all = Vec::new();
    for level in Level::ALL {
        let mut figures = store.figures().await.unwrap();
        let sums = figures.missing_sums(level, -10..1_000_000, None, None, 100);
        all.extend(sums.await.unwrap());
    }
    all
}

/// Keeps something in the place of each sum that is to be made.
async fn make(store: &Store, sums: Vec<Sum>) {
    let mut made = sums;
    for sum in &mut made {
        sum.packed = Some(vec![1]);
    }
    store.keep_sums(&made).await.unwrap();
}

#[tokio::test]
async fn a_result_that_comes_or_goes_empties_the_sums_of_its_day_and_model() {
    let (_place, store) = fresh().await;
    let (one, other) = (run("m"), run("m"));
    store.create_run(&one).await.unwrap();
    store.create_run(&other).await.unwrap();
    assert_eq!(missing(&store).await, []);
    store.add_result(&one.id, 0, &result()).await.unwrap();
    assert_eq!(missing(&store).await.len(), 3);
    make(&store, missing(&store).await).await;
    assert_eq!(missing(&store).await, []);
    // The same one again changes nothing.
    store.add_result(&one.id, 0, &result()).await.unwrap();
    assert_eq!(missing(&store).await, []);
    let of_another = BenchmarkResult {
        model: "another".into(),
        ..result()
    };
    store.add_result(&one.id, 1, &of_another).await.unwrap();
    let sums = missing(&store).await;
    assert_eq!(sums.len(), 3);
    let numbers: std::collections::BTreeSet<i64> = sums.iter().map(|it| it.model).collect();
    assert_eq!(numbers.len(), 1);
    make(&store, sums).await;
    store.add_result(&other.id, 0, &result()).await.unwrap();
    assert_eq!(missing(&store).await.len(), 3);
    make(&store, missing(&store).await).await;
    assert!(store.delete_run(&one.id).await.unwrap());
    assert_eq!(missing(&store).await.len(), 6);
}

#[tokio::test]
async fn what_loading_is_part_of_is_taken_from_cold_results_and_their_sums_are_emptied() {
    let (_place, store) = fresh().await;
    let mut run = run("m");
    store.create_run(&run).await.unwrap();
    for position in 0..2 {
        store
            .add_result(&run.id, position, &result())
            .await
            .unwrap();
    }
    make(&store, missing(&store).await).await;
    run.status = Status::Completed;
    for has_changed in [true, false] {
        store.update_run(&run, &[1]).await.unwrap();
        let emptied = missing(&store).await;
        assert_eq!(emptied.len(), if has_changed { 3 } else { 0 });
        make(&store, emptied).await;
    }
}

#[tokio::test]
async fn a_sum_that_was_made_of_less_is_not_kept() {
    let (_place, store) = fresh().await;
    let run = run("m");
    store.create_run(&run).await.unwrap();
    store.add_result(&run.id, 0, &result()).await.unwrap();
    let before = missing(&store).await;
    store.add_result(&run.id, 1, &result()).await.unwrap();
    make(&store, before).await;
    assert_eq!(missing(&store).await.len(), 3);
}

#[tokio::test]
async fn requests_are_read_by_day_and_by_filter() {
    let (_place, store) = fresh().await;
    let mut run = run("m");
    run.request.tags = vec!["a".into()];
    store.create_run(&run).await.unwrap();
    let warm_up = BenchmarkResult {
        warmup: true,
        ..result()
    };
    let failed = BenchmarkResult {
        success: false,
        ..result()
    };
    for (position, one) in (0..).zip([warm_up, result(), failed]) {
        store.add_result(&run.id, position, &one).await.unwrap();
    }
    let micros = run.timestamp.timestamp_micros();
    let day = micros / 86_400_000_000;
    let mut figures = store.figures().await.unwrap();
    let models = figures.models().await.unwrap();
    let number = models[0].number;
    let mut whole = OfDay {
        day,
        models: Some(&[number]),
        times: None,
    };
    let found = figures.of_day(&whole, None).await.unwrap();
    let failures: Vec<(i64, bool)> = found.iter().map(|it| (it.position, it.is_failed)).collect();
    assert_eq!(failures, [(1, false), (2, true)]);
    assert_eq!(found[0].figures[0], Some(0.1 + 0.2));
    let place = Some((number, found[0].run, 1));
    assert_eq!(figures.of_day(&whole, place).await.unwrap(), found[1..]);
    whole.times = Some(micros + 1..micros + 2);
    assert_eq!(figures.of_day(&whole, None).await.unwrap(), []);
    whole.times = Some(micros..micros + 1);
    assert_eq!(figures.of_day(&whole, None).await.unwrap(), found);
    let days = day..day + 1;
    assert_eq!(figures.of_days(days, None).await.unwrap(), found);
    assert_eq!(figures.of_days(day - 3..day, None).await.unwrap(), []);
    for (tag, expected) in [("a", &found[..]), ("b", &[])] {
        let query = HistoryQuery {
            tag: Some(tag.into()),
            ..HistoryQuery::default()
        };
        let mut pages = Pages::default();
        let page = figures.of_runs(&query, &mut pages).await.unwrap();
        assert_eq!(page.unwrap(), expected, "{tag}");
        assert_eq!(figures.of_runs(&query, &mut pages).await.unwrap(), None);
    }
}

/// In `SQLite` the requests of a day come out of the index alone, and sums that lack out of theirs.
#[tokio::test]
async fn figures_are_stretches_of_indexes() {
    let store = Store::open("sqlite::memory:", OPTIONS).await.unwrap();
    for (plan, index) in store.plans_of_figures().await {
        assert!(plan.contains(index), "{plan}");
        assert!(
            !plan.contains("SCAN results") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
