//! What a run tells of machines: a model server in a process of its own, a graphics processor that is
//! acted out, an agent.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ollama_benchmarker::agent;
use ollama_benchmarker::config::{Config, Secret};
use ollama_benchmarker::machine::Machine;
use ollama_benchmarker::measure;
use ollama_benchmarker::record::BenchmarkResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{Server, start_with};

/// A model server in a process of its own.
struct ModelServer {
    process: Child,
    url: String,
}

impl ModelServer {
    fn start() -> Self {
        let mut process = Command::new(assert_cmd::cargo::cargo_bin("ollama-benchmarker"))
            .args(["reference", "--port", "0", "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let out = process.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut url).unwrap();
        Self {
            process,
            url: url.trim().to_owned(),
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let done = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the stand-in for NVIDIA's library with these choices; they are told in its source.
fn nvml(folder: &Path, choices: &[&str]) -> PathBuf {
    let library = folder.join("libnvidia-ml.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .args(choices.iter().map(|choice| format!("-D{choice}")))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-nvml/nvml.c"))
        .status();
    assert!(built.unwrap().success());
    library
}

async fn measuring(model: &ModelServer, change: impl FnOnce(&mut Config)) -> Server {
    start_with(|config| {
        config
            .backends
            .get_mut("ollama")
            .unwrap()
            .url
            .clone_from(&model.url);
        change(config);
    })
    .await
}

fn request(model: &str) -> Value {
    json!({ "prompt": "x", "models": [model], "repetitions": 3 })
}

fn record(run: &Value) -> BenchmarkResponse {
    serde_json::from_value(run.clone()).unwrap()
}

#[tokio::test]
async fn a_run_on_a_graphics_processor_has_energy_and_a_price() {
    let folder = tempfile::tempdir().unwrap();
    let library = nvml(folder.path(), &[]);
    let model = ModelServer::start();
    let server = measuring(&model, |config| {
        config.sampling.nvml_library = library.display().to_string();
        config.energy.price_per_kwh = 0.36;
    })
    .await;
    let run = record(&server.run(&request("steady")).await);
    let gpu = &run.system_info.gpu[0];
    assert_eq!(gpu.name.as_deref(), Some("Stand-in GPU"));
    let samples = run.samples.as_ref().unwrap();
    let last = samples.items.last().unwrap();
    assert_eq!(last.gpus[0].power_watts, Some(121.5));
    let own = last.server("ollama").unwrap();
    assert!(own.processes >= 1 && own.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    assert!(samples.cost.is_some_and(|cost| cost.looks > 10));
    for result in &run.results {
        let energy = result.energy.as_ref().unwrap();
        // A machine may have a meter of its processor as well.
        let parts = energy.gpu_joules.unwrap() + energy.cpu_joules.unwrap_or_default();
        assert!(energy.gpu_joules > Some(0.0) && (parts - energy.joules).abs() < 1e-9);
        assert!(energy.joules_per_output_token.is_some_and(|it| it > 0.0));
    }
    let energy = run.summary[0].energy.as_ref().unwrap();
    assert_eq!(energy.reason, None);
    assert!(energy.idle_watts.is_some_and(|watts| watts > 0.0));
    assert!(energy.cost.is_some_and(|cost| cost > 0.0));
    assert_eq!(energy.currency.as_deref(), Some("EUR"));
    let page = server.get(&format!("/runs/{}", run.id)).await.text;
    for words in [
        "A million tokens cost",
        "GPU in use, %",
        "GPU power, W",
        "Stand-in GPU",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let strip = server.get("/api/system").await.body;
    assert_eq!(
        strip["system_info"]["gpu"][0]["processes"][0]["name"],
        "/usr/bin/ollama"
    );
}

#[tokio::test]
async fn a_driver_that_goes_in_the_middle_takes_nothing_else_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let library = nvml(folder.path(), &["GONE_AFTER=8", "GONE=1"]);
    let model = ModelServer::start();
    let server = measuring(&model, |config| {
        config.sampling.nvml_library = library.display().to_string();
    })
    .await;
    let run = record(&server.run(&request("steady")).await);
    assert_eq!(run.status.as_str(), "completed");
    let samples = run.samples.unwrap();
    let lost = samples.remarks.iter().find(|it| it.field == "gpus[0]");
    assert_eq!(lost.unwrap().reason, "the NVIDIA driver was unloaded");
    assert!(samples.items.last().unwrap().memory_used_bytes > 0);
}

#[tokio::test]
async fn a_model_server_that_is_stopped_is_named_as_the_cause() {
    let model = ModelServer::start();
    let server = measuring(&model, |_| ()).await;
    let mut body = request("steady");
    body["repetitions"] = json!(1);
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    server.heard(id, "text_arrived").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    model.signal("-STOP");
    tokio::time::sleep(Duration::from_millis(600)).await;
    model.signal("-CONT");
    let run = record(&server.ended(id).await);
    let stalls = measure::stalls(&run);
    let longest = stalls
        .iter()
        .max_by(|a, b| (a.to - a.from).total_cmp(&(b.to - b.from)))
        .unwrap();
    assert!(longest.to - longest.from > 0.5, "{stalls:?}");
    assert_eq!(
        longest.causes[0],
        "the model server was stopped, by a signal or a debugger"
    );
    let page = server.get(&format!("/runs/{id}")).await.text;
    assert!(page.contains("the model server was stopped") && page.contains("#stall-1"));
    let part = server
        .get(&format!("/runs/{id}?from=0.1&to=0.9"))
        .await
        .text;
    assert!(part.contains("Show the whole run"));
}

#[tokio::test]
async fn a_pause_comes_before_each_request_but_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let library = nvml(folder.path(), &[]);
    let server = start_with(|config| {
        config.sampling.nvml_library = library.display().to_string();
    })
    .await;
    let paused = async |cooldown: Value| {
        let mut body = request("script:tokens=3,ttft=5,gap=2@reference");
        body["warmup"] = json!(1);
        body["cooldown"] = cooldown;
        let run = record(&server.run(&body).await);
        assert_eq!(run.status.as_str(), "completed");
        run.results
            .iter()
            .map(|it| {
                it.cooled_down
                    .map(|it| (it.seconds, it.temperature_celsius, it.reached))
            })
            .collect::<Vec<_>>()
    };
    let found = paused(json!({ "seconds": 0.15 })).await;
    assert_eq!((found[0], found[1]), (None, None));
    assert!(
        found[2..]
            .iter()
            .all(|it| it.is_some_and(|it| it.0 >= 0.15 && it.2)),
        "{found:?}"
    );
    // The stand-in is at 68 °C for ever.
    let found = paused(json!({ "temperature_celsius": 70 })).await;
    assert!(
        found[2..]
            .iter()
            .all(|it| it.is_some_and(|it| it.1 == Some(68.0) && it.2)),
        "{found:?}"
    );
    let found = paused(json!({ "temperature_celsius": 60, "at_most": 0.1 })).await;
    assert!(
        found[2..]
            .iter()
            .all(|it| it.is_some_and(|it| it.0 >= 0.1 && !it.2)),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_pause_ends_when_the_run_is_stopped() {
    let server = crate::support::start().await;
    let mut body = request("script:tokens=3,ttft=5,gap=2@reference");
    body["cooldown"] = json!({ "seconds": 3000 });
    let started = server.post("/api/benchmarks/start", &body).await;
    let id = started.body["id"].as_str().unwrap();
    server.heard(id, "cooling_down").await;
    let stopped = server
        .post(&format!("/api/benchmarks/{id}/cancel"), &json!({}))
        .await;
    assert_eq!(stopped.body["status"], "cancelled");
    assert_eq!(stopped.body["results"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_pause_that_cannot_be_is_refused() {
    let server = start_with(|config| {
        config.sampling.nvml_library = "/nowhere".into();
        let backend = config.backends.get_mut("ollama").unwrap();
        backend.url = "http://127.0.0.1:9".into();
    })
    .await;
    let refused = async |cooldown: Value, more: Value| {
        let mut body = request("steady@reference");
        body["cooldown"] = cooldown;
        for (name, value) in more.as_object().unwrap() {
            body[name.as_str()] = value.clone();
        }
        let answer = server.post("/api/benchmarks/start", &body).await;
        answer.problem(422);
        answer.pointers().join(" ")
    };
    assert_eq!(refused(json!({}), json!({})).await, "/cooldown");
    assert_eq!(
        refused(
            json!({ "seconds": 1 }),
            json!({ "execution": "concurrent" })
        )
        .await,
        "/cooldown"
    );
    let load = json!({ "load": { "pattern": "closed", "max_requests": 3 }, "repetitions": 1 });
    assert_eq!(refused(json!({ "seconds": 1 }), load).await, "/cooldown");
    assert_eq!(
        refused(json!({ "seconds": 1e9 }), json!({})).await,
        "/cooldown/seconds"
    );
    assert_eq!(
        refused(json!({ "until": 1 }), json!({})).await,
        "/cooldown/until"
    );
    let here = server.get("/api/system").await.body;
    let has_thermometer = here["system_info"]["unavailable"]
        .as_array()
        .unwrap()
        .iter()
        .all(|it| it["field"] != "cpu_temperature_celsius");
    let has_gpu = !here["system_info"]["gpu"].as_array().unwrap().is_empty();
    if !has_thermometer && !has_gpu {
        assert_eq!(
            refused(json!({ "temperature_celsius": 60 }), json!({})).await,
            "/cooldown/temperature_celsius"
        );
    }
}

/// An agent on this machine, until it is dropped.
struct Agent {
    url: String,
    _stop: oneshot::Sender<()>,
}

async fn agent(token: &str) -> Agent {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let machine = Arc::new(Machine::new(None));
    let token = Secret::from(token);
    tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        agent::server::serve(machine, token, listener, shutdown)
            .await
            .unwrap();
    });
    Agent { url, _stop: stop }
}

#[tokio::test]
async fn an_agent_tells_what_the_machine_of_the_models_does() {
    let model = ModelServer::start();
    let there = agent("right").await;
    let measured = async |token: &str, url: &str| {
        let server = measuring(&model, |config| {
            let backend = config.backends.get_mut("ollama").unwrap();
            backend.agent_url = url.to_owned();
            backend.agent_token = Secret::from(token);
        })
        .await;
        let run = record(&server.run(&request("steady")).await);
        assert_eq!(run.status.as_str(), "completed");
        let page = server.get(&format!("/runs/{}", run.id)).await.text;
        (run, page)
    };
    let (run, page) = measured("right", &there.url).await;
    let told = &run.remote_samples[0];
    assert_eq!((told.backend.as_str(), &told.error), ("ollama", &None));
    assert!(told.host.is_some() && told.system_info.cpu.total_cores.is_some());
    // Both are this machine: the clocks agree to within what is stated.
    let (offset, error) = (told.clock_offset.unwrap(), told.clock_error.unwrap());
    assert!(
        error > 0.0 && offset.abs() <= error + 0.5,
        "{offset} {error}"
    );
    let (here, there_items) = (&run.samples.as_ref().unwrap().items, &told.samples.items);
    assert!(there_items.len() > 10);
    let ends = |items: &[ollama_benchmarker::record::Sample]| items.last().unwrap().offset;
    assert!((ends(here) - ends(there_items)).abs() < 2.0);
    assert!(there_items.iter().any(|it| it.server("ollama").is_some()));
    assert!(page.contains("ollama: CPU in use, %"));

    let (run, _) = measured("wrong", &there.url).await;
    let error = run.remote_samples[0].error.clone().unwrap();
    assert!(
        error.contains("401") && error.contains("agent_token"),
        "{error}"
    );
    assert!(run.validity.reasons.iter().any(|it| it.contains("401")));

    let (run, _) = measured("right", "http://127.0.0.1:9").await;
    let error = run.remote_samples[0].error.clone().unwrap();
    assert!(error.contains("ollama-benchmarker agent"), "{error}");
}

#[tokio::test]
async fn an_agent_answers_only_who_knows_its_token_and_changes_nothing() {
    let there = agent("right").await;
    let server = crate::support::start().await;
    let http = &server.http;
    let ask = async |path: &str, token: Option<&str>| {
        let request = http.get(format!("{}{path}", there.url));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/healthz", None).await, 200);
    for path in ["/v1/clock", "/v1/machine", "/v1/samples"] {
        assert_eq!(ask(path, None).await, 401);
        assert_eq!(ask(path, Some("wrong")).await, 401);
        assert_eq!(ask(path, Some("right")).await, 200);
    }
    assert_eq!(ask("/v1/samples?interval=0", Some("right")).await, 422);
    assert_eq!(ask("/v1/nothing", Some("right")).await, 404);
    let posted = http
        .post(format!("{}/v1/clock", there.url))
        .bearer_auth("right")
        .send();
    assert_eq!(posted.await.unwrap().status().as_u16(), 405);
}
