use std::fs;

use ollama_benchmarker::record::RunId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{LONG, QUICK, request, step};
use crate::support::{Server, settings, start, start_from};

const OTHER: &str = "script:tokens=4,ttft=1,gap=1,json=prose@reference";

/// Does a turn again.
async fn again(server: &Server, turn: &Value, body: &Value) -> Value {
    let id = turn["turn_id"].as_str().unwrap();
    let report = server
        .post(&format!("/api/nova/turns/{id}/replay"), body)
        .await;
    assert_eq!(report.status, 200, "{}", report.text);
    report.body
}

fn sha256(text: &Value) -> String {
    hex::encode(Sha256::digest(text.as_str().unwrap()))
}

/// A session of both pipelines, with something that is remembered.
async fn recorded(server: &Server) -> Vec<Value> {
    let document = json!({"text": "Bridges of steel rust near the sea."});
    assert_eq!(server.post("/api/nova/memory", &document).await.status, 201);
    let first = server.ask(&request("What do bridges need?", QUICK)).await;
    let mut next = request("And bridges near the sea?", QUICK);
    next["session_id"] = first["session_id"].clone();
    next["pipeline"] = json!("nova_process");
    next["domains"] = json!(["statics", "economics"]);
    let second = server.ask(&next).await;
    assert_eq!(second["status"], "completed", "{second}");
    let documents = second["state"]["memory_documents"].as_array().unwrap();
    assert!(!documents.is_empty());
    vec![first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tape_gives_the_turn_to_the_byte_and_asks_no_model() {
    let server = start().await;
    let turns = recorded(&server).await;
    let before = server.seen().await.len();
    for turn in &turns {
        let report = again(&server, turn, &json!({"mode": "tape"})).await;
        assert_eq!(report["identical"], true, "{report}");
        assert_eq!(report["first_difference"], Value::Null);
        assert_eq!(report["text"], turn["text"]);
        assert_eq!(report["text_sha256"], sha256(&turn["text"]));
        assert_eq!(report["status"], "completed");
        let steps = report["steps"].as_array().unwrap();
        let recorded = turn["steps"].as_array().unwrap();
        assert_eq!(steps.len(), recorded.len());
        for (step, recorded) in steps.iter().zip(recorded) {
            assert_eq!(step["agent_name"], recorded["agent_name"]);
            assert_eq!(step["hashes"]["prompt_sha256"], sha256(&recorded["input"]));
            assert_eq!(step["hashes"]["output_sha256"], sha256(&recorded["output"]));
        }
    }
    assert_eq!(server.seen().await.len(), before);
    // Nothing of it is stored.
    let session = turns[0]["session_id"].as_str().unwrap();
    let path = format!("/api/nova/sessions/{session}/turns");
    assert_eq!(server.get(&path).await.body.as_array().unwrap().len(), 2);
    let memory = server
        .get(&format!("/api/nova/memory?session={session}"))
        .await;
    assert_eq!(memory.body.as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tape_tells_what_else_than_the_models_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = settings(&folder);
    config.database_url = format!("sqlite:{}", folder.path().join("test.db").display());
    let mut server = start_from(config.clone()).await;
    let turn = server.ask(&request("Why is the sky blue?", QUICK)).await;
    server.stop().await;
    let prompts = folder.path().join("prompts");
    fs::create_dir(&prompts).unwrap();
    let own = "{{ prompt }} {{ contributions }} {{ goals }} Answer like a pirate.";
    fs::write(prompts.join("executor.answer.txt"), own).unwrap();
    config.nova.prompts = prompts.display().to_string();
    let server = start_from(config).await;
    let report = again(&server, &turn, &json!({})).await;
    assert_eq!(report["mode"], "tape");
    assert_eq!(
        (&report["identical"], &report["status"]),
        (&json!(false), &json!("failed"))
    );
    let first = &report["first_difference"];
    let steps = turn["steps"].as_array().unwrap();
    let answer = &steps[steps.len() - 2];
    assert_eq!(first["kind"], "prompt", "{first}");
    assert_eq!(
        (&first["step"], &first["agent_name"]),
        (&answer["number"], &json!("executor"))
    );
    assert_eq!(first["recorded"]["prompt_sha256"], answer["prompt_sha256"]);
    assert_ne!(first["replayed"]["prompt_sha256"], answer["prompt_sha256"]);
    assert!(first["text"]["character"].as_u64().unwrap() >= 1, "{first}");
    // What came before is the same.
    let replayed = report["steps"].as_array().unwrap();
    assert!(
        replayed[..replayed.len() - 1]
            .iter()
            .all(|it| it["identical"] == true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_names_the_first_step_that_differs() {
    let server = start().await;
    let turns = recorded(&server).await;
    let before = server.seen().await.len();
    let report = again(
        &server,
        &turns[1],
        &json!({"mode": "rerun", "model": OTHER}),
    )
    .await;
    assert_eq!(report["identical"], false);
    assert!(server.seen().await.len() > before);
    let first = &report["first_difference"];
    let unpacked = step(&turns[1], "dce");
    assert_eq!(first["kind"], "output", "{first}");
    assert_eq!(first["step"], unpacked["number"]);
    assert_eq!(first["agent_name"], "dce");
    assert_eq!(
        first["recorded"]["output_sha256"],
        unpacked["output_sha256"]
    );
    assert_ne!(
        first["replayed"]["output_sha256"],
        unpacked["output_sha256"]
    );
    // It was told the same: memory, session and context are those of the record.
    assert_eq!(
        first["recorded"]["prompt_sha256"],
        unpacked["prompt_sha256"]
    );
    assert_eq!(
        first["replayed"]["prompt_sha256"],
        unpacked["prompt_sha256"]
    );
    assert!(first["text"]["word"].as_u64().unwrap() >= 1);
    let models = report["steps"].as_array().unwrap().iter();
    assert!(
        models
            .filter(|it| !it["model"].is_null())
            .all(|it| it["model"] == OTHER)
    );

    // Without a model those of the record are asked, and the same sizes are sent.
    let same = again(&server, &turns[0], &json!({"mode": "rerun"})).await;
    assert_eq!(same["status"], "completed", "{same}");
    let seen = server.seen().await;
    let last = &seen.last().unwrap()["body"]["options"];
    assert_eq!(last["num_ctx"], 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_that_did_not_succeed_are_replayed_too() {
    let server = start().await;
    let mut failing = request("Why?", QUICK);
    failing["models"] = json!({"executor": "fault-truncated@reference"});
    let failed = server.ask(&failing).await;
    assert_eq!(failed["status"], "failed");
    let report = again(&server, &failed, &json!({})).await;
    assert_eq!(
        (&report["identical"], &report["status"]),
        (&json!(true), &json!("failed"))
    );

    let mut long = request("Why?", QUICK);
    long["models"] = json!({"executor": LONG, "planner": OTHER});
    let mut events = server.ask_for_events(&long).await;
    let turn = events.next().await.unwrap().data["turn_id"].clone();
    while let Some(event) = events.next().await {
        if event.kind == "token" && event.data["answers"] == true {
            break;
        }
    }
    let path = |what: &str| format!("/api/nova/turns/{}/{what}", turn.as_str().unwrap());
    let refused = server.post(&path("replay"), &json!({})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let cancelled = server.post(&path("cancel"), &json!(null)).await.body;
    let report = again(&server, &cancelled, &json!({})).await;
    assert_eq!(report["identical"], true, "{report}");
    assert_eq!(report["status"], "cancelled");
    assert_eq!(report["text"], cancelled["text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_again_is_refused() {
    let server = start().await;
    let turn = server.ask(&request("Why?", QUICK)).await;
    let path = format!(
        "/api/nova/turns/{}/replay",
        turn["turn_id"].as_str().unwrap()
    );
    let with_model = server.post(&path, &json!({"model": QUICK})).await;
    with_model.problem(422);
    assert_eq!(with_model.pointers(), ["/model"]);
    for wrong in [json!({"mode": "dream"}), json!({"speed": 2})] {
        assert_eq!(server.post(&path, &wrong).await.status, 422);
    }
    let unknown = json!({"mode": "rerun", "model": "nothing@reference"});
    assert_eq!(server.post(&path, &unknown).await.status, 404);
    let nobody = RunId::new(chrono::DateTime::UNIX_EPOCH);
    let path = format!("/api/nova/turns/{nobody}/replay");
    assert_eq!(server.post(&path, &json!({})).await.status, 404);
}
