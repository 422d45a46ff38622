//! A run as one file, and as a picture.

use super::QUICK;
use crate::support;

const ENDLESS: [(&str, &str); 4] = [
    ("prompt", "x"),
    ("models", "script:tokens=100,ttft=20,gap=60000@reference"),
    ("repetitions", "1"),
    ("warmup", "0"),
];

#[tokio::test]
async fn a_report_needs_nothing_else() {
    let server = support::start().await;
    let id = server.benchmark(&QUICK).await;
    let result = server.page(&format!("/runs/{id}")).await;
    assert!(result.text.contains(&format!("href=\"/runs/{id}/report\"")));
    let report = server.page(&format!("/runs/{id}/report")).await;
    report.holds(
        200,
        &[
            "<h1 class=\"headline\">",
            "Timeline of the run",
            "What the columns mean",
            "class=\"swatch series-1\"",
            ".swatch {",
            "addEventListener(\"pointermove\"",
        ],
    );
    let name = format!("attachment; filename=\"benchmark-{id}.html\"");
    assert_eq!(report.header("content-disposition"), name);
    // Nothing is loaded, sent or led to but places in the file itself.
    for way_out in [
        " src=", "action=", "<link", "href=\"/", "hx-", "http://", "https://",
    ] {
        let at = report.text.find(way_out);
        let around = at.map(|at| report.text.get(at.saturating_sub(60)..at + 60));
        assert_eq!(around, None, "{way_out}");
    }
    for policy in [
        "default-src 'none'",
        "style-src &#x27;sha256-",
        "script-src &#x27;sha256-",
    ] {
        assert!(report.text.contains(policy), "{policy}");
    }
}

#[tokio::test]
async fn a_card_is_a_picture_of_the_sentence_and_the_rates() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    fields.push(("name", "<b>a & b</b>"));
    let id = server.benchmark(&fields).await;
    let card = server.page(&format!("/runs/{id}/card.svg")).await;
    assert_eq!(
        (card.status, card.header("content-type")),
        (200, "image/svg+xml")
    );
    assert!(card.text.starts_with("<svg xmlns="), "{}", card.text);
    for part in [
        "steady (synthetic)",
        "tokens/s",
        "first chunk",
        "&lt;b&gt;a &amp; b",
    ] {
        assert!(card.text.contains(part), "{part}: {}", card.text);
    }
    assert_eq!(card.text.matches("height=\"30\"").count(), 2);
    assert!(!card.text.contains("<b>"));
}

#[tokio::test]
async fn what_failed_has_a_card_and_a_report_too() {
    let server = support::start().await;
    let mut fields = ENDLESS.to_vec();
    fields[1].1 = "fault-truncated@reference";
    let id = server.benchmark(&fields).await;
    let card = server.page(&format!("/runs/{id}/card.svg")).await;
    assert!(
        card.text.contains("No decode rate was measured."),
        "{}",
        card.text
    );
    let report = server.page(&format!("/runs/{id}/report")).await;
    report.holds(200, &["There are no figures"]);
}

#[tokio::test]
async fn there_is_no_report_before_the_end() {
    let server = support::start().await;
    server.send("/ui/runs", &ENDLESS).await;
    let history = server.get("/api/benchmarks/history").await;
    let id = history.body[0]["id"].as_str().unwrap().to_owned();
    for file in ["report", "card.svg"] {
        let early = server.page(&format!("/runs/{id}/{file}")).await;
        early.holds(409, &["goes on"]);
        let unknown = server
            .page(&format!("/runs/{}/{file}", "0".repeat(24)))
            .await;
        unknown.holds(404, &[]);
    }
}
