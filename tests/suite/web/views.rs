//! Views by a name, runs that are chosen, and statistics.

use serde_json::json;

use super::content;
use crate::support::{self, Server};

/// 20 tokens a second slower than the other.
const SLOW: &str = "script:tokens=6,ttft=5,gap=40@reference";
const FAST: &str = "script:tokens=6,ttft=5,gap=5@reference";

async fn run(server: &Server, model: &str, prompt: &str) -> String {
    let fields = [
        ("prompt", prompt),
        ("models", model),
        ("repetitions", "2"),
        ("warmup", "0"),
    ];
    server.benchmark(&fields).await
}

#[tokio::test]
async fn a_view_is_kept_by_a_name_and_is_a_link() {
    let server = support::start().await;
    run(&server, FAST, "x").await;
    let page = server
        .page("/history?tag=a%26b&sort=total_time&limit=5&odd=1")
        .await;
    let query = "tag=a%26b&sort=total%5Ftime&limit=5";
    let hidden = format!("name=\"query\" value=\"{}\"", query.replace('&', "&amp;"));
    page.holds(200, &[&hidden, "Save this view by a name"]);
    let name = "<b>slow & \"mine\"</b>";
    let saved = server
        .send("/ui/views", &[("name", name), ("query", query)])
        .await;
    let link = format!(
        "href=\"/history?{}\" aria-current=\"page\"",
        query.replace('&', "&amp;")
    );
    saved.holds(
        200,
        &[
            "Saved views",
            &link,
            "&lt;b&gt;slow &amp; &quot;mine&quot;&lt;/b&gt;",
        ],
    );
    assert!(!saved.text.contains("<b>"), "{}", saved.text);

    let views = server.get("/api/views").await.body;
    assert_eq!(
        (&views[0]["name"], &views[0]["query"]),
        (&json!(name), &json!(query))
    );
    let id = views[0]["id"].as_str().unwrap();
    let gone = server.send(&format!("/ui/views/{id}/delete"), &[]).await;
    assert!(
        gone.status == 200 && !gone.text.contains("Saved views"),
        "{}",
        gone.text
    );
    assert_eq!(server.delete(&format!("/api/views/{id}")).await.status, 404);
}

#[tokio::test]
async fn what_is_no_view_is_not_kept() {
    let server = support::start().await;
    let empty = server
        .send("/ui/views", &[("name", " "), ("query", "")])
        .await;
    empty.holds(
        422,
        &["The view was not saved: its name must have 1 to 120 characters."],
    );
    let body = json!({"name": "x", "query": "cursor=1"});
    let answer = server.post("/api/views", &body).await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["/query"]);
    assert_eq!(server.get("/api/views").await.body, json!([]));
}

#[tokio::test]
async fn a_run_shows_how_it_stands_against_the_one_before() {
    let server = support::start().await;
    run(&server, FAST, "x").await;
    let first = server.page("/history").await;
    first.holds(200, &["over time</span>"]);
    assert!(!first.text.contains("class=\"step faster\""));
    run(&server, FAST, "x").await;
    run(&server, FAST, "another").await;
    let page = server.page("/history").await;
    let rows: Vec<&str> = page.text.split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 3);
    // The newest asked for something else, and the first has none before it.
    let has_mark =
        |row: &str| row.contains("than the benchmark before") || row.contains("no sure difference");
    let marks: Vec<bool> = rows.iter().map(|row| has_mark(row)).collect();
    assert_eq!(marks, [false, true, false], "{}", page.text);
    assert!(rows[1].contains("href=\"/trend?model="), "{}", rows[1]);
}

#[tokio::test]
async fn chosen_runs_are_taken_out_and_deleted() {
    let server = support::start().await;
    let mut ids = Vec::new();
    for prompt in ["one", "two", "three"] {
        ids.push(run(&server, FAST, prompt).await);
    }
    let page = server.page("/history?limit=2").await;
    page.holds(
        200,
        &[
            "chosen=all",
            "aria-label=\"Choose all benchmarks on this page\"",
        ],
    );
    assert!(!page.text.contains(" checked"));
    let all = server.page("/history?limit=2&chosen=all").await;
    assert_eq!(all.text.matches(" checked").count(), 2);
    // Neither is part of a link to another page.
    assert!(!all.text.contains("cursor=7b&amp;chosen"), "{}", all.text);

    let chosen = format!("ids={}&ids={}", ids[0], ids[2]);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = format!("{}/history/export?format=csv&{chosen}", server.url);
    let answer = client.build().unwrap().get(url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 303);
    let address = format!(
        "/api/benchmarks/export?format=csv&ids={},{}",
        ids[0], ids[2]
    );
    assert_eq!(answer.headers()["location"].to_str().unwrap(), address);

    let asked = server.page(&format!("/history/delete?{chosen}")).await;
    asked.holds(
        200,
        &["Delete 2 benchmarks?", &ids[0], &ids[2], "Keep them"],
    );
    let fields: Vec<(&str, &str)> = [&ids[0], &ids[2]]
        .iter()
        .map(|id| ("ids", id.as_str()))
        .collect();
    let gone = server.send("/ui/history/delete", &fields).await;
    gone.holds(200, &["2 benchmarks were deleted.", &ids[1]]);
    assert!(!gone.text.contains(&ids[0]));
    let again = server.send("/ui/history/delete", &fields).await;
    again.holds(
        200,
        &["0 benchmarks were deleted. 2 were not there any more."],
    );
    for path in [
        "/history/delete",
        "/history/export?format=json",
        "/history/delete?ids=x",
    ] {
        assert_eq!(server.page(path).await.status, 422, "{path}");
    }
}

#[tokio::test]
async fn everything_that_a_view_shows_can_be_taken_out() {
    let server = support::start().await;
    run(&server, FAST, "one").await;
    let page = server
        .page("/history?to=2100-01-01&q=o%26e&status=completed&sort=model")
        .await;
    assert_eq!(page.status, 200);
    let page = server
        .page("/history?to=2100-01-01&q=one&status=completed&sort=model")
        .await;
    let address = "/api/benchmarks/export?format=mongodb&amp;status=completed&amp;to=2100%2D01%2D02T00%3A00%3A00Z&amp;q=one";
    page.holds(200, &[address, "Export everything that fits these filters"]);
}

#[tokio::test]
async fn statistics_are_a_row_for_each_model() {
    let server = support::start().await;
    server
        .page("/statistics")
        .await
        .holds(200, &["is stored yet"]);
    run(&server, FAST, "one").await;
    run(&server, SLOW, "two").await;
    let page = content(&server.page("/statistics").await);
    let (table, all) = page.rsplit_once("<details>").unwrap();
    insta::assert_snapshot!(table);
    assert_eq!(all.matches("<tr>").count(), 13);
    let filtered = server.page("/statistics?q=two").await;
    filtered.holds(200, &["gap=40", "href=\"/history?q=two\""]);
    assert!(!filtered.text.contains("gap=5<"), "{}", filtered.text);
    server
        .page("/statistics?q=three")
        .await
        .holds(200, &["fits."]);
    server
        .page("/statistics?from=soon")
        .await
        .holds(422, &["must be a date such as"]);
}

#[tokio::test]
async fn models_are_compared_over_their_runs() {
    let server = support::start().await;
    for model in [FAST, FAST, SLOW] {
        run(&server, model, "one").await;
    }
    run(&server, FAST, "another").await;
    let encoded = |text: &str| {
        text.replace('=', "%3D")
            .replace(',', "%2C")
            .replace('@', "%40")
            .replace(':', "%3A")
    };
    let models = format!("models={}&models={}", encoded(FAST), encoded(SLOW));
    let found = server
        .get(&format!("/api/benchmarks/compare?{models}"))
        .await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert_eq!(found.body["runs"].as_array().unwrap().len(), 3);
    let row = &found.body["rows"][0];
    assert_eq!(
        (&row["baseline_n"], &row["candidate_n"]),
        (&json!(4), &json!(2))
    );
    let page = server.page(&format!("/compare?{models}")).await;
    page.holds(200, &["asked these models for the same", "What differed"]);
    for id in found.body["runs"].as_array().unwrap() {
        let link = format!("href=\"/runs/{}\"", id.as_str().unwrap());
        page.holds(200, &[&link]);
    }
    let one = server
        .get(&format!(
            "/api/benchmarks/compare?models={}",
            encoded("steady@reference")
        ))
        .await;
    one.problem(422);
    assert_eq!(one.pointers(), ["/models"]);
    let unknown = server.page("/compare?models=a,b").await;
    unknown.holds(422, &["No stored benchmark has an answer of a@ollama"]);
    run(&server, "steady@reference", "other").await;
    let models = format!("models={}&models=steady@reference", encoded(SLOW));
    let page = server.page(&format!("/compare?{models}")).await;
    page.holds(
        422,
        &["No stored benchmarks asked all of these models for the same"],
    );
}
