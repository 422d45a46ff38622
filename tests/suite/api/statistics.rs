//! Statistics against all requests that were stored, counted by hand.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, Days, Utc};
use futures_util::stream;
use ollama_benchmarker::app::App;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{QUICK, request};
use crate::support::{Server, settings, start_from};

const FIGURES: [(&str, &str); 6] = [
    ("timing", "time_to_first_chunk"),
    ("timing", "time_per_output_token"),
    ("timing", "request_latency"),
    ("timing", "total_time"),
    ("throughput", "output_tokens_per_second"),
    ("throughput", "bytes_per_second"),
];

/// A server whose database another application can write to as well.
struct Place {
    server: Server,
    writer: App,
    _folder: tempfile::TempDir,
}

async fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let config = settings(&folder);
    let server = start_from(config.clone()).await;
    Place {
        server,
        writer: App::open(config).await.unwrap(),
        _folder: folder,
    }
}

impl Place {
    async fn import(&self, runs: &[Value]) {
        let lines: Vec<_> = runs
            .iter()
            .map(|run| Ok(Bytes::from(format!("{run}\n"))))
            .collect();
        let never = CancellationToken::new();
        let report = self
            .writer
            .import(stream::iter(lines), false, &never, |_| ())
            .await;
        let report = report.unwrap();
        assert_eq!(
            (report.failed, report.stored),
            (0, runs.len() as u64),
            "{report:?}"
        );
    }

    async fn statistics(&self, query: &str) -> Vec<Value> {
        let answer = self
            .server
            .get(&format!("/api/benchmarks/statistics{query}"))
            .await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        answer.body.as_array().unwrap().clone()
    }
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Runs over more than three years, each of two models, with failures and warm-ups.
fn runs(template: &Value, from: u64, count: u64, requests: u64) -> Vec<Value> {
    let mut dice = Dice(from + 1);
    let begin = moment("2022-01-30T00:00:00Z");
    (from..from + count)
        .map(|number| {
            let mut run = template.clone();
            let day = begin
                .checked_add_days(Days::new(number * number % 1300))
                .unwrap();
            let time = day + std::time::Duration::from_secs(dice.next(86_400));
            run["id"] = format!("{:08x}{number:016x}", time.timestamp()).into();
            run["timestamp"] = json!(time);
            run["status"] = ["completed", "partial"][usize::from(number % 5 == 0)].into();
            run["request"]["tags"] = json!([format!("t{}", number % 3)]);
            run["request"]["name"] = format!("run {}", number % 4).into();
            let pair = [["alpha", "beta"], ["alpha", "gamma"]][usize::from(number % 2 == 0)];
            let model = run["environment"]["models"][0].clone();
            let named = |name: &str| {
                let mut model = model.clone();
                model["model"] = name.into();
                model["backend"] = "ollama".into();
                model
            };
            run["environment"]["models"] = pair.map(named).to_vec().into();
            let result = run["results"][0].clone();
            let results = (0..requests).map(|request| {
                let mut result = result.clone();
                result["model"] = pair[usize::from(request % 2 == 0)].into();
                result["backend"] = "ollama".into();
                result["warmup"] = (request < 2).into();
                result["success"] = (dice.next(20) != 0).into();
                for (part, name) in FIGURES {
                    let value = (1 + dice.next(100_000)) as f64 / 1000.0;
                    result[part][name] = if dice.next(50) == 0 {
                        Value::Null
                    } else {
                        value.into()
                    };
                }
                result
            });
            run["results"] = results.collect();
            run
        })
        .collect()
}

/// By model and, where asked for, day: runs, failed ones and the values of each figure.
#[derive(Default)]
struct Counted {
    runs: BTreeSet<String>,
    succeeded: u64,
    failed: u64,
    values: [Vec<f64>; 6],
}

type Groups = BTreeMap<(String, Option<String>), Counted>;

fn by_hand(runs: &[Value], is_by_day: bool, fits: impl Fn(&Value, &str) -> bool) -> Groups {
    let mut groups = Groups::new();
    for run in runs {
        for result in run["results"].as_array().unwrap() {
            let model = result["model"].as_str().unwrap();
            if result["warmup"] == true || !fits(run, model) {
                continue;
            }
            let day = run["timestamp"].as_str().unwrap()[..10].to_owned();
            let key = (model.to_owned(), is_by_day.then_some(day));
            let group = groups.entry(key).or_default();
            group.runs.insert(run["id"].as_str().unwrap().to_owned());
            if result["success"] != true {
                group.failed += 1;
                continue;
            }
            group.succeeded += 1;
            for (values, (part, name)) in group.values.iter_mut().zip(FIGURES) {
                values.extend(result[part][name].as_f64());
            }
        }
    }
    groups
}

/// All figures of some values, by their names.
fn exact(values: &[f64]) -> BTreeMap<&'static str, f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, n) = (sorted.len(), sorted.len() as f64);
    let mut figures = BTreeMap::from([("n", n)]);
    if sorted.is_empty() {
        return figures;
    }
    let percentile = |percent: usize| {
        let rank = percent * (count - 1);
        let (low, high) = (sorted[rank / 100], sorted[rank.div_ceil(100)]);
        low + (rank % 100) as f64 / 100.0 * (high - low)
    };
    let mean = sorted.iter().sum::<f64>() / n;
    figures.extend([
        ("min", sorted[0]),
        ("max", sorted[count - 1]),
        ("mean", mean),
        ("median", percentile(50)),
    ]);
    for (name, percent, fewest) in [("p90", 90, 64), ("p95", 95, 130), ("p99", 99, 662)] {
        if count >= fewest {
            figures.insert(name, percentile(percent));
        }
    }
    if n >= 2.0 {
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        figures.insert("standard_deviation", (squares / (n - 1.0)).sqrt());
    }
    figures
}

#[track_caller]
fn check(query: &str, found: &[Value], expected: &Groups) {
    let keys: Vec<(String, Option<String>)> = found
        .iter()
        .map(|it| {
            let day = it["day"].as_str().map(str::to_owned);
            (it["model"].as_str().unwrap().to_owned(), day)
        })
        .collect();
    assert_eq!(
        keys,
        expected.keys().cloned().collect::<Vec<_>>(),
        "{query}"
    );
    let requests: u64 = expected.values().map(|it| it.succeeded + it.failed).sum();
    for (one, expected) in found.iter().zip(expected.values()) {
        let counts = [&one["runs"], &one["succeeded"], &one["failed"]];
        let known = [
            expected.runs.len() as u64,
            expected.succeeded,
            expected.failed,
        ];
        assert_eq!(counts, known.map(Value::from).each_ref(), "{query}: {one}");
        for (values, (_, name)) in expected.values.iter().zip(FIGURES) {
            let (figure, exact) = (&one[name], exact(values));
            if !values.is_empty() {
                assert_eq!(
                    figure["resolution"].is_null(),
                    requests <= 10_000,
                    "{query}"
                );
            }
            let resolution = figure["resolution"].as_f64().unwrap_or_default() * 1.000_001;
            for statistic in [
                "n",
                "min",
                "max",
                "mean",
                "standard_deviation",
                "median",
                "p90",
                "p95",
                "p99",
            ] {
                let is_of_order = statistic == "median" || statistic.starts_with('p');
                let share = if is_of_order { resolution } else { 0.0 };
                match (figure[statistic].as_f64(), exact.get(statistic)) {
                    (Some(found), Some(exact)) => assert!(
                        (found - exact).abs() <= (share + 1e-9) * exact,
                        "{query}: {name} {statistic} {found} {exact}"
                    ),
                    (found, exact) => {
                        assert_eq!(found.as_ref(), exact, "{query}: {name} {statistic}");
                    }
                }
            }
        }
    }
}

/// Whether a model of a run fits a filter.
type Fits<'a> = Box<dyn Fn(&Value, &str) -> bool + 'a>;

/// Every filter, by the way that serves it, against all requests.
async fn check_all(place: &Place, runs: &[Value]) {
    let within = |run: &Value, from: &str, to: &str| {
        let time = moment(run["timestamp"].as_str().unwrap());
        moment(from) <= time && time < moment(to)
    };
    let (from, to) = ("2023-03-01T00:00:00Z", "2024-11-05T00:00:00Z");
    let (cut_from, cut_to) = ("2022-06-03T11:22:33Z", "2025-02-01T18:00:00Z");
    let filters: Vec<(String, Fits)> = vec![
        (String::new(), Box::new(|_, _| true)),
        ("model=beta".into(), Box::new(|_, model| model == "beta")),
        (
            "model=beta@ollama&backend=ollama".into(),
            Box::new(|_, model| model == "beta"),
        ),
        ("backend=elsewhere".into(), Box::new(|_, _| false)),
        (
            format!("from={from}&to={to}"),
            Box::new(|run, _| within(run, from, to)),
        ),
        (
            format!("from={cut_from}&to={cut_to}"),
            Box::new(|run, _| within(run, cut_from, cut_to)),
        ),
        (
            format!("from={cut_from}&to=2022-06-03T23:00:00Z"),
            Box::new(|run, _| within(run, cut_from, "2022-06-03T23:00:00Z")),
        ),
        (
            "status=partial".into(),
            Box::new(|run, _| run["status"] == "partial"),
        ),
        (
            "status=completed".into(),
            Box::new(|run, _| run["status"] == "completed"),
        ),
        (
            format!("tag=t1&model=alpha&from={cut_from}"),
            Box::new(|run, model| {
                run["request"]["tags"][0] == "t1"
                    && model == "alpha"
                    && moment(cut_from) <= moment(run["timestamp"].as_str().unwrap())
            }),
        ),
        (
            "q=RUN%202".into(),
            Box::new(|run, _| run["request"]["name"] == "run 2"),
        ),
    ];
    for (filter, fits) in filters {
        for bucket in ["", "&bucket=day"] {
            let query = format!("?{filter}{bucket}");
            let expected = by_hand(runs, !bucket.is_empty(), &fits);
            check(&query, &place.statistics(&query).await, &expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_those_of_every_request_and_follow_what_comes_and_goes() {
    let place = place().await;
    assert_eq!(place.statistics("").await, Vec::<Value>::new());
    let template = place.server.run(&request(&[QUICK])).await;
    let path = format!(
        "/api/benchmarks/history/{}",
        template["id"].as_str().unwrap()
    );
    assert_eq!(place.statistics("").await.len(), 1);
    assert_eq!(place.server.delete(&path).await.status, 204);
    assert_eq!(place.statistics("").await, Vec::<Value>::new());
    let template = {
        let mut template = template;
        template["samples"] = Value::Null;
        template["results"][0]["chunks"] = Value::Null;
        template
    };

    // More than are kept one by one.
    let mut all = runs(&template, 0, 120, 87);
    place.import(&all).await;
    check_all(&place, &all).await;

    let gone = all.remove(17);
    let path = format!("/api/benchmarks/history/{}", gone["id"].as_str().unwrap());
    assert_eq!(place.server.delete(&path).await.status, 204);
    let more = runs(&template, 120, 12, 7);
    place.import(&more).await;
    all.extend(more);
    check_all(&place, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_told() {
    let place = place().await;
    let answer = place
        .server
        .get("/api/benchmarks/statistics?bucket=week")
        .await;
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text);
    let text = "x".repeat(1001);
    let answer = place
        .server
        .get(&format!("/api/benchmarks/statistics?q={text}"))
        .await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["/q"]);
}

/// What loading is part of is never averaged over requests that loaded the model and such that did not: neither as a
/// run is measured nor as it is imported.
#[tokio::test(flavor = "multi_thread")]
async fn cold_requests_are_apart() {
    let place = place().await;
    let mut ids = Vec::new();
    let mut cold = request(&["slow-start@reference"]);
    cold["repetitions"] = json!(3);
    cold["warmup"] = json!(0);
    cold["parameters"] = json!({"num_predict": 4});
    for cold_start in [false, true] {
        cold["cold_start"] = json!(cold_start);
        let run = place.server.run(&cold).await;
        assert_eq!(run["status"], "completed", "{run}");
        assert_eq!(run["results"][2]["cold_start"], cold_start);
        ids.push(run["id"].as_str().unwrap().to_owned());
    }
    let check = async || {
        let found = &place.statistics("?model=slow-start").await[0];
        assert_eq!(
            (&found["succeeded"], &found["failed"]),
            (&json!(6), &json!(0))
        );
        assert_eq!(found["time_to_first_chunk"]["n"], 2, "{found}");
        assert_eq!(found["total_time"]["n"], 2);
        assert_eq!(found["output_tokens_per_second"]["n"], 6);
        assert!(found["time_to_first_chunk"]["max"].as_f64().unwrap() < 0.7);
    };
    check().await;
    let mut stored = Vec::new();
    for id in &ids {
        let path = format!("/api/benchmarks/history/{id}");
        stored.push(place.server.get(&path).await.body);
        assert_eq!(place.server.delete(&path).await.status, 204);
    }
    place.import(&stored).await;
    check().await;
}

/// Whoever stops a run does not make its model fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_stopped_did_not_fail() {
    let place = place().await;
    let body = request(&["script:tokens=9999,gap=20@reference"]);
    let started = place.server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    place.server.heard(id, "text_arrived").await;
    let path = format!("/api/benchmarks/{id}/cancel");
    let cancelled = place.server.post(&path, &json!(null)).await;
    assert_eq!(cancelled.body["summary"][0]["failed"], 0);
    let failed: u64 = place
        .statistics("")
        .await
        .iter()
        .filter_map(|it| it["failed"].as_u64())
        .sum();
    assert_eq!(failed, 0);
}
