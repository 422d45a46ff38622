//! The page of a run that has ended.

use super::{QUICK, content};
use crate::support;

#[tokio::test]
async fn the_result_begins_with_its_sentence() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    // The same seed gives the same answer again.
    fields.push(("parameters/seed", "1"));
    let id = server.benchmark(&fields).await;
    let page = server.page(&format!("/runs/{id}")).await;
    page.holds(
        200,
        &[
            "<h1 class=\"headline\">",
            "completed",
            "first, not surely",
            "Until the first chunk",
            "One answer of each",
            "Timeline of the run",
            "Gaps between chunks",
            "How requests differ",
            "CPU in use, %",
            "The very same text as repetition 1.",
            &format!("/api/benchmarks/history/{id}"),
            &format!("action=\"/ui/runs/{id}/rerun\""),
        ],
    );
    assert_eq!(page.text.matches("<svg class=\"chart").count(), 4 + 3 * 2);
    // No chart has a point that is not a number.
    assert!(!page.text.contains("NaN") && !page.text.contains("inf\""));
}

#[tokio::test]
async fn a_failed_run_says_why() {
    let server = support::start().await;
    let fields = [
        ("prompt", "x"),
        ("models", "fault-truncated@reference"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let id = server.benchmark(&fields).await;
    let page = server.page(&format!("/runs/{id}")).await;
    page.holds(
        200,
        &[
            "No request succeeded",
            "There are no figures",
            "Requests that failed or were stopped (1)",
        ],
    );
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let server = support::start().await;
    let hostile = "<script>document.title='x'</script><img src=x onerror=alert(1)>\"'";
    let fields = [
        ("prompt", hostile),
        ("name", hostile),
        ("tags", "<i>tag</i>"),
        ("system", hostile),
        ("models", "fault-hostile@reference"),
        ("more_models", "fault-hostile-error@reference"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let id = server.benchmark(&fields).await;
    for path in [
        format!("/runs/{id}"),
        "/history".into(),
        format!("/?from={id}"),
        format!("/runs/{id}/delete"),
    ] {
        let text = server.page(&path).await.text;
        assert!(text.contains("&lt;script&gt;"), "{path}");
        for raw in ["<script>d", "<img", "<i>tag"] {
            assert!(!text.contains(raw), "{path} holds {raw}");
        }
    }
}

#[tokio::test]
async fn a_run_is_repeated_by_a_button() {
    let server = support::start().await;
    let id = server.benchmark(&QUICK).await;
    server
        .send(&format!("/ui/runs/{id}/rerun"), &[])
        .await
        .holds(200, &[]);
    let runs = server.get("/api/benchmarks/history").await;
    assert_eq!(runs.body.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_result_has_this_shape() {
    let server = support::start().await;
    let fields = [
        ("prompt", "x"),
        ("models", "script:tokens=30,ttft=10,gap=10@reference"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let id = server.benchmark(&fields).await;
    let page = content(&server.page(&format!("/runs/{id}")).await);
    // Drawings and the machine differ from run to run and from place to place (which figures it
    // has, who stamps the chunks); what is left is the page's own.
    let mut is_of_stalls = false;
    let outline: Vec<&str> = page
        .lines()
        .map(|line| line.find("<details>").map_or(line, |at| &line[at..]).trim())
        .filter(|line| {
            line.contains("<h")
                || line.contains("<summary")
                || line.contains("class=\"button\"")
                || line.contains("<th scope=\"col\"")
        })
        .filter(|line| !line.contains("headline") && !line.contains("What speaks against"))
        .filter(|line| !line.contains(">CPU, %<"))
        // A busy machine makes stalls: they are told before the table of the timeline.
        .filter(|line| {
            is_of_stalls |= line.contains("stalls-title");
            is_of_stalls &= !line.contains("The same as a table");
            !is_of_stalls
        })
        .collect();
    insta::assert_snapshot!(outline.join("\n"));
}
