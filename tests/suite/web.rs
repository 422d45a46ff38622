//! Pages as a browser without scripts gets them: it follows links, fills in forms, reads HTML.

mod figures;
mod history;
mod import;
mod nova;
mod pages;
mod report;
mod result;
mod spread;
mod start;
mod trend;
mod views;

use crate::support::{Answer, Server};

impl Server {
    /// A page, as a browser asks for it.
    pub async fn page(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.url));
        read(Answer::of(request.header("accept", "text/html").send().await.unwrap()).await)
    }

    /// Sends a form, and follows where it leads.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url));
        let request = request.header("accept", "text/html");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        read(Answer::of(request.body(encoded(fields)).send().await.unwrap()).await)
    }

    /// Sends a form as htmx does, for a part of the page.
    pub async fn send_for_part(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("hx-request", "true");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        read(Answer::of(request.body(encoded(fields)).send().await.unwrap()).await)
    }

    /// Runs a benchmark by the form and gives its id once it has ended.
    pub async fn benchmark(&self, fields: &[(&str, &str)]) -> String {
        let live = self.send("/ui/runs", fields).await;
        assert_eq!(live.status, 200, "{}", live.text);
        let history = self.get("/api/benchmarks/history?limit=1").await;
        let id = history.body[0]["id"].as_str().unwrap().to_owned();
        self.ended(&id).await;
        id
    }
}

/// The template engine escapes slashes too; nothing depends on it.
fn read(mut page: Answer) -> Answer {
    page.text = page.text.replace("&#x2f;", "/");
    page
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        bytes.concat()
    };
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A form that makes a quick run of a model whose answer is always the same.
pub const QUICK: [(&str, &str); 5] = [
    ("prompt", "Why is the sky blue?"),
    ("models", "steady@reference"),
    ("more_models", "script:tokens=8,ttft=5,gap=1@reference"),
    ("repetitions", "2"),
    ("warmup", "0"),
];

impl Answer {
    /// The page is there and holds this.
    #[track_caller]
    pub fn holds(&self, status: u16, parts: &[&str]) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(
            self.header("content-type").starts_with("text/html"),
            "{}",
            self.text
        );
        for part in parts {
            assert!(
                self.text.contains(part),
                "`{part}` is not in:\n{}",
                self.text
            );
        }
        self
    }
}

/// The content of a page without its frame, and without what differs from one run to the next.
pub fn content(page: &Answer) -> String {
    let begin = page.text.find("<main").unwrap_or_default();
    let end = page.text.find("</main>").unwrap_or(page.text.len());
    let mut text = page.text[begin..end].to_owned();
    // Ids of runs, times of day, and figures with a unit.
    for (pattern, sign) in [
        (is_id as fn(&str) -> usize, "ID"),
        (is_stamp, "TIME"),
        (is_figure, "N"),
    ] {
        text = replaced(&text, pattern, sign);
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|it| !it.trim().is_empty())
        .collect();
    lines.join("\n")
}

/// Puts `sign` wherever `length` finds something.
fn replaced(text: &str, length: fn(&str) -> usize, sign: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let found = if before.is_ascii_alphanumeric() {
            0
        } else {
            length(rest)
        };
        if found > 0 {
            out.push_str(sign);
            rest = &rest[found..];
            before = ' ';
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
            before = next;
        }
    }
    out
}

fn is_id(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    if digits == 24 { 24 } else { 0 }
}

fn is_stamp(text: &str) -> usize {
    let is_date = text.len() > 10
        && text.is_char_boundary(10)
        && text[..10].bytes().enumerate().all(|(at, byte)| {
            if at == 4 || at == 7 {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        });
    if !is_date {
        return 0;
    }
    let time = |byte: &u8| byte.is_ascii_digit() || b"-:.TZ".contains(byte);
    let date_and_time = text.bytes().take_while(time).count();
    if text[date_and_time..].starts_with(' ') && date_and_time == 10 {
        let rest = &text[11..];
        let clock = rest.bytes().take_while(time).count();
        return 11
            + clock
            + if rest[clock..].starts_with(" UTC") {
                4
            } else {
                0
            };
    }
    date_and_time
}

fn is_figure(text: &str) -> usize {
    let number = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let rest = &text[number..];
    let has_unit = ["\u{a0}", "×"].iter().any(|unit| rest.starts_with(unit));
    if number > 0 && has_unit { number } else { 0 }
}
