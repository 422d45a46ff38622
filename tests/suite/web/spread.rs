//! How the values of a figure lie: boxes and curves of what is compared, and of a run's models.

use super::{QUICK, content};
use crate::support;

#[tokio::test]
async fn what_is_compared_is_drawn_figure_by_figure() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    fields[3].1 = "6";
    let id = server.benchmark(&fields).await;
    let address = format!("/compare?ids={id}");
    let page = server.page(&address).await;
    page.holds(
        200,
        &[
            "How the values lie: First chunk",
            "aria-label=\"First chunk: a box for each, figures in the table below\"",
            "aria-label=\"First chunk: a curve of percentiles for each, figures in the table below\"",
            &format!("/compare?ids={id}&amp;figure=total%5Ftime#spread"),
        ],
    );
    // A box, its median and the bracket of the median's interval for each model.
    for part in [
        "class=\"box series-",
        "class=\"middle\"",
        "class=\"whiskers\"",
    ] {
        assert_eq!(page.text.matches(part).count(), 2, "{part}");
    }
    // The figures of the table are those of the API.
    let rate = server.page(&format!("{address}&figure=total_time")).await;
    rate.holds(200, &["How the values lie: Total time"]);
    let found = server.get(&format!("/api/benchmarks{address}")).await.body;
    let spreads = found["spreads"].as_array().unwrap();
    let of_figure: Vec<_> = spreads
        .iter()
        .filter(|it| it["metric"] == "total_time")
        .collect();
    assert_eq!(of_figure.len(), 2);
    for spread in of_figure {
        assert_eq!(spread["percentiles"].as_array().unwrap().len(), 6);
        assert!(spread["median_low"].is_number() && spread["median_high"].is_number());
        let row = format!(
            "{}</th><td class=\"number\">6</td>",
            spread["label"].as_str().unwrap()
        );
        assert!(rate.text.contains(&row), "{row}");
    }
    let nonsense = server.page(&format!("{address}&figure=nonsense")).await;
    nonsense.holds(200, &["How the values lie: First chunk"]);
    let outline = content(&page);
    let outline: Vec<&str> = outline
        .lines()
        .map(str::trim)
        .filter(|line| {
            line.starts_with("<h") || line.starts_with("<th scope") || line.starts_with("<summary")
        })
        .collect();
    insta::assert_snapshot!(outline.join("\n"));
}

#[tokio::test]
async fn one_request_of_each_has_no_spread() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    fields[3].1 = "1";
    let id = server.benchmark(&fields).await;
    let page = server.page(&format!("/compare?ids={id}")).await;
    page.holds(
        200,
        &["Nothing is drawn: that takes two requests of one side."],
    );
    let result = server.page(&format!("/runs/{id}")).await;
    assert!(!result.text.contains("How requests differ"));
}

#[tokio::test]
async fn a_huge_answer_is_bounded_on_the_page_and_whole_on_demand() {
    let server = support::start().await;
    let fields = [
        ("prompt", "x"),
        (
            "models",
            "script:tokens=8000,ttft=5,gap=0.1,burst=100@reference",
        ),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let id = server.benchmark(&fields).await;
    let page = server.page(&format!("/runs/{id}")).await;
    page.holds(200, &[&format!("href=\"/runs/{id}/answers/0\"")]);
    let record = server.get(&format!("/api/benchmarks/history/{id}")).await;
    let answer = record.body["results"][0]["response"].as_str().unwrap();
    assert!(answer.len() > 20_000 && !page.text.contains(answer));
    let whole = server.page(&format!("/runs/{id}/answers/0")).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(whole.text, answer);
    for none in ["1", "x", "-1"] {
        let answer = server.page(&format!("/runs/{id}/answers/{none}")).await;
        assert_eq!(answer.status, 404, "{none}");
    }
    // A report has no server to ask.
    let report = server.page(&format!("/runs/{id}/report")).await;
    assert!(!report.text.contains("/answers/"));
}
