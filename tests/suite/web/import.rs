//! A file of documents, chosen in the browser.

use super::{QUICK, read};
use crate::support::{self, Answer, Server};

const BOUNDARY: &str = "----of-a-browser";

impl Server {
    /// Sends a form with a file as a browser does.
    async fn upload(&self, fields: &[&str], name: &str, text: &str) -> Answer {
        let part = |more: &str, value: &str| {
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; {more}\r\n\r\n{value}\r\n")
        };
        let fields = fields
            .iter()
            .map(|it| part(&format!("name=\"{it}\""), "true"));
        let file = part(&format!("name=\"file\"; filename=\"{name}\""), text);
        let body = format!("{}{file}--{BOUNDARY}--\r\n", fields.collect::<String>());
        self.send_multipart(body).await
    }

    async fn send_multipart(&self, body: String) -> Answer {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.http.post(format!("{}/ui/history/import", self.url));
        let request = request
            .header("accept", "text/html")
            .header("content-type", kind);
        read(Answer::of(request.body(body).send().await.unwrap()).await)
    }
}

#[tokio::test]
async fn runs_come_from_one_history_into_another() {
    let from = support::start().await;
    from.benchmark(&QUICK).await;
    let text = from.get("/api/benchmarks/export").await.text;
    // A file may be larger than any other request.
    let to = support::start_with(|config| config.limits.max_body_bytes = 5_000).await;
    assert!(text.len() > 5_000);
    to.page("/history")
        .await
        .holds(200, &["href=\"/history/import\""]);
    to.page("/history/import")
        .await
        .holds(200, &["enctype=\"multipart/form-data\"", "type=\"file\""]);

    let tried = to.upload(&["dry_run"], "a.jsonl", &text).await;
    tried.holds(
        200,
        &[
            "Tried out: a.jsonl",
            "1 would be stored",
            "Nothing was stored",
            " checked>",
        ],
    );
    to.page("/history").await.holds(200, &["No benchmark yet."]);

    let mixed = format!("{text}nonsense <b>\n");
    let done = to.upload(&[], "a<b>.jsonl", &mixed).await;
    done.holds(
        200,
        &[
            "Imported: a&lt;b&gt;.jsonl",
            "1 stored",
            "<td class=\"number\">2</td>",
        ],
    );
    let again = to.upload(&[], "a.jsonl", &text).await;
    again.holds(200, &["0 stored, 1 known already"]);
    let taken = to.get("/api/benchmarks/export").await.text;
    assert_eq!(taken, text);
}

#[tokio::test]
async fn what_is_no_file_of_runs_is_told_beside_the_field() {
    let server = support::start().await;
    for (name, text, words) in [
        ("", "", "Choose a file first."),
        ("empty.json", "", "empty.json holds no document."),
        ("cat.jpg", "\u{fffd}\u{0}meow", "1 cannot be read"),
    ] {
        let answer = server.upload(&[], name, text).await;
        answer.holds(422, &[words]);
    }
    let without = format!("--{BOUNDARY}--\r\n");
    let answer = server.send_multipart(without).await;
    answer.holds(422, &["Choose a file first."]);
    let cut = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{{\"a\""
    );
    let answer = server.send_multipart(cut).await;
    answer.holds(422, &["cannot be read"]);
    let form = server.send("/ui/history/import", &[("file", "x")]).await;
    form.holds(400, &["the form cannot be read"]);
}
