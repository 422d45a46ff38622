//! Stored runs: the address holds the view.

use super::{QUICK, content};
use crate::support::{self, Server};

const FAST: &str = "script:tokens=3,ttft=1,gap=1@reference";

async fn named(server: &Server, name: &str) -> String {
    let fields = [
        ("prompt", "x"),
        ("models", FAST),
        ("repetitions", "1"),
        ("warmup", "0"),
        ("name", name),
        ("tags", name),
    ];
    server.benchmark(&fields).await
}

#[tokio::test]
async fn an_empty_history_says_what_to_do() {
    let server = support::start().await;
    server.page("/history").await.holds(
        200,
        &["No benchmark yet.", "<a href=\"/\">Run the first one</a>"],
    );
    server
        .page("/history?q=x")
        .await
        .holds(200, &["No benchmark fits."]);
}

#[tokio::test]
async fn a_run_is_a_row() {
    let server = support::start().await;
    server.benchmark(&QUICK).await;
    insta::assert_snapshot!(content(&server.page("/history").await));
}

#[tokio::test]
async fn runs_are_filtered_paged_and_sorted_by_links() {
    let server = support::start().await;
    for name in ["one", "two", "three"] {
        named(&server, name).await;
    }
    let filtered = server.page("/history?tag=two").await;
    filtered.holds(200, &[">two</a>", "value=\"two\"", "Show all"]);
    assert!(!filtered.text.contains(">one</a>"));

    let first = server.page("/history?limit=2&status=completed").await;
    first.holds(200, &[">three</a>", ">two</a>", "rel=\"next\""]);
    assert!(!first.text.contains(">one</a>"));
    let next = first
        .text
        .split("href=\"")
        .find(|it| it.contains("rel=\"next\""))
        .unwrap();
    let next = unescaped(next.split('"').next().unwrap());
    let second = server.page(&next).await;
    second.holds(200, &[">one</a>", "First page"]);
    assert!(!second.text.contains(">two</a>") && !second.text.contains("rel=\"next\""));

    let sorted = server.page("/history?sort=timestamp&order=asc").await;
    sorted.holds(200, &["aria-sort=\"ascending\""]);
    let place = |name: &str| sorted.text.find(&format!(">{name}</a>")).unwrap();
    assert!(place("one") < place("two") && place("two") < place("three"));
}

/// Addresses in attributes are escaped.
fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&")
}

#[tokio::test]
async fn filters_that_cannot_be_read_are_told() {
    let server = support::start().await;
    let page = server
        .page("/history?from=soon&limit=9999&status=odd")
        .await;
    page.holds(
        422,
        &[
            "must be a date such as",
            "must be a number from 1 to 500",
            "odd is no status",
            "value=\"soon\"",
        ],
    );
    server
        .page("/history?cursor=rubbish")
        .await
        .holds(422, &["is no cursor of this view"]);
    server
        .page("/history?q=%ff")
        .await
        .holds(400, &["not UTF-8"]);
}

#[tokio::test]
async fn deleting_asks_first() {
    let server = support::start().await;
    let id = named(&server, "doomed").await;
    let asked = server.page(&format!("/runs/{id}/delete")).await;
    asked.holds(200, &["Delete this benchmark?", "doomed", "Keep it"]);
    server.page(&format!("/runs/{id}")).await.holds(200, &[]);
    let gone = server.send(&format!("/ui/runs/{id}/delete"), &[]).await;
    gone.holds(200, &["The benchmark was deleted.", "No benchmark yet."]);
    server.page(&format!("/runs/{id}")).await.holds(404, &[]);
}

#[tokio::test]
async fn chosen_runs_are_compared() {
    let server = support::start().await;
    let (a, b) = (
        named(&server, "first").await,
        named(&server, "second").await,
    );
    let page = server.page(&format!("/compare?ids={a}&ids={b}")).await;
    page.holds(
        200,
        &[
            "Everything is compared with",
            " rate of <strong>",
            "First chunk",
            "What differed",
            ">second</a>",
        ],
    );
    let same = server.page(&format!("/compare?ids={a},{b}")).await;
    assert_eq!(same.text, page.text);
    server
        .page("/compare")
        .await
        .holds(200, &["Choose two or more benchmarks"]);
    server
        .page("/compare?ids=zz")
        .await
        .holds(422, &["`zz` is not an id"]);
    server
        .page(&format!("/compare?ids={a}"))
        .await
        .holds(422, &["A comparison needs two runs"]);
    server
        .page(&format!("/compare?ids={a},6742f0a1c3d2e1f0a9b8c7d6"))
        .await
        .holds(404, &["there is no benchmark"]);
    let many = vec!["6742f0a1c3d2e1f0a9b8c7d6"; 101].join(",");
    server
        .page(&format!("/compare?ids={many}"))
        .await
        .holds(422, &["at most 100"]);
}
