//! What figures must keep, and what the exit code says of it.

use super::{Home, QUICK};

fn judged(home: &Home, more: &[&str]) -> (Option<i32>, String) {
    let base = ["run", "-m", QUICK, "-p", "x", "--repetitions", "2"];
    let outcome = home.run(&[&base[..], more].concat());
    (outcome.code, outcome.out + &outcome.err)
}

#[test]
fn a_missed_objective_ends_with_3() {
    let home = Home::new();
    let (code, text) = judged(
        &home,
        &[
            "--objective",
            "total_time.max<60",
            "--objective",
            "failed_percent<1",
        ],
    );
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("met: script:tokens=8,ttft=5,gap=1: total_time.max<60 ("),
        "{text}"
    );
    assert!(
        text.contains("2 of 2 requests (100 %) kept the bounds"),
        "{text}"
    );
    let (code, text) = judged(&home, &["--objective", "time_to_first_chunk<1us"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("1 of 1 objective was missed."), "{text}");
    assert!(text.contains("0 of 2 requests (0 %)"), "{text}");
    // What two values cannot show is not taken as met.
    let (code, text) = judged(&home, &["--objective", "time_to_first_chunk.p95<60"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("p95 needs 130 values"), "{text}");
}

#[test]
fn an_objective_that_cannot_be_read_stops_the_run_before_it_begins() {
    let home = Home::new();
    let (code, text) = judged(&home, &["--objective", "time_to_first_chunks<1"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--objective: "), "{text}");
    assert!(
        text.contains("did you mean `time_to_first_chunk`?"),
        "{text}"
    );
}

#[test]
fn a_failed_request_weighs_more_than_a_missed_objective() {
    let home = Home::new();
    let outcome = home.run(&[
        "run",
        "-m",
        "fault-status-500@reference",
        "-p",
        "x",
        "--objective",
        "failed_percent<1",
    ]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(outcome.out.contains("missed: "), "{}", outcome.out);
}

#[test]
fn a_run_until_it_is_decided_says_after_how_many_repetitions() {
    let home = Home::new();
    let outcome = home.run(&[
        "run",
        "-m",
        QUICK,
        "-m",
        "script:tokens=8,ttft=5,gap=6@reference",
        "-p",
        "x",
        "--until-decided",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(
        outcome.out.contains("It was decided after "),
        "{}",
        outcome.out
    );
}
