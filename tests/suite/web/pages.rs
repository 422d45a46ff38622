//! The frame that all pages have, their files, and their errors.

use crate::support;

#[tokio::test]
async fn every_page_has_a_title_landmarks_and_one_heading() {
    let server = support::start().await;
    for path in ["/", "/nova", "/history", "/compare", "/ui/system"] {
        let page = server.page(path).await;
        page.holds(
            200,
            &[
                "<html lang=\"en\">",
                "<title>",
                "<main id=\"main\"",
                "<nav aria-label=\"Pages\">",
            ],
        );
        assert_eq!(page.text.matches("<h1").count(), 1, "{path}");
        let mut ids: Vec<&str> = page
            .text
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{path} has an id twice: {ids:?}");
    }
}

#[tokio::test]
async fn a_session_that_has_ended_is_told_to_a_person_in_words() {
    let server = support::start_with(|config| config.api_token = "secret".into()).await;
    let page = server.send("/ui/runs", &super::QUICK).await;
    page.holds(401, &["<h1", "sign in in another tab", "href=\"/login\""]);
    let part = server
        .send_for_part("/ui/prompts", &[("prompt", "x")])
        .await;
    assert_eq!(part.status, 401);
    assert_eq!(part.header("content-type"), "application/problem+json");
}

/// A server that takes connections and never says a word.
#[tokio::test]
async fn a_silent_backend_holds_up_nobody_for_long() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let server = support::start_with(|config| {
        let mut backend = config.backends["ollama"].clone();
        backend.url = url;
        config.backends.insert("ollama".into(), backend);
    })
    .await;
    let page = server.page("/").await;
    page.holds(200, &["no answer within 3s", "steady@reference"]);
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let server = support::start().await;
    let id = server.benchmark(&super::QUICK).await;
    for path in [
        "/",
        "/nova",
        "/history",
        "/compare",
        &format!("/compare?ids={id}"),
        &format!("/runs/{id}"),
    ] {
        let text = server.page(path).await.text;
        for forbidden in [
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
            "hx-on",
            "//cdn",
            "src=\"http",
            "href=\"http",
        ] {
            assert!(!text.contains(forbidden), "{path} holds {forbidden}");
        }
        for script in text.split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"/assets/"),
                "{path}: {script:.60}"
            );
            assert!(script.contains("></script>"), "{path}: {script:.60}");
        }
    }
}

#[tokio::test]
async fn files_are_kept_for_ever_under_their_hash() {
    let server = support::start().await;
    let page = server.page("/").await.text;
    let addresses: Vec<&str> = page
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert!(addresses.len() >= 4, "{addresses:?}");
    for address in addresses {
        let file = server.get(address).await;
        assert_eq!(file.status, 200, "{address}");
        assert_eq!(
            file.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        let kind = file.header("content-type");
        let expected = match address.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            Some("svg") => "image/svg+xml",
            _ => "text/plain",
        };
        assert!(kind.starts_with(expected), "{address}: {kind}");
        assert!(!file.text.is_empty());
    }
    server
        .get("/assets/0000000000000000/page.css")
        .await
        .problem(404);
    server
        .get("/assets/0000000000000000/../page.css")
        .await
        .problem(404);
}

#[tokio::test]
async fn people_get_pages_of_errors_and_programs_problems() {
    let server = support::start().await;
    let missing = "/runs/6742f0a1c3d2e1f0a9b8c7d6";
    server
        .page(missing)
        .await
        .holds(404, &["There is no such thing", "6742f0a1c3d2e1f0a9b8c7d6"]);
    server.get(missing).await.problem(404);
    server
        .page("/runs/xyz")
        .await
        .holds(404, &["`xyz` is not an id"]);
    server
        .page("/nowhere")
        .await
        .holds(404, &["There is no page at this address."]);
    server.get("/nowhere").await.problem(404);
    server
        .page("/ui/runs")
        .await
        .holds(405, &["This address is not for that."]);
    server
        .send("/ui/runs/6742f0a1c3d2e1f0a9b8c7d6/cancel", &[])
        .await
        .holds(404, &[]);
    server
        .send("/ui/runs/6742f0a1c3d2e1f0a9b8c7d6/rerun", &[])
        .await
        .holds(404, &[]);
    server
        .send("/ui/runs/6742f0a1c3d2e1f0a9b8c7d6/delete", &[])
        .await
        .holds(404, &[]);
    server
        .page("/runs/%3Cscript%3E")
        .await
        .holds(404, &["&lt;script&gt;"]);
}

#[tokio::test]
async fn the_strip_tells_what_is_up() {
    let server = support::start().await;
    let request = server
        .http
        .get(format!("{}/ui/system", server.url))
        .header("hx-request", "true");
    let strip = request.send().await.unwrap().text().await.unwrap();
    assert!(strip.starts_with("<ul class=\"gauges\">"), "{strip}");
    let database = ["sqlite", "postgres"];
    assert!(database.iter().any(|it| strip.contains(it)), "{strip}");
    for part in ["CPU", "Memory", "reference", "down", "up", "B, 0 runs"] {
        assert!(strip.contains(part), "{part}: {strip}");
    }
    server
        .page("/ui/system")
        .await
        .holds(200, &["<h1>System</h1>", "Model servers"]);
}

#[tokio::test]
async fn a_browser_shows_the_token_once() {
    let server = support::start_with(|config| config.api_token = "secret".into()).await;
    let asked = server.page("/history?q=x").await;
    asked.holds(200, &["<h1>Sign in</h1>", "value=\"/history?q=x\""]);
    server
        .send("/login", &[("token", "wrong"), ("next", "/")])
        .await
        .holds(422, &["That is not the token."]);
    let patient = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let login = patient
        .post(format!("{}/login", server.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("token=secret&next=%2F%2Fevil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(login.status(), 303);
    assert_eq!(login.headers()["location"], "/");
    let cookie = login.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let inside = patient
        .get(&server.url)
        .header("cookie", cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(inside.status(), 200);
}

#[tokio::test]
async fn without_a_token_nobody_is_asked_for_one() {
    let server = support::start().await;
    server
        .page("/login?next=%2Fhistory")
        .await
        .holds(200, &["<h1>History</h1>"]);
}
