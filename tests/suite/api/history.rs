use serde_json::{Value, json};

use super::{LONG, QUICK, request};
use crate::support::{Server, start};

fn names(runs: &Value) -> Vec<&str> {
    runs.as_array()
        .unwrap()
        .iter()
        .map(|run| run["request"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_finds_sorts_and_pages() {
    let server = start().await;
    fill(&server).await;
    let all = ["epsilon", "delta", "gamma", "beta", "alpha 100%"];
    for (query, expected) in [
        ("", &all[..]),
        (
            "?order=asc",
            &["alpha 100%", "beta", "gamma", "delta", "epsilon"],
        ),
        ("?tag=nightly", &["beta", "alpha 100%"]),
        ("?status=failed", &["gamma"]),
        ("?q=BETA", &["beta"]),
        ("?q=0%25", &["alpha 100%"]),
        ("?q=%25a", &[]),
        ("?q=sky+blue", &all),
        ("?model=fault-truncated", &["gamma"]),
        ("?model=fault-truncated@reference", &["gamma"]),
        ("?model=fault-truncated@ollama", &[]),
        ("?backend=reference", &all),
        ("?backend=ollama", &[]),
        ("?from=2100-01-01T00:00:00Z", &[]),
        ("?to=2100-01-01T00:00:00Z", &all),
        (
            "?sort=time_to_first_chunk&order=asc",
            &["beta", "epsilon", "delta", "alpha 100%", "gamma"],
        ),
    ] {
        let answer = server.get(&format!("/api/benchmarks/history{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let found = names(&answer.body);
        if query.starts_with("?sort=time") {
            // The two quick ones may come in either order; what is unknown comes last.
            assert_eq!(found[2..], expected[2..], "{query}");
        } else {
            assert_eq!(found, expected, "{query}");
        }
        assert!(
            answer
                .body
                .as_array()
                .unwrap()
                .iter()
                .all(|run| run["samples"].is_null() && run["results"][0]["chunks"].is_null())
        );
    }
    pages_add_up(&server).await;
}

/// Five runs, each different in what history looks at.
async fn fill(server: &Server) {
    for (name, model, tag) in [
        (
            "alpha 100%",
            "script:tokens=4,ttft=60,gap=1@reference",
            "nightly",
        ),
        ("beta", QUICK, "nightly"),
        ("gamma", "fault-truncated@reference", "broken"),
        ("delta", "script:tokens=4,ttft=30,gap=1@reference", ""),
        ("epsilon", QUICK, ""),
    ] {
        let mut body = request(&[model]);
        body["warmup"] = json!(0);
        body["repetitions"] = json!(1);
        body["name"] = json!(name);
        if !tag.is_empty() {
            body["tags"] = json!([tag]);
        }
        server.run(&body).await;
    }
}

/// Every view read page by page is the view read at once.
async fn pages_add_up(server: &Server) {
    for sort in [
        "timestamp",
        "status",
        "model",
        "time_to_first_chunk",
        "output_tokens_per_second",
        "total_time",
    ] {
        for order in ["asc", "desc"] {
            let view = format!("/api/benchmarks/history?sort={sort}&order={order}");
            let whole = server.get(&view).await;
            let mut paged = Vec::new();
            let mut next = Some(format!("{view}&limit=2"));
            while let Some(path) = next {
                let page = server.get(&path).await;
                assert_eq!(page.status, 200, "{}", page.text);
                paged.extend(names(&page.body).into_iter().map(str::to_owned));
                let link = page.header("link");
                next = link
                    .strip_prefix('<')
                    .and_then(|it| it.split_once(">; rel=\"next\""))
                    .map(|(path, _)| path.to_owned());
            }
            assert_eq!(paged, names(&whole.body), "{view}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_gone_and_what_runs_is_not_deleted() {
    let server = start().await;
    let run = server.run(&request(&[QUICK])).await;
    let path = format!("/api/benchmarks/history/{}", run["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).await.status, 204);
    server.get(&path).await.problem(404);
    server.delete(&path).await.problem(404);
    assert_eq!(server.get("/api/benchmarks/history").await.body, json!([]));

    let started = server
        .post("/api/benchmarks/start", &request(&[LONG]))
        .await;
    let id = started.body["id"].as_str().unwrap();
    server
        .delete(&format!("/api/benchmarks/history/{id}"))
        .await
        .problem(409);
    server
        .post(&format!("/api/benchmarks/{id}/cancel"), &json!(null))
        .await;
    assert_eq!(
        server
            .delete(&format!("/api/benchmarks/history/{id}"))
            .await
            .status,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_deleted_at_once_and_what_stays_is_named() {
    let server = start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let run = server.run(&request(&[QUICK])).await;
        ids.push(run["id"].as_str().unwrap().to_owned());
    }
    let started = server
        .post("/api/benchmarks/start", &request(&[LONG]))
        .await;
    let open = started.body["id"].as_str().unwrap();
    let nobody = "6742f0a1c3d2e1f0a9b8c7d6";
    let path = |ids: &str| format!("/api/benchmarks/history?ids={ids}");
    let some = format!("{},{},{open},{nobody}", ids[0], ids[1]);
    let answer = server.delete(&path(&some)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.body,
        json!({"deleted": 2, "running": [open], "unknown": [nobody]})
    );
    let left = server.get("/api/benchmarks/history").await.body;
    let left: Vec<&str> = left
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap())
        .collect();
    assert_eq!(left, [open, ids[2].as_str()]);
    for wrong in [String::new(), "xyz".into(), [nobody; 501].join(",")] {
        server.delete(&path(&wrong)).await.problem(422);
    }
    server.delete("/api/benchmarks/history").await.problem(422);
    server
        .post(&format!("/api/benchmarks/{open}/cancel"), &json!(null))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_the_database_is_told() {
    let server = start().await;
    server.run(&request(&[QUICK])).await;
    let database = &server.get("/api/system").await.body["database"];
    assert_eq!(database["runs"], 1, "{database}");
    assert!(database["bytes"].as_u64() > Some(10_000), "{database}");
    let place = database["place"].as_str().unwrap();
    match database["kind"].as_str().unwrap() {
        "sqlite" => assert!(place.starts_with('/') && place.ends_with("test.db")),
        "postgres" => assert!(place.contains("/test_") && !place.contains('@'), "{place}"),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_compared() {
    let server = start().await;
    let mut body = request(&["script:tokens=8,ttft=5,gap=2@reference"]);
    body["repetitions"] = json!(6);
    let first = server.run(&body).await;
    body["models"] = json!(["script:tokens=8,ttft=60,gap=2@reference"]);
    let second = server.run(&body).await;
    let ids = format!(
        "{},{}",
        first["id"].as_str().unwrap(),
        second["id"].as_str().unwrap()
    );
    let compared = server
        .get(&format!("/api/benchmarks/compare?ids={ids}"))
        .await;
    assert_eq!(compared.status, 200, "{}", compared.text);
    let rows = compared.body["rows"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["metric"] == "time_to_first_chunk")
        .unwrap();
    assert_eq!(row["verdict"], "slower", "{row}");
    assert!(row["ratio_low"].as_f64().unwrap() > 1.0);
    server
        .get(&format!(
            "/api/benchmarks/compare?ids={}",
            first["id"].as_str().unwrap()
        ))
        .await
        .problem(422);
    server.get("/api/benchmarks/compare").await.problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_saved_listed_and_deleted() {
    let server = start().await;
    assert_eq!(server.get("/api/prompts").await.body, json!([]));
    let saved = server
        .post("/api/prompts", &json!({"name": "sky", "text": "Why?"}))
        .await;
    assert_eq!(saved.status, 201);
    assert_eq!(server.get("/api/prompts").await.body, json!([saved.body]));
    let empty = server
        .post("/api/prompts", &json!({"name": "", "text": " "}))
        .await;
    empty.problem(422);
    assert_eq!(empty.pointers(), ["/name", "/text"]);
    let path = format!("/api/prompts/{}", saved.body["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).await.status, 204);
    server.delete(&path).await.problem(404);
}
