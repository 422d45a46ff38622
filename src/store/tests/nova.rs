//! Sessions, turns, steps and memory, on either database.

use chrono::TimeDelta;

use super::*;
use crate::record::{
    ErrorInfo, JsonOutcome, MemoryDocument, MemoryScope, NewSession, NovaMetrics, NovaPipeline,
    NovaRequest, NovaResponse, NovaRole, NovaSession, NovaStage, NovaState, NovaStatus, NovaStep,
    NovaTurn, Parameters, RecallReason, SessionStatus,
};

fn id() -> RunId {
    RunId::new(now())
}

fn session() -> NovaSession {
    let now = now();
    NovaSession::new(id(), now, NewSession::default())
}

fn turn(session: &NovaSession, prompt: &str) -> NovaTurn {
    NovaTurn {
        number: 0,
        timestamp: now(),
        finished_at: None,
        pipeline: NovaPipeline::Turn,
        request: NovaRequest::new(prompt),
        response: NovaResponse {
            text: String::new(),
            chain_of_thought: Vec::new(),
            metrics: NovaMetrics::default(),
            session_id: session.id.clone(),
            turn_id: id(),
            status: NovaStatus::Running,
            status_reason: None,
            state: NovaState::default(),
            steps: Vec::new(),
            questions: Vec::new(),
            error: None,
        },
        setting: None,
    }
}

fn step(number: u32) -> NovaStep {
    NovaStep {
        number,
        agent_name: "planner".into(),
        role: NovaRole::Planner,
        stage: NovaStage::Planning,
        iteration: None,
        input: "Plan.".into(),
        output: "\u{0}🙂\r\n".into(),
        thinking: None,
        timestamp: now(),
        elapsed_time_ms: 12.5,
        offset: 0.001,
        queue_time: 0.0,
        model: Some("m".into()),
        backend: Some("ollama".into()),
        backend_version: None,
        digest: None,
        parameters: Parameters::default(),
        format: Some(serde_json::json!({"type": "object"})),
        json: Some(JsonOutcome::Repaired),
        prompt_sha256: None,
        output_sha256: String::new(),
        prompt_truncated: true,
        partial: false,
        success: false,
        error: Some(ErrorInfo {
            code: crate::record::ErrorCode::EmptyOutput,
            message: "nothing".into(),
        }),
        done_reason: None,
        contended: false,
        timing: Timing::default(),
        throughput: Throughput::default(),
        system_impact: SystemImpact::default(),
        energy: None,
        documents: Vec::new(),
        notes: Vec::new(),
        chunks: Some(Chunks {
            offsets: vec![0.001, 0.002],
            sizes: vec![4, 3],
        }),
    }
}

fn document(text: &str, session: Option<&NovaSession>) -> MemoryDocument {
    MemoryDocument {
        id: id(),
        text: text.into(),
        tags: vec!["a".into()],
        created_at: now(),
        session_id: session.map(|it| it.id.clone()),
        embedding_model: None,
        score: None,
        found_by: None,
        reason: None,
    }
}

/// A session with turns that have ended.
async fn told(store: &Store, prompts: &[&str]) -> NovaSession {
    let session = session();
    store.create_session(&session).await.unwrap();
    for prompt in prompts {
        let mut turn = turn(&session, prompt);
        store.begin_turn(&mut turn).await.unwrap().unwrap();
        store
            .save_step(&turn.response.turn_id, &step(0))
            .await
            .unwrap();
        turn.response.status = NovaStatus::Completed;
        turn.response.text = format!("about {prompt}");
        turn.finished_at = Some(now());
        assert!(store.finish_turn(&turn, now(), |_| ()).await.unwrap());
    }
    store.session(&session.id).await.unwrap().unwrap()
}

fn remembered(text: &str, session: Option<&NovaSession>) -> Remembered {
    Remembered {
        document: document(text, session),
        embedding: None,
    }
}

fn texts(documents: &[MemoryDocument]) -> Vec<&str> {
    documents.iter().map(|it| it.text.as_str()).collect()
}

#[tokio::test]
async fn a_turn_comes_back_as_it_was() {
    let (_place, store) = fresh().await;
    let session = session();
    store.create_session(&session).await.unwrap();
    let mut turn = turn(&session, "Why is the sky blue?");
    let begun = store.begin_turn(&mut turn).await.unwrap().unwrap();
    let turn_id = turn.response.turn_id.clone();
    assert_eq!(begun.title, "Why is the sky blue?");
    assert_eq!(store.session(&session.id).await.unwrap(), Some(begun));
    // What was kept while it was being written gives way to the whole.
    let part = NovaStep {
        output: "Light".into(),
        partial: true,
        ..step(0)
    };
    store.save_step(&turn_id, &part).await.unwrap();
    let whole = step(0);
    store.save_step(&turn_id, &whole).await.unwrap();
    turn.response.status = NovaStatus::Completed;
    turn.response.text = "Light scatters.\u{0}".into();
    turn.finished_at = Some(now());
    let renamed = |it: &mut NovaSession| it.title = "sky".into();
    assert!(store.finish_turn(&turn, now(), renamed).await.unwrap());
    // It has ended already.
    assert!(!store.finish_turn(&turn, now(), |_| ()).await.unwrap());
    turn.response.steps = vec![whole];
    let stored = store.turn(&turn_id, TurnDetail::Whole).await.unwrap();
    assert_eq!(stored, Some(turn.clone()));
    turn.response.steps[0].chunks = None;
    let lighter = store.turn(&turn_id, TurnDetail::Steps).await.unwrap();
    assert_eq!(lighter, Some(turn));
    let stands = store.session(&session.id).await.unwrap().unwrap();
    assert_eq!(
        (stands.title.as_str(), stands.turns, stands.active_turn),
        ("sky", 1, None)
    );
}

#[tokio::test]
async fn a_session_has_one_turn_at_a_time() {
    let (_place, store) = fresh().await;
    let session = session();
    store.create_session(&session).await.unwrap();
    let attempts = (0..8).map(|_| {
        let (store, mut turn) = (store.clone(), turn(&session, "x"));
        tokio::spawn(async move { store.begin_turn(&mut turn).await })
    });
    let (mut begun, mut refused) = (0, 0);
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(Some(_)) => begun += 1,
            Err(StoreError::TurnActive { .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((begun, refused), (1, 7));
    let deleted = store.delete_session(&session.id).await;
    assert!(matches!(deleted, Err(StoreError::TurnActive { .. })));
}

#[tokio::test]
async fn closed_and_unknown_sessions_take_no_turn() {
    let (_place, store) = fresh().await;
    let session = session();
    let mut turn = turn(&session, "x");
    assert_eq!(store.begin_turn(&mut turn).await.unwrap(), None);
    store.create_session(&session).await.unwrap();
    let close = |it: &mut NovaSession| it.status = SessionStatus::Closed;
    let closed = store.change_session(&session.id, now(), close).await;
    assert_eq!(closed.unwrap().unwrap().status, SessionStatus::Closed);
    let refused = store.begin_turn(&mut turn).await;
    assert!(matches!(refused, Err(StoreError::SessionClosed { .. })));
    let unknown = store.change_session(&id(), now(), |_| ()).await;
    assert_eq!(unknown.unwrap(), None);
}

#[tokio::test]
async fn sessions_are_listed_page_by_page_and_each_once() {
    let (_place, store) = fresh().await;
    let begin = now();
    for minute in 0..5 {
        let mut session = session();
        // Some at the same time: the page must not lose any.
        session.updated_at = begin + TimeDelta::minutes(minute / 2);
        session.title = format!("{minute}");
        store.create_session(&session).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.sessions(2, cursor.as_deref()).await.unwrap();
        seen.extend(page.sessions.into_iter().map(|it| it.title));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["4", "3", "2", "1", "0"]);
    let wrong = store.sessions(2, Some("ff")).await;
    assert!(matches!(wrong, Err(StoreError::BadCursor)));
}

#[tokio::test]
async fn only_turns_whose_process_is_gone_are_abandoned() {
    let (place, store) = fresh().await;
    let session = session();
    store.create_session(&session).await.unwrap();
    let mut turn = turn(&session, "x");
    store.begin_turn(&mut turn).await.unwrap().unwrap();
    let turn_id = turn.response.turn_id.clone();
    store.save_step(&turn_id, &step(0)).await.unwrap();
    let other = place.open().await;
    assert_eq!(other.abandoned_turns().await.unwrap(), []);
    assert_eq!(store.abandoned_turns().await.unwrap(), []);
    store.close().await;
    drop(store);
    let mut found = Vec::new();
    for _ in 0..200 {
        found = other.abandoned_turns().await.unwrap();
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut left = found.pop().unwrap();
    assert_eq!(left.response.turn_id, turn_id);
    assert_eq!(left.response.steps.len(), 1);
    left.response.status = NovaStatus::Interrupted;
    assert!(other.finish_turn(&left, now(), |_| ()).await.unwrap());
    assert_eq!(other.abandoned_turns().await.unwrap(), []);
    let mut next = super::nova::turn(&session, "y");
    other.begin_turn(&mut next).await.unwrap().unwrap();
    assert_eq!(next.number, 2);
}

#[tokio::test]
async fn a_checkpoint_is_the_session_as_far_as_it_goes() {
    let (_place, store) = fresh().await;
    let source = told(&store, &["one", "two", "three"]).await;
    let kept = Remembered {
        embedding: Some(Embedding {
            model: "e@a".into(),
            vector: vec![0.5, -1.0],
        }),
        ..remembered("the exchange", Some(&source))
    };
    store.remember(&kept).await.unwrap();
    let (session, turns, memory) = store
        .checkpoint(&source.id, Some(2))
        .await
        .unwrap()
        .unwrap();
    let prompts: Vec<&str> = turns.iter().map(|it| it.request.prompt.as_str()).collect();
    assert_eq!(prompts, ["one", "two"]);
    assert!(turns[0].response.steps[0].chunks.is_some());
    assert_eq!(memory, std::slice::from_ref(&kept));
    assert_eq!(store.checkpoint(&id(), None).await.unwrap(), None);

    let (_elsewhere, other) = fresh().await;
    let checkpoint = crate::record::NovaCheckpoint {
        version: crate::record::NovaCheckpoint::VERSION,
        session,
        turns,
        memory: Vec::new(),
    };
    other.keep_checkpoint(&checkpoint, &memory).await.unwrap();
    let again = other.checkpoint(&source.id, None).await.unwrap().unwrap();
    assert_eq!(again.1, checkpoint.turns);
    assert_eq!(again.2, memory);
}

#[tokio::test]
async fn documents_are_found_by_their_words_within_their_scope() {
    let (_place, store) = fresh().await;
    let (mine, other) = (told(&store, &["x"]).await, told(&store, &["y"]).await);
    for document in [
        remembered("The harbour of Trieste closes at nine.", None),
        remembered("Apples are ripe in autumn.", None),
        remembered("My boat lies in the harbour.", Some(&mine)),
        remembered("Somebody else's harbour.", Some(&other)),
    ] {
        store.remember(&document).await.unwrap();
        // A second attempt at the same thing is the same thing.
        store.remember(&document).await.unwrap();
    }
    let scope = MemoryScope::Session(mine.id.clone());
    let asked = "When does the HARBOUR in Trieste close? OR \"NEAR(";
    let found = store.recall_by_words(&scope, asked, 5).await.unwrap();
    assert_eq!(
        texts(&found),
        [
            "The harbour of Trieste closes at nine.",
            "My boat lies in the harbour."
        ]
    );
    assert_eq!(found[0].found_by, Some(RecallReason::FullText));
    assert_eq!(
        found[0].reason.as_deref(),
        Some("it has the words harbour, the, trieste")
    );
    assert!(found[0].score > found[1].score);
    let shared = store.recall_by_words(&MemoryScope::Shared, asked, 5);
    assert_eq!(shared.await.unwrap().len(), 1);
    assert_eq!(store.recall_by_words(&scope, "?!", 5).await.unwrap(), []);
    let first = store.memory(&MemoryScope::All, 3, None).await.unwrap();
    assert_eq!(first.documents.len(), 3);
    let cursor = first.next.unwrap();
    let last = store.memory(&MemoryScope::All, 3, Some(&cursor)).await;
    let last = last.unwrap();
    assert_eq!(
        texts(&last.documents),
        ["The harbour of Trieste closes at nine."]
    );
    assert_eq!(last.next, None);
}

#[tokio::test]
async fn documents_are_found_by_embeddings_of_the_same_model_only() {
    let (_place, store) = fresh().await;
    let embedding = |model: &str, vector: &[f32]| Embedding {
        model: model.into(),
        vector: vector.to_vec(),
    };
    for (text, model, vector) in [
        ("near", "e@a", [1.0, 0.1]),
        ("nearer", "e@a", [1.0, 0.0]),
        ("far", "e@a", [-1.0, 0.0]),
        ("other", "e@b", [1.0, 0.0]),
    ] {
        let kept = Remembered {
            embedding: Some(embedding(model, &vector)),
            ..remembered(text, None)
        };
        store.remember(&kept).await.unwrap();
    }
    let wanted = embedding("e@a", &[2.0, 0.0]);
    let found = store.recall_by_embedding(&MemoryScope::Shared, &wanted, 5);
    let found = found.await.unwrap();
    assert_eq!(texts(&found), ["nearer", "near"]);
    assert_eq!(found[0].score, Some(1.0));
    assert_eq!(found[0].found_by, Some(RecallReason::Embedding));
    let one = store.recall_by_embedding(&MemoryScope::Shared, &wanted, 1);
    assert_eq!(texts(&one.await.unwrap()), ["nearer"]);
}

#[tokio::test]
async fn what_is_deleted_is_not_found() {
    let (_place, store) = fresh().await;
    let mine = told(&store, &["x"]).await;
    let kept = remembered("a harbour", None);
    store.remember(&kept).await.unwrap();
    store
        .remember(&remembered("harbour", Some(&mine)))
        .await
        .unwrap();
    assert!(store.delete_session(&mine.id).await.unwrap());
    assert!(!store.delete_session(&mine.id).await.unwrap());
    let find = async || {
        let found = store.recall_by_words(&MemoryScope::All, "harbour", 5).await;
        found.unwrap().len()
    };
    assert_eq!(find().await, 1);
    assert!(store.forget(&kept.document.id).await.unwrap());
    assert!(!store.forget(&kept.document.id).await.unwrap());
    assert_eq!(find().await, 0);
    let tables = [
        "select count(*) as n from nova_sessions",
        "select count(*) as n from nova_turns",
        "select count(*) as n from nova_steps",
        "select count(*) as n from nova_memory",
    ];
    for table in tables {
        let rows = store.database.fetch_all(Statement::new(table)).await;
        assert_eq!(rows.unwrap()[0].get::<i64>("n").unwrap(), 0, "{table}");
    }
    store.remember(&remembered("harbour", None)).await.unwrap();
    assert_eq!(store.forget_all(&MemoryScope::Shared).await.unwrap(), 1);
    assert_eq!(find().await, 0);
}

#[tokio::test]
async fn what_is_damaged_of_the_agents_is_found_and_named() {
    let (_place, store) = fresh().await;
    let session = told(&store, &["a", "b", "c"]).await;
    store
        .remember(&remembered("a bridge", Some(&session)))
        .await
        .unwrap();
    let report = store.check(|_| ()).await.unwrap();
    assert_eq!((report.findings, report.others), (vec![], 8));
    let turns = store
        .turns(&session.id, 0, 9, TurnDetail::Bare)
        .await
        .unwrap();
    let turn = |at: usize| turns[at].response.turn_id.to_string();
    let damages = [
        (
            "update nova_sessions set document = $2 where id = $1",
            session.id.to_string(),
            "session",
        ),
        (
            "update nova_turns set document = $2 where id = $1",
            turn(0),
            "turn",
        ),
        (
            "update nova_steps set document = $2 where turn = $1",
            turn(1),
            "step",
        ),
        (
            "update nova_steps set chunks = $2 where turn = $1",
            turn(2),
            "step 0: its chunks are cut off",
        ),
    ];
    for (damage, id, _) in &damages {
        let damage = Statement::new(damage).bind(id.as_str()).bind(vec![1_u8, 2]);
        assert_eq!(store.database.execute(damage).await.unwrap(), 1);
    }
    let moved = Statement::new("update nova_turns set number = 7 where id = $1");
    store
        .database
        .execute(moved.bind(turn(2).as_str()))
        .await
        .unwrap();
    let report = store.check(|_| ()).await.unwrap();
    let moved = ("", turn(2), "the row of turn 7");
    for (_, id, words) in damages.iter().chain([&moved]) {
        let named = report.findings.iter().any(|finding| {
            finding.id.as_deref() == Some(id.as_str()) && finding.message.contains(words)
        });
        assert!(named, "{words}: {:#?}", report.findings);
    }
    assert_eq!(report.faults, 5, "{:#?}", report.findings);
}
