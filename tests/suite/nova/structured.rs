use super::{request, step};
use crate::support::start;

async fn outcomes(manner: &str) -> (Vec<String>, serde_json::Value) {
    let server = start().await;
    let model = format!("script:tokens=8,ttft=1,gap=1,json={manner}@reference");
    let response = server.ask(&request("Say something.", &model)).await;
    let steps = response["steps"].as_array().unwrap();
    let planned = steps.iter().filter(|it| it["role"] == "planner");
    let outcomes = planned.map(|it| it["json"].as_str().unwrap().to_owned());
    (outcomes.collect(), response)
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_fits_is_taken() {
    let (outcomes, response) = outcomes("fits").await;
    assert_eq!(outcomes, ["asked"]);
    assert_eq!(response["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_asked_for_once_more() {
    let (outcomes, response) = outcomes("repair").await;
    assert_eq!(outcomes, ["unreadable", "repaired"]);
    assert_eq!(response["status"], "completed");
    let first = step(&response, "planner");
    assert!(!first["notes"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_unusable_is_replaced_by_a_rule_and_the_step_says_so() {
    for manner in ["prose", "broken", "wrong"] {
        let (outcomes, response) = outcomes(manner).await;
        assert_eq!(outcomes, ["unreadable", "fell_back"], "{manner}");
        assert_eq!(response["status"], "completed", "{manner}: {response}");
        // The plan that stands in is the prompt itself: one call writes the answer.
        let steps = response["steps"].as_array().unwrap();
        let executed = steps.iter().filter(|it| it["role"] == "executor").count();
        assert_eq!(executed, 1, "{manner}");
    }
}
