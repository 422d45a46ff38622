//! The reference server keeps what its tables promise, byte for byte and stamp for stamp.

mod client;
mod faults;
mod formats;

use std::time::{Duration, Instant};

use ollama_benchmarker::reference::{SeenRequest, Server};
use serde_json::{Value, json};

use client::{Answer, Client};

/// How late a send may be in the middle of other work on this machine.
const TOLERANCE: Duration = Duration::from_millis(30);
/// So many requests in a row are late only by a wrong schedule.
const ATTEMPTS: u32 = 10;

pub fn server() -> Server {
    Server::start("127.0.0.1:0".parse().unwrap()).unwrap()
}

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    Client::connect(server).post(path, &body.to_string())
}

fn get(server: &Server, path: &str) -> Answer {
    Client::connect(server).request("GET", path, "", "")
}

fn generate(model: &str, options: &Value) -> Value {
    json!({"model": model, "prompt": "Why is the sky blue?", "options": options})
}

/// All text of an Ollama stream.
fn text(objects: &[Value], key: &str) -> String {
    let texts = objects.iter().filter_map(|object| object[key].as_str());
    texts.collect()
}

/// Waits until the newest request looks so.
#[track_caller]
fn wait_for(server: &Server, what: impl Fn(&SeenRequest) -> bool) -> SeenRequest {
    let begun = Instant::now();
    loop {
        let newest = server.requests().pop();
        if let Some(request) = newest.filter(&what) {
            return request;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it never looked so"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// No chunk leaves early, ever, and of some requests in a row one has half of its chunks leave in time: a busy machine
/// may delay any of them, a wrong schedule delays all.
#[track_caller]
fn check_times(ask: impl Fn() -> SeenRequest, due: impl Fn(u32) -> Duration) {
    let mut medians = Vec::new();
    for _ in 0..ATTEMPTS {
        let request = ask();
        let mut late: Vec<Duration> = Vec::new();
        for (index, sent) in (0..).zip(&request.sent) {
            let offset = sent.returned - request.received;
            assert!(offset >= due(index), "chunk {index} left at {offset:?}");
            late.push(offset.checked_sub(due(index)).unwrap());
        }
        late.sort();
        let median = late[late.len() / 2];
        if median < TOLERANCE {
            return;
        }
        medians.push(median);
    }
    panic!("chunks are late: {medians:?}");
}

/// What a server of its own saw of a request.
#[track_caller]
fn seen(path: &str, body: &Value) -> SeenRequest {
    let server = server();
    post(&server, path, body);
    wait_for(&server, |request| request.finished)
}

#[test]
fn the_front_page_and_the_version_are_those_of_a_model_server() {
    let server = server();
    assert_eq!(get(&server, "/").text(), "Ollama is running");
    assert!(get(&server, "/api/version").json()["version"].is_string());
    let head = Client::connect(&server).request("HEAD", "/", "", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.head.contains("Content-Length: 17"));
}

#[test]
fn listed_models_have_what_a_list_needs() {
    let server = server();
    let tags = get(&server, "/api/tags").json();
    let names: Vec<&str> = tags["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|model| model["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["steady", "bursty", "slow-start", "thinking", "embedding"]
    );
    let thinking = &tags["models"][3];
    assert_eq!(thinking["capabilities"], json!(["completion", "thinking"]));
    assert_eq!(thinking["digest"].as_str().unwrap().len(), 64);
    assert!(thinking["details"]["quantization_level"].is_string());
    let openai = get(&server, "/v1/models").json();
    assert_eq!(openai["data"][0]["id"], "steady");
    let shown = post(&server, "/api/show", &json!({"model": "steady"})).json();
    assert!(shown["model_info"]["reference.context_length"].is_u64());
}

#[test]
fn steady_writes_a_token_every_ten_milliseconds() {
    let server = server();
    let body = generate("steady", &json!({"seed": 1}));
    let answer = post(&server, "/api/generate", &body);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let objects = answer.objects();
    assert_eq!(objects.len(), 65);
    let last = &objects[64];
    assert_eq!(
        (&last["done"], &last["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert_eq!(last["eval_count"], 64);
    assert_eq!(last["eval_duration"], 640_000_000);
    assert_eq!(last["load_duration"], 1_000_000);
    assert_eq!(last["prompt_eval_duration"], 49_000_000);
    assert_eq!(last["total_duration"], 690_000_000);
    assert_eq!(last["prompt_eval_count"], 5);
    let request = wait_for(&server, |request| request.finished);
    assert_eq!(request.sent.len(), 64);
    check_times(
        || seen("/api/generate", &body),
        |index| Duration::from_millis(50) + Duration::from_millis(10) * index,
    );
}

#[test]
fn the_head_of_a_stream_comes_with_its_first_object() {
    let server = server();
    let answer = post(
        &server,
        "/api/generate",
        &generate("script:ttft=120,tokens=2", &json!({})),
    );
    assert!(
        answer.first_byte >= Duration::from_millis(119),
        "{:?}",
        answer.first_byte
    );
}

#[test]
fn bursty_writes_eight_at_a_time() {
    let body = json!({"model": "bursty", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(seen("/api/chat", &body).sent.len(), 64);
    check_times(
        || seen("/api/chat", &body),
        |index| Duration::from_millis(80) * (1 + index / 8),
    );
}

#[test]
fn slow_start_loads_only_when_it_is_cold() {
    let server = server();
    let body = generate("slow-start", &json!({"num_predict": 2}));
    let cold = post(&server, "/api/generate", &body).objects();
    assert_eq!(cold[2]["load_duration"], 401_000_000);
    check_times(
        || seen("/api/generate", &body),
        |index| Duration::from_millis(700) + Duration::from_millis(5) * index,
    );
    let warm = post(&server, "/api/generate", &body).objects();
    assert_eq!(warm[2]["load_duration"], 1_000_000);
}

#[test]
fn thinking_thinks_first_unless_it_is_told_not_to() {
    let server = server();
    let mut body = generate("thinking", &json!({"seed": 4}));
    let objects = post(&server, "/api/generate", &body).objects();
    let thoughts = objects
        .iter()
        .position(|object| object["thinking"].is_null());
    assert_eq!((thoughts, objects.len()), (Some(24), 65));
    assert!(objects[..24].iter().all(|object| object["response"] == ""));
    body["think"] = json!(false);
    let objects = post(&server, "/api/generate", &body).objects();
    assert!(objects.iter().all(|object| object["thinking"].is_null()));
    assert_eq!(objects.len(), 41);
    let chat = json!({"model": "thinking", "messages": [{"content": "hi"}], "stream": false});
    let whole = post(&server, "/api/chat", &chat).json();
    assert!(
        whole["message"]["thinking"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(whole["eval_count"], 64);
}

#[test]
fn the_same_seed_writes_the_same_text_streamed_or_not() {
    let server = server();
    let script = "script:ttft=0,gap=0,tokens=40";
    let ask = |seed: u64| {
        let body = generate(script, &json!({"seed": seed}));
        text(&post(&server, "/api/generate", &body).objects(), "response")
    };
    let first = ask(7);
    assert_eq!(first, ask(7));
    assert_ne!(first, ask(8));
    let mut body = generate(script, &json!({"seed": 7}));
    body["stream"] = json!(false);
    let whole = post(&server, "/api/generate", &body);
    assert_eq!(
        whole.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(whole.json()["response"], json!(first));
}

#[test]
fn num_predict_and_stop_end_the_output() {
    let server = server();
    let script = "script:ttft=0,gap=0";
    let bounded = post(
        &server,
        "/api/generate",
        &generate(script, &json!({"num_predict": 3})),
    );
    let objects = bounded.objects();
    assert_eq!(
        (objects.len(), &objects[3]["done_reason"]),
        (4, &json!("length"))
    );
    assert_eq!(objects[3]["eval_count"], 3);
    let stopped = post(
        &server,
        "/api/generate",
        &generate(script, &json!({"stop": ["."]})),
    );
    let objects = stopped.objects();
    assert_eq!(objects.last().unwrap()["done_reason"], "stop");
    assert!(!text(&objects, "response").contains('.'));
}

#[test]
fn an_empty_prompt_loads_and_unloading_is_seen_a_moment_later() {
    let server = server();
    let loaded = post(
        &server,
        "/api/generate",
        &json!({"model": "script:load=60", "keep_alive": "5m"}),
    );
    assert_eq!(loaded.json()["done_reason"], "load");
    assert!(
        loaded.first_byte >= Duration::from_millis(59),
        "it waits until the model is loaded"
    );
    let listed = get(&server, "/api/ps").json();
    assert_eq!(listed["models"][0]["name"], "script:load=60");
    assert_eq!(
        listed["models"][0]["size_vram"],
        listed["models"][0]["size"]
    );
    assert_eq!(listed["models"][0]["context_length"], 4096);
    let unloaded = post(
        &server,
        "/api/generate",
        &json!({"model": "script:load=60", "keep_alive": 0}),
    );
    assert_eq!(unloaded.json()["done_reason"], "unload");
    let begun = Instant::now();
    while get(&server, "/api/ps").json()["models"] != json!([]) {
        assert!(begun.elapsed() < Duration::from_secs(5), "it never left");
    }
}

#[test]
fn errors_have_the_words_and_statuses_of_the_real_server() {
    let server = server();
    for (path, body, status, message) in [
        (
            "/api/generate",
            json!({"model": "nope"}),
            404,
            "model 'nope' not found",
        ),
        (
            "/api/show",
            json!({"model": "nope"}),
            404,
            "model 'nope:latest' not found",
        ),
        (
            "/api/generate",
            generate("steady", &json!({"temperature": "hot"})),
            500,
            "option \"temperature\" must be of type float32",
        ),
        (
            "/api/chat",
            json!({"model": "steady", "think": true}),
            400,
            "\"steady\" does not support thinking",
        ),
        (
            "/api/generate",
            json!({"model": "steady", "prompt": "x", "keep_alive": "5"}),
            400,
            "time: missing unit in duration \"5\"",
        ),
    ] {
        let answer = post(&server, path, &body);
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (status, &json!(message))
        );
    }
    let bad = Client::connect(&server).post("/api/generate", "{bad");
    let words = "invalid character 'b' looking for beginning of object key string";
    assert_eq!((bad.status, &bad.json()["error"]), (400, &json!(words)));
    assert_eq!(
        get(&server, "/api/generate").text(),
        "405 method not allowed"
    );
    assert_eq!(get(&server, "/api/nope").text(), "404 page not found");
    let openai = post(&server, "/v1/completions", &json!({"model": "nope"}));
    assert_eq!(openai.status, 404);
    assert_eq!(openai.json()["error"]["message"], "model 'nope' not found");
    let foreign = Client::connect(&server).request("GET", "/", "Origin: https://a.example\r\n", "");
    assert_eq!((foreign.status, foreign.body.len()), (403, 0));
}

#[test]
fn a_prompt_that_does_not_fit_is_cut_or_refused() {
    let server = server();
    let mut body = generate("script:ttft=0,gap=0", &json!({"num_ctx": 3}));
    assert_eq!(
        post(&server, "/api/generate", &body).objects()[64]["prompt_eval_count"],
        3
    );
    body["truncate"] = json!(false);
    let refused = post(&server, "/api/generate", &body);
    assert_eq!(refused.status, 400);
    assert!(
        refused.json()["error"]
            .as_str()
            .unwrap()
            .contains("exceeds the available context")
    );
}

#[test]
fn openai_streams_end_with_usage_and_done() {
    let server = server();
    let body = json!({
        "model": "thinking", "stream": true, "seed": 1, "max_tokens": 30,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "one two three"}],
    });
    let answer = post(&server, "/v1/chat/completions", &body);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let text = answer.text();
    assert!(text.ends_with("data: [DONE]\n\n"));
    let events = answer.events();
    let deltas: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"])
        .collect();
    assert_eq!(
        deltas
            .iter()
            .filter(|delta| delta["reasoning_content"].is_string())
            .count(),
        24
    );
    assert_eq!(events.len(), 32);
    assert_eq!(events[30]["choices"][0]["finish_reason"], "length");
    assert_eq!(events[31]["choices"], json!([]));
    assert_eq!(
        events[31]["usage"],
        json!({"prompt_tokens": 3, "completion_tokens": 30, "total_tokens": 33})
    );
    check_times(
        || seen("/v1/chat/completions", &body),
        |index| Duration::from_millis(50) + Duration::from_millis(10) * index,
    );
}

#[test]
fn openai_answers_whole_on_both_routes() {
    let server = server();
    let model = "script:ttft=0,gap=0,tokens=5";
    let chat = post(
        &server,
        "/v1/chat/completions",
        &json!({
            "model": model, "seed": 1, "messages": [{"role": "user", "content": "hi"}],
        }),
    );
    let chat = chat.json();
    assert_eq!(chat["object"], "chat.completion");
    assert!(chat["choices"][0]["message"]["content"].is_string());
    let plain = post(
        &server,
        "/v1/completions",
        &json!({"model": model, "prompt": "hi"}),
    )
    .json();
    assert!(plain["choices"][0]["text"].is_string());
    assert_eq!(plain["usage"]["completion_tokens"], 5);
    let streamed = post(
        &server,
        "/v1/completions",
        &json!({
            "model": model, "prompt": "hi", "stream": true,
        }),
    );
    assert_eq!(
        streamed.events().len(),
        6,
        "five texts and a finish, no usage unasked"
    );
}

#[test]
fn a_client_that_leaves_is_seen_at_once() {
    let server = server();
    let mut client = Client::connect(&server);
    client.send(
        "POST",
        "/api/generate",
        "",
        &generate("steady", &json!({})).to_string(),
    );
    wait_for(&server, |request| request.sent.len() >= 3);
    let left = Instant::now();
    drop(client);
    let request = wait_for(&server, |request| request.closed.is_some());
    let seen = request.closed.unwrap().saturating_duration_since(left);
    assert!(seen < Duration::from_millis(200), "seen {seen:?} later");
    assert!(!request.finished);
    let sent = request.sent.len();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(
        server.requests().pop().unwrap().sent.len(),
        sent,
        "it wrote on"
    );
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let server = server();
    let mut client = Client::connect(&server);
    let body = generate("script:ttft=0,gap=0,tokens=2", &json!({}));
    for _ in 0..3 {
        assert_eq!(
            client
                .post_keeping("/api/generate", &body.to_string())
                .objects()
                .len(),
            3
        );
        assert_eq!(client.request_keeping("GET", "/api/version").status, 200);
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn the_record_is_served_as_json() {
    let server = server();
    let body = generate("script:ttft=30,gap=10,tokens=3", &json!({}));
    post(&server, "/api/generate", &body);
    wait_for(&server, |request| request.finished);
    let record = get(&server, "/reference/requests").json();
    let newest = &record[0];
    assert_eq!(newest["body"], body);
    assert_eq!(newest["path"], "/api/generate");
    let sent: Vec<f64> = newest["sent"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert_eq!(sent.len(), 3);
    assert!(sent[0] >= 0.03 && sent[2] >= 0.05, "{sent:?}");
}

#[test]
fn stopping_closes_connections_and_frees_the_port() {
    let server = server();
    let addr = server.addr();
    let mut client = Client::connect(&server);
    client.send(
        "POST",
        "/api/generate",
        "",
        &generate("fault-silent", &json!({})).to_string(),
    );
    wait_for(&server, |_| true);
    server.stop();
    assert!(client.read_to_end().is_empty());
    let again = Server::start(addr);
    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn a_taken_port_is_an_error() {
    let server = server();
    assert!(Server::start(server.addr()).is_err());
}
