use super::Scrape;
use crate::support::{Answer, start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_needed_where_one_is_set_unless_the_figures_are_open() {
    for is_open in [false, true] {
        let server = start_with(|config| {
            config.api_token = "open-sesame".into();
            config.metrics.open = is_open;
        })
        .await;
        let url = format!("{}/metrics", server.url);
        let bare = server.get("/metrics").await;
        assert_eq!(bare.status, if is_open { 200 } else { 401 });
        let with = server.http.get(url).bearer_auth("open-sesame");
        assert_eq!(with.send().await.unwrap().status().as_u16(), 200);
        server.get("/api/system").await.problem(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_the_one_that_is_asked_for() {
    let server = start().await;
    let ask = async |accept: &str| {
        let request = server.http.get(format!("{}/metrics", server.url));
        Answer::of(request.header("accept", accept).send().await.unwrap()).await
    };
    let open = ask("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), kind);
    assert!(open.text.ends_with("# EOF\n"), "{}", open.text);
    assert_eq!(open.text.matches("# EOF").count(), 1);
    assert!(open.text.contains("\n# TYPE benchmarker_runs counter\n"));
    assert!(
        open.text
            .contains("\n# UNIT benchmarker_run_duration_seconds seconds\n")
    );
    let plain = ask("*/*").await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(plain.header("content-type"), kind);
    assert!(!plain.text.contains("# EOF"));
    assert!(
        plain
            .text
            .contains("\n# TYPE benchmarker_runs_total counter\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_told_once_with_help_and_type() {
    let server = start().await;
    let scrape = Scrape::of(&server).await;
    for word in ["# HELP ", "# TYPE "] {
        let lines = scrape.text.lines().filter_map(|it| it.strip_prefix(word));
        let mut names: Vec<&str> = lines.filter_map(|it| it.split(' ').next()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}", scrape.text);
        assert!(all > 15, "{}", scrape.text);
    }
}
