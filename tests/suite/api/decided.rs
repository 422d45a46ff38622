//! Runs that end as soon as it is sure which model is fastest.

use serde_json::{Value, json};

use crate::support::start;

const QUICK: &str = "script:tokens=20,ttft=5,gap=1@reference";
const SLOW: &str = "script:tokens=20,ttft=5,gap=4@reference";

fn request(repetitions: u32) -> Value {
    json!({
        "prompt": "x", "models": [SLOW, QUICK], "warmup": 1, "repetitions": repetitions,
        "execution": "interleaved", "until_decided": true,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_difference_ends_the_run() {
    let server = start().await;
    let run = server.run(&request(200)).await;
    assert_eq!(run["status"], "completed", "{}", run["status_reason"]);
    let results = run["results"].as_array().unwrap();
    // Two warm-ups, then as many of both, in turns; a loaded machine may need more than one look.
    assert_eq!(run["total_requests"], results.len());
    assert!((12..100).contains(&results.len()), "{}", results.len());
    let names: Vec<&str> = results[2..6]
        .iter()
        .map(|it| it["model"].as_str().unwrap())
        .collect();
    assert_eq!(names[0], names[3]);
    assert_eq!(names[1], names[2]);
    assert_ne!(names[0], names[1]);
    let id = run["id"].as_str().unwrap();
    let page = server.get(&format!("/runs/{id}")).await;
    assert!(page.text.contains("It was decided after "), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repetitions_that_it_may_have_are_the_most() {
    let server = start().await;
    let run = server.run(&request(5)).await;
    assert_eq!(run["results"].as_array().unwrap().len(), 12);
    assert_eq!(run["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_is_refused() {
    let server = start().await;
    let mut alone = request(9);
    alone["models"] = json!([QUICK]);
    let mut in_order = request(9);
    in_order["execution"] = json!("sequential");
    let mut loaded = request(1);
    loaded["execution"] = json!("sequential");
    loaded["load"] = json!({"max_requests": 4});
    for (body, pointer) in [
        (alone, "/until_decided"),
        (in_order, "/execution"),
        (request(4), "/repetitions"),
        (loaded, "/until_decided"),
    ] {
        let answer = server.post("/api/benchmarks/start", &body).await;
        answer.problem(422);
        assert!(answer.pointers().contains(&pointer), "{}", answer.text);
    }
}
