//! One model over the stored runs.

use serde_json::json;

use crate::support::start;

const MODEL: &str = "script:tokens=8,ttft=5,gap=1@reference";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_shown_from_run_to_run() {
    let server = start().await;
    let body = json!({"prompt": "x", "models": [MODEL], "repetitions": 5});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let run = server.run(&body).await;
        ids.push(run["id"].as_str().unwrap().to_owned());
    }
    // The newest asks for something else.
    let other = json!({"prompt": "another", "models": [MODEL]});
    server.run(&other).await;
    let newest = server
        .get("/api/benchmarks/trend?model=script%3Atokens%3D8%2Cttft%3D5%2Cgap%3D1%40reference")
        .await;
    assert_eq!(newest.body["points"].as_array().unwrap().len(), 1);
    let path = format!(
        "model=script%3Atokens%3D8%2Cttft%3D5%2Cgap%3D1%40reference&like={}",
        ids[0]
    );
    let trend = server
        .get(&format!("/api/benchmarks/trend?{path}"))
        .await
        .body;
    let points: Vec<&str> = (trend["points"].as_array().unwrap().iter())
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(points, ids);
    assert_eq!(trend["points"][0]["time_to_first_chunk"]["n"], 5);
    assert_eq!(trend["changes"], json!([]));
    let result = server.get(&format!("/runs/{}", ids[0])).await;
    assert!(
        result
            .text
            .contains(&format!("trend?{}", path.replace('&', "&amp;"))),
        "{}",
        result.text
    );
    let page = server.get(&format!("/trend?{path}")).await;
    assert_eq!(page.status, 200);
    for words in [
        "2 benchmarks that asked the same of it",
        "Nothing changed that is known",
        "<svg",
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_runs_and_a_name_that_is_none_are_told() {
    let server = start().await;
    let page = server.get("/trend?model=nothing").await;
    assert_eq!(page.status, 200);
    assert!(
        page.text
            .contains("No stored benchmark has an answer of this model")
    );
    let empty = server.get("/trend").await;
    assert!(empty.text.contains("Choose a model"), "{}", empty.text);
    let unknown = server
        .get("/api/benchmarks/trend?model=x&like=0123456789abcdef01234567")
        .await;
    unknown.problem(404);
    let answer = server.get("/api/benchmarks/trend?model=%40").await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["/model"]);
    let missing = server.get("/api/benchmarks/trend").await;
    assert!(
        missing.status == 400 || missing.status == 422,
        "{}",
        missing.text
    );
    let page = server.get("/trend?model=%40").await;
    assert_eq!(page.status, 422);
}
