use serde_json::json;

use super::{QUICK, request};
use crate::support::{Server, start, start_with};

async fn status(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let method = method.parse::<reqwest::Method>().unwrap();
    let mut call = server.http.request(method, format!("{}{path}", server.url));
    for (name, value) in headers {
        call = call.header(*name, *value);
    }
    call.json(&request(&[QUICK]))
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_web_site_gets_nothing_done() {
    let server = start().await;
    let start = "/api/benchmarks/start";
    assert_eq!(
        status(&server, "GET", "/api/system", &[("host", "evil.example")]).await,
        403
    );
    // What answers tells nothing that such a site could use.
    let host = [("host", "service.example")];
    assert_eq!(status(&server, "GET", "/healthz", &host).await, 200);
    assert_eq!(status(&server, "GET", "/readyz", &host).await, 403);
    assert_eq!(
        status(
            &server,
            "POST",
            start,
            &[("origin", "https://evil.example")]
        )
        .await,
        403
    );
    assert_eq!(
        status(&server, "POST", start, &[("sec-fetch-site", "cross-site")]).await,
        403
    );
    assert_eq!(
        status(&server, "POST", start, &[("origin", server.url.as_str())]).await,
        202
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_where_one_is_set() {
    let server = start_with(|config| config.api_token = "open sesame".into()).await;
    assert_eq!(status(&server, "GET", "/api/system", &[]).await, 401);
    let wrong = [("authorization", "Bearer open")];
    assert_eq!(status(&server, "GET", "/api/system", &wrong).await, 401);
    let right = [("authorization", "Bearer open sesame")];
    assert_eq!(status(&server, "GET", "/api/system", &right).await, 200);
    assert_eq!(status(&server, "GET", "/healthz", &[]).await, 200);
    server
        .post("/api/benchmarks/start", &json!({}))
        .await
        .problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_hardened() {
    let server = start().await;
    for path in [
        "/healthz",
        "/api/system",
        "/nothing",
        "/openapi.json",
        "/docs",
    ] {
        let answer = server.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}");
        assert_eq!(policy.contains("unsafe-inline"), path == "/docs", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}
