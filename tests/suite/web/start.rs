//! The form: what it offers, what it refuses, what it keeps.

use super::{QUICK, content};
use crate::support;

#[tokio::test]
async fn a_newcomer_needs_three_actions() {
    let server = support::start().await;
    let page = server.page("/").await;
    insta::assert_snapshot!(content(&page));
}

#[tokio::test]
async fn the_button_leads_to_the_run() {
    let server = support::start().await;
    let fields = [
        ("prompt", "x"),
        ("models", "script:tokens=2000,gap=20@reference"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let live = server.send("/ui/runs", &fields).await;
    live.holds(
        200,
        &[
            "id=\"live\"",
            "data-index=\"0\"",
            "http-equiv=\"refresh\"",
            ">Stop</button>",
            "0 of 1",
        ],
    );
    let history = server.get("/api/benchmarks/history?limit=1").await;
    let id = history.body[0]["id"].as_str().unwrap();
    let asked = server.page(&format!("/runs/{id}/delete")).await;
    asked.holds(200, &["It has not ended."]);
    let stopped = server.send(&format!("/ui/runs/{id}/cancel"), &[]).await;
    stopped.holds(200, &["cancelled", "Run again"]);
}

#[tokio::test]
async fn mistakes_are_told_beside_their_field_and_nothing_is_lost() {
    let server = support::start().await;
    let fields = [
        ("prompt", "  "),
        ("models", "thinking@reference"),
        ("more_models", "gone@reference"),
        ("repetitions", "many"),
        ("warmup", "1"),
        ("parameters/temperature", "-3"),
        ("system", "</textarea><script>x</script>"),
        ("tags", "night shift"),
    ];
    let page = server.send("/ui/runs", &fields).await;
    page.holds(
        422,
        &[
            "<a href=\"#prompt\">Prompt</a>: must not be empty",
            "<p class=\"error\" id=\"repetitions-error\">`many` is not a whole number</p>",
            "value=\"many\"",
            "id=\"parameters-temperature-error\">is -3; must be from 0 to 10</p>",
            "value=\"thinking@reference\" checked",
            "value=\"gone@reference\"",
            "value=\"night shift\"",
            "&lt;/textarea&gt;&lt;script&gt;",
        ],
    );
    assert!(!page.text.contains("<script>x"));
}

#[tokio::test]
async fn an_unknown_model_is_told_beside_the_models() {
    let server = support::start().await;
    let fields = [
        ("prompt", "x"),
        ("more_models", "steddy@reference"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    let page = server.send("/ui/runs", &fields).await;
    page.holds(404, &["id=\"models-error\">there is no model `steddy` on backend `reference`; did you mean steady?"]);
    let nowhere = [
        ("prompt", "x"),
        ("more_models", "a@nowhere"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    server
        .send("/ui/runs", &nowhere)
        .await
        .holds(404, &["there is no backend `nowhere`"]);
    let away = [
        ("prompt", "x"),
        ("more_models", "a@ollama"),
        ("repetitions", "1"),
        ("warmup", "0"),
    ];
    server.send("/ui/runs", &away).await.holds(
        502,
        &["The benchmark was not started", "cannot reach ollama"],
    );
    let none = [("prompt", "x"), ("repetitions", "1"), ("warmup", "0")];
    server
        .send("/ui/runs", &none)
        .await
        .holds(422, &["id=\"models-error\">name at least one model"]);
}

#[tokio::test]
async fn too_much_is_refused() {
    let server = support::start_with(|config| config.limits.max_body_bytes = 5_000).await;
    let long = "x".repeat(2_000);
    let page = server
        .send(
            "/ui/runs",
            &[("prompt", &long), ("models", "steady@reference")],
        )
        .await;
    page.holds(413, &["the body has more than 5000 bytes"]);
    let bad = server
        .post_raw(
            "/ui/runs",
            "application/x-www-form-urlencoded",
            "prompt=%ff",
        )
        .await;
    bad.problem(400);
}

#[tokio::test]
async fn prompts_are_saved_taken_and_deleted_without_losing_the_form() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    fields.push(("prompt_name", "<b>sky</b>"));
    fields.push(("name", "kept"));
    let page = server.send("/ui/prompts", &fields).await;
    page.holds(
        200,
        &[
            "Saved as “&lt;b&gt;sky&lt;/b&gt;”.",
            "value=\"kept\"",
            "value=\"steady@reference\" checked",
        ],
    );
    let saved = server.get("/api/prompts").await;
    let id = saved.body[0]["id"].as_str().unwrap();
    assert_eq!(saved.body[0]["text"], "Why is the sky blue?");

    let other = [("prompt", "something else"), ("repetitions", "7")];
    let part = server
        .send_for_part(&format!("/ui/prompts/{id}/use"), &other)
        .await;
    part.holds(200, &["Why is the sky blue?</textarea>"]);
    assert!(
        part.text.starts_with("<section id=\"prompt-part\""),
        "{}",
        part.text
    );
    server
        .send(&format!("/ui/prompts/{id}/use"), &other)
        .await
        .holds(200, &["value=\"7\""]);

    let part = server
        .send_for_part(&format!("/ui/prompts/{id}/delete"), &other)
        .await;
    part.holds(200, &["Deleted.", "something else</textarea>"]);
    assert!(!part.text.contains("Saved prompts"), "{}", part.text);
    server
        .send(&format!("/ui/prompts/{id}/use"), &other)
        .await
        .holds(404, &[]);
    server
        .send(&format!("/ui/prompts/{id}/delete"), &other)
        .await
        .holds(404, &[]);

    let empty = server
        .send_for_part("/ui/prompts", &[("prompt", " ")])
        .await;
    empty.holds(422, &["id=\"prompt-error\">must not be empty"]);
    let unnamed = server
        .send_for_part("/ui/prompts", &[("prompt", "one\ntwo")])
        .await;
    unnamed.holds(200, &["Saved as “one two”."]);
}

#[tokio::test]
async fn an_earlier_run_fills_the_form() {
    let server = support::start().await;
    let mut fields = QUICK.to_vec();
    fields.extend([
        ("parameters/seed", "7"),
        ("execution", "interleaved"),
        ("tags", "a, b"),
    ]);
    let id = server.benchmark(&fields).await;
    let page = server.page(&format!("/?from={id}")).await;
    page.holds(
        200,
        &[
            "Why is the sky blue?</textarea>",
            "value=\"steady@reference\" checked",
            "value=\"script:tokens=8,ttft=5,gap=1@reference\"",
            "name=\"parameters/seed\" value=\"7\"",
            "<option value=\"interleaved\" selected>",
            "value=\"a b\"",
        ],
    );
    server.page("/?from=zz").await.holds(404, &[]);
}
