//! The conversation with agents: asked by the form, read as pages, without scripts.

use serde_json::{Value, json};

use super::content;
use crate::nova::{LONG, QUICK};
use crate::support::{Answer, Server, start};

/// What the form sends that nobody touched but for prompt and model.
fn asked<'a>(prompt: &'a str, model: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("prompt", prompt),
        ("pipeline", "turn"),
        ("model", ""),
        ("other_model", model),
        ("memory/read", "on"),
        ("memory/write", "on"),
        ("memory/limit", "5"),
    ]
}

impl Server {
    /// The newest session.
    async fn session(&self) -> String {
        let sessions = self.get("/api/nova/sessions?limit=1").await.body;
        sessions[0]["id"].as_str().unwrap().to_owned()
    }

    /// Asks by the form, waits for the end of the turn and gives the session and its page.
    async fn asked(&self, fields: &[(&str, &str)]) -> (String, Answer) {
        let live = self.send("/ui/nova/ask", fields).await;
        assert_eq!(live.status, 200, "{}", live.text);
        let id = self.session().await;
        let turns = self.get(&format!("/api/nova/sessions/{id}/turns")).await;
        let last = turns.body.as_array().unwrap().last().unwrap().clone();
        let turn = last["response"]["turn_id"].as_str().unwrap();
        self.turn_events(turn, None).await;
        let page = self.page(&format!("/nova/{id}")).await;
        (id, page)
    }

    /// Sends a file as a browser does, and follows where it leads.
    async fn bring_in(&self, file: &str) -> Answer {
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"checkpoint\"; filename=\"a.json\"\r\n\
             Content-Type: application/json\r\n\r\n{file}\r\n--edge--\r\n"
        );
        let request = self
            .http
            .post(format!("{}/ui/nova/sessions/import", self.url));
        let request = request.header("accept", "text/html");
        let request = request.header("content-type", "multipart/form-data; boundary=edge");
        Answer::of(request.body(body).send().await.unwrap()).await
    }
}

/// Nothing but whole texts between tags, so that lines of a template do not matter.
#[track_caller]
fn lacks(page: &Answer, parts: &[&str]) {
    for part in parts {
        assert!(!page.text.contains(part), "`{part}` is in:\n{}", page.text);
    }
}

#[tokio::test]
async fn a_newcomer_is_told_what_it_is_and_can_try_it() {
    let server = start().await;
    let page = server.page("/nova").await;
    insta::assert_snapshot!(content(&page));
    // What only embeds is not offered.
    lacks(&page, &["embedding@reference"]);
    let example = server.page("/nova?example=1").await;
    example.holds(200, &["learn to play the piano"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_shows_its_answer_its_steps_and_what_they_cost() {
    let server = start().await;
    let (id, page) = server.asked(&asked("Why is the sky blue?", QUICK)).await;
    let turn = server
        .get(&format!("/api/nova/sessions/{id}/turns/1"))
        .await
        .body;
    let answer = turn["response"]["text"].as_str().unwrap();
    page.holds(
        200,
        &[
            "<h1 dir=\"auto\">Why is the sky blue?</h1>",
            "<span class=\"status completed\">completed</span>",
            &format!("<div class=\"answer\" dir=\"auto\">{answer}</div>"),
            ">Planner</a>",
            "<svg viewBox=\"0 0 1000 10\"",
            "Models ",
            "Own overhead ",
            "tokens of context used",
            "name=\"turn\" value=\"1\"",
            "That of this session: script:tokens=8,ttft=5,gap=1@reference",
        ],
    );
    lacks(
        &page,
        &["http-equiv=\"refresh\"", "data-turn=", ">Stop</button>"],
    );
    let whole = server.page(&format!("/nova/{id}/turns/1")).await;
    whole.holds(200, &[answer, "<details class=\"steps\" open>"]);
    server
        .page(&format!("/nova/{id}/turns/2"))
        .await
        .holds(404, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_remembered_is_shown_with_its_reason() {
    let server = start().await;
    let note = json!({"text": "Molecules scatter blue light most."});
    server.post("/api/nova/memory", &note).await;
    let (_, page) = server.asked(&asked("Why is light blue?", QUICK)).await;
    let parts = [
        "<span class=\"quiet\">1 document used",
        "Molecules scatter blue light most.",
        "Of all sessions, alike in ",
    ];
    page.holds(200, &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_says_how_its_json_was_got() {
    let server = start().await;
    for (manner, word) in [("repair", "JSON repaired"), ("broken", "JSON fell back")] {
        let model = format!("script:tokens=8,ttft=1,gap=1,json={manner}@reference");
        let (_, page) = server.asked(&asked("Say something.", &model)).await;
        page.holds(200, &["JSON unreadable, asked again", word]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_goes_on_and_is_stopped_without_scripts() {
    let server = start().await;
    let live = server.send("/ui/nova/ask", &asked("Why?", LONG)).await;
    live.holds(
        200,
        &[
            "http-equiv=\"refresh\"",
            "<span class=\"status running\">going on</span>",
            ">Stop</button>",
            "id=\"ask\" novalidate hidden>",
        ],
    );
    let id = server.session().await;
    let asked_again = server
        .send(
            "/ui/nova/ask",
            &[&asked("And?", QUICK)[..], &[("session_id", &*id)]].concat(),
        )
        .await;
    asked_again.holds(409, &["This was not done", ">\nAnd?</textarea>"]);
    let refused = server.page(&format!("/nova/{id}/delete")).await;
    refused.holds(200, &["A turn goes on in it."]);
    let turn = live.text.split("data-turn=\"").nth(1).unwrap();
    let turn = &turn[..24];
    let stopped = server
        .send(&format!("/ui/nova/turns/{turn}/cancel"), &[])
        .await;
    stopped.holds(
        200,
        &[
            "<span class=\"status cancelled\">stopped</span>",
            "The connections to the model servers were closed",
            "What there was of the answer",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_pauses_asks_for_a_word() {
    let server = start().await;
    let mut fields = asked("A bridge?", QUICK);
    fields.retain(|(name, _)| *name != "pipeline");
    fields.extend([
        ("pipeline", "nova_process"),
        ("pause_after", "problem_unpacking"),
    ]);
    let (_, page) = server.asked(&fields).await;
    page.holds(
        200,
        &[
            "<span class=\"status awaiting_user\">waits for you</span>",
            "paused after “Taking the problem apart”",
            "<label for=\"prompt\">Your word</label>",
            "autofocus>",
            "Discussion lead (DCE)",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_beside_their_field_and_nothing_is_lost() {
    let server = start().await;
    let fields = [
        ("prompt", " "),
        ("pipeline", "nova_process"),
        ("model", "thinking@reference"),
        ("models/planner", "@"),
        ("domains", "</textarea><script>x</script>"),
        ("max_iterations", "many"),
        ("memory/limit", "5"),
        ("parameters/temperature", "-3"),
    ];
    let page = server.send("/ui/nova/ask", &fields).await;
    page.holds(
        422,
        &[
            "<a href=\"#prompt\">Prompt</a>: must not be empty",
            "id=\"prompt-error\">must not be empty</p>",
            "id=\"models-planner-error\">",
            "id=\"max_iterations-error\">`many` is not a whole number</p>",
            "id=\"domains-error\">two to 8 fields, or none</p>",
            "id=\"parameters-temperature-error\">is -3; must be from 0 to 10</p>",
            "<option value=\"thinking@reference\" selected>",
            "value=\"nova_process\" checked",
            "value=\"many\"",
            "&lt;/textarea&gt;&lt;script&gt;",
        ],
    );
    lacks(&page, &["<script>x"]);
    // Unticked stays unticked.
    assert!(
        !page
            .text
            .contains("name=\"memory/read\" value=\"on\" checked")
    );
    let unknown = server
        .send("/ui/nova/ask", &asked("x", "steddy@reference"))
        .await;
    unknown.holds(
        404,
        &[
            "id=\"model-error\">there is no model `steddy`",
            "value=\"steddy@reference\"",
        ],
    );
    let away = server.send("/ui/nova/ask", &asked("x", "a@ollama")).await;
    away.holds(502, &["This was not done", "cannot reach ollama"]);
    let nowhere = [("prompt", "x"), ("session_id", "6742f0a1c3d2e1f0a9b8c7d6")];
    server.send("/ui/nova/ask", &nowhere).await.holds(404, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renamed_branched_off_closed_and_deleted() {
    let server = start().await;
    let (id, _) = server.asked(&asked("One?", QUICK)).await;
    let next = [&asked("Two?", QUICK)[..], &[("session_id", &*id)]].concat();
    let (same, _) = server.asked(&next).await;
    assert_eq!(same, id);

    let path = |what: &str| format!("/ui/nova/sessions/{id}/{what}");
    let renamed = server
        .send(&path("rename"), &[("title", " <b>Sky</b> ")])
        .await;
    renamed.holds(200, &["<h1 dir=\"auto\">&lt;b&gt;Sky&lt;/b&gt;</h1>"]);
    let nameless = server.send(&path("rename"), &[("title", "")]).await;
    nameless.holds(422, &["id=\"title-error\">"]);

    let branch = server.send(&path("fork"), &[("turn", "1")]).await;
    branch.holds(200, &["1 turn", "branched off <a href", "id=\"turn-1\""]);
    lacks(&branch, &["id=\"turn-2\""]);
    server
        .send(&path("fork"), &[("turn", "9")])
        .await
        .holds(422, &["the session has 2 turns"]);
    server
        .send(&path("fork"), &[("turn", "x")])
        .await
        .holds(422, &[]);

    let closed = server.send(&path("close"), &[]).await;
    closed.holds(
        200,
        &["This session is closed", "name=\"turn\" value=\"2\""],
    );
    lacks(&closed, &["id=\"ask\""]);

    let sure = server.page(&format!("/nova/{id}/delete")).await;
    sure.holds(200, &["Delete this session?", "2 turns"]);
    let gone = server.send(&path("delete"), &[]).await;
    gone.holds(200, &["The session is deleted."]);
    server.page(&format!("/nova/{id}")).await.holds(404, &[]);
    for what in ["rename", "close", "fork", "delete"] {
        let fields = [("title", "x"), ("turn", "1")];
        server.send(&path(what), &fields).await.holds(404, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_comes_in_from_a_file_and_many_turns_are_paged() {
    let server = start().await;
    let (id, _) = server.asked(&asked("One?", QUICK)).await;
    let mut checkpoint = server
        .get(&format!("/api/nova/sessions/{id}/export"))
        .await
        .body;
    let first = checkpoint["turns"][0].clone();
    let turns = (1..=12).map(|number| {
        let mut turn = first.clone();
        turn["number"] = json!(number);
        turn
    });
    checkpoint["turns"] = Value::Array(turns.collect());
    checkpoint["turns"][11]["response"]["text"] = json!("long ".repeat(10_000));
    let page = server.bring_in(&checkpoint.to_string()).await;
    page.holds(
        200,
        &[
            "12 turns",
            "brought in from a file",
            "id=\"turn-12\"",
            "id=\"turn-3\"",
            "This is the beginning.",
        ],
    );
    lacks(&page, &["id=\"turn-2\""]);
    assert!(page.text.len() < 600_000, "{}", page.text.len());
    let copy = server.session().await;
    let earlier = server.page(&format!("/nova/{copy}?before=3")).await;
    earlier.holds(200, &["id=\"turn-2\"", "id=\"turn-1\"", "Newest turns"]);
    lacks(&earlier, &["id=\"turn-3\"", "Earlier turns"]);
    let whole = server.page(&format!("/nova/{copy}/turns/12")).await;
    assert!(whole.text.contains(&"long ".repeat(10_000)));

    let bad = server.bring_in("{}").await;
    bad.holds(422, &["id=\"checkpoint-error\">this file is not a session"]);
    let none = server.bring_in("").await;
    none.holds(422, &["id=\"checkpoint-error\">choose a file first"]);
    let form = server.send("/ui/nova/sessions/import", &[]).await;
    form.holds(400, &["id=\"checkpoint-error\">the form is not whole"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_benchmark_of_other_models() {
    let server = start().await;
    let (id, page) = server.asked(&asked("Why?", QUICK)).await;
    let form = format!("/nova/{id}/benchmark");
    page.holds(200, &[&form]);
    let page = server.page(&form).await;
    page.holds(
        200,
        &[
            "name=\"mode\" value=\"pinned\" checked",
            "value=\"steady@reference\"",
            "name=\"repetitions\" value=\"3\"",
        ],
    );
    let send = |fields: Vec<(&'static str, &'static str)>| {
        let path = format!("/ui/nova/sessions/{id}/benchmark");
        let server = &server;
        async move { server.send(&path, &fields).await }
    };
    let none = send(vec![
        ("mode", "live"),
        ("repetitions", "x"),
        ("warmup", "0"),
    ])
    .await;
    none.holds(
        422,
        &[
            "id=\"repetitions-error\">`x` is not a whole number",
            "name=\"mode\" value=\"live\" checked",
        ],
    );
    let unknown = vec![
        ("mode", "pinned"),
        ("more_models", "steddy@reference"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let unknown = send(unknown).await;
    unknown.holds(404, &["id=\"models-error\">there is no model `steddy`"]);
    for mode in ["pinned", "live"] {
        let fields = vec![
            ("mode", mode),
            ("more_models", QUICK),
            ("repetitions", "1"),
            ("warmup", "0"),
        ];
        send(fields).await.holds(200, &[]);
        let runs = server.get("/api/benchmarks/history?limit=1").await;
        let run = runs.body[0]["id"].as_str().unwrap().to_owned();
        let ended = server.ended(&run).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        assert_eq!(ended["request"]["replay"]["mode"], mode);
    }
}

#[tokio::test]
async fn many_sessions_are_paged() {
    let server = start().await;
    for number in 1..=21 {
        let session = json!({"title": format!("Session {number} of many")});
        server.post("/api/nova/sessions", &session).await;
    }
    let page = server.page("/nova").await;
    page.holds(
        200,
        &["Session 21 of many", "Session 2 of many", "rel=\"next\""],
    );
    lacks(&page, &["Session 1 of many", "No session yet."]);
    let next = page.text.split("/nova?cursor=").nth(1).unwrap();
    let next = next.split(['"', '#']).next().unwrap();
    let older = server.page(&format!("/nova?cursor={next}")).await;
    older.holds(200, &["Session 1 of many", "Newest"]);
    lacks(&older, &["Session 2 of many"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_models_and_people_write_stays_text() {
    let server = start().await;
    let hostile = "<script>alert(1)</script>";
    let mut fields = asked(hostile, "fault-hostile@reference");
    fields.retain(|(name, _)| *name != "pipeline");
    let domains = format!("{hostile}\nlaw");
    fields.extend([
        ("pipeline", "nova_process"),
        ("domains", &*domains),
        ("max_iterations", "1"),
    ]);
    let (id, page) = server.asked(&fields).await;
    let whole = server.page(&format!("/nova/{id}/turns/1")).await;
    let delete = server.page(&format!("/nova/{id}/delete")).await;
    for page in [page, whole, delete] {
        page.holds(200, &["&lt;script&gt;"]);
        lacks(&page, &["<script>", "<img", "javascript:alert"]);
    }
}
