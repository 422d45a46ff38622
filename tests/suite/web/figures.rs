//! What figures mean: one click from where they are shown, in the words of the API.

use std::collections::BTreeSet;

use serde_json::Value;

use super::QUICK;
use crate::support::{self, Server};

/// A table behind a drawing is of that drawing's figure, which is named above it.
const BEHIND_A_DRAWING: &str = "<summary>The same as a table</summary>";

const ENDLESS: [(&str, &str); 4] = [
    ("prompt", "x"),
    ("models", "script:tokens=100,ttft=20,gap=60000@reference"),
    ("repetitions", "1"),
    ("warmup", "0"),
];

/// The figures that a page leads to, by their names.
fn led_to(page: &str) -> BTreeSet<&str> {
    let links = page.split("href=\"/figures#").skip(1);
    links.filter_map(|rest| rest.split('"').next()).collect()
}

/// The headings of figures, of all tables but those behind drawings.
fn headings(page: &str) -> Vec<&str> {
    let mut parts = page.split(BEHIND_A_DRAWING);
    let first = parts.next().unwrap_or_default();
    let after = parts.map(|part| part.split_once("</table>").map_or("", |(_, rest)| rest));
    std::iter::once(first)
        .chain(after)
        .flat_map(|part| part.split("<th scope=\"col\" class=\"number\"").skip(1))
        .filter_map(|rest| rest.split("</th>").next())
        .collect()
}

/// Names, fields of the API and texts of what a page explains.
fn explained(page: &str) -> Vec<(String, String, String)> {
    let (_, page) = page.split_once("<dl class=\"meanings\">").unwrap();
    let mut found = Vec::new();
    for part in page.split("<div id=\"").skip(1) {
        let (name, rest) = part.split_once('"').unwrap();
        let (_, rest) = rest.split_once("<code>").unwrap();
        let (field, rest) = rest.split_once("</code>").unwrap();
        let (_, rest) = rest.split_once("<dd>").unwrap();
        let (text, _) = rest.split_once("</dd>").unwrap();
        let text = text.replace("&#x27;", "'").replace("&quot;", "\"");
        let text = text.replace("&lt;", "<").replace("&gt;", ">");
        let text = text.replace("&amp;", "&");
        found.push((name.to_owned(), field.to_owned(), text));
    }
    found
}

async fn check(server: &Server, path: &str, shown: &[&str], sorted_by_heading: bool) {
    let page = server.page(path).await;
    assert_eq!(page.status, 200, "{path}: {}", page.text);
    let links = led_to(&page.text);
    for name in shown {
        assert!(links.contains(name), "{path} does not explain {name}");
    }
    let glossary = server.page("/figures").await.text;
    for name in links {
        assert!(
            glossary.contains(&format!("<div id=\"{name}\">")),
            "{path}: {name} leads nowhere"
        );
    }
    for heading in headings(&page.text)
        .into_iter()
        .filter(|_| !sorted_by_heading)
    {
        let is_of_stall = heading == ">Usually" || heading == ">Then";
        assert!(
            heading.contains("class=\"term\" href=\"/figures#") || is_of_stall,
            "{path}: nothing says what {heading} is"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_that_is_shown_has_its_meaning() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    fields[1].1 = "thinking@reference";
    let id = server.benchmark(&fields).await;
    let result = [
        "succeeded",
        "time_to_first_chunk",
        "time_to_first_output",
        "output_tokens_per_second",
        "server_output_tokens_per_second",
        "inter_chunk_latency",
        "total_time",
        "load_time",
        "median",
        "interval",
        "percentiles",
    ];
    check(&server, &format!("/runs/{id}"), &result, false).await;
    let compare = format!("/compare?ids={id}");
    let found = server.get(&format!("/api/benchmarks{compare}")).await.body;
    let rows = found["rows"].as_array().unwrap();
    let mut compared: Vec<&str> = rows.iter().filter_map(|it| it["metric"].as_str()).collect();
    assert!(compared.len() > 5, "{compared:?}");
    compared.extend(["verdict", "ratio", "ratio_interval"]);
    check(&server, &compare, &compared, false).await;
    let statistics = [
        "runs",
        "succeeded",
        "failed",
        "time_to_first_chunk",
        "time_per_output_token",
        "request_latency",
        "total_time",
        "output_tokens_per_second",
        "bytes_per_second",
        "p95",
        "standard_deviation",
    ];
    check(&server, "/statistics", &statistics, false).await;
    let history = [
        "time_to_first_chunk",
        "output_tokens_per_second",
        "total_time",
    ];
    check(&server, "/history", &history, true).await;
    let trend = ["time_to_first_chunk", "output_tokens_per_second"];
    check(&server, "/trend?model=thinking%40reference", &trend, false).await;
    server.send("/ui/runs", &ENDLESS).await;
    let newest = server.get("/api/benchmarks/history?limit=1").await;
    let live = format!("/runs/{}", newest.body[0]["id"].as_str().unwrap());
    let of_live = [
        "time_to_first_chunk",
        "chunks_per_second",
        "cpu_percent",
        "memory_percent",
        "server_cpu",
        "utilization_percent",
        "cpu_temperature_celsius",
    ];
    check(&server, &live, &of_live, false).await;
}

#[tokio::test]
async fn meanings_are_the_words_of_the_specification() {
    let server = support::start().await;
    let specification: Value = server.get("/openapi.json").await.body;
    let page = server.page("/figures").await;
    let explained = explained(&page.text);
    assert!(explained.len() > 40, "{}", explained.len());
    for (name, field, text) in explained {
        let (schema, property) = field.split_once('.').unwrap();
        let described = &specification["components"]["schemas"][schema]["properties"][property];
        let described = described["description"].as_str().unwrap_or_default();
        let words: Vec<&str> = described.split_whitespace().collect();
        assert_eq!(text, words.join(" "), "{name}");
    }
}

#[tokio::test]
async fn a_report_explains_itself() {
    let server = support::start().await;
    let id = server.benchmark(&QUICK).await;
    let report = server.page(&format!("/runs/{id}/report")).await.text;
    let links = report.split("href=\"#figure-").skip(1);
    let names: BTreeSet<&str> = links.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(
            report.contains(&format!("<div id=\"figure-{name}\">")),
            "{name}"
        );
    }
}
