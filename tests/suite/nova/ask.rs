use serde_json::{Value, json};

use super::{QUICK, request, roles, step};
use crate::support::{start, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_planned_carried_out_and_answered() {
    let server = start().await;
    let mut body = request("Why is the sky blue?", QUICK);
    body["parameters"] = json!({"seed": 7, "num_predict": 64});
    let response = server.ask(&body).await;
    assert_eq!(response["status"], "completed", "{response}");
    let roles = roles(&response);
    assert_eq!(roles.first(), Some(&"memory"));
    assert_eq!(roles[1], "planner");
    assert!(roles[2..roles.len() - 1].iter().all(|it| *it == "executor"));
    assert_eq!(roles.last(), Some(&"memory"));
    assert_eq!(step(&response, "planner")["json"], "asked");
    let answer = &response["steps"][roles.len() - 2];
    assert_eq!(answer["output"], response["text"]);
    assert_eq!(answer["success"], true);
    assert_eq!(answer["throughput"]["output_tokens"], 8);
    assert!(answer["timing"]["time_to_first_chunk"].as_f64().unwrap() > 0.0);
    let thoughts = response["chain_of_thought"].as_array().unwrap();
    assert_eq!(thoughts.len(), roles.len());

    // What was asked for reached the model, with a size of the context.
    let seen = server.seen().await;
    assert_eq!(seen.len(), roles.len() - 2);
    for call in &seen {
        let options = &call["body"]["options"];
        assert_eq!(
            (&options["seed"], &options["num_predict"]),
            (&json!(7), &json!(64))
        );
        assert_eq!(options["num_ctx"], 4096);
    }
    assert!(seen[0]["body"]["format"].is_object());
    assert!(seen.last().unwrap()["body"]["format"].is_null());

    let session = response["session_id"].as_str().unwrap();
    let stored = server
        .get(&format!("/api/nova/sessions/{session}/turns/1"))
        .await;
    let mut whole = stored.body["response"].clone();
    let chunks = whole["steps"][1]["chunks"]["offsets"].as_array().unwrap();
    assert!(!chunks.is_empty());
    let mut response = response;
    for one in [&mut whole, &mut response] {
        for step in one["steps"].as_array_mut().unwrap() {
            step["chunks"] = Value::Null;
        }
    }
    assert_eq!(whole, response, "what was answered is not what is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_turn_add_up_to_it() {
    let server = start().await;
    let model = "script:tokens=40,ttft=40,gap=10@reference";
    let response = server.ask(&request("Why?", model)).await;
    let metrics = &response["metrics"];
    let wall = metrics["wall_time"].as_f64().unwrap();
    let parts = metrics["accounting"].as_object().unwrap();
    let sum: f64 = parts.values().map(|it| it.as_f64().unwrap()).sum();
    assert!((sum - wall).abs() < 1e-6, "{metrics}");
    // The executor alone takes 440 ms.
    assert!(parts["model"].as_f64().unwrap() > 0.4, "{metrics}");
    let steps = response["steps"].as_array().unwrap();
    let calls = steps.iter().filter(|it| !it["model"].is_null()).count();
    assert_eq!(metrics["model_calls"], calls);
    let first = metrics["time_to_first_chunk"].as_f64().unwrap();
    assert!(first < wall, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_turn_from_start_to_end() {
    let server = start().await;
    let events = server.ask_for_events(&request("Why?", QUICK)).await;
    let events = events.all().await;
    let kinds: Vec<&str> = events.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"turn_started"));
    assert_eq!(kinds.last(), Some(&"turn_finished"));
    for kind in [
        "stage",
        "step_started",
        "progress",
        "token",
        "memory",
        "step_finished",
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(events.iter().all(|it| it.data["type"] == it.kind.as_str()));
    let text: String = events
        .iter()
        .filter(|it| it.kind == "token" && it.data["answers"] == true)
        .map(|it| it.data["text"].as_str().unwrap())
        .collect();
    let response = &events.last().unwrap().data["response"];
    assert_eq!(response["text"], text.as_str());

    // Who comes back misses nothing and sees nothing twice; after the end the record tells it.
    let turn = response["turn_id"].as_str().unwrap();
    let finished: Vec<_> = events
        .iter()
        .filter(|it| it.kind == "step_finished")
        .collect();
    let later = server.turn_events(turn, Some(&finished[0].id)).await;
    let kinds: Vec<&str> = later.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(
        kinds.iter().filter(|it| **it == "step_finished").count(),
        finished.len() - 1
    );
    assert_eq!(kinds.last(), Some(&"turn_finished"));
    assert_eq!(&later.last().unwrap().data["response"], response);
    let end = events.last().unwrap();
    assert_eq!(server.turn_events(turn, Some(&end.id)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_work_in_rounds_until_they_agree() {
    let server = start().await;
    let mut body = request("How do we build a bridge?", QUICK);
    body["pipeline"] = json!("nova_process");
    body["domains"] = json!(["statics", "economics"]);
    let events = server.ask_for_events(&body).await.all().await;
    let response = &events.last().unwrap().data["response"];
    assert_eq!(response["status"], "completed", "{response}");
    let rounds: Vec<_> = events.iter().filter(|it| it.kind == "iteration").collect();
    // The reference server's verdicts all say that it converged; the first has seen no proposal.
    let converged: Vec<_> = rounds.iter().map(|it| &it.data["converged"]).collect();
    assert_eq!(converged, [&json!(false), &json!(true)]);
    let steps = response["steps"].as_array().unwrap();
    let names: Vec<&str> = steps
        .iter()
        .filter(|it| it["iteration"] == 1)
        .map(|it| it["agent_name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["expert: statics", "expert: economics", "cae", "dce"]
    );
    assert_eq!(step(response, "cae")["json"], "asked");
    let answer = &steps[steps.len() - 2];
    assert_eq!(
        (&answer["role"], &answer["stage"]),
        (&json!("dce"), &json!("synthesis"))
    );
}

/// The calls of a round: those that overlapped another one.
fn overlaps(response: &Value) -> usize {
    let steps = response["steps"].as_array().unwrap();
    let ideas = steps
        .iter()
        .filter(|it| it["iteration"] == 1 && it["role"] == "expert");
    let spans: Vec<(f64, f64)> = ideas
        .map(|it| {
            let begin = it["offset"].as_f64().unwrap() + it["queue_time"].as_f64().unwrap();
            let end =
                it["offset"].as_f64().unwrap() + it["elapsed_time_ms"].as_f64().unwrap() / 1e3;
            (begin, end)
        })
        .collect();
    let others = |a: &(f64, f64)| spans.iter().any(|b| b != a && b.0 < a.1 && a.0 < b.1);
    spans.iter().filter(|it| others(it)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_work_at_once_where_their_backend_does() {
    let server = start().await;
    let mut body = request("A bridge?", "script:tokens=20,ttft=50,gap=10@reference");
    body["pipeline"] = json!("nova_process");
    body["domains"] = json!(["a", "b", "c"]);
    body["max_iterations"] = json!(1);
    let together = server.ask(&body).await;
    assert_eq!(overlaps(&together), 3, "{together}");
    let queue = &together["metrics"]["accounting"]["queue"];
    assert!(queue.as_f64().unwrap() < 0.05, "{together}");

    // The same server as a backend of Ollama's kind, which has one call at a time.
    let system = server.get("/api/system").await.body;
    let mut backends = system["backends"].as_array().unwrap().iter();
    let url = backends.find(|it| it["name"] == "reference").unwrap()["url"].clone();
    let single = start_with(|config| {
        let ollama = config.backends.get_mut("ollama").unwrap();
        url.as_str().unwrap().clone_into(&mut ollama.url);
    })
    .await;
    body["model"] = json!("steady@ollama");
    let apart = single.ask(&body).await;
    assert_eq!(apart["status"], "completed", "{apart}");
    assert_eq!(overlaps(&apart), 0, "{apart}");
    let queued: Vec<f64> = apart["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["role"] == "expert")
        .map(|it| it["queue_time"].as_f64().unwrap())
        .collect();
    assert!(queued.last() > queued.first(), "{queued:?}");
    // While one waits another one works: along the critical path there is no waiting.
    let metrics = &apart["metrics"];
    let parts = metrics["accounting"].as_object().unwrap();
    let sum: f64 = parts.values().map(|it| it.as_f64().unwrap()).sum();
    assert!((sum - metrics["wall_time"].as_f64().unwrap()).abs() < 1e-6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_have_a_model_of_its_own() {
    let server = start().await;
    let mut body = request("Why?", QUICK);
    body["models"] = json!({"planner": "script:tokens=5,ttft=1,gap=1@reference"});
    let response = server.ask(&body).await;
    assert_eq!(
        step(&response, "planner")["model"],
        "script:tokens=5,ttft=1,gap=1"
    );
    assert_eq!(
        step(&response, "executor")["model"],
        "script:tokens=8,ttft=5,gap=1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_may_pause_for_the_user() {
    let server = start().await;
    let mut body = request("A bridge?", QUICK);
    body["pipeline"] = json!("nova_process");
    body["pause_after"] = json!("problem_unpacking");
    let response = server.ask(&body).await;
    assert_eq!(response["status"], "awaiting_user", "{response}");
    assert_eq!(response["state"]["paused_after"], "problem_unpacking");
    assert!(!response["text"].as_str().unwrap().is_empty());
    assert_eq!(super::roles(&response), ["memory", "dce", "memory"]);
    let mut next = request("Steel.", QUICK);
    next["session_id"] = response["session_id"].clone();
    assert_eq!(server.ask(&next).await["status"], "completed");
}
