//! The whole application on a free port with a fresh database, for tests that see it from outside.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use ollama_benchmarker::app::App;
use ollama_benchmarker::config::{BackendConfig, BackendKind, Config};
use ollama_benchmarker::serve::serve;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for a busy machine; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
pub struct Server {
    pub url: String,
    pub http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<std::io::Result<()>>>,
    /// The database lies in it until the server is dropped.
    folder: Option<tempfile::TempDir>,
}

/// Settings for a test: a database of its own and no Ollama.
pub fn settings(folder: &tempfile::TempDir) -> Config {
    let ollama = BackendConfig {
        kind: BackendKind::Ollama,
        // The discard port: nothing listens there.
        url: "http://127.0.0.1:9".into(),
        ..BackendConfig::default()
    };
    let mut config = Config {
        database_url: database_url(folder),
        backends: [("ollama".to_owned(), ollama)].into(),
        ..Config::default()
    };
    config.sampling.interval = 0.02;
    config.sampling.baseline = 0.05;
    // It would go on beside what is tested.
    config.calibration.automatic = false;
    config
}

/// A database of its own: on the server that the environment names, else in a file.
fn database_url(folder: &tempfile::TempDir) -> String {
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else {
        return format!("sqlite:{}", folder.path().join("test.db").display());
    };
    let name = format!("test_{:016x}", rand::random::<u64>());
    let sql = format!("create database {name}");
    let done = std::process::Command::new("psql")
        .args(["--quiet", "--command", &sql, &format!("{server}/postgres")])
        .status()
        .unwrap();
    assert!(done.success());
    format!("{server}/{name}")
}

/// Starts the application with default settings.
pub async fn start() -> Server {
    start_with(|_| ()).await
}

/// Starts the application with settings changed.
pub async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let mut config = settings(&folder);
    change(&mut config);
    let mut server = start_from(config).await;
    server.folder = Some(folder);
    server
}

/// Starts the application exactly so.
pub async fn start_from(config: Config) -> Server {
    // A second one finds the first in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let app = App::open(config).await.unwrap();
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let served = tokio::spawn(serve(app, listener, shutdown));
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    Server {
        url,
        http,
        stop: Some(stop),
        served: Some(served),
        folder: None,
    }
}

impl Server {
    /// Stops gracefully and waits for the end.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            served.await.unwrap().unwrap();
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(self.http.get(format!("{}{path}", self.url)))
            .await
    }

    /// Sends a request. Its answer has a status that the specification names.
    pub async fn call(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (
            request.method().to_string(),
            request.url().path().to_owned(),
        );
        let answer = Answer::of(self.http.execute(request).await.unwrap()).await;
        check_status(&method, &path, answer.status);
        answer
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(self.http.delete(format!("{}{path}", self.url)))
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        self.call(request).await
    }

    /// Any body of any type.
    pub async fn post_raw(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", kind);
        self.call(request.body(body)).await
    }

    /// Runs a benchmark to its end, whatever that is.
    pub async fn run(&self, body: &Value) -> Value {
        let started = self.post("/api/benchmarks/start", body).await;
        assert_eq!(started.status, 202, "{}", started.body);
        self.ended(started.body["id"].as_str().unwrap()).await
    }

    /// Reads the events of a run from the start.
    pub async fn events(&self, id: &str, after: Option<&str>) -> Events {
        let mut request = self
            .http
            .get(format!("{}/api/benchmarks/{id}/events", self.url));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Events {
            response,
            pending: Vec::new(),
        }
    }

    /// Waits for the first event of a kind.
    pub async fn heard(&self, id: &str, kind: &str) {
        let mut events = self.events(id, None).await;
        while let Some(event) = events.next().await {
            if event.kind == kind {
                return;
            }
        }
        panic!("the run ended without {kind}");
    }

    /// The record of a run once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let path = format!("/api/benchmarks/{id}/events");
        let events = self
            .http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        // The stream ends with the run.
        events.bytes().await.unwrap();
        self.get(&format!("/api/benchmarks/history/{id}"))
            .await
            .body
    }
}

/// A documented operation answers with no status that it does not name.
fn check_status(method: &str, path: &str, status: u16) {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(ollama_benchmarker::api::document);
    let parts: Vec<&str> = path.split('/').collect();
    let open = |template: &str| template.matches('{').count();
    let fits = |template: &&String| {
        let own: Vec<&str> = template.split('/').collect();
        let mut both = own.iter().zip(&parts);
        own.len() == parts.len() && both.all(|(own, part)| own.starts_with('{') || own == part)
    };
    let templates = DOCUMENT["paths"].as_object().unwrap().keys();
    let Some(template) = templates.filter(fits).min_by_key(|it| open(it)) else {
        return;
    };
    let operation = &DOCUMENT["paths"][template][method.to_lowercase()];
    if operation.is_object() {
        let known = operation["responses"][status.to_string()].is_object();
        assert!(
            known,
            "{method} {template} answered {status}, which it does not name"
        );
    }
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// Null where the text is no JSON.
    pub body: Value,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self {
            status,
            headers,
            text,
            body,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The answer is a problem of this status; gives its detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text
        );
        assert_eq!(self.body["status"], status);
        self.body["detail"].as_str().unwrap()
    }

    /// The pointers of invalid fields.
    #[track_caller]
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }
}

/// A stream of server-sent events, read as a browser reads it.
pub struct Events {
    response: reqwest::Response,
    pending: Vec<u8>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

impl Events {
    /// Those of an answer.
    pub fn of(response: reqwest::Response) -> Self {
        Self {
            response,
            pending: Vec::new(),
        }
    }

    /// The next one; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.pending.windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                // Cut as bytes: what comes at once may end within a character.
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let field = |name: &str| {
                    let lines = block
                        .lines()
                        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
                };
                if field("data").is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&field("data")).unwrap();
                return Some(Event {
                    id: field("id"),
                    kind: field("event"),
                    data,
                });
            }
            let bytes = self.response.chunk().await.unwrap()?;
            self.pending.extend_from_slice(&bytes);
        }
    }

    /// All that are left.
    pub async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}
